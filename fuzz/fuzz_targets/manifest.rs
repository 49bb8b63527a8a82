//! YAML of any text is read or refused with a place, and a policy made of it or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade_admission::PolicyBuilder;
use palisade_k8s::manifest;

fuzz_target!(|text: &str| {
    match manifest::read(text) {
        Ok(documents) => {
            let mut builder = PolicyBuilder::default();
            for document in documents {
                let object = document.to_json();
                drop(builder.add(&object));
                drop(palisade_admission::lint(&object));
            }
            drop(builder.build());
        }
        Err(error) => assert!(error.position.line >= 1 && !error.message.is_empty()),
    }
});
