//! Any bytes as what a webhook answers, of admission and of conversion: what it changes fits its type, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| palisade_api::fuzz::answer(bytes));
