//! A schema of a custom resource and an object, a line feed between them: what is completed and pruned is so once and for all.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let cut = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (schema, object) = bytes.split_at(cut);
    palisade_api::fuzz::schema(schema, object);
});
