//! An object and a patch, a line feed between them: JSON patch, merge, strategic merge and server-side apply.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (target, patch) = bytes.split_at(cut);
    palisade_api::fuzz::patch(target, patch);
});
