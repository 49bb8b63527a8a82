//! Advice works: every edit of the pod, the grant, or the SCC of one's own is applied, and the decision made again.
//! `PALISADE_SEED` draws other pods.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::HashSet;

use palisade_k8s::scc::annotation::REQUIRED_SCC;
use palisade_k8s::{KernelVersion, Pod, SecurityContextConstraints};
use palisade_scc::advice::{Refused, Then};
use palisade_scc::least::{Tightening, tightenings};
use palisade_scc::pod_security::{Level, Version, level, violations};
use palisade_scc::{
    BuiltinSet, Changes, Context, Difference, Entry, Mutation, NamespaceRanges, SccSet, diff, evaluate,
};
use palisade_testing::{corpus, random};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::Value;

/// Number of different refused pods whose advice is tested.
const REFUSED: usize = 10_000;
/// Number of pods under one policy.
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
    /// Those of namespaces that enforce a Pod Security level.
    labelled: usize,
    /// Those that SCC admits, and the level refuses.
    by_level: usize,
    edits: usize,
    grants: usize,
    own: usize,
    /// Fields of grants that are needed.
    narrowed: usize,
    /// Parts of SCCs of one's own, each of which is needed.
    parts: usize,
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

/// Whether a pod is admitted by this SCC alone, all checks included.
fn is_admitted_by(
    scc: SecurityContextConstraints,
    context: Context<'_>,
    pod: &Value,
    then: Then<'_>,
) -> bool {
    let parsed = Pod::deserialize(pod).expect("a pod");
    let set = SccSet::new([scc]);
    evaluate(set.entries(), context, &parsed, Mutation::Allowed)
        .is_some_and(|(_, changes)| then(pod, &parsed, &changes))
}

/// The SCCs that permit one thing less of what `own` permits beyond the SCC that it is made from.
fn parts(own: &SecurityContextConstraints, base: &SecurityContextConstraints) -> Vec<Tightening> {
    let beyond = |scc: &SecurityContextConstraints, field: &str| {
        diff(scc, base).into_iter().find(|difference| difference.field == field).and_then(|it| it.only_a)
    };
    let mut steps = tightenings(own, base);
    // The first profile is what a pod without one gets: another pod's request is no default.
    let default = |scc: &SecurityContextConstraints| scc.seccomp_profiles.iter().flatten().next().cloned();
    steps.retain(|step| {
        default(&step.scc) == default(own)
            && beyond(own, step.field).is_some_and(|more| beyond(&step.scc, step.field) != Some(more))
            && diff(&step.scc, own).iter().all(|difference| difference.only_a.is_none())
    });
    steps
}

/// A pod that SCC admits is admitted at its level, and at none above.
fn check_level(refused: Refused<'_>, count: &mut Count) {
    let whatever = |_: &Value, _: &Pod<'_>, _: &Changes<'_>| true;
    let by_scc = Refused { then: &whatever, ..refused };
    let parsed = Pod::deserialize(refused.pod).expect("a pod");
    let usable = refused.usable.iter().map(|place| refused.entries[*place]);
    let Some((_, changes)) = evaluate(usable, refused.context, &parsed, Mutation::Allowed) else { return };
    assert!(by_scc.is_admitted());
    let outcome = changed(refused.pod, &parsed, &changes);
    let outcome = Pod::deserialize(&outcome).expect("a pod");
    let level = level(&outcome, Version::Latest);
    let is_broken = |level| !violations(&outcome, level, Version::Latest).is_empty();
    let above = [Level::Baseline, Level::Restricted].into_iter().filter(|above| *above > level);
    assert!(!is_broken(level) && above.clone().all(is_broken), "{level} {outcome:?}");
    count.by_level += 1;
}

/// Tries all advice on a pod of a namespace that enforces a Pod Security level, if it is refused.
fn check(set: &SccSet, usable: &[usize], pod: &Value, enforced: Level, count: &mut Count) {
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
        let outcome = changed(pod, parsed, changes);
        let is_within = |pod: &Pod<'_>| {
            enforced == Level::Privileged || violations(pod, enforced, Version::Latest).is_empty()
        };
        invalid(&outcome).iter().all(|error| before.contains(error))
            && is_within(&Pod::deserialize(&outcome).expect("a pod"))
    };
    let entries: Vec<&Entry> = set.entries().collect();
    let refused = Refused { entries: &entries, usable, familiarity: &[], context, pod, then: &then };
    if refused.is_admitted() {
        return;
    }
    count.refused += 1;
    if enforced > Level::Privileged {
        count.labelled += 1;
        check_level(refused, count);
    }
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
        for narrowed in unnamed(granted, base, &named) {
            let is_enough = is_admitted_by(narrowed.clone(), context, pod, &then);
            assert!(!is_enough, "{pod}\n{granted:?}\nas well {narrowed:?}\n{named:?}");
            count.narrowed += 1;
        }
    }
    if let Some(own) = &own {
        count.own += 1;
        let base = entries[refused.base().expect("a base")].scc();
        for part in parts(own, base) {
            count.parts += 1;
            let is_enough = is_admitted_by(part.scc.clone(), context, pod, &then);
            assert!(!is_enough, "{pod}\nneeds no {} {} of {own:?}\nbeyond {base:?}", part.field, part.value);
        }
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
    let levels =
        prop_oneof![6 => Just(Level::Privileged), 2 => Just(Level::Baseline), 1 => Just(Level::Restricted)];
    let mut known = HashSet::new();
    for round in 0.. {
        if count.refused >= REFUSED {
            break;
        }
        let objects = if round == 0 { built_in.clone() } else { draw(&policies, &mut runner) };
        let set = set(&objects);
        let usable = granted(&set);
        for _ in 0..PODS {
            let (pod, level) = (draw(&pods, &mut runner), draw(&levels, &mut runner));
            if known.insert(pod.to_string()) {
                check(&set, &usable, &pod, level, &mut count);
            }
        }
    }
    println!("{} different pods", known.len());
    println!("{count:?}");
    assert!(count.edits > count.refused / 4 && count.own > count.refused / 4, "{count:?}");
    assert!(count.narrowed > 100 && count.parts > count.own && count.by_level > 100, "{count:?}");
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
            check(set, &usable, pod, Level::Privileged, &mut count);
        }
    }
    println!("{count:?}");
    assert!(count.refused > 100 && count.edits > 0 && count.own > 0, "{count:?}");
}
