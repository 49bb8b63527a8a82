//! `exec` and `attach`: decided by the running pod, as the engine does.

use palisade_admission::{Identity, Scopes, connect};
use palisade_k8s::Pod;
use palisade_policies::{Settings, compile};
use palisade_scc::SccSet;
use palisade_testing::random;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::assert_none;
use crate::interpreter::{BUDGET, Request, canonical};
use crate::pair::{Pair, review};
use crate::random::{Dice, pair};

const POLICIES: usize = 20;
const REQUESTS: usize = 50;

/// The request that `kubectl exec` comes to.
fn exec(verb: &str) -> Value {
    review(
        "CONNECT",
        verb,
        json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["id"]}),
        Value::Null,
    )
}

fn difference(pair: &Pair, verb: &str, pod: &Value) -> Option<String> {
    let ours = pair.decide(&exec(verb), |request, may| {
        let request = Request { parameter: canonical(pod), ..request.clone() };
        let (message, usage) = pair.policies.connect(&request, may);
        assert!(usage.checks <= 28 && usage.spent <= BUDGET, "{usage:?}");
        message
    });
    let alice = Identity { name: "alice", groups: &["system:authenticated"], scopes: Scopes::default() };
    let theirs = connect(&pair.policy, &alice, verb, ("dev", &Pod::deserialize(pod).unwrap())).err();
    let begin = format!(
        "{verb} operation is not allowed because the pod's security context exceeds your permissions: "
    );
    let is_worded = |message: &Option<String>| message.as_ref().is_none_or(|text| text.starts_with(&begin));
    let differs = ours.is_some() != theirs.is_some() || !is_worded(&ours);
    differs.then(|| format!("{pod}: {ours:?} where the engine says {theirs:?}"))
}

#[test]
fn a_thousand_random_connections_are_decided_alike() {
    let mut dice = Dice::new();
    let mut differences = Vec::new();
    let mut refused = 0;
    for _ in 0..POLICIES {
        let pair = std::iter::from_fn(|| Some(pair(&mut dice))).flatten().next().unwrap();
        for index in 0..REQUESTS {
            let mut pod = dice.throw(random::pod());
            pod["metadata"]["name"] = json!("p");
            pod["metadata"]["annotations"]["openshift.io/scc"] = json!("s1");
            let verb = ["exec", "attach"][index % 2];
            let alice =
                Identity { name: "alice", groups: &["system:authenticated"], scopes: Scopes::default() };
            let read = Pod::deserialize(&pod).unwrap();
            refused += usize::from(connect(&pair.policy, &alice, verb, ("dev", &read)).is_err());
            differences.extend(difference(&pair, verb, &pod));
        }
    }
    assert!((50..950).contains(&refused), "{refused} of {} are refused", POLICIES * REQUESTS);
    assert_none(&differences, POLICIES * REQUESTS);
}

/// Each SCC may take two checks of the authorizer, for which a policy's budget pays.
#[test]
fn more_sccs_than_its_budget_pays_for_are_refused_by_name() {
    let scc = |index: usize| {
        let any = json!({"type": "RunAsAny"});
        Deserialize::deserialize(
            json!({"metadata": {"name": format!("s{index:02}")}, "runAsUser": any, "seLinuxContext": any}),
        )
        .unwrap()
    };
    let settings = Settings { connect: true, ..Settings::default() };
    assert!(compile(&SccSet::new((0..13).map(scc)), &settings).is_ok());
    let error = compile(&SccSet::new((0..14).map(scc)), &settings).unwrap_err().to_string();
    let expected = "the policy on exec and attach has 14 SCCs, and the API server takes at most 13; it would take the first 13, without s13";
    assert_eq!(error, expected);
}

/// The API server hands over all pods of the namespace; only the one of the request counts.
#[test]
fn other_pods_of_the_namespace_do_not_count() {
    let mut dice = Dice::new();
    let pair = std::iter::from_fn(|| Some(pair(&mut dice))).flatten().next().unwrap();
    let other = json!({"metadata": {"name": "other"}, "spec": {"hostPID": true, "containers": [{"name": "c", "securityContext": {"privileged": true}}]}});
    pair.decide(&exec("exec"), |request, may| {
        let request = Request { parameter: other.clone(), ..request.clone() };
        assert_eq!(pair.policies.connect(&request, may).0, None);
    });
}
