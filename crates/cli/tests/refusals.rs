//! A refusal has one exit code and one wording, whichever verb meets it.
#![cfg(feature = "cluster")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod fake;

use fake::{Answer, Fake};

const VERBS: [&str; 26] = [
    "get pods",
    "get pod web -o yaml",
    "get --raw /metrics",
    "get pods --watch",
    "describe pod web",
    "create -f pod.yaml",
    "create namespace shop",
    "create serviceaccount web",
    "create role r --verb get --resource pods",
    "create rolebinding b --role r --user ann",
    "create token web",
    "create configmap c --from-literal a=b",
    "apply -f pod.yaml",
    "delete -f pod.yaml",
    "delete pod web",
    "label pod web a=b",
    "annotate pod web a=b",
    "patch pod web -p '{}'",
    "logs web",
    "exec web -- true",
    "auth can-i get pods",
    "adm policy add-scc-to-user anyuid ann",
    "adm policy who-can get pods",
    "adm policy scc-subject-review -f pod.yaml",
    "whoami",
    "backup all",
];

#[test]
fn a_refusal_has_one_exit_code_and_one_wording() {
    for (code, reason) in [
        (400, "BadRequest"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (409, "AlreadyExists"),
        (409, "Conflict"),
        (422, "Invalid"),
        (500, "InternalError"),
        (507, "InsufficientStorage"),
    ] {
        let fake = Fake::start(move |_| Answer::refused(code, reason, "as the test wants"));
        fake.write("pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: []}}");
        let wanted = format!("Error from server ({reason}): as the test wants");
        // All verbs in one shell, each with its exit code.
        let lines: Vec<String> =
            VERBS.iter().map(|verb| format!("palisade {verb} -s $S 2>&1; echo \"exit $?\"")).collect();
        let (_, text) = fake.run(&lines.join("\n").replace(" -- true -s $S", " -s $S -- true"));
        let answers: Vec<&str> = text.split_inclusive("exit ").collect();
        assert_eq!(answers.len(), VERBS.len() + 1, "{text}");
        for (at, verb) in VERBS.iter().enumerate() {
            let said = answers[at].trim_end_matches("exit ");
            let exit = answers[at + 1].lines().next().unwrap();
            assert!(said.contains(&wanted) && exit == "1", "{reason}: {verb}: exit {exit}: {said}");
        }
        let object = fake.run("palisade create -f pod.yaml -s $S").1;
        assert!(object.starts_with("pod.yaml:1:1: Error from server"), "{object}");
    }
}

/// The same mistake ends all verbs with 2, and with the same words: a server that cannot be reached, a type that it does
/// not have, and a file that is missing, is not YAML, or is not what it says.
#[test]
fn a_mistake_has_one_exit_code_and_one_wording() {
    let fake = Fake::start(|request| panic!("nothing may be sent: {}", request.path));
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: a, image: x}]}}";
    fake.write("pod.yaml", pod);
    fake.write("syntax.yaml", "kind: [unclosed\n");
    let scc =
        "apiVersion: security.openshift.io/v1\nkind: SecurityContextConstraints\nmetadata: {name: odd}\n";
    let strategies = ["runAsUser", "seLinuxContext", "fsGroup", "supplementalGroups"]
        .map(|field| format!("{field}: {{type: RunAsAny}}\n"));
    fake.write("good.yaml", &format!("{scc}{}", strategies.concat()));
    fake.write("type.yaml", &format!("{scc}allowPrivilegedContainer: \"yes\"\n"));
    let nowhere = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n\
                   contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {token: x}}]\n";
    fake.write("nowhere", nowhere);
    let operating = [
        "status",
        "install --apply",
        "uninstall",
        "review --cluster",
        "scc impact --cluster --with good.yaml",
        "policies status",
        "policies apply",
        "policies remove",
    ];
    let operating = operating.into_iter().filter(|_| cfg!(feature = "serve"));
    let unreached = VERBS.into_iter().chain(operating).map(|verb| {
        (
            format!("KUBECONFIG=nowhere palisade {verb}"),
            "the API server at https://127.0.0.1:1 cannot be reached: Connection refused",
        )
    });
    let typed = ["get", "describe", "delete", "label", "annotate", "patch"].map(|verb| {
        let rest = match verb {
            "label" | "annotate" => " a=b",
            "patch" => " -p '{}'",
            _ => "",
        };
        (
            format!("palisade {verb} nosuch web{rest} -s $S"),
            "the server doesn't have a resource type \"nosuch\"",
        )
    });
    let who = (
        "palisade adm policy who-can get nosuch -s $S".to_owned(),
        "the server doesn't have a resource type \"nosuch\"",
    );
    let readers = [
        "scc lint F",
        "scc order F",
        "scc diff F F",
        "scc impact --with F -f pod.yaml",
        "review -f F",
        "review --policy F -f pod.yaml",
        "admit --policy F",
        "policies compile F",
        "import psp F",
    ];
    let creators = [
        "create -f F -s $S",
        "apply -f F -s $S",
        "create --dry-run=client -f F -s $S",
        "delete -f F -s $S",
        "policy scc-review -f F -s $S",
        "adm policy scc-subject-review -f F -s $S",
    ];
    let line = |verb: &str, file: &str| format!("palisade {}", verb.replace('F', file));
    let syntax = readers
        .iter()
        .chain(&creators)
        .map(|verb| (line(verb, "syntax.yaml"), "syntax.yaml:1:7: not valid YAML: unclosed bracket '['"));
    let missing = readers.iter().chain(&creators).map(|verb| (line(verb, "none.yaml"), "none.yaml: "));
    // Of other objects than PodSecurityPolicies this one says nothing.
    let unfit = readers.iter().filter(|verb| !verb.starts_with("import"));
    let unfit = unfit.map(|verb| (line(verb, "type.yaml"), "type.yaml:4:27: "));
    let pods = ["logs deployment/web", "exec deployment/web -- true"].map(|verb| {
        (format!("palisade {}", verb.replace("web", "web -s $S")), "\"deployment/web\" is not a pod")
    });
    let all: Vec<(String, &str)> =
        unreached.chain(typed).chain([who]).chain(syntax).chain(missing).chain(unfit).chain(pods).collect();
    // Many in one shell.
    for some in all.chunks(24) {
        let lines: Vec<String> =
            some.iter().map(|(line, _)| format!("({line}) 2>&1 < /dev/null; echo \"exit $?\"")).collect();
        let text = fake.run(&lines.join("\n")).1;
        let answers: Vec<&str> = text.split_inclusive("exit ").collect();
        assert_eq!(answers.len(), some.len() + 1, "{text}");
        for (at, (line, wanted)) in some.iter().enumerate() {
            let said = answers[at];
            let exit = answers[at + 1].lines().next().unwrap();
            assert!(said.contains(wanted) && exit == "2", "{line}: exit {exit}: {said}");
        }
    }
}

#[test]
fn the_worst_of_several_failures_decides() {
    let fake = Fake::start(|request| match request.path.contains("/namespaces/default/pods") {
        true => Answer::refused(409, "AlreadyExists", "there"),
        false => Answer::refused(404, "NotFound", "gone"),
    });
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web}}\n";
    let alien = "---\n{apiVersion: v9, kind: Alien, metadata: {name: web}}\n";
    fake.write("two.yaml", &format!("{pod}---\n{pod}"));
    fake.write("mixed.yaml", &format!("{pod}{alien}"));
    let (code, text) = fake.run("palisade create -f two.yaml -s $S");
    assert_eq!((code, text.matches("AlreadyExists").count()), (1, 2), "{text}");
    let (code, text) = fake.run("palisade create -f mixed.yaml -s $S");
    assert!(
        code == 2 && text.contains("AlreadyExists") && text.contains("no matches for kind \"Alien\""),
        "{text}"
    );
}

#[test]
fn wrong_arguments_are_refused_before_anything_is_sent() {
    let fake = Fake::start(|request| panic!("nothing may be sent: {}", request.path));
    fake.write("pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: web}}");
    for (line, part) in [
        ("create -f pod.yaml --dry-run maybe", "possible values: none, client, server"),
        ("delete pod web --cascade maybe", "possible values: background, foreground, orphan"),
        ("patch pod web -p '{}' --type maybe", "possible values: strategic, merge, json"),
        ("patch pod web -p '{}' --dry-run client", "use --dry-run=server"),
        ("get pods -o maybe", "allowed formats are"),
        ("get pods -o go-template={{.a}}", "Go templates are not supported"),
        ("get pods -o jsonpath={.a", "unclosed action"),
        ("get pods --sort-by .a[", "unterminated array"),
        ("create token web --duration soon", "must be a time"),
        ("create configmap c --from-literal a", "KEY=VALUE"),
        ("create rolebinding b --role r --serviceaccount a", "NAMESPACE:NAME"),
        ("delete", "required"),
        ("create -f /dev/zero", "it is a device, not a file"),
        ("create -f fifo", "it is a named pipe, not a file"),
        ("apply -f fifo", "it is a named pipe, not a file"),
        ("review -f fifo", "it is a named pipe, not a file"),
        ("create configmap c --from-file fifo", "it is a named pipe, not a file"),
        ("patch pod web --patch-file fifo", "it is a named pipe, not a file"),
        ("get pods --kubeconfig fifo", "it is a named pipe, not a file"),
    ] {
        let server = if line.starts_with("review") { "" } else { "-s $S" };
        let (code, text) =
            fake.run(&format!("[ -p fifo ] || mkfifo fifo; timeout 10 palisade {line} {server}"));
        assert!(code == 2 && text.contains(part), "{line}: {code} {text}");
    }
    // A process substitution of a shell is read, though it is a pipe.
    for line in [
        "palisade create -f <(cat pod.yaml) --dry-run=client -o name -s $S",
        "cat pod.yaml | palisade create -f - --dry-run=client -o name -s $S",
        "cat pod.yaml | palisade create -f /dev/stdin --dry-run=client -o name -s $S",
    ] {
        assert_eq!(fake.run(line), (0, "pod/web\n".to_owned()), "{line}");
    }
    assert_ne!(fake.run("palisade review -f <(cat pod.yaml) -o json > /dev/null").0, 2);
}

#[test]
fn credentials_are_not_sent_in_clear_to_other_machines() {
    let fake = Fake::start(|request| {
        Answer::ok(serde_json::json!({"status": {"userInfo": {"username": request.token}}}))
    });
    assert_eq!(fake.run("palisade whoami -s $S --token here"), (0, "here\n".to_owned()));
    for line in [
        "palisade whoami -s http://192.0.2.1:1 --token secret",
        "palisade login http://192.0.2.1:1 --token secret",
        "palisade exec web -s http://192.0.2.1:1 --token secret -- true",
    ] {
        let (code, text) = fake.run(line);
        assert!(
            code == 2 && text.contains("credentials are not sent over unencrypted http"),
            "{line}: {text}"
        );
    }
    // The current token does not go to another server either; nor is a password sent, by whatever way it gets there.
    fake.run("palisade login $S --token current");
    let (code, text) = fake.run("palisade get pods -s http://192.0.2.1:1");
    assert!(code == 2 && text.contains("--insecure-http"), "{text}");
    // It is tried if the user requests it.
    let (code, text) =
        fake.run("timeout 3 palisade whoami -s http://nowhere.invalid:1 --token secret --insecure-http");
    assert!(code != 0 && !text.contains("not sent over unencrypted http"), "{code} {text}");
}
