//! The conformance corpus: what the reference answers, and the comparison with what we answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The corpus' folder.
#[must_use]
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The text of a policy file.
#[must_use]
pub fn policy_text(name: &str) -> String {
    std::fs::read_to_string(folder().join("policies").join(name)).expect("the corpus has its policies")
}

fn lines<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let file = std::fs::File::open(folder().join(name)).expect("the corpus has its cases");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("the corpus is readable");
    text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect()
}

/// One admission request and the reference's answer.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// The policy's file name.
    pub policy: String,
    /// The `AdmissionReview`.
    pub review: Value,
    /// The answer.
    pub expect: Expectation,
}

/// The reference's answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// Whether the request is admitted.
    pub allowed: bool,
    /// The SCC that admitted the pod; empty where none applied.
    #[serde(default)]
    pub scc: String,
    /// `user` or `serviceaccount`.
    #[serde(default)]
    pub subject_type: String,
    /// Annotations and spec after the patch.
    pub pod: Option<Value>,
    /// SCCs that are skipped because neither subject may use them.
    pub not_usable: Option<Vec<String>>,
    /// SCCs passed over because the pod does not fit.
    pub too_restrictive: Option<Vec<String>>,
}

/// All cases of `cases.ndjson.gz`.
#[must_use]
pub fn cases() -> Vec<Case> {
    lines("cases.ndjson.gz")
}

/// One SCC object, and what defaulting and validation make of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SccCase {
    /// The object as written.
    pub scc: Value,
    /// The object with defaults.
    pub defaulted: Option<Value>,
    /// The errors of validation.
    pub errors: Option<Vec<SccError>>,
    /// The JSON does not fit the type.
    pub decode_error: Option<String>,
}

/// One error of validation.
#[derive(Debug, Deserialize)]
pub struct SccError {
    /// `FieldValueInvalid` and the like.
    #[serde(rename = "type")]
    pub type_: String,
    /// The field.
    pub field: String,
}

/// All cases of `sccs.ndjson.gz`.
#[must_use]
pub fn sccs() -> Vec<SccCase> {
    lines("sccs.ndjson.gz")
}

/// A pod, and the Pod Security level that Kubernetes' evaluator gives it.
#[derive(Debug, Deserialize)]
pub struct PodSecurityCase {
    /// The fixture.
    pub file: String,
    /// `privileged`, `baseline` or `restricted`.
    pub level: String,
    /// The reasons against the next level.
    pub failed: Option<Vec<String>>,
    /// The pod.
    pub pod: Value,
}

/// All cases of `pod-security.ndjson.gz`.
#[must_use]
pub fn pod_security() -> Vec<PodSecurityCase> {
    lines("pod-security.ndjson.gz")
}

/// A kind of request in which implementations are known to differ, each from a review made by hand.
#[derive(Debug)]
pub struct Kind {
    /// The case's name.
    pub name: String,
    /// The policy, in YAML.
    pub policy: String,
    /// The request, and the reference's answer.
    pub case: Case,
    /// SCCs that the reference counts as errors of the cluster, and we pass over.
    pub unusable: Vec<String>,
    /// The audit annotations of the reference.
    pub audit: BTreeMap<String, String>,
}

/// All folders of `kinds`.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder().join("kinds"))
        .expect("the corpus has its kinds")
        .map(|entry| entry.expect("a folder that can be read").path())
        .collect();
    folders.sort();
    folders.iter().map(|folder| kind(folder)).collect()
}

fn kind(folder: &Path) -> Kind {
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a kind has its three files");
    let json = |name: &str| -> Value { serde_json::from_str(&text(name)).expect("a kind is JSON") };
    let expected = json("expected.json");
    let part = |field: &str| expected.get(field).cloned().unwrap_or_default();
    Kind {
        name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        policy: text("policy.yaml"),
        unusable: serde_json::from_value::<Option<_>>(part("unusable")).expect("names").unwrap_or_default(),
        audit: serde_json::from_value::<Option<_>>(part("audit")).expect("texts").unwrap_or_default(),
        case: Case {
            policy: String::new(),
            review: json("review.json"),
            expect: serde_json::from_value(expected).expect("an expectation"),
        },
    }
}

/// An implementation that answers admission reviews: a library, a program, a server.
pub trait Implementation {
    /// Answers each review under the policy of that name, in order.
    fn answer(&mut self, policy: &str, reviews: &[String]) -> Vec<Value>;
}

/// Puts every case to an implementation; returns what differs, one line a difference.
pub fn run(implementation: &mut impl Implementation) -> Vec<String> {
    let cases = cases();
    let policies: BTreeSet<&str> = cases.iter().map(|case| case.policy.as_str()).collect();
    let mut differences = Vec::new();
    for policy in policies {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.policy == policy).collect();
        let reviews: Vec<String> = cases.iter().map(|case| case.review.to_string()).collect();
        let answers = implementation.answer(policy, &reviews);
        assert_eq!(answers.len(), cases.len(), "one answer a review");
        for (case, answer) in cases.iter().zip(&answers) {
            let uid = &case.review["request"]["uid"];
            differences.extend(compare(case, answer).into_iter().map(|line| format!("{uid}: {line}")));
        }
    }
    differences
}

/// The differences of an answer from the reference's, one line each.
#[must_use]
pub fn compare(case: &Case, answer: &Value) -> Vec<String> {
    let response = &answer["response"];
    let expect = &case.expect;
    let mut found = Vec::new();
    let mut check = |what: &str, ours: &dyn std::fmt::Debug, theirs: &dyn std::fmt::Debug| {
        let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
        if ours != theirs {
            found.push(format!("{what} is {ours}, the reference says {theirs}"));
        }
    };
    check("uid", &response["uid"], &case.review["request"]["uid"]);
    check("allowed", &response["allowed"], &Value::Bool(expect.allowed));
    let audit = |key: &str| response["auditAnnotations"][key].as_str().unwrap_or_default().to_owned();
    if let Some(expected) = &expect.not_usable {
        let denied = audit("denied");
        let ours: BTreeSet<&str> = denied.split(',').filter(|name| !name.is_empty()).collect();
        check("not usable", &ours, &expected.iter().map(String::as_str).collect::<BTreeSet<_>>());
    }
    if let Some(expected) = &expect.too_restrictive {
        let keys = response["auditAnnotations"].as_object().into_iter().flat_map(Map::keys);
        let ours: BTreeSet<&str> = keys.filter_map(|key| key.strip_prefix("too-restrictive-")).collect();
        check("too restrictive", &ours, &expected.iter().map(String::as_str).collect::<BTreeSet<_>>());
    }
    if let (Some(expected), true) = (&expect.pod, response["allowed"] == true) {
        let pod = patched(&case.review["request"]["object"], response);
        let annotation =
            |key: &str| pod["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned();
        check("scc", &annotation("openshift.io/scc"), &expect.scc);
        check(
            "subject",
            &annotation("security.openshift.io/validated-scc-subject-type"),
            &expect.subject_type,
        );
        let annotations = |pod: &Value| trim(annotations_of(pod)).as_object().cloned().unwrap_or_default();
        check("annotations", &annotations(&pod), &annotations(expected));
        check("spec", &trim(&pod["spec"]), &trim(&expected["spec"]));
    }
    found
}

fn annotations_of(pod: &Value) -> &Value {
    if pod["annotations"].is_object() { &pod["annotations"] } else { &pod["metadata"]["annotations"] }
}

/// The object after the response's patch.
#[must_use]
pub fn patched(object: &Value, response: &Value) -> Value {
    let mut object = object.clone();
    if let Some(patch) = response["patch"].as_str() {
        let patch = base64::engine::general_purpose::STANDARD.decode(patch).expect("base64");
        let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a JSON Patch");
        json_patch::patch(&mut object, &patch).expect("the patch applies");
    }
    object
}

/// The value without nulls, empty maps, empty lists and empty strings, and without host namespaces that are not
/// shared; keys sorted.
#[must_use]
pub fn trim(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().filter(|key| *key != "serviceAccount").collect();
            keys.sort();
            let fields = keys.into_iter().map(|key| (key.clone(), trim(&map[key])));
            let is_kept = |key: &str, value: &Value| {
                let is_default =
                    key.starts_with("host") && key != "hostUsers" && *value == Value::Bool(false);
                !is_empty(value) && !is_default
            };
            Value::Object(fields.filter(|(key, value)| is_kept(key, value)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(trim).collect()),
        other => other.clone(),
    }
}
