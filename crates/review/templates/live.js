// Shows the page anew when the server says that it would be another. Folds and the place stay as they are.
"use strict";
const address = document.currentScript.dataset.live;
let busy = false;
let last = "";
async function renew() {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) { location.reload(); return; }
    if (!answer.ok) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (next.innerHTML === last) return;
    last = next.innerHTML;
    const open = new Map([...document.querySelectorAll("details[id]")].map((fold) => [fold.id, fold.open]));
    for (const fold of next.querySelectorAll("details[id]")) {
      if (open.has(fold.id)) fold.open = open.get(fold.id);
    }
    document.querySelector("main").replaceWith(next);
  } finally {
    busy = false;
  }
}
new EventSource(address).addEventListener("change", renew);
