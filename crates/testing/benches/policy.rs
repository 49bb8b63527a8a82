//! The cost of a pod's decision after a write, with 10,000 namespaces and 50,000 bindings, beside one without.
#![allow(missing_docs, reason = "criterion's macros make functions without any")]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on has failed")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use palisade_admission::{Decision, ObjectKey, PodRequest, PolicyCache, PolicyObject, Scopes, evaluate};
use palisade_k8s::{Pod, manifest};
use palisade_scc::{BuiltinSet, Mutation};
use serde_json::{Value, json};

const NAMESPACES: usize = 10_000;
const BINDINGS: usize = 50_000;

fn read(object: &Value) -> PolicyObject {
    PolicyObject::read(object).expect("it is usable").expect("it is part of a policy")
}

fn namespace(index: usize) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": format!("ns-{index}"), "annotations": {
        "openshift.io/sa.scc.uid-range": format!("{}/10000", 1_000_000_000 + index * 10_000),
        "openshift.io/sa.scc.mcs": "s0:c1,c0"}}})
}

/// A binding of one of the shipped roles to a service account and a group of a namespace.
fn binding(index: usize) -> Value {
    let role = ["nonroot", "anyuid", "hostnetwork", "restricted", "nonroot-v2"][index % 5];
    json!({"kind": "RoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": format!("b-{index}"), "namespace": format!("ns-{}", index % NAMESPACES)},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("system:openshift:scc:{role}")},
        "subjects": [{"kind": "ServiceAccount", "name": format!("sa-{}", index % 7)},
                     {"kind": "Group", "name": format!("team-{}", index % 100)}]})
}

fn scc(priority: i32) -> Value {
    json!({"kind": "SecurityContextConstraints", "apiVersion": "security.openshift.io/v1",
        "metadata": {"name": "changed"}, "priority": priority, "groups": ["team-1"],
        "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}})
}

fn role(verb: &str) -> Value {
    json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "system:openshift:scc:nonroot"},
        "rules": [{"verbs": [verb], "apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"],
                   "resourceNames": ["nonroot"]}]})
}

fn cluster() -> PolicyCache {
    let cache = PolicyCache::default();
    let shipped = manifest::read(BuiltinSet::V4.manifest()).expect("the set is readable");
    let shipped =
        shipped.iter().filter_map(|document| PolicyObject::read(&document.to_json()).expect("it is usable"));
    let namespaces = (0..NAMESPACES).map(|index| read(&namespace(index)));
    let bindings = (0..BINDINGS).map(|index| read(&binding(index)));
    cache.replace(shipped.chain(namespaces).chain(bindings));
    cache
}

fn decide(cache: &PolicyCache, pod: &Pod<'_>) -> Option<String> {
    let policy = cache.snapshot();
    let groups = ["system:authenticated", "team-7"];
    let request = PodRequest {
        namespace: "ns-7",
        user: "alice",
        groups: &groups,
        scopes: Scopes::default(),
        pod,
        mutation: Mutation::Allowed,
    };
    match evaluate(&policy, &request) {
        Decision::Admitted(admission) => admission.patch(pod).finish(),
        _ => None,
    }
}

fn after_a_write(c: &mut Criterion) {
    let cache = cluster();
    let text = json!({"metadata": {"name": "web"}, "spec": {"serviceAccountName": "default",
        "containers": [{"name": "app", "image": "registry.example/app:1"}]}})
    .to_string();
    let pod: Pod<'_> = serde_json::from_str(&text).expect("a pod");
    assert!(decide(&cache, &pod).is_some(), "the pod is admitted");
    let mut group = c.benchmark_group("a pod among 10,000 namespaces and 50,000 bindings");
    group.bench_function("no write before", |b| b.iter(|| black_box(decide(&cache, black_box(&pod)))));
    for (what, versions) in [
        ("a namespace written before", [namespace(7), namespace(20_000)]),
        ("a role written before", [role("use"), role("get")]),
        ("a role binding written before", [binding(7), binding(60_007)]),
        ("an SCC written before", [scc(1), scc(2)]),
    ] {
        let mut turn = 0;
        group.bench_function(what, |b| {
            b.iter(|| {
                turn += 1;
                cache.apply(read(&versions[turn % 2]));
                black_box(decide(&cache, black_box(&pod)))
            });
        });
    }
    let gone: ObjectKey = read(&binding(60_007)).key().clone();
    group.bench_function("a role binding made and deleted before", |b| {
        b.iter(|| {
            cache.apply(read(&binding(60_007)));
            cache.delete(&gone);
            black_box(decide(&cache, black_box(&pod)))
        });
    });
    group.finish();
}

criterion_group!(benches, after_a_write);
criterion_main!(benches);
