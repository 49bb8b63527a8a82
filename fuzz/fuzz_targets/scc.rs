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
    // A field that the type does not have may hold a number that no value can: `1e999` is skipped there, refused here.
    if let Ok(raw) = serde_json::from_str::<serde_json::Value>(text) {
        drop(palisade_scc::lint(&scc, raw.as_object()));
    }
    assert!(palisade_scc::score(&scc) < 4_000_000);
    drop(palisade_scc::Plan::new(&scc));
});
