//! Parts that tests share: the conformance corpus and its runner, and builders of random policies and pods.
//!
//! Nothing that ships depends on this crate, so it may panic: a test that cannot read its own
//! corpus has failed.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot read its own corpus has failed"
)]

pub mod corpus;
pub mod oracle;
pub mod profile;
pub mod random;

use palisade_admission::{Policy, PolicyBuilder};
use palisade_k8s::manifest;

/// The policy of a YAML file's text.
#[must_use]
pub fn policy(yaml: &str) -> Policy {
    let mut builder = PolicyBuilder::default();
    for document in manifest::read(yaml).expect("the policy is YAML") {
        builder.add(&document.to_json()).expect("the policy is usable");
    }
    builder.build()
}
