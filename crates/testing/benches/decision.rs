//! The cost of a decision, beside that of reading its request. Peers run in the same process and run.
#![allow(missing_docs, reason = "criterion's macros make functions without any")]
#![allow(clippy::expect_used, reason = "a benchmark that cannot go on has failed")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use palisade_admission::{Decision, PodRequest, Policy, PolicyBuilder, Scopes, evaluate, respond};
use palisade_k8s::Pod;
use palisade_k8s::review::AdmissionReview;
use palisade_scc::{BuiltinSet, Mutation};
use palisade_testing::{corpus, random};
use serde_json::{Value, json};

/// A pod of one container as the API server sends it, with its defaults and its token's volume.
fn plain_pod() -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "dev", "labels": {"app": "web"}},
        "spec": {
            "volumes": [{"name": "kube-api-access-x", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}]}}],
            "containers": [{"name": "app", "image": "registry.example/app:1", "resources": {},
                "ports": [{"containerPort": 8080, "protocol": "TCP"}],
                "volumeMounts": [{"name": "kube-api-access-x", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent"}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {},
            "schedulerName": "default-scheduler", "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority"}})
}

fn set_4(extra: usize) -> Policy {
    let mut builder = PolicyBuilder::default();
    builder.add_set(BuiltinSet::V4).expect("the set is usable");
    builder.add(&random::namespace()).expect("the namespace is usable");
    for index in 0..extra {
        let scc = json!({"kind": "SecurityContextConstraints", "apiVersion": "security.openshift.io/v1",
            "metadata": {"name": format!("team-{index}")}, "priority": index % 9, "groups": [format!("team-{index}")],
            "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}});
        builder.add(&scc).expect("the SCC is usable");
    }
    // Three more of the set for a team, so that its members may use five with the two defaults.
    for role in ["nonroot", "nonroot-v2", "hostnetwork"].map(|scc| format!("system:openshift:scc:{scc}")) {
        let binding = json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": {"name": format!("team-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "Group", "name": "team", "apiGroup": "rbac.authorization.k8s.io"}]});
        builder.add(&binding).expect("the binding is usable");
    }
    builder.build()
}

/// Decides and writes the patch.
fn decide(policy: &Policy, pod: &Pod<'_>, user: &str, groups: &[&str], namespace: &str) -> Option<String> {
    let request =
        PodRequest { namespace, user, groups, scopes: Scopes::default(), pod, mutation: Mutation::Allowed };
    match evaluate(policy, &request) {
        Decision::Admitted(admission) => admission.patch(pod).finish(),
        _ => None,
    }
}

fn plain(c: &mut Criterion) {
    let review = random::review(&plain_pod());
    let text = plain_pod().to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).expect("a pod");
    let (small, large) = (set_4(0), set_4(9_987));
    let (groups, five) = (["system:authenticated"], ["system:authenticated", "team"]);
    let mut group = c.benchmark_group("plain pod");
    group.bench_function("parse the review", |b| {
        b.iter(|| {
            let review: AdmissionReview<'_> = serde_json::from_str(black_box(&review)).expect("a review");
            let object = review.request.expect("a request").object.expect("an object");
            let pod: Pod<'_> = serde_json::from_str(object.get()).expect("a pod");
            black_box(pod.spec.containers.len())
        });
    });
    group.bench_function("decide, with the patch", |b| {
        b.iter(|| black_box(decide(&small, black_box(&pod), "alice", &groups, "dev")));
    });
    group.bench_function("decide among 13 SCCs, five usable", |b| {
        b.iter(|| black_box(decide(&small, black_box(&pod), "alice", &five, "dev")));
    });
    group.bench_function("decide among 10,000 SCCs, five usable", |b| {
        b.iter(|| black_box(decide(&large, black_box(&pod), "alice", &five, "dev")));
    });
    group.bench_function("answer the whole review", |b| {
        b.iter(|| black_box(respond(&small, black_box(&review))));
    });
    group.finish();
}

fn conformance(c: &mut Criterion) {
    let cases = corpus::cases();
    let policies: Vec<(String, Policy)> = (0..16)
        .map(|index| format!("p{index:02}.yaml"))
        .map(|name| (name.clone(), palisade_testing::policy(&corpus::policy_text(&name))))
        .collect();
    let policy = |name: &str| &policies.iter().find(|(known, _)| known == name).expect("a policy").1;
    let texts: Vec<(String, String)> =
        cases.iter().map(|case| (case.policy.clone(), case.review.to_string())).collect();
    let mut group = c.benchmark_group("all 1,200 conformance cases");
    group.sample_size(20);
    group.bench_function("answer", |b| {
        b.iter(|| texts.iter().for_each(|(name, text)| drop(black_box(respond(policy(name), text)))));
    });
    let parsed: Vec<(&Policy, AdmissionReview<'_>)> = texts
        .iter()
        .map(|(name, text)| (policy(name), serde_json::from_str(text).expect("a review")))
        .collect();
    let requests: Vec<_> = parsed
        .iter()
        .map(|(policy, review)| {
            let request = review.request.as_ref().expect("a request");
            let pod: Pod<'_> = serde_json::from_str(request.object.expect("an object").get()).expect("a pod");
            let groups: Vec<&str> = request.user_info.groups.iter().map(|group| &**group).collect();
            (*policy, pod, request, groups)
        })
        .collect();
    group.bench_function("decide, with the patch", |b| {
        b.iter(|| {
            for (policy, pod, request, groups) in &requests {
                black_box(decide(policy, pod, &request.user_info.username, groups, &request.namespace));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, plain, conformance);
criterion_main!(benches);
