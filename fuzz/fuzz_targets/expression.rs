//! An expression and an object, a line feed between them: it is compiled, and evaluated within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (text, object) = bytes.split_at(cut);
    let Ok(text) = std::str::from_utf8(text) else { return };
    palisade_api::fuzz::expression(text, object);
});
