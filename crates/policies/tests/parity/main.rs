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

use interpreter::Policies;
use pair::Pair;
use palisade_policies::{Settings, compile};
use palisade_testing::corpus;
use serde_json::json;

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

/// The comparison of a pair whose policies have an expression for whether they apply that is not ours.
fn difference_with(relevant: &str, spec: serde_json::Value) -> Option<String> {
    let mut pair = adversarial::set_4(&[("restricted-v2", "alice")]);
    let mut compiled = compile(pair.policy.sccs(), &Settings::default()).unwrap();
    for object in &mut compiled.objects {
        let variables = object["spec"]["variables"].as_array_mut().into_iter().flatten();
        for variable in variables.filter(|variable| variable["name"] == "relevant") {
            variable["expression"] = json!(relevant);
        }
    }
    pair.policies = Policies::new(&compiled);
    pair.difference(&adversarial::create(adversarial::pod(json!({}), spec)))
}

/// Neither the refusal of a pod that the engine refuses too, nor that of another, is taken for an answer.
#[test]
fn an_expression_that_cannot_be_run_is_a_difference() {
    for spec in [json!({}), json!({"hostPID": true})] {
        assert_eq!(difference_with("true", spec.clone()), None);
        let difference = difference_with("object.frobnicated()", spec).unwrap();
        assert!(difference.contains("frobnicated"), "{difference}");
    }
}

#[test]
#[should_panic(expected = "the cel crate cannot read an expression")]
fn an_expression_that_cannot_be_read_is_a_failure() {
    difference_with("object.(", json!({}));
}
