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

mod fake;
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fake::{Answer, Fake};
use serde_json::json;
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

    // The cluster's objects are compared too, while the SCCs stay as they are.
    let binding = format!("validatingadmissionpolicybinding {NAME}");
    server.run(&format!("oc delete {binding}"));
    let says = format!("{binding}: missing; all are applied again");
    eventually("a deleted binding is noticed", || watch.says(&watch.out, &says));
    eventually("a deleted binding comes back", || {
        server.shell(&format!("oc get {binding}")).status.success()
    });
    let policy = format!("validatingadmissionpolicy {NAME}");
    server
        .run(&format!("oc patch {policy} --type merge -p '{{\"spec\": {{\"failurePolicy\": \"Ignore\"}}}}'"));
    let says = format!("{policy}: edited since it was applied; all are applied again");
    eventually("an edit is noticed", || watch.says(&watch.out, &says));
    let strict = format!("test $(oc get {policy} -o jsonpath='{{.spec.failurePolicy}}') = Fail");
    eventually("an edit is undone", || server.shell(&strict).status.success());
    // All are applied anew: at first, and after each of the two.
    let rounds = |count: usize| watch.out.lock().unwrap().matches(&last).count() == count;
    eventually("the watch rests", || rounds(3));

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
    reads_are_enough_for_a_status(&server);
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

/// Compares the policies as a user that may only read them, before and after an edit.
fn reads_are_enough_for_a_status(server: &Server) {
    server.write(
        "reader.yaml",
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: reader}, rules: [\
         {apiGroups: [admissionregistration.k8s.io, rbac.authorization.k8s.io, security.openshift.io], \
         resources: ['*'], verbs: [get, list]}]}\n---\n\
         {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: reader}, \
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}, \
         subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: ann}]}\n",
    );
    server.run("oc apply -f reader.yaml");
    server.run("sed 's/^\\( *\\)client-key-data:/\\1as: ann\\n&/' .kube/config > ann.kubeconfig && grep -q 'as: ann' ann.kubeconfig");
    let status = "palisade policies status --kubeconfig ann.kubeconfig";
    server.fail("palisade policies remove --kubeconfig ann.kubeconfig");
    let said = server.run(status);
    assert_eq!(said.matches(": current").count(), 8, "{said}");
    let edit = |list: &str| {
        let patch = format!("{{\"spec\": {{\"matchConditions\": {list}}}}}");
        server.run(&format!("oc patch validatingadmissionpolicy {NAME} --type merge -p '{patch}'"));
    };
    edit("[{\"name\": \"never\", \"expression\": \"false\"}]");
    let output = server.shell(status);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("validatingadmissionpolicy {NAME}: edited since it was applied")),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1), "{said}");
    edit("null");
    server.run(status);
}

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const KUBECONFIG: &str = "printf '{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: \"%s\"}}], \
    contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}' $S > k && KUBECONFIG=k ";

/// A cluster that refuses all but discovery and one answer to SubjectAccessReviews.
fn refusing(review: impl Fn() -> Answer + Send + Sync + 'static) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let fake = Fake::start(move |request| {
        seen.lock().unwrap().push(format!("{} {}", request.method, request.path));
        match request.path.split('?').next().unwrap() {
            REGISTRATION => Answer::ok(json!({"kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": "admissionregistration.k8s.io/v1", "resources": [{"name": "mutatingadmissionpolicies",
                "singularName": "", "namespaced": false, "kind": "MutatingAdmissionPolicy", "verbs": ["create"]}]})),
            REVIEWS => review(),
            _ => Answer::refused(403, "Forbidden", "as the test wants"),
        }
    });
    (fake, asked)
}

#[test]
fn a_cluster_that_authorizes_everything_is_refused_before_a_write() {
    let line = format!("{KUBECONFIG} palisade policies apply --scc-set 4");
    let (fake, asked) = refusing(|| {
        Answer::ok(json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "metadata": {}, "spec": {}, "status": {"allowed": true}}))
    });
    let (code, said) = fake.run(&line);
    assert!(code == 2 && said.contains("error: the cluster authorizes everything"), "{code} {said}");
    let writes: Vec<String> =
        asked.lock().unwrap().iter().filter(|line| !line.starts_with("GET")).cloned().collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes.iter().all(|line| line.contains(REVIEWS)), "{writes:?}");

    // A user that may not ask is told so, and goes on.
    let (fake, _) = refusing(|| Answer::refused(403, "Forbidden", "as the test wants"));
    let (code, said) = fake.run(&line);
    assert!(code == 2 && said.contains("you may not create SubjectAccessReviews"), "{code} {said}");
    assert!(said.contains("cannot be applied; nothing was changed"), "{said}");

    // Discovery may be refused too.
    let fake = Fake::start(|_| Answer::refused(403, "Forbidden", "as the test wants"));
    let (code, said) = fake.run(&line);
    let why = "the API admissionregistration.k8s.io/v1 of the API server cannot be discovered";
    assert!(code == 2 && said.contains(why), "{code} {said}");
}

#[test]
fn a_cluster_without_the_policies_is_refused_by_name_before_a_write() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let fake = Fake::start(move |request| {
        seen.lock().unwrap().push(format!("{} {}", request.method, request.path));
        match request.path.split('?').next().unwrap() {
            // Kubernetes 1.35 has only the validating ones in v1.
            REGISTRATION => Answer::ok(json!({"kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": "admissionregistration.k8s.io/v1", "resources": [{"name": "validatingadmissionpolicies",
                "singularName": "", "namespaced": false, "kind": "ValidatingAdmissionPolicy", "verbs": ["create"]}]})),
            "/version" => {
                Answer::ok(json!({"major": "1", "minor": "35", "gitVersion": "v1.35.2", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}))
            }
            other => Answer::refused(500, "InternalError", &format!("{other} is not expected")),
        }
    });
    let said = "the API server, v1.35.2, does not serve MutatingAdmissionPolicy of admissionregistration.k8s.io/v1, \
        as kube-apiserver does from Kubernetes 1.36 on. Nothing was changed";
    for verb in ["apply --scc-set 4", "apply --watch", "status --scc-set 4", "remove"] {
        let (code, text) = fake.run(&format!("{KUBECONFIG} palisade policies {verb}"));
        assert!(code == 2 && text.contains(said), "{verb}: {code} {text}");
    }
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|line| line.starts_with("GET ")), "{asked:?}");
}

#[test]
fn a_compilation_says_what_is_left_to_others() {
    let fake = Fake::start(|request| panic!("nothing may be sent: {}", request.path));
    let compile = "palisade policies compile --scc-set 4";
    let notes = |options: &str| {
        let output = fake.shell(&format!("{compile} {options}"));
        assert!(output.status.success(), "{options}");
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.starts_with("---\napiVersion: "), "the notes are not among the objects");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = notes("");
    for note in [
        "note: ranges of namespaces are not allocated: annotate them",
        "note: edits of SCCs are not followed: `palisade policies apply --watch`",
        "note: SCC objects are neither defaulted nor validated: `palisade scc lint`",
        "note: refusals do not name the right that is missing",
        "note: exec and attach are not held: --exec, or the webhooks",
    ] {
        assert_eq!(said.matches(note).count(), 1, "{note}: {said}");
    }
    assert!(!notes("--exec").contains("exec and attach are not held"));
    // Without roles most warnings would be wrong.
    let unknown = "note: authors of workloads are not warned, since no roles and bindings are known";
    assert!(!said.contains(unknown), "{said}");
    fake.write(
        "own.yaml",
        "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: own}, \
         runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}}\n---\n\
         {apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: none}, \
         runAsUser: {type: MustRunAs}, seLinuxContext: {type: RunAsAny}}\n",
    );
    let (code, said) = fake.run("palisade policies compile own.yaml");
    assert!(code == 0 && said.contains(unknown), "{code} {said}");
    assert!(said.contains("none is left out, since it can admit no pod: "), "{said}");
}

/// The compiled policies as an API server has them, but for those of some kinds.
fn compiled(path: &str, without: &str) -> Option<serde_json::Value> {
    let (plural, name) = path.strip_prefix(REGISTRATION)?.trim_start_matches('/').split_once('/')?;
    let is_ours = [NAME, &format!("guard.{NAME}"), "palisade-exempt"].contains(&name);
    (is_ours && plural.contains("admissionpolic") && plural != without).then(|| {
        let spec = match plural.ends_with("bindings") {
            true => json!({"policyName": name, "validationActions": ["Deny"]}),
            false => json!({"failurePolicy": "Fail"}),
        };
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "Any", "metadata": {"name": name}, "spec": spec})
    })
}

fn with_policies(without: &'static str) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let deleted = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&deleted);
    let fake = Fake::start(move |request| {
        let path = request.path.split('?').next().unwrap();
        let list = |kind: &str, version: &str| {
            Answer::ok(json!({"apiVersion": version, "kind": kind, "metadata": {}, "items": []}))
        };
        let found = compiled(path, without);
        if request.method == "DELETE" && (found.is_some() || path.contains("webhookconfigurations")) {
            seen.lock().unwrap().push(path.to_owned());
            return Answer::ok(json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}));
        }
        match path {
            "/version" => {
                Answer::ok(json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "",
                "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}))
            }
            "/api/v1/namespaces" => list("NamespaceList", "v1"),
            "/api/v1/events" => list("EventList", "v1"),
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/securitycontextconstraints.security.openshift.io" => {
                Answer::ok(
                    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": "securitycontextconstraints.security.openshift.io"},
                    "spec": {"group": "security.openshift.io", "scope": "Cluster", "versions": [],
                        "names": {"kind": "SecurityContextConstraints", "plural": "securitycontextconstraints"}},
                    "status": {"conditions": [{"type": "Established", "status": "True"}]}}),
                )
            }
            _ => found.map_or_else(|| Answer::refused(404, "NotFound", "not there"), Answer::ok),
        }
    });
    (fake, deleted)
}

#[test]
fn an_installation_whose_policies_decide_is_seen_and_removed_as_such() {
    let (fake, deleted) = with_policies("");
    let (code, said) = fake.run(&format!("{KUBECONFIG} palisade status"));
    assert!(code == 0 && said.contains("ok  policies"), "{code} {said}");
    assert!(said.contains("not installed: the admission policies decide"), "{said}");
    assert!(said.contains("the ranges of new namespaces are not allocated"), "{said}");
    for (without, why) in [
        ("mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    ] {
        let (fake, _) = with_policies(without);
        let (code, said) = fake.run(&format!("{KUBECONFIG} palisade status"));
        assert!(
            code == 1 && said.contains(&format!("NO  policies      {why} {NAME} is missing")),
            "{code} {said}"
        );
    }

    let (code, said) = fake.run(&format!("{KUBECONFIG} palisade uninstall --break-glass"));
    assert!(code == 0 && said.contains("compiled policies decide on pods still"), "{code} {said}");
    assert_eq!(deleted.lock().unwrap().len(), 2, "{said}");
    deleted.lock().unwrap().clear();

    let (code, said) = fake.run(&format!("{KUBECONFIG} palisade uninstall"));
    assert!(
        code == 0 && said.contains(&format!("ValidatingAdmissionPolicy {NAME} is removed")),
        "{code} {said}"
    );
    let deleted = deleted.lock().unwrap();
    let at = |text: &str| deleted.iter().position(|path| path.contains(text)).unwrap();
    let refusing = at(&format!("/validatingadmissionpolicies/{NAME}"));
    assert!(at(&format!("/mutatingadmissionpolicies/{NAME}")) < refusing, "{deleted:?}");
    assert!(
        refusing < at("webhookconfigurations") && at("webhookconfigurations") < at("palisade-exempt"),
        "{deleted:?}"
    );
}

#[test]
fn policies_are_a_mode_of_an_installation() {
    let fake = Fake::start(|request| panic!("nothing may be sent: {}", request.path));
    let install = "palisade install --part guard,webhooks";
    let (code, said) = fake.run(&format!("{install} --mode policies"));
    assert!(
        code == 0 && said.contains("kind: MutatingAdmissionPolicy\n") && said.contains("palisade-exempt"),
        "{code} {said}"
    );
    assert!(!said.contains("WebhookConfiguration"), "{said}");
    assert_eq!((code, said), fake.run(&format!("{install} --policies")));
    for option in
        ["--apply", "--helm chart", "--kustomize base", "--url https://a", "--failure-policy ignore"]
    {
        let (code, said) = fake.run(&format!("palisade install --mode policies {option}"));
        assert!(code == 2 && said.contains("--mode policies prints objects"), "{option}: {code} {said}");
    }
    let (code, said) = fake.run("palisade install --mode other");
    assert!(code == 2 && said.contains("policies"), "{code} {said}");
}
