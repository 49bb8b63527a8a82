//! `palisade admit`, as a program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::io::Write;
use std::path::Path;

use assert_cmd::Command;
use palisade_testing::corpus::{self, Implementation};
use serde_json::{Value, json};

fn palisade() -> Command {
    Command::new(env!("CARGO_BIN_EXE_palisade"))
}

/// Exit code, and every output line as JSON.
fn admit(policy: Option<&Path>, input: &[u8]) -> (i32, Vec<Value>) {
    let mut command = palisade();
    command.arg("admit");
    if let Some(policy) = policy {
        command.arg("--policy").arg(policy);
    }
    let output = command.write_stdin(input).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code().unwrap(), lines)
}

struct Program;

impl Implementation for Program {
    fn answer(&mut self, policy: &str, reviews: &[String]) -> Vec<Value> {
        let policy = corpus::folder().join("policies").join(policy);
        let (code, lines) = admit(Some(&policy), reviews.join("\n").as_bytes());
        assert_eq!(code, 0);
        lines
    }
}

#[test]
fn every_case_is_decided_as_the_reference_does() {
    let differences = corpus::run(&mut Program);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn policy_file(objects: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(objects.as_bytes()).unwrap();
    file
}

fn request(fields: Value) -> Value {
    let mut request = json!({
        "uid": "u", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
        "namespace": "dev", "name": "p", "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
        "object": {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}},
    });
    for (field, value) in fields.as_object().unwrap() {
        request[field] = value.clone();
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
}

const POLICY: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: dev, annotations: {
  openshift.io/sa.scc.uid-range: 1000/10, openshift.io/sa.scc.mcs: 's0:c1,c0'}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: bare}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: opted, labels: {openshift.io/run-level: '1'}}}
---
{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: broken}, priority: 5,
  runAsUser: {type: MustRunAs}, seLinuxContext: {type: RunAsAny}, groups: ['system:authenticated']}
---
{apiVersion: v1, kind: SecurityContextConstraints, metadata: {name: tight}, volumes: [secret],
  runAsUser: {type: MustRunAsRange}, seLinuxContext: {type: MustRunAs}, groups: ['system:authenticated']}
---
{apiVersion: v1, kind: Pod, metadata: {name: running, namespace: dev}, spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: rooted, namespace: dev}, spec: {containers: [{name: c, securityContext: {runAsUser: 0}}]}}
";

/// One response under [`POLICY`].
fn answer(fields: Value) -> Value {
    let file = policy_file(POLICY);
    let (code, lines) = admit(Some(file.path()), request(fields).to_string().as_bytes());
    assert_eq!((code, lines.len()), (0, 1));
    lines[0]["response"].clone()
}

fn message(response: &Value) -> &str {
    assert_eq!(response["allowed"], false, "{response}");
    assert_eq!(response["status"]["code"], 403);
    response["status"]["message"].as_str().unwrap()
}

#[test]
fn an_unusable_scc_stops_nobody() {
    let response = answer(json!({}));
    assert_eq!(response["allowed"], true);
    assert_eq!(response["auditAnnotations"]["chosen"], "tight");
    assert!(
        response["auditAnnotations"]["unusable-broken"]
            .as_str()
            .unwrap()
            .contains("runAsUser.uid is not set")
    );
}

#[test]
fn a_refused_update_names_what_would_change() {
    let object =
        json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}});
    let old = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
    let response = answer(json!({"operation": "UPDATE", "object": object, "oldObject": old}));
    assert!(message(&response).contains("would have to change spec.securityContext"), "{response}");
    let same = answer(json!({"operation": "UPDATE", "object": old, "oldObject": old}));
    assert_eq!(same["allowed"], true);
    let pinned = json!({"metadata": {"name": "p", "annotations": {"openshift.io/required-scc": "tight"}}});
    let response = answer(json!({"operation": "UPDATE", "object": pinned, "oldObject": old}));
    assert!(message(&response).contains("openshift.io/required-scc cannot be changed"));
}

#[test]
fn namespaces_decide_first() {
    assert!(
        message(&answer(json!({"namespace": "nowhere"}))).contains("\"nowhere\" is not part of the policy")
    );
    assert!(message(&answer(json!({"namespace": "bare"}))).contains("openshift.io/sa.scc.uid-range"));
    for (namespace, why) in [("opted", "openshift.io/run-level=1"), ("kube-system", "exempt by its name")] {
        let response = answer(json!({"namespace": namespace}));
        assert_eq!(response["allowed"], true);
        assert!(response["auditAnnotations"]["reason"].as_str().unwrap().contains(why), "{response}");
        assert_eq!(response["patch"], Value::Null);
    }
}

#[test]
fn a_pin_is_the_only_one_tried() {
    let pinned = |scc: &str| {
        let object = json!({"metadata": {"annotations": {"openshift.io/required-scc": scc}}, "spec": {"containers": []}});
        answer(json!({"object": object}))
    };
    assert_eq!(pinned("tight")["auditAnnotations"]["chosen"], "tight");
    assert!(message(&pinned("absent")).contains("failed to retrieve the required SCC"));
    assert!(message(&pinned("broken")).contains("unusable"));
}

#[test]
fn exec_and_attach_admit_the_pod_again() {
    for sub_resource in ["exec", "attach"] {
        let connect = |name: &str| {
            answer(json!({"operation": "CONNECT", "subResource": sub_resource, "name": name, "object": {}}))
        };
        assert_eq!(connect("running")["allowed"], true);
        let refused = connect("rooted");
        assert!(message(&refused).starts_with(sub_resource), "{refused}");
        assert!(message(&refused).contains("must be in the ranges: [1000, 1009]"));
        assert!(message(&connect("absent")).contains("not part of the policy"));
    }
}

#[test]
fn what_a_hostile_pod_costs_is_bounded() {
    let many = json!({"spec": {"containers": vec![json!({}); 10_001]}});
    assert!(message(&answer(json!({"object": many}))).contains("10001 containers"));
    let groups: Vec<u32> = (0..100_000).collect();
    let object = json!({"spec": {"containers": [], "securityContext": {"supplementalGroups": groups, "runAsUser": 0,
        "fsGroup": 5}, "volumes": vec![json!({"unheardOf": {}}); 5_000]}});
    let response = answer(json!({"object": object}));
    assert!(
        response["allowed"] == false && message(&response).len() < 100_000,
        "{}",
        message(&response).len()
    );
}

#[test]
fn other_resources_are_allowed() {
    let response = answer(json!({"resource": {"group": "apps", "version": "v1", "resource": "deployments"}}));
    assert_eq!((&response["allowed"], &response["patch"]), (&json!(true), &Value::Null));
}

#[test]
fn an_scc_is_completed_or_refused_with_causes() {
    let scc = |object: Value| {
        let resource = json!({"group": "security.openshift.io", "version": "v1", "resource": "securitycontextconstraints"});
        answer(json!({"resource": resource, "object": object}))
    };
    let good = scc(
        json!({"metadata": {"name": "x"}, "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}}),
    );
    assert_eq!((&good["allowed"], &good["patchType"]), (&json!(true), &json!("JSONPatch")));
    let bad = scc(
        json!({"metadata": {"name": "x"}, "priority": -1, "runAsUser": {"type": "No"}, "seLinuxContext": {"type": "RunAsAny"}}),
    );
    assert_eq!(bad["status"]["code"], 422);
    let cause = &bad["status"]["details"]["causes"][0];
    assert_eq!((&cause["reason"], &cause["field"]), (&json!("FieldValueInvalid"), &json!("priority")));
    assert_eq!(cause["message"], "Invalid value: -1: priority cannot be negative");
}

#[test]
fn every_unreadable_input_is_one_refusal_that_names_its_place() {
    let good = request(json!({"namespace": "kube-system"})).to_string();
    let annotations = format!(r#"{{"a": "{}"}}"#, "x".repeat(10_000_000));
    let object = |text: &str| good.replace(r#"{"containers":[{"name":"c"}]}"#, text);
    let cases: Vec<(String, &str)> = vec![
        ("nonsense".to_owned(), "line 2, byte 1: an AdmissionReview starts with `{`"),
        ("{}".to_owned(), "line 2, byte 1: apiVersion"),
        (good.replace("AdmissionReview", "Pod"), "line 2, byte 1: apiVersion"),
        (good.replace("CREATE", "CREATION"), "request.operation is missing or unknown"),
        (object(r#"{"containers": 5}"#), "invalid type: integer `5`, expected a sequence"),
        (object(r#"{"containers": [], "containers": []}"#), "duplicate field `containers`"),
        (object(r#"{"hostNetwork": NaN}"#), "expected"),
        (object(r#"{"securityContext": {"runAsUser": 1e999}}"#), "number out of range"),
        (object(r#"{"securityContext": {"runAsUser": 99999999999999999999}}"#), "invalid type"),
        (object(&"[".repeat(200)), "nested more than 128 deep"),
        (
            good.replace(r#""metadata":{"#, &format!(r#""metadata":{{"annotations": {annotations}, "#)),
            "more than 262144 bytes",
        ),
    ];
    for (bad, expected) in cases {
        let (code, lines) = admit(None, format!("{good}\n{bad}\n{good}\n").as_bytes());
        assert_eq!((code, lines.len()), (2, 3), "{expected}");
        assert_eq!(
            (&lines[0]["response"]["allowed"], &lines[2]["response"]["allowed"]),
            (&json!(true), &json!(true))
        );
        let status = &lines[1]["response"]["status"];
        assert_eq!((&lines[1]["response"]["allowed"], &status["code"]), (&json!(false), &json!(400)));
        let message = status["message"].as_str().unwrap();
        assert!(
            message.starts_with("line 2, byte ") && message.contains(expected),
            "{message}, not {expected}"
        );
    }
    let (code, lines) = admit(None, &[good.as_bytes(), b"\n{\"\xff\": 1}\n", good.as_bytes()].concat());
    assert_eq!((code, lines.len()), (2, 3));
    assert_eq!(lines[1]["response"]["status"]["message"], "line 2, byte 3: not valid UTF-8");
}

#[test]
fn an_unusable_policy_is_one_error_with_its_place() {
    for (policy, expected) in [
        ("a: [1\nb: 2\n", ".yaml:2:"),
        (
            "kind: SecurityContextConstraints\nmetadata: {name: x}\npriority: -1\n",
            ".yaml:3:11: SecurityContextConstraints x is invalid: ",
        ),
        ("kind: Namespace\nmetadata: {}\n", ".yaml:1:1: Namespace has no metadata.name"),
    ] {
        let file = policy_file(policy);
        let output = palisade().arg("admit").arg("--policy").arg(file.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{stderr}, not {expected}");
    }
}

/// It can serve behind a pipe: a client that sends one request after the other has each answer before the next request.
#[test]
fn each_line_is_answered_before_the_next_is_asked() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .arg("admit")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for ending in ["\n", "\r\n", "", " \n\n"] {
        let mut review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"});
        review["request"] = json!({"uid": "u", "operation": "CREATE", "namespace": "gone",
            "resource": {"group": "", "version": "v1", "resource": "configmaps"}});
        input.write_all(format!("{review}{ending}").as_bytes()).unwrap();
        input.flush().unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["response"]["allowed"], true, "{ending:?}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_later_of_two_objects_of_one_name_counts() {
    let scc = |is_privileged: bool| {
        format!(
            "{{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {{name: x}}, allowPrivilegedContainer: {is_privileged}, \
             runAsUser: {{type: RunAsAny}}, seLinuxContext: {{type: RunAsAny}}, fsGroup: {{type: RunAsAny}}, supplementalGroups: {{type: RunAsAny}}, \
             volumes: ['*'], groups: [system:authenticated]}}\n---\n"
        )
    };
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {containers: [{name: c, image: i, \
               securityContext: {privileged: true}}]}}\n";
    for (first, then, code) in [(false, true, 0), (true, false, 1), (true, true, 0)] {
        let file = policy_file(&format!("{}{}{pod}", scc(first), scc(then)));
        let output = palisade().arg("review").arg(file.path()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{first} {then} {stderr}");
        assert_eq!(stderr.contains("replaces that of"), first != then, "{stderr}");
    }
}
