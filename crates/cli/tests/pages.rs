//! The HTML pages in Debian's Chromium: no message in the console, sufficient contrast of text in both themes and on
//! paper, room on 400 pixels, and every link and fold reachable by the keyboard with a visible focus.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod server;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// A browser with one page, driven by the DevTools protocol.
struct Browser {
    socket: WebSocketStream<TcpStream>,
    session: String,
    last: u64,
    /// Messages of the console and errors of the page.
    said: Vec<Value>,
    _process: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A browser, or the reason why there is none here.
    async fn start() -> Result<Self, String> {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("chromium: {error}; on Debian: apt-get install chromium"))?;
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    return Some(url.to_owned());
                }
                said.push_str(&line);
                said.push('\n');
            }
            None
        };
        let url = tokio::time::timeout(Duration::from_secs(120), address).await.ok().flatten();
        let Some(url) = url else { return Err(format!("chromium does not start here:\n{said}")) };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let host = url.strip_prefix("ws://").and_then(|url| url.split('/').next()).unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(&url, stream).await.unwrap();
        let mut browser = Self {
            socket,
            session: String::new(),
            last: 0,
            said: Vec::new(),
            _process: process,
            _profile: profile,
        };
        let target = browser.send("Target.createTarget", json!({"url": "about:blank"})).await;
        let to = json!({"targetId": target["targetId"], "flatten": true});
        let session =
            browser.send("Target.attachToTarget", to).await["sessionId"].as_str().unwrap().to_owned();
        browser.session = session;
        for domain in ["Page", "Runtime", "Log"] {
            browser.send(&format!("{domain}.enable"), json!({})).await;
        }
        Ok(browser)
    }

    async fn receive(&mut self) -> Value {
        let next = tokio::time::timeout(Duration::from_secs(120), self.socket.next()).await;
        let message = next.expect("an answer of the browser within two minutes").unwrap().unwrap();
        let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        let event = message["method"].as_str().unwrap_or_default();
        if matches!(event, "Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown") {
            self.said.push(message.clone());
        }
        message
    }

    async fn send(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let answer = self.receive().await;
            if answer["id"] == json!(self.last) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    async fn open(&mut self, page: &Path) {
        self.go(&format!("file://{}", page.display())).await;
    }

    async fn go(&mut self, url: &str) {
        self.send("Page.navigate", json!({"url": url})).await;
        self.until("document.readyState === 'complete' && document.title !== ''").await;
    }

    /// Waits until an expression is true.
    async fn until(&mut self, expression: &str) {
        for _ in 0..600 {
            if self.evaluate(expression).await == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{expression} on {}", self.evaluate("document.documentElement.outerHTML").await);
    }

    async fn media(&mut self, media: &str, theme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.send("Emulation.setEmulatedMedia", json!({"media": media, "features": features})).await;
    }

    async fn width(&mut self, width: u32) {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.send("Emulation.setDeviceMetricsOverride", size).await;
    }

    async fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let result = self.send("Runtime.evaluate", params).await;
        assert!(result["exceptionDetails"].is_null(), "{result}");
        result["result"]["value"].clone()
    }

    async fn tab(&mut self) {
        for kind in ["rawKeyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9});
            self.send("Input.dispatchKeyEvent", key).await;
        }
    }
}

/// Texts whose contrast with their background is below 4.5 (WCAG 2.2, 1.4.3).
const FAINT: &str = r"(() => {
    const channels = text => (text.match(/[\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        // Browsers print no backgrounds.
        if (matchMedia('print').matches) return [255, 255, 255];
        for (let at = element; at; at = at.parentElement) {
            const color = channels(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const faint = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const element = walk.currentNode.parentElement;
        if (!walk.currentNode.textContent.trim()) continue;
        const [a, b] = [channels(getComputedStyle(element).color), behind(element)].map(light);
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.push(`${walk.currentNode.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return faint;
})()";

/// The index of the focused element among those that the keyboard should reach, and whether its outline is visible.
const FOCUSED: &str = r"(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const style = getComputedStyle(at);
    const all = [...document.querySelectorAll('a[href], summary, button, input, textarea, [tabindex]')].filter(e => e.checkVisibility());
    return [all.indexOf(at), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
})()";

const REACHABLE: &str = "[...document.querySelectorAll('a[href], summary, button, input, textarea, [tabindex]')].filter(e => e.checkVisibility()).length";

/// Writes each kind of page into a folder; returns their names.
fn pages(folder: &Path) -> Vec<&'static str> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let examples = root.join("examples/realistic").display().to_string();
    let with = root.join("crates/cli/tests/field/09-custom-selinux-type").display().to_string();
    let kinds: [(&'static str, &[&str]); 5] = [
        ("review.html", &["review", "-f", &examples, "-f", &with, "-o", "html"]),
        ("diff.html", &["scc", "diff", "restricted-v2", "privileged", "-o", "html"]),
        ("impact.html", &["scc", "impact", "--with", "with.yaml", "-f", &examples, "-o", "html"]),
        ("syscalls.html", &["seccomp", "explain", "runtime/default", "--html"]),
        ("changes.html", &["seccomp", "diff", "runtime/default", "workshop", "-o", "html"]),
    ];
    let wider = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: wide}, \
        allowPrivilegedContainer: true, volumes: ['*'], runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, \
        fsGroup: {type: RunAsAny}, supplementalGroups: {type: RunAsAny}, groups: ['system:authenticated']}";
    std::fs::write(folder.join("with.yaml"), wider).unwrap();
    for (name, args) in kinds {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_palisade"));
        let output = command.current_dir(folder).args(args).output().unwrap();
        assert_ne!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(folder.join(name), output.stdout).unwrap();
    }
    kinds.map(|(name, _)| name).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_read_the_pages() {
    let mut browser = match Browser::start().await {
        Ok(browser) => browser,
        Err(why) => return println!("SKIPPED: {why}"),
    };
    let folder = tempfile::tempdir().unwrap();
    for name in pages(folder.path()) {
        browser.width(1280).await;
        browser.media("screen", "light").await;
        browser.open(&folder.path().join(name)).await;
        for (media, theme) in [("screen", "light"), ("screen", "dark"), ("print", "light"), ("print", "dark")]
        {
            browser.media(media, theme).await;
            assert_eq!(browser.evaluate(FAINT).await, json!([]), "{name} in {media} {theme}");
        }
        browser.media("screen", "light").await;
        browser.width(400).await;
        let width = browser.evaluate("document.documentElement.scrollWidth").await;
        assert!(width.as_u64().unwrap() <= 400, "{name} is {width} pixels wide where there are 400");
        reach_all(&mut browser, name).await;
    }
    assert_eq!(browser.said, Vec::<Value>::new());
}

/// The console of a server: a login by its form, a page that any user can read, and one that updates itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_logged_in_to_read_and_live() {
    let mut browser = match Browser::start().await {
        Ok(browser) => browser,
        Err(why) => return println!("SKIPPED: {why}"),
    };
    // The server's certificate is signed by an authority of its own.
    browser.send("Security.setIgnoreCertificateErrors", json!({"ignore": true})).await;
    let server = server::Server::start("4");
    server.write("password", "correct horse");
    server.run("palisade user add alice < password");
    server.run("oc create clusterrolebinding alice --clusterrole=cluster-admin --user=alice && oc create namespace shop");
    let address = server.run("oc whoami --show-server").trim().to_owned();
    browser.go(&format!("{address}/console")).await;
    browser.until("location.pathname === '/console/login'").await;
    let fill = "for (const [name, text] of [['username', 'alice'], ['password', 'correct horse']]) \
        document.querySelector(`[name=${name}]`).value = text; document.querySelector('form').requestSubmit()";
    browser.evaluate(fill).await;
    browser.until("location.pathname === '/console' && document.readyState === 'complete'").await;
    for page in ["", "/review?namespace=shop", "/scc?b=privileged", "/seccomp", "/impact"] {
        browser.width(1280).await;
        browser.media("screen", "light").await;
        browser.go(&format!("{address}/console{page}")).await;
        for theme in ["light", "dark"] {
            browser.media("screen", theme).await;
            assert_eq!(browser.evaluate(FAINT).await, json!([]), "{page} in {theme}");
        }
        browser.width(400).await;
        let width = browser.evaluate("document.documentElement.scrollWidth").await;
        assert!(width.as_u64().unwrap() <= 400, "{page} is {width} pixels wide where there are 400");
        if page != "/impact" {
            reach_all(&mut browser, page).await;
        }
    }
    browser.go(&format!("{address}/console/review?namespace=shop")).await;
    browser.evaluate("window.same = true").await;
    let web = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {selector: {matchLabels: {a: b}}, \
        template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: 'registry.example/web:1'}]}}}}";
    server.write("web.yaml", web);
    server.run("oc apply -f web.yaml");
    browser.until("document.body.textContent.includes('deployment/web')").await;
    assert_eq!(browser.evaluate("window.same").await, true, "the page was not loaded again");
    assert_eq!(browser.evaluate("document.cookie").await, "", "no script sees the session");
    browser.evaluate("document.querySelector('nav button').click()").await;
    browser.until("location.pathname === '/console/login'").await;
    browser.go(&format!("{address}/console")).await;
    browser.until("location.pathname === '/console/login'").await;
    assert_eq!(browser.said, Vec::<Value>::new());
}

/// Goes through a page by the keyboard alone, in the order of the text.
async fn reach_all(browser: &mut Browser, name: &str) {
    let count = browser.evaluate(REACHABLE).await.as_u64().unwrap();
    for expected in 0..count.min(60) {
        browser.tab().await;
        let focused = browser.evaluate(FOCUSED).await;
        assert_eq!(focused, json!([expected, true]), "{name}: element {expected} of {count} by the keyboard");
    }
}
