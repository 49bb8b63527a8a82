//! Properties of any policy and any pod, over 10,000 random ones each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::sync::LazyLock;

use palisade_admission::{Decision, PodRequest, Policy, PolicyBuilder, Scopes, evaluate, explain, respond};
use palisade_k8s::Pod;
use palisade_scc::pod_security::{Level, assess};
use palisade_scc::{BuiltinSet, Mutation, Outcome};
use palisade_testing::{corpus, random};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 10_000,
        max_global_rejects: 1_000_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn build(objects: &[Value]) -> Policy {
    let mut builder = PolicyBuilder::default();
    for object in objects {
        builder.add(object).expect("random policies are usable");
    }
    builder.build()
}

/// The built-in set, and the namespace of the random pods.
static SET_4: LazyLock<Policy> = LazyLock::new(|| {
    let mut builder = PolicyBuilder::default();
    builder.add_set(BuiltinSet::V4).expect("the set is usable");
    builder.add(&random::namespace()).expect("the namespace is usable");
    builder.build()
});

/// The response to creating `pod`, and the pod after it.
fn admit(policy: &Policy, pod: &Value) -> (Value, Value) {
    let response = respond(policy, &random::review(pod)).expect("random pods are readable");
    let response = serde_json::to_value(response).expect("a response is JSON");
    let patched = corpus::patched(pod, &response);
    (response, patched)
}

fn scc_of(pod: &Value) -> String {
    pod["metadata"]["annotations"]["openshift.io/scc"].as_str().unwrap_or_default().to_owned()
}

/// The pod without every field that reference/scc.md 2.18 lets an SCC set.
fn without_settable(pod: &Value) -> Value {
    let mut pod = corpus::trim(pod);
    let mut drop = |pointer: &str, fields: &[&str]| {
        if let Some(object) = pod.pointer_mut(pointer).and_then(Value::as_object_mut) {
            fields.iter().for_each(|field| _ = object.shift_remove(*field));
        }
    };
    let annotations = [
        "openshift.io/scc",
        "security.openshift.io/validated-scc-subject-type",
        "seccomp.security.alpha.kubernetes.io/pod",
    ];
    drop("/metadata/annotations", &annotations);
    drop("/spec/securityContext", &["supplementalGroups", "fsGroup", "seLinuxOptions", "seccompProfile"]);
    let container = [
        "runAsUser",
        "runAsNonRoot",
        "seLinuxOptions",
        "capabilities",
        "readOnlyRootFilesystem",
        "seccompProfile",
        "allowPrivilegeEscalation",
    ];
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for index in 0..3 {
            drop(&format!("/spec/{list}/{index}/securityContext"), &container);
        }
    }
    corpus::trim(&pod)
}

proptest! {
    #![proptest_config(config())]

    /// Exception that the reference shares: the defaults of one SCC can make the pod fit another
    /// that is tried earlier (2.19), as a user ID that the pod did not ask for.
    #[test]
    fn admitting_an_admitted_pod_changes_nothing(objects in random::policy(), pod in random::pod()) {
        let policy = build(&objects);
        let (first, admitted) = admit(&policy, &pod);
        prop_assume!(first["allowed"] == true);
        let (second, again) = admit(&policy, &admitted);
        prop_assert_eq!(&second["allowed"], &true, "{}", second);
        let place = |pod: &Value| policy.sccs().entries().position(|entry| entry.name() == scc_of(pod));
        if place(&again) >= place(&admitted) {
            prop_assert_eq!(&second["patch"], &Value::Null);
        }
    }

    /// Exceptions that the reference shares, since SCC looks at containers' effective user IDs alone
    /// (2.10, 2.11): a user ID 0 of the pod where every container has its own, and `runAsNonRoot:
    /// false` beside a user ID that is not root's.
    #[test]
    fn what_restricted_v2_admits_is_restricted(pod in random::pod()) {
        let (response, admitted) = admit(&SET_4, &pod);
        prop_assume!(response["allowed"] == true && scc_of(&admitted) == "restricted-v2");
        let parsed = Pod::deserialize(&admitted).expect("a pod");
        let mut assessment = assess(&parsed);
        if parsed.spec.security_context.as_ref().and_then(|security| security.run_as_user) == Some(0) {
            assessment.reasons.retain(|reason| *reason != "runAsUser=0");
        }
        if admitted.to_string().contains("\"runAsNonRoot\":false") {
            assessment.reasons.retain(|reason| *reason != "runAsNonRoot != true");
        }
        prop_assert!(assessment.level >= Level::Baseline && assessment.reasons.is_empty(), "{assessment:?} {admitted}");
    }

    #[test]
    fn an_scc_that_nobody_may_use_changes_nothing(
        objects in random::policy(), extra in random::scc("extra".to_owned()), pod in random::pod(),
    ) {
        let mut extra = extra;
        extra["users"] = json!([]);
        extra["groups"] = json!(["nobody"]);
        let with: Vec<Value> = objects.iter().cloned().chain([extra]).collect();
        let (before, after) = (admit(&build(&objects), &pod), admit(&build(&with), &pod));
        prop_assert_eq!(&before.0["allowed"], &after.0["allowed"]);
        prop_assert_eq!(&before.1, &after.1);
    }

    #[test]
    fn the_patch_applies_and_touches_only_what_an_scc_may_set(objects in random::policy(), pod in random::pod()) {
        let (response, admitted) = admit(&build(&objects), &pod);
        if response["allowed"] == true {
            prop_assert_ne!(scc_of(&admitted), "");
        } else {
            prop_assert_eq!(&response["patch"], &Value::Null);
        }
        prop_assert_eq!(without_settable(&admitted), without_settable(&pod));
    }

    #[test]
    fn evaluate_and_explain_agree(objects in random::policy(), pod in random::pod()) {
        let policy = build(&objects);
        let parsed = Pod::deserialize(&pod).expect("a pod");
        let request = PodRequest {
            namespace: "dev", user: "alice", groups: &["system:authenticated"], scopes: Scopes::default(), pod: &parsed, mutation: Mutation::Allowed,
        };
        let chosen = match evaluate(&policy, &request) {
            Decision::Admitted(admission) => Some((admission.scc, admission.patch(&parsed).finish())),
            _ => None,
        };
        let trace = explain(&policy, &request);
        let first = trace.steps.iter().find(|step| step.is_usable() && matches!(step.outcome, Outcome::Admits(_)));
        prop_assert_eq!(chosen.as_ref().map(|(scc, _)| *scc), first.map(|step| step.entry.name()));
        for step in trace.steps.iter().filter(|step| step.is_usable()) {
            if let Outcome::Refuses(errors) = &step.outcome {
                prop_assert!(!errors.is_empty());
            }
        }
    }
}
