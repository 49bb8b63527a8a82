//! The least SCC of random sets of pods: it admits all of them, no single tightening of it does, and no built-in SCC that
//! would do is less. `PALISADE_SEED` draws other sets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use palisade_k8s::scc::GroupStrategy;
use palisade_k8s::{KernelVersion, Pod, SecurityContextConstraints, manifest};
use palisade_scc::least::{Question, is_enough, least, tightenings};
use palisade_scc::{BuiltinSet, Context, Mutation, NamespaceRanges, SccSet, diff, evaluate};
use palisade_testing::random;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use serde::Deserialize;
use serde_json::Value;

/// Number of random sets of pods.
const SETS: usize = 1_000;

fn built_in() -> SccSet {
    let documents = manifest::read(BuiltinSet::V4.manifest()).expect("the set");
    let objects = documents.iter().map(manifest::Node::to_json);
    let sccs = objects.filter(|object| object["kind"] == "SecurityContextConstraints");
    SccSet::new(sccs.map(|scc| SecurityContextConstraints::deserialize(scc).expect("an SCC")))
}

/// The result for a set, for the count at the end.
#[derive(Debug, Default)]
struct Count {
    pods: usize,
    hopeless: usize,
    tightenings: usize,
    blurred: usize,
    split: usize,
}

/// The fields whose IDs are the namespace's own.
fn of_the_namespace(scc: &SecurityContextConstraints) -> impl Iterator<Item = &'static str> {
    let user = &scc.run_as_user;
    let is_groups = |groups: &GroupStrategy| groups.type_ == "MustRunAs" && groups.ranges.is_none();
    let fields = [
        ("runAsUser", user.type_ == "MustRunAsRange" && user.uid_range_min.is_none()),
        ("fsGroup", is_groups(&scc.fs_group)),
        ("supplementalGroups", is_groups(&scc.supplemental_groups)),
    ];
    fields.into_iter().filter(|(_, is_own)| *is_own).map(|(field, _)| field)
}

fn check(
    pods: &[Pod<'_>],
    context: Context<'_>,
    base: &SecurityContextConstraints,
    all: &SccSet,
    count: &mut Count,
) {
    let found = least("least", &Question { pods, context, base }).expect("a base that can be used");
    let scc = &found.scc;
    assert_eq!(palisade_scc::validate(scc), [], "{scc:#?}");
    let is_hopeless = |place: usize| found.hopeless.iter().any(|(other, _)| *other == place);
    let rest: Vec<Pod<'_>> = pods
        .iter()
        .enumerate()
        .filter(|(place, _)| !is_hopeless(*place))
        .map(|(_, pod)| pod.clone())
        .collect();
    count.pods += pods.len();
    count.hopeless += found.hopeless.len();
    if rest.is_empty() {
        return;
    }
    // As it is printed, applied to a server and read there.
    let printed: Value = serde_json::to_value(scc).expect("JSON");
    let set = SccSet::new([SecurityContextConstraints::deserialize(&printed).expect("an SCC")]);
    for pod in &rest {
        assert!(evaluate(set.entries(), context, pod, Mutation::Allowed).is_some(), "{scc:#?}\n{pod:#?}");
    }
    let question = Question { pods: &rest, context, base };
    assert!(is_enough(scc, &question));
    for step in tightenings(scc, base) {
        count.tightenings += 1;
        assert!(!is_enough(&step.scc, &question), "{} {} of {scc:#?}\n{rest:#?}", step.field, step.value);
        let need = found.needs.iter().find(|need| need.field == step.field && need.value == step.value);
        let explained =
            need.is_some_and(|need| need.first < pods.len() && need.count > 0 && !need.refusal.is_empty());
        assert!(explained, "{} {} is not explained", step.field, step.value);
    }
    for entry in all.entries().filter(|entry| is_enough(entry.scc(), &question)) {
        assert!(palisade_scc::score(scc) <= entry.rank().score, "{} is less than {scc:#?}", entry.name());
        // A profile by name, where the built-in one permits none but gives none either, is no more; nor is the
        // namespace's own range of IDs, where the built-in one has a range that does not hold it.
        let mut ignored = vec!["users", "groups", "priority", "seccompProfiles"];
        ignored.extend(of_the_namespace(scc));
        let wider = diff(scc, entry.scc()).into_iter();
        let wider: Vec<_> =
            wider.filter(|field| field.only_a.is_some() && !ignored.contains(&field.field)).collect();
        assert!(wider.is_empty(), "{} is less in {wider:?} than {scc:#?}", entry.name());
    }
    count.blurred += usize::from(!found.blurs.is_empty());
    count.split += found.blurs.iter().filter(|blur| blur.halves.is_some()).count();
}

#[test]
fn no_step_to_less_is_left() {
    let mut runner = random::runner(random::seed());
    let namespace = random::namespace();
    let ranges =
        NamespaceRanges::read(|key| namespace["metadata"]["annotations"][key].as_str()).expect("ranges");
    let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
    let all = built_in();
    let bases = ["restricted-v2", "restricted-v2", "restricted", "anyuid", "privileged"];
    let sets = vec(random::pod(), 1..7);
    let mut count = Count::default();
    for round in 0..SETS {
        let pods = sets.new_tree(&mut runner).expect("it generates").current();
        let pods: Vec<Pod<'_>> = pods.iter().map(|pod| Pod::deserialize(pod).expect("a pod")).collect();
        let base = all.get(bases[round % bases.len()]).expect("it is built in");
        check(&pods, context, base.scc(), &all, &mut count);
    }
    println!("{count:?}");
    assert!(count.tightenings > 5 * SETS && count.split > 0 && count.hopeless < count.pods / 4, "{count:?}");
}
