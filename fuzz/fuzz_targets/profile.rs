//! A profile of any text is read, looked over, resolved and compiled; the program is proved to decide as the
//! rules say, and the explanation of a syscall gives the answer that the filter gives.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use palisade_k8s::KernelVersion;
use palisade_seccomp::{
    Arch, Context, Data, Filter, Weights, compile, explain,
    profile::{read, write_docker},
    resolve, verify,
};

fuzz_target!(|text: &str| {
    let (profile, findings) = read(text);
    assert!(profile.is_some() || !findings.is_empty());
    let Some(profile) = profile else { return };
    let docker = |profile| write_docker(profile, Arch::X86_64);
    let again = read(&docker(&profile).to_string()).0.expect("what is written can be read");
    assert_eq!(docker(&again), docker(&profile));
    for arch in [Arch::X86_64, Arch::S390x] {
        let caps = BTreeSet::from(["CAP_SYS_ADMIN".to_owned()]);
        let context = Context { arch, caps, kernel: KernelVersion::new(5, 14) };
        let rules = resolve(&profile, &context).rules;
        drop(palisade_seccomp::lint(&profile, &rules, arch));
        let Ok(filter) = Filter::new(&rules) else { continue };
        for rule in &rules.rules {
            let Some(number) = rule.syscall.number(arch) else { continue };
            let mut data = Data { number, arch: arch.audit(), args: [0; 6] };
            for condition in &rule.conditions {
                data.args[usize::from(condition.arg())] = condition.value();
            }
            assert_eq!(explain(&rules, &data).expect("the filter was made").action, filter.decide(&data));
        }
        let Ok(programs) = compile(&filter, Weights::shipped()) else { continue };
        // Some are too tangled to be walked.
        if let Ok(differences) = verify(&filter, &programs, 1) {
            assert!(differences.is_empty());
        }
    }
});
