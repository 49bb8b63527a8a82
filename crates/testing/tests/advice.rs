//! Advice works: every edit of the pod, the grant, or the SCC of one's own is applied, and the decision made again.
//! `PALISADE_SEED` draws other pods.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use palisade_k8s::scc::annotation::REQUIRED_SCC;
use palisade_k8s::{KernelVersion, Pod, SecurityContextConstraints};
use palisade_scc::advice::Refused;
use palisade_scc::{
    BuiltinSet, Changes, Context, Difference, Entry, Mutation, NamespaceRanges, SccSet, diff, evaluate,
};
use palisade_testing::{corpus, random};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::Value;

/// Number of refused pods whose advice is tested.
const REFUSED: usize = 10_000;
/// Number of them under one policy.
const PODS: usize = 250;

fn draw<S: Strategy>(strategy: &S, runner: &mut TestRunner) -> S::Value {
    strategy.new_tree(runner).expect("it generates").current()
}

fn set(objects: &[Value]) -> SccSet {
    let sccs = objects.iter().filter(|object| object["kind"] == "SecurityContextConstraints");
    SccSet::new(sccs.map(|scc| SecurityContextConstraints::deserialize(scc).expect("an SCC")))
}

fn ranges() -> NamespaceRanges {
    let namespace = random::namespace();
    NamespaceRanges::read(|key| namespace["metadata"]["annotations"][key].as_str()).expect("ranges")
}

/// Kubernetes' errors of a pod, without the values.
fn invalid(pod: &Value) -> Vec<String> {
    let pods = palisade_api::kind::find("", "pods").expect("pods");
    let mut pod = pod.clone();
    pods.prepare(&mut pod, None);
    pods.validate(&pod, None).iter().map(|error| format!("{} {}", error.path, error.detail)).collect()
}

fn changed(pod: &Value, parsed: &Pod<'_>, changes: &Changes<'_>) -> Value {
    let mut patch = palisade_k8s::patch::Patch::default();
    changes.write(parsed, &[], &mut patch);
    let mut pod = pod.clone();
    if let Some(text) = patch.finish() {
        let patch: json_patch::Patch = serde_json::from_str(&text).expect("a patch");
        json_patch::patch(&mut pod, &patch).expect("it applies");
    }
    pod
}

/// Counts of each kind of advice.
#[derive(Debug, Default)]
struct Count {
    refused: usize,
    edits: usize,
    grants: usize,
    own: usize,
    /// Fields of grants that are needed.
    narrowed: usize,
    nothing: usize,
}

/// A granted SCC with one field as narrow as that of the SCC that it stands in for, for each field that is wider and not
/// named among what it also gives.
fn unnamed(
    granted: &SecurityContextConstraints,
    base: &SecurityContextConstraints,
    named: &[Difference],
) -> Vec<SecurityContextConstraints> {
    let wider = diff(granted, base).into_iter().filter(|difference| difference.only_a.is_some());
    let unnamed = wider.filter(|difference| {
        !matches!(difference.field, "users" | "groups" | "priority")
            && named.iter().all(|known| known.field != difference.field)
    });
    let field_of = |scc: &SecurityContextConstraints| serde_json::to_value(scc).expect("JSON");
    let narrowed = unnamed.map(|difference| {
        let mut scc = field_of(granted);
        let also = (difference.field == "volumes").then_some("allowHostDirVolumePlugin");
        for field in also.into_iter().chain([difference.field]) {
            scc[field] = field_of(base)[field].clone();
        }
        SecurityContextConstraints::deserialize(scc).expect("an SCC")
    });
    // Some fields stand for others, and are as wide as those.
    narrowed.filter(|scc| scc != granted && palisade_scc::validate(scc).is_empty()).collect()
}

/// Tries all advice on a pod, if it is refused.
fn check(set: &SccSet, usable: &[usize], pod: &Value, count: &mut Count) {
    let ranges = ranges();
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    // Advice is for the pod without the SCC that it requires, as a review asks for it.
    let mut free = pod.clone();
    let annotations = free.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    annotations.map(|annotations| annotations.shift_remove(REQUIRED_SCC));
    let pod = &free;
    // A pod that Kubernetes itself refuses cannot be fixed by an SCC.
    let before = invalid(pod);
    let then = |pod: &Value, parsed: &Pod<'_>, changes: &Changes<'_>| {
        invalid(&changed(pod, parsed, changes)).iter().all(|error| before.contains(error))
    };
    let entries: Vec<&Entry> = set.entries().collect();
    let refused = Refused { entries: &entries, usable, familiarity: &[], context, pod, then: &then };
    if refused.is_admitted() {
        return;
    }
    count.refused += 1;
    let again = |set: &SccSet, usable: &[usize], pod: &Value| {
        let parsed = Pod::deserialize(pod).expect("what is edited is a pod");
        let entries: Vec<&Entry> = set.entries().collect();
        // As admission does it: the SCC that a pod requires is the only one that is looked at.
        let pin = pod["metadata"]["annotations"][REQUIRED_SCC].as_str();
        let usable = usable.iter().map(|place| entries[*place]);
        let usable = usable.filter(|entry| pin.is_none_or(|name| entry.name() == name));
        let (entry, changes) = evaluate(usable, context, &parsed, Mutation::Allowed)?;
        then(pod, &parsed, &changes).then(|| entry.name().to_owned())
    };
    let edits = refused.edits();
    if let Some((place, edits)) = &edits {
        count.edits += 1;
        let mut edited = pod.clone();
        edits
            .iter()
            .for_each(|edit| assert!(edit.apply(&edit.path, &mut edited), "{edit:?} does nothing to {pod}"));
        let name = entries[*place].name();
        assert_eq!(again(set, usable, &edited).as_deref(), Some(name), "{pod}\n{edits:#?}");
    }
    let grant = refused.grant();
    if let Some(place) = grant {
        count.grants += 1;
        let mut granted = [usable, &[place]].concat();
        granted.sort_unstable();
        assert_eq!(again(set, &granted, pod).as_deref(), Some(entries[place].name()), "{pod}");
    }
    let own = refused.own("own");
    if let Some(place) = grant {
        let base = entries[refused.base().expect("a base")].scc();
        let granted = entries[place].scc();
        let named = refused.unneeded(granted, own.as_ref());
        let alone = |scc: SecurityContextConstraints| again(&SccSet::new([scc]), &[0], pod).is_some();
        for narrowed in unnamed(granted, base, &named) {
            assert!(!alone(narrowed.clone()), "{pod}\n{granted:?}\nas well {narrowed:?}\n{named:?}");
            count.narrowed += 1;
        }
    }
    if let Some(own) = &own {
        count.own += 1;
        // As it is printed, applied to a server, and defaulted there.
        let printed: Value = serde_json::to_value(own).expect("JSON");
        let mut read = SecurityContextConstraints::deserialize(&printed).expect("an SCC");
        palisade_scc::default(&mut read);
        assert_eq!(palisade_scc::validate(&read), [], "{printed}");
        let all = set.entries().map(|entry| entry.scc().clone()).chain([read]);
        let wider = SccSet::new(all);
        let names = usable.iter().map(|place| entries[*place].name()).chain(["own"]);
        let mut places: Vec<usize> = names
            .map(|name| wider.entries().position(|entry| entry.name() == name).expect("it is there"))
            .collect();
        places.sort_unstable();
        assert_eq!(again(&wider, &places, pod).as_deref(), Some("own"), "{pod}\n{printed}");
    }
    count.nothing += usize::from(edits.is_none() && grant.is_none() && own.is_none());
}

/// The places of the SCCs that are granted to all.
fn granted(set: &SccSet) -> Vec<usize> {
    let is_granted = |entry: &palisade_scc::Entry| {
        entry.scc().groups.iter().flatten().any(|group| group == "system:authenticated")
            || matches!(entry.name(), "restricted-v2" | "restricted-v3")
    };
    let places = set.entries().enumerate().filter(|(_, entry)| is_granted(entry));
    places.map(|(place, _)| place).collect()
}

#[test]
fn all_advice_works() {
    let mut runner = random::runner(random::seed());
    let mut count = Count::default();
    let built_in: Vec<Value> = palisade_k8s::manifest::read(BuiltinSet::V4.manifest())
        .expect("the set")
        .iter()
        .map(palisade_k8s::manifest::Node::to_json)
        .collect();
    let (policies, pods) = (random::policy(), random::pod());
    let drawn: Vec<Value> = (0..PODS).map(|_| draw(&pods, &mut runner)).collect();
    for round in 0.. {
        if count.refused >= REFUSED {
            break;
        }
        let objects = if round == 0 { built_in.clone() } else { draw(&policies, &mut runner) };
        let set = set(&objects);
        let usable = granted(&set);
        // Every policy meets a few pods that no other has met.
        let fresh: Vec<Value> = (0..PODS / 10).map(|_| draw(&pods, &mut runner)).collect();
        drawn.iter().chain(&fresh).for_each(|pod| check(&set, &usable, pod, &mut count));
    }
    println!("{count:?}");
    assert!(count.edits > count.refused / 4 && count.own > count.refused / 4, "{count:?}");
    assert!(count.narrowed > 100, "{count:?}");
}

/// The refused pods of the corpus, each under its own policy.
#[test]
fn advice_works_on_the_corpus() {
    let mut count = Count::default();
    let cases = corpus::cases();
    let mut sets: std::collections::HashMap<String, SccSet> = std::collections::HashMap::new();
    for case in
        cases.iter().filter(|case| !case.expect.allowed && case.review["request"]["operation"] == "CREATE")
    {
        let set = sets.entry(case.policy.clone()).or_insert_with(|| {
            let documents = palisade_k8s::manifest::read(&corpus::policy_text(&case.policy)).expect("YAML");
            let objects: Vec<Value> = documents.iter().map(palisade_k8s::manifest::Node::to_json).collect();
            self::set(&objects)
        });
        let pod = &case.review["request"]["object"];
        if Pod::deserialize(pod).is_ok() && pod["spec"]["os"]["name"] != "windows" {
            let usable = granted(set);
            check(set, &usable, pod, &mut count);
        }
    }
    println!("{count:?}");
    assert!(count.refused > 100 && count.edits > 0 && count.own > 0, "{count:?}");
}
