//! `palisade policies apply --watch`, `status` and `remove` against a server that goes away and comes back.
//!
//! The server stores admission policies and does not evaluate them: their kinds are custom resources here. Their
//! decisions are compared with the engine in the tests of palisade-policies.
#![cfg(feature = "serve")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use server::Server;

const NAME: &str = "securitycontextconstraints.admission.openshift.io";
/// A machine that does much else at once may take long; nothing is measured by it.
const DEADLINE: Duration = Duration::from_secs(150);

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// One address for a server that comes back at another.
struct Relay {
    port: u16,
    target: Arc<AtomicU16>,
}

impl Relay {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(0));
        let to = Arc::clone(&target);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // No process listens there while the server is down: the connection ends.
                let Ok(server) = TcpStream::connect(("127.0.0.1", to.load(Ordering::SeqCst))) else {
                    continue;
                };
                let (back, forth) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pour(client, forth));
                std::thread::spawn(move || pour(server, back));
            }
        });
        Self { port, target }
    }
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || buffer.get(..count).is_none_or(|bytes| to.write_all(bytes).is_err()) {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

/// A running `palisade`, and its output.
struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
}

impl Running {
    fn start(server: &Server, kubeconfig: &str, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(args)
            .env("HOME", server.home.path())
            .env("KUBECONFIG", server.home.path().join(kubeconfig))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = collected(child.stdout.take().unwrap());
        let err = collected(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn says(&self, of: &Arc<Mutex<String>>, text: &str) -> bool {
        of.lock().unwrap().contains(text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collected(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&text);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            to.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    text
}

/// The four kinds of admission policy, as custom resources.
fn definitions() -> String {
    let of = |kind: &str| {
        let singular = kind.to_lowercase();
        let plural = singular.strip_suffix('y').map_or(format!("{singular}s"), |stem| format!("{stem}ies"));
        format!(
            "---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  \
             name: {plural}.admissionregistration.k8s.io\n  annotations: {{api-approved.kubernetes.io: \"unapproved, for a test\"}}\n\
             spec:\n  group: admissionregistration.k8s.io\n  scope: Cluster\n  \
             names: {{plural: {plural}, singular: {singular}, kind: {kind}, listKind: {kind}List}}\n  \
             versions:\n  - name: v1\n    served: true\n    storage: true\n    \
             schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}\n"
        )
    };
    [
        "MutatingAdmissionPolicy",
        "ValidatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicyBinding",
    ]
    .map(of)
    .concat()
}

/// The present address of the server.
fn port(server: &Server) -> u16 {
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let (_, rest) = text.split_once("https://127.0.0.1:").expect("the kubeconfig names the server");
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[test]
fn a_watch_outlives_a_server_that_goes_away_and_comes_back() {
    let mut server = Server::start("4");
    server.write("crds.yaml", &definitions());
    server.run("oc apply -f crds.yaml");
    for plural in ["mutatingadmissionpolicies", "validatingadmissionpolicybindings"] {
        eventually(plural, || server.shell(&format!("oc get {plural}")).status.success());
    }
    let relay = Relay::start();
    relay.target.store(port(&server), Ordering::SeqCst);
    let kubeconfig = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let own = format!("https://127.0.0.1:{}", port(&server));
    server.write("relay.yaml", &kubeconfig.replace(&own, &format!("https://127.0.0.1:{}", relay.port)));

    let mut watch = Running::start(&server, "relay.yaml", &["policies", "apply", "--watch"]);
    let last = format!("validatingadmissionpolicybinding workloads.{NAME}: applied");
    eventually("all is applied", || watch.says(&watch.out, &last));
    let first = format!("validatingadmissionpolicy {NAME}: applied");
    assert!(watch.out.lock().unwrap().starts_with(&first), "what refuses comes first");

    server.kill();
    eventually("the watch says that the server is gone", || {
        watch.says(&watch.err, "the policies are left as they are")
    });
    assert!(watch.is_running());

    server.restart();
    // It listens elsewhere now.
    server.run("cp data/admin.kubeconfig .kube/config");
    relay.target.store(port(&server), Ordering::SeqCst);
    server.run("oc get scc restricted -o yaml | sed 's/^  name: restricted$/  name: extra/; /uid:/d; /resourceVersion:/d; /creationTimestamp:/d' > extra.yaml && oc apply -f extra.yaml");
    for kind in ["validatingadmissionpolicy", "mutatingadmissionpolicy"] {
        let follows = format!("oc get {kind} {NAME} -o yaml | grep -q fits_extra");
        eventually("the new SCC is compiled", || server.shell(&follows).status.success());
    }

    // Whatever it is doing then, it does it whole.
    let id = watch.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    eventually("an interrupt ends it", || !watch.is_running());
    assert!(watch.child.wait().unwrap().success(), "{}", watch.err.lock().unwrap());

    let status = server.run("palisade policies status");
    assert_eq!(status.matches(": current").count(), 8, "{status}");
    server.run(&format!("oc delete validatingadmissionpolicybinding {NAME}"));
    let (code, _) = server.fail("palisade policies status");
    assert_eq!(code, 1);
    // Other options leave other objects: superfluous ones are removed, and reported before.
    let trial = "palisade policies status --mode audit";
    let output = server.shell(trial);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("mutatingadmissionpolicy {NAME}: left from other options")), "{said}");
    let said = server.run("palisade policies apply --mode audit");
    assert!(said.contains(&format!("mutatingadmissionpolicy {NAME}: removed")), "{said}");
    assert_eq!(server.run(trial).matches(": current").count(), 2);
    let said = server.run("palisade policies remove");
    assert_eq!(said.matches(": removed").count(), 2, "{said}");
}
