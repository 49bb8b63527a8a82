//! Workloads: their authors are warned of refusals that the engine would make to their controllers.

use palisade_admission::{Decision, PodRequest, Scopes, evaluate};
use palisade_k8s::Pod;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::Mutation;
use palisade_testing::random;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::interpreter::{BUDGET, canonical};
use crate::pair::{Pair, review};
use crate::random::{Dice, pair};
use crate::{adversarial, assert_none};

const POLICIES: usize = 20;
const REQUESTS: usize = 50;

const KINDS: [(&str, &str, &str); 7] = [
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
    ("v1", "ReplicationController", "replicationcontrollers"),
];

fn workload(
    (api_version, kind, resource): (&str, &str, &str),
    template: &Value,
    owner: Option<bool>,
) -> Value {
    let spec = match kind {
        "CronJob" => json!({"jobTemplate": {"spec": {"template": template}}}),
        _ => json!({"template": template}),
    };
    let owners: Vec<Value> = owner.iter().map(|controller| json!({"controller": controller})).collect();
    let object = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": "w", "ownerReferences": owners}, "spec": spec});
    let mut review = review("CREATE", "", object, Value::Null);
    review["request"]["resource"] = json!({"resource": resource});
    review["request"]["kind"] = json!({"kind": kind});
    review
}

/// The template as the API server hands it over: its pods are given a service account only later.
fn template(dice: &mut Dice) -> Value {
    let mut template = canonical(&dice.throw(random::pod()));
    let spec = template["spec"].as_object_mut().unwrap();
    spec.shift_remove("ephemeralContainers");
    if dice.number(2) == 0 {
        spec.insert("serviceAccountName".to_owned(), json!("sa"));
    }
    if dice.number(4) == 0 {
        template.as_object_mut().unwrap().shift_remove("metadata");
    }
    template
}

fn expected(pair: &Pair, kind: &WorkloadKind, template: &Value) -> bool {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    is_refused(pair, (kind.controller, &groups), template)
}

/// Whether a user without rights of their own would get the pod admitted, by the service account's.
fn admitted_without(pair: &Pair, template: &Value) -> bool {
    !is_refused(pair, ("nobody", &["system:authenticated"]), template)
}

fn is_refused(pair: &Pair, (user, groups): (&str, &[&str]), template: &Value) -> bool {
    let mut pod = template.clone();
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.entry("serviceAccountName").or_insert_with(|| json!("default"));
    let asked = PodRequest {
        namespace: "dev",
        user,
        groups,
        scopes: Scopes::default(),
        pod: &Pod::deserialize(&pod).unwrap(),
        mutation: Mutation::Allowed,
    };
    matches!(evaluate(&pair.policy, &asked), Decision::Refused(_))
}

#[test]
fn a_thousand_random_workloads_are_warned_of_alike() {
    let mut dice = Dice::new();
    let mut differences = Vec::new();
    let (mut warned, mut by_controller, mut policies) = (0, 0, 0);
    // Few draws have workloads that only their controller's right admits: these are drawn until there are enough.
    while policies < POLICIES || by_controller <= 10 && policies < 10 * POLICIES {
        policies += 1;
        let pair = std::iter::from_fn(|| Some(pair(&mut dice))).flatten().next().unwrap();
        for index in 0..REQUESTS {
            let of = KINDS[index % KINDS.len()];
            let template = template(&mut dice);
            let kind = WorkloadKind::of(of.0, of.1).expect("a known kind");
            let theirs = expected(&pair, kind, &template);
            warned += usize::from(theirs);
            let ours = pair.decide(&workload(of, &template, Some(false)), |request, may| {
                let (message, usage) = pair.policies.warn(request, may);
                by_controller += usize::from(message.is_none() && !admitted_without(&pair, &template));
                assert!(usage.checks <= 28 && usage.spent <= BUDGET, "{usage:?}");
                message
            });
            let is_worded = ours.as_ref().is_none_or(|text| text.starts_with("its pods would be refused: "));
            if ours.is_some() != theirs || !is_worded {
                differences.push(format!("{of:?} {template}: {ours:?} where the engine says {theirs}"));
            }
        }
    }
    let requests = policies * REQUESTS;
    assert!((requests / 20..requests / 20 * 19).contains(&warned), "{warned} of {requests} are refused");
    assert!(by_controller > 10, "{by_controller} are admitted by the right of their controller");
    assert_none(&differences, requests);
}

/// The engine refuses all pods there, so that the author must not be told that nothing is wrong.
#[test]
fn a_workload_in_a_namespace_without_ranges_is_warned_of() {
    let template = json!({"spec": {"containers": [{"name": "c"}]}});
    let windows = json!({"spec": {"containers": [{"name": "c"}], "os": {"name": "windows"}}});
    for (annotations, warns) in [
        (json!({}), true),
        (json!({"openshift.io/sa.scc.uid-range": "1000/10"}), true),
        (json!({"openshift.io/sa.scc.mcs": "s0"}), true),
        (json!({"openshift.io/sa.scc.uid-range": "1000/10", "openshift.io/sa.scc.mcs": "s0"}), false),
    ] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "dev", "annotations": annotations}});
        let pair = adversarial::pair(&[adversarial::open_scc("open", &["system:authenticated"]), namespace]);
        for of in KINDS {
            let kind = WorkloadKind::of(of.0, of.1).expect("a known kind");
            assert_eq!(expected(&pair, kind, &template), warns, "{annotations}");
            let warning = |template: &Value| {
                pair.decide(&workload(of, template, None), |request, may| pair.policies.warn(request, may).0)
            };
            let begin = "its pods would be refused: namespace dev cannot take pods: it has no annotation ";
            let said = warning(&template);
            assert_eq!(said.is_some(), warns, "{annotations} {said:?}");
            assert!(said.is_none_or(|text| text.starts_with(begin)), "{annotations}");
            assert_eq!(warning(&windows), None);
        }
    }
}

/// A ReplicaSet of a Deployment was judged with that.
#[test]
fn what_a_controller_makes_is_not_judged_again() {
    let mut dice = Dice::new();
    let pair = std::iter::from_fn(|| Some(pair(&mut dice))).flatten().next().unwrap();
    let template = json!({"spec": {"containers": [{"name": "c"}], "volumes": [{"name": "v", "none-allows-this": {}}],
        "securityContext": {"sysctls": [{"name": "a.b"}]}, "hostPID": true, "hostIPC": true, "hostNetwork": true}});
    for (owner, warns) in [(Some(true), false), (Some(false), true)] {
        pair.decide(&workload(KINDS[1], &template, owner), |request, may| {
            assert_eq!(pair.policies.warn(request, may).0.is_some(), warns);
        });
    }
}
