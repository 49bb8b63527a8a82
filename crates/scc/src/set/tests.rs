//! The order of SCCs, and permitted changes of a request.

use std::sync::Arc;

use palisade_k8s::{KernelVersion, Pod, SecurityContextConstraints};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Entry, Mutation, Outcome, SccSet, evaluate};
use crate::Context;
use crate::fixture::{built_in, built_ins, ranges};

fn named(name: &str, base: &str, priority: Option<i32>) -> SecurityContextConstraints {
    let mut scc = built_in(base);
    scc.metadata.name = name.to_owned();
    scc.priority = priority;
    scc
}

fn names(set: &SccSet) -> Vec<&str> {
    set.entries().map(Entry::name).collect()
}

#[test]
fn priority_comes_before_restrictiveness_and_that_before_the_name() {
    let set = SccSet::new([
        named("open", "privileged", None),
        named("b", "restricted-v2", None),
        named("a", "restricted-v2", Some(0)),
        named("first", "privileged", Some(1)),
        named("last", "restricted-v2", Some(-1)),
    ]);
    assert_eq!(names(&set), ["first", "a", "b", "open", "last"]);
}

#[test]
fn an_scc_takes_the_place_of_one_of_its_name() {
    let mut set = SccSet::new([named("a", "restricted-v2", None), named("b", "restricted-v2", None)]);
    let old = set.insert(Arc::new(Entry::new(named("a", "privileged", None))));
    assert_eq!(old.map(|old| old.scc().allow_privileged_container), Some(false));
    assert_eq!((names(&set), set.len()), (vec!["b", "a"], 2));
    assert!(set.remove("c").is_none());
    assert!(set.remove("b").is_some() && set.get("b").is_none());
    assert_eq!((names(&set), set.is_empty()), (vec!["a"], false));
}

#[test]
fn a_copy_is_not_changed_with_its_original() {
    let set = SccSet::new([named("a", "restricted-v2", None)]);
    let mut other = set.clone();
    other.remove("a");
    assert_eq!((set.len(), other.len()), (1, 0));
}

/// The name of the SCC that admits a pod of this security context, of those of OpenShift.
fn chosen(security: Value, mutation: Mutation) -> Option<String> {
    let pod = json!({"spec": {"containers": [{"name": "c", "securityContext": security}]}});
    let (set, ranges, pod) = (built_ins(), ranges(), Pod::deserialize(&pod).unwrap());
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    evaluate(set.entries(), context, &pod, mutation).map(|(entry, _)| entry.name().to_owned())
}

#[test]
fn the_first_that_admits_decides() {
    for (security, expected) in [
        (json!({}), Some("anyuid")),
        (json!({"privileged": true}), Some("privileged")),
        (json!({"capabilities": {"add": ["NET_BIND_SERVICE"]}}), Some("restricted-v2")),
        (json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "a"}}), Some("privileged")),
    ] {
        assert_eq!(chosen(security.clone(), Mutation::Allowed).as_deref(), expected, "{security}");
    }
}

#[test]
fn a_running_pod_is_not_changed() {
    assert_eq!(chosen(json!({"privileged": true}), Mutation::Forbidden).as_deref(), Some("privileged"));
    let scc = Entry::new(built_in("restricted-v2"));
    let (ranges, pod) = (ranges(), json!({"spec": {"containers": [{"name": "c"}]}}));
    let pod = Pod::deserialize(&pod).unwrap();
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    assert!(matches!(scc.outcome(context, &pod, Mutation::Allowed), Outcome::Admits(_)));
    for mutation in [Mutation::EphemeralOnly, Mutation::Forbidden] {
        assert!(matches!(scc.outcome(context, &pod, mutation), Outcome::Changes(_)), "{mutation:?}");
    }
}
