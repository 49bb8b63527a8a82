//! An SCC of any JSON is defaulted once and for all, validated, scored, compared and linted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade_k8s::SecurityContextConstraints;

fuzz_target!(|text: &str| {
    let Ok(mut scc) = serde_json::from_str::<SecurityContextConstraints>(text) else { return };
    palisade_scc::default(&mut scc);
    let once = scc.clone();
    palisade_scc::default(&mut scc);
    assert_eq!(scc, once);
    assert!(palisade_scc::diff(&scc, &once).is_empty());
    let errors = palisade_scc::validate(&scc);
    assert!(errors.iter().all(|error| !error.message().is_empty()));
    let raw: serde_json::Value = serde_json::from_str(text).expect("it was read before");
    drop(palisade_scc::lint(&scc, raw.as_object()));
    assert!(palisade_scc::score(&scc) < 4_000_000);
    drop(palisade_scc::Plan::new(&scc));
});
