//! systemd's lines of any text are read; what they become can be written for systemd and read again, and
//! then decides the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade_seccomp::{
    Arch, Context, Decision, resolve,
    systemd::{read, write},
    table,
};

fuzz_target!(|text: &str| {
    let (profile, findings) = read(text);
    assert!(profile.is_some() || !findings.is_empty());
    let Some(profile) = profile else { return };
    let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
    let mut rules = resolve(&profile, &context).rules;
    rules.unknown = palisade_seccomp::Unknown::Default;
    let (Ok(lines), Ok(decided)) = (write(&rules), Decision::of_rules(&rules)) else { return };
    let (again, _) = read(&lines);
    // A list without syscalls cannot be written.
    let Some(again) = again.filter(|_| !rules.rules.is_empty()) else { return };
    let mut again = resolve(&again, &context).rules;
    again.unknown = rules.unknown;
    let again = Decision::of_rules(&again).expect("it was made before");
    assert_eq!(decided.differences(&again, &rules.archs, 1), Ok(vec![]), "{lines}");
});
