#!/usr/bin/env python3
"""Records what a real kube-controller-manager makes of workloads, for the test `controllers_do_alike`.

    record.py URL TOKEN [WORD…]              writes tests/scenarios/controllers.ndjson, or of it the scenarios with a word in their name
    record.py URL CERT [WORD…] --compare     says what another server makes otherwise; CERT is a file with a client's certificate and key

With `--quiet N` a stage is over when nothing has happened for N seconds, which a busy machine needs: controllers that fail wait ever longer.

URL is a kube-apiserver that nobody else uses, with a kube-controller-manager and without a scheduler (last: 1.36, built from its source, with etcd,
`--disable-admission-plugins=ServiceAccount`). The pods are played: this program gives those of DaemonSets their node, and all their phase.
"""

import concurrent.futures
import http.client
import json
import pathlib
import re
import ssl
import sys
import time
import urllib.parse

sys.dont_write_bytecode = True

from scenarios import SCENARIOS

FILE = pathlib.Path(__file__).parents[2] / "tests" / "scenarios" / "controllers.ndjson"
GROUPS = {"pods": "/api/v1", "replicationcontrollers": "/api/v1", "events": "/api/v1", "jobs": "/apis/batch/v1"}
# The machine is slow and the controllers wait for one another: nothing has happened for so long, in seconds, when a stage is over.
QUIET = 5
# Of other times, other objects and other servers.
DROPPED = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "lastTransitionTime", "lastUpdateTime", "startTime",
           "completionTime", "lastProbeTime", "template"}
OURS = {"kubectl.kubernetes.io/last-applied-configuration", "openshift.io/scc", "security.openshift.io/validated-scc-subject-type"}
LETTERS = "[bcdfghjklmnpqrstvwxz2456789]"


class Server:
    def __init__(self, url, credential):
        self.host = urllib.parse.urlparse(url).netloc
        self.context = ssl._create_unverified_context()
        self.headers = {"content-type": "application/json"}
        if pathlib.Path(credential).exists():
            self.context.load_cert_chain(credential)
        else:
            self.headers["authorization"] = f"Bearer {credential}"
        self.connection = None

    def send(self, method, path, body=None):
        headers = dict(self.headers)
        if method == "PATCH":
            headers["content-type"] = "application/merge-patch+json"
        for again in (True, False):
            try:
                self.connection = self.connection or http.client.HTTPSConnection(self.host, context=self.context, timeout=60)
                self.connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = self.connection.getresponse()
                return response.status, json.loads(response.read() or b"{}")
            except (http.client.HTTPException, OSError):
                self.connection = None
                if not again:
                    raise

    def items(self, kind, ns):
        return self.send("GET", f"{GROUPS.get(kind, '/apis/apps/v1')}/namespaces/{ns}/{kind}")[1].get("items", [])


def play(server, ns, stage):
    """Gives pods their phase, as nodes would; gives whether something was to be done."""
    done = False
    for pod in server.items("pods", ns):
        path = f"/api/v1/namespaces/{ns}/pods/{pod['metadata']['name']}"
        labels = pod["metadata"].get("labels", {})
        if "deletionTimestamp" in pod["metadata"]:
            server.send("DELETE", f"{path}?gracePeriodSeconds=0", {})
            done = True
            continue
        if not pod["spec"].get("nodeName") and "affinity" in pod["spec"]:
            terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            target = {"apiVersion": "v1", "kind": "Node", "name": terms[0]["matchFields"][0]["values"][0]}
            server.send("POST", f"{path}/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]}, "target": target})
            done = True
        is_left = "but" in stage and stage["but"].items() <= labels.items()
        if stage["play"] and not is_left and pod["status"].get("phase") == "Pending":
            server.send("PATCH", f"{path}/status", {"status": status(stage["play"])})
            done = True
    return done


def status(phase):
    then = "2026-01-01T00:00:00Z"
    ready = "True" if phase == "Running" else "False"
    made = {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": then}]}
    if phase in ("Succeeded", "Failed"):
        ended = {"exitCode": 0 if phase == "Succeeded" else 1, "startedAt": then, "finishedAt": then}
        made["containerStatuses"] = [{"name": "c", "image": "a", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}]
    return made


def clean(value, ns):
    if isinstance(value, dict):
        return {clean(name, ns): clean(inner, ns) for name, inner in value.items() if name not in DROPPED | OURS}
    if isinstance(value, list):
        return sorted((clean(item, ns) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(value, str):
        value = value.replace(ns, "NS")
        value = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID", value)
        value = re.sub(rf"\b{LETTERS}{{8,10}}\b", "HASH", value)
        return re.sub(rf"-{LETTERS}{{5}}\b", "-POD", value)
    return value


def seen(server, ns, kinds):
    """What the kinds have come to, and the events, without what is another each time."""
    found = {}
    for kind in kinds:
        listed = []
        for item in server.items(kind, ns):
            meta = item["metadata"]
            if kind == "pods" and "deletionTimestamp" in meta:
                continue
            one = {field: meta[field] for field in ("labels", "annotations", "ownerReferences", "finalizers") if meta.get(field)}
            one["annotations"] = {name: text for name, text in one.get("annotations", {}).items() if name not in OURS}
            one["name"] = meta["name"]
            if kind == "pods":
                one["phase"] = item["status"].get("phase")
            else:
                one["generation"] = meta.get("generation")
                one.update({field: item[field] for field in ("spec", "status", "revision") if field in item})
            listed.append(one)
        found[kind] = listed
    events = server.items("events", ns)
    found["events"] = list({f"{event['type']} {event['reason']} {event['involvedObject']['kind']}: {event.get('message', '')}" for event in events})
    found = clean(found, ns)
    found["events"] = sorted(set(found["events"]))
    return found


def run(server, ns, kinds, stages):
    server.send("POST", "/api/v1/namespaces", {"metadata": {"name": ns}})
    last = {}
    for stage in stages:
        for method, path, body in stage["do"]:
            code, answer = server.send(method, path.replace("{ns}", ns), json.loads(json.dumps(body).replace("{ns}", ns)))
            if code >= 300:
                raise RuntimeError(f"{ns}: {method} {path}: {answer}")
        since = time.time()
        limit = since + 120
        while time.time() < since + max(stage.get("wait", 0), QUIET) and time.time() < limit:
            was_busy = play(server, ns, stage)
            now = seen(server, ns, kinds)
            if was_busy or now != last:
                since, last = time.time(), now
            time.sleep(0.3)
    return last


def main():
    url, credential = sys.argv[1:3]
    compare = "--compare" in sys.argv
    words = sys.argv[3:]
    if "--quiet" in words:
        at = words.index("--quiet")
        global QUIET
        QUIET = float(words[at + 1])
        del words[at:at + 2]
    picked = [word for word in words if not word.startswith("--")]
    known = {}
    if FILE.exists():
        known = {line["name"]: line for line in map(json.loads, FILE.read_text().splitlines())}

    def one(numbered):
        number, (name, (kinds, stages)) = numbered
        if picked and not any(word in name for word in picked):
            return None
        run_id = f"{int(time.time()) % 100000}"
        return name, kinds, stages, run(Server(url, credential), f"s{number}n{run_id}", kinds, stages)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        results = [result for result in pool.map(one, enumerate(SCENARIOS.items())) if result]
    if compare:
        for name, _, _, last in results:
            theirs = known.get(name, {}).get("theirs", {})
            for kind in sorted(last.keys() | theirs.keys()):
                if last.get(kind) != theirs.get(kind):
                    print(f"== {name}: {kind}")
                    show(theirs.get(kind), last.get(kind))
        return
    for name, kinds, stages, last in results:
        line = {"name": name, "look": kinds, "stages": stages, "theirs": last}
        line.update({field: known[name][field] for field in ("ours", "why") if field in known.get(name, {})})
        known[name] = line
    FILE.write_text("".join(json.dumps(known[name], separators=(",", ":"), sort_keys=True) + "\n" for name in SCENARIOS if name in known))


def show(theirs, ours):
    import difflib
    lines = [json.dumps(value, indent=1, sort_keys=True).splitlines() for value in (theirs, ours)]
    print("\n".join(line for line in difflib.unified_diff(*lines, "theirs", "ours", n=2, lineterm="") if not line.startswith(("---", "+++"))))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
