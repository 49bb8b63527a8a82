//! An AdmissionReview of any bytes gets an answer, and an allowed one with a patch that is JSON.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use palisade_admission::{Policy, PolicyBuilder, respond};

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let mut builder = PolicyBuilder::default();
    builder.add_set(palisade_scc::BuiltinSet::V4).expect("the set is usable");
    builder.assume_namespace("dev");
    builder.build()
});

fuzz_target!(|text: &str| {
    match respond(&POLICY, text) {
        Ok(response) => assert!(response.allowed || response.status.is_some_and(|status| !status.message.is_empty())),
        Err(error) => assert!(error.offset <= text.len() && !error.message.is_empty()),
    }
});
