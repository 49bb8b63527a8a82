//! Any bytes as a body in JSON, YAML and protobuf: what is read fits its kind, and comes back through protobuf.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| palisade_api::fuzz::body(bytes));
