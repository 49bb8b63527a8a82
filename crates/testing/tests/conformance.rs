//! The library against the reference's answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use palisade_admission::{Policy, respond};
use palisade_k8s::review::ReviewResponse;
use palisade_testing::corpus::{self, Implementation};
use serde_json::{Value, json};

struct Library;

impl Implementation for Library {
    fn answer(&mut self, policy: &str, reviews: &[String]) -> Vec<Value> {
        let policy = palisade_testing::policy(&corpus::policy_text(policy));
        let answer = |review: &String| {
            let response = respond(&policy, review).expect("the corpus is readable");
            serde_json::to_value(ReviewResponse::new(&response)).expect("a response is JSON")
        };
        reviews.iter().map(answer).collect()
    }
}

fn assert_none(differences: &[String], of: usize) {
    let shown = differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences over {of} cases:\n{shown}", differences.len());
}

#[test]
fn every_case_is_decided_as_the_reference_does() {
    assert_none(&corpus::run(&mut Library), corpus::cases().len());
}

/// The order of the SCCs that were denied, and the SCC that is named next, count too.
#[test]
fn every_known_kind_of_difference_is_none() {
    let mut differences = Vec::new();
    let kinds = corpus::kinds();
    for kind in &kinds {
        let policy = palisade_testing::policy(&kind.policy);
        let response = respond(&policy, &kind.case.review.to_string()).expect("the review is readable");
        let answer = serde_json::to_value(ReviewResponse::new(&response)).unwrap();
        let mut found = corpus::compare(&kind.case, &answer);
        let audit = |key: &str| response.audit_annotations.get(key).map(String::as_str).unwrap_or_default();
        for name in &kind.unusable {
            if audit(&format!("unusable-{name}")).is_empty() {
                found.push(format!("{name} is not told to be unusable"));
            }
        }
        let theirs = |key: &str| kind.audit.get(key).map(String::as_str).unwrap_or_default();
        let denied = theirs("securityserviceconstraints.admission.openshift.io/denied");
        if audit("denied") != denied {
            found.push(format!("denied is {:?}, the reference says {denied:?}", audit("denied")));
        }
        let reason = theirs("securitycontextconstraints.admission.openshift.io/reason");
        let next = reason.split_once("chosen over \"").and_then(|(_, rest)| rest.split('"').next());
        let ours = audit("reason").split_once("tried before ").and_then(|(_, rest)| rest.split(' ').next());
        if next != ours {
            found.push(format!("the next is {ours:?}, the reference says {next:?}"));
        }
        differences.extend(found.into_iter().map(|line| format!("{}: {line}", kind.name)));
    }
    assert_none(&differences, kinds.len());
}

/// It is read in one line of an event; the rest is to be had by the command that it names.
#[test]
fn a_refusal_is_short() {
    let container = |index: usize| {
        json!({"name": format!("c{index}"), "securityContext": {"privileged": true, "runAsUser": index,
            "capabilities": {"add": ["x".repeat(1_000), format!("CAP{index}")]}}})
    };
    let containers: Vec<Value> = (0..200).map(container).collect();
    for user in ["ann", "system:admin"] {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
            "namespace": "shop", "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": {"metadata": {"name": "p"}, "spec": {"containers": containers, "volumes": [{"name": "v", "new": {}}]}}}});
        let mut builder = palisade_admission::PolicyBuilder::default();
        builder.add_set(palisade_scc::BuiltinSet::V4).unwrap();
        builder.assume_namespace("shop");
        let response = respond(&builder.build(), &review.to_string()).unwrap();
        let response = serde_json::to_value(response).unwrap();
        if user == "ann" {
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.len() <= 2_048 && message.contains("palisade review -o wide"), "{message}");
        }
        let audit = response["auditAnnotations"].to_string();
        assert!(audit.len() < 16 * 1024, "{}", audit.len());
    }
    let mut policies = std::collections::HashMap::new();
    for kind in corpus::cases().iter().filter(|case| !case.expect.allowed) {
        let name = kind.policy.clone();
        let policy = policies
            .entry(name)
            .or_insert_with_key(|name| palisade_testing::policy(&corpus::policy_text(name)));
        let response = serde_json::to_value(respond(policy, &kind.review.to_string()).unwrap()).unwrap();
        let length = response["status"]["message"].as_str().unwrap_or_default().len();
        assert!(0 < length && length <= 2_048, "{response}");
    }
}

#[test]
fn a_patch_works_whatever_part_of_the_pod_is_missing() {
    let policy = palisade_testing::policy(
        "{kind: SecurityContextConstraints, metadata: {name: any}, users: [ann], seccompProfiles: [runtime/default], \
         runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, fsGroup: {type: MustRunAs, ranges: [{min: 5, max: 5}]}}\n\
         ---\n{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {\
         openshift.io/sa.scc.uid-range: 1/2, openshift.io/sa.scc.mcs: 's0:c1,c0'}}}",
    );
    let spec = json!({"containers": [{"name": "c"}]});
    for pod in [
        json!({}),
        json!({"metadata": null, "spec": null}),
        json!({"spec": spec}),
        json!({"metadata": {}}),
        json!({"metadata": {"annotations": null}, "spec": spec}),
        json!({"metadata": {"annotations": {}}, "spec": {"securityContext": null, "serviceAccount": "a"}}),
    ] {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
            "namespace": "shop", "userInfo": {"username": "ann"}, "object": pod}});
        let response = serde_json::to_value(respond(&policy, &review.to_string()).unwrap()).unwrap();
        let patched = corpus::patched(&pod, &response);
        assert_eq!(patched["metadata"]["annotations"]["openshift.io/scc"], "any", "{pod} {response}");
        assert_eq!(patched["spec"]["securityContext"]["fsGroup"], 5, "{pod}");
        assert_eq!(patched["spec"]["serviceAccountName"], pod["spec"]["serviceAccount"], "{pod}");
    }
}

#[test]
fn every_scc_is_defaulted_and_validated_as_the_reference_does() {
    let policy = Policy::default();
    let mut differences = Vec::new();
    let cases = corpus::sccs();
    for case in &cases {
        let name = &case.scc["metadata"]["name"];
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "CREATE", "name": name, "object": case.scc,
            "resource": {"group": "security.openshift.io", "version": "v1", "resource": "securitycontextconstraints"},
        }});
        let Ok(response) = respond(&policy, &review.to_string()) else {
            if case.decode_error.is_none() {
                differences.push(format!("{name}: does not fit the type"));
            }
            continue;
        };
        let response = serde_json::to_value(response).unwrap();
        let mut ours: Vec<String> = response["status"]["details"]["causes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|cause| {
                format!("{} {}", cause["reason"].as_str().unwrap(), cause["field"].as_str().unwrap())
            })
            .collect();
        let errors = case.errors.iter().flatten();
        let mut theirs: Vec<String> =
            errors.map(|error| format!("{} {}", error.type_, error.field)).collect();
        ours.sort();
        ours.dedup();
        theirs.sort();
        theirs.dedup();
        if ours != theirs || response["allowed"] != theirs.is_empty() {
            differences.push(format!("{name}: {ours:?}, the reference says {theirs:?}"));
        }
        let defaulted = corpus::trim(&corpus::patched(&case.scc, &response));
        let expected = corpus::trim(case.defaulted.as_ref().unwrap());
        if theirs.is_empty() && defaulted != expected {
            differences.push(format!("{name}: {defaulted}, the reference says {expected}"));
        }
    }
    assert_none(&differences, cases.len());
}

#[test]
fn every_pod_has_the_level_that_kubernetes_gives_it() {
    let mut differences = Vec::new();
    let cases = corpus::pod_security();
    for case in &cases {
        let text = case.pod.to_string();
        let ours = palisade_scc::pod_security::assess(&serde_json::from_str(&text).unwrap());
        let mut reasons: Vec<String> = case.failed.clone().unwrap_or_default();
        let mut our_reasons: Vec<String> = ours.reasons.iter().map(ToString::to_string).collect();
        reasons.sort();
        our_reasons.sort();
        if ours.level.as_str() != case.level || our_reasons != reasons {
            let (file, level) = (&case.file, &case.level);
            differences
                .push(format!("{file}: {} {our_reasons:?}, Kubernetes says {level} {reasons:?}", ours.level));
        }
    }
    assert_none(&differences, cases.len());
}
