//! Any text as a path, a query, a selector, a continue token or a password.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| palisade_api::fuzz::head(text));
