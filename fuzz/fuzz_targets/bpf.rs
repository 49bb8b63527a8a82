//! Bytes that are a program are run on a syscall and printed; a program whose decision can be read off is
//! compiled anew from it and answers the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade_seccomp::{Data, Decision, Program, disassemble, simulate};

fuzz_target!(|input: (u32, u32, [u64; 6], bool, &[u8])| {
    let (number, arch, args, big_endian, bytes) = input;
    let Ok(program) = Program::from_bytes(bytes, big_endian) else { return };
    assert_eq!(program.to_bytes(), bytes);
    assert_eq!(disassemble(&program).len(), program.instructions().len());
    let data = Data { number, arch, args };
    let run = simulate(&program, &data);
    let Ok(decision) = Decision::of_programs(std::slice::from_ref(&program)) else { return };
    let Ok(again) = decision.compile(big_endian) else { return };
    assert_eq!(simulate(&again, &data).action(), run.action());
});
