//! Compiled policies decide as the engine does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test that cannot go on has failed"
)]

mod adversarial;
mod connect;
mod golden;
mod incomplete;
mod interpreter;
mod pair;
mod random;
mod workload;

use std::collections::HashMap;

use pair::Pair;
use palisade_testing::corpus;

/// Fails with the first few differences.
fn assert_none(differences: &[String], of: usize) {
    let shown = differences.iter().take(5).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} differences over {of} requests:\n{shown}", differences.len());
}

#[test]
fn the_conformance_corpus_is_decided_alike() {
    let cases = corpus::cases();
    let mut pairs = HashMap::new();
    let mut differences = Vec::new();
    for case in &cases {
        let of_yaml = |name: &String| Pair::of_yaml(&corpus::policy_text(name));
        let pair = pairs.entry(case.policy.clone()).or_insert_with_key(of_yaml);
        let difference = pair.difference(&case.review);
        differences
            .extend(difference.map(|difference| format!("{} {}\n{difference}", case.policy, case.review)));
    }
    assert_none(&differences, cases.len());
}

#[test]
fn every_known_kind_of_difference_is_none() {
    let kinds = corpus::kinds();
    let is_of_pods = |kind: &&corpus::Kind| kind.case.review["request"]["operation"] != "CONNECT";
    let differences: Vec<String> = kinds
        .iter()
        .filter(is_of_pods)
        .filter_map(|kind| {
            let difference = Pair::of_yaml(&kind.policy).difference(&kind.case.review)?;
            Some(format!("{}: {difference}", kind.name))
        })
        .collect();
    // An update that writes the same amount differently is checked: CEL compares the text.
    let (narrower, others): (Vec<_>, Vec<_>) = differences
        .into_iter()
        .partition(|difference| difference.starts_with("06-update-equal-quantities: Refused"));
    assert_eq!(narrower.len(), 1, "docs/policies.md tells of it");
    assert_none(&others, kinds.len());
}
