//! One profile decides alike whichever verb asks: resolved and compiled, written as OCI and read again, explained, and
//! the filter itself. Random profiles; the seed is printed, and PALISADE_SEED sets it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use palisade_k8s::KernelVersion;
use palisade_seccomp::{
    Arch, Context, Data, Decision, Filter, explain,
    profile::{read_json, write_docker, write_oci},
    resolve,
    source::{self, Syntax},
    table::Syscall,
};

/// A small generator of random numbers (Steele, Lea and Flood's SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const CAPS: [&str; 3] = ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_TIME"];

fn entry(random: &mut Random, names: &[&str]) -> String {
    let names: Vec<_> = (0..=random.below(4)).map(|_| format!("\"{}\"", random.pick(names))).collect();
    let action = random.pick(&["ALLOW", "ALLOW", "LOG", "ERRNO", "KILL_PROCESS"]);
    let mut text = format!("\"names\":[{}],\"action\":\"SCMP_ACT_{action}\"", names.join(","));
    if action == "ERRNO" && random.below(2) == 0 {
        text.push_str(&format!(",\"errnoRet\":{}", [1, 22, 38][random.below(3)]));
    }
    if random.below(3) == 0 {
        let (index, op) = (random.below(2), random.pick(&["EQ", "NE", "LT", "GE", "MASKED_EQ"]));
        let value = [1, 38, 0x1_0000_0000_u64, 0x7e02_0000][random.below(4)];
        text.push_str(&format!(
            ",\"args\":[{{\"index\":{index},\"value\":{value},\"op\":\"SCMP_CMP_{op}\"}}]"
        ));
    }
    for gate in ["includes", "excludes"].into_iter().filter(|_| random.below(5) == 0).collect::<Vec<_>>() {
        let condition = match random.below(3) {
            0 => format!("\"caps\":[\"{}\"]", random.pick(&CAPS)),
            1 => format!("\"minKernel\":\"{}.{}\"", 4 + random.below(3), random.below(12)),
            _ => format!("\"arches\":[\"{}\"]", random.pick(&["amd64", "arm64"])),
        };
        text.push_str(&format!(",\"{gate}\":{{{condition}}}"));
    }
    format!("{{{text}}}")
}

fn container(random: &mut Random, names: &[&str]) -> String {
    let entries: Vec<_> = (0..random.below(8)).map(|_| entry(random, names)).collect();
    let default = random.pick(&["ERRNO", "ERRNO", "KILL", "ALLOW", "TRACE"]);
    let archs = random.pick(&[
        "\"architectures\":[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"]",
        "\"architectures\":[\"SCMP_ARCH_X86_64\"]",
        "\"archMap\":[{\"architecture\":\"SCMP_ARCH_X86_64\",\"subArchitectures\":[\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"]}]",
    ]);
    format!("{{\"defaultAction\":\"SCMP_ACT_{default}\",{archs},\"syscalls\":[{}]}}", entries.join(","))
}

/// A unit for one ABI, since OCI's form has no rules of one ABI among several.
fn unit(random: &mut Random, names: &[&str]) -> String {
    let mut text = String::from("SystemCallArchitectures=native\n");
    for _ in 0..1 + random.below(3) {
        let sign = random.pick(&["", "~"]);
        let words: Vec<_> = (0..=random.below(4)).map(|_| random.pick(names)).collect();
        text.push_str(&format!("SystemCallFilter={sign}{}\n", words.join(" ")));
    }
    let directives = [
        "SystemCallErrorNumber=EPERM",
        "RestrictAddressFamilies=AF_UNIX AF_INET6",
        "RestrictAddressFamilies=~AF_ALG",
        "RestrictNamespaces=net user",
        "MemoryDenyWriteExecute=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "ProtectClock=yes",
    ];
    for directive in directives {
        if random.below(3) == 0 {
            text.push_str(&format!("{directive}\n"));
        }
    }
    text
}

fn context(random: &mut Random) -> Context {
    let caps = CAPS.iter().filter(|_| random.below(2) == 0).map(|cap| (*cap).to_owned()).collect();
    let kernel = KernelVersion::new(
        4 + u32::try_from(random.below(3)).unwrap(),
        u32::try_from(random.below(12)).unwrap(),
    );
    Context { arch: Arch::X86_64, caps, kernel }
}

/// Syscalls of syscalls that a profile may name, with arguments about the values that it may compare.
fn calls(archs: &[Arch], names: &[&str]) -> Vec<Data> {
    let values = [0, 1, 2, 38, 0x1_0000_0000, 0x1000_0011, 0x7e02_0000, u64::MAX];
    let mut syscalls = Vec::new();
    for &arch in archs {
        let numbers =
            names.iter().filter_map(|name| Syscall::named(name)?.number(arch)).chain([arch.base() + 1999]);
        for number in numbers {
            for value in values {
                syscalls.push(Data { number, arch: arch.audit(), args: [value, value, value, 0, 0, 0] });
            }
        }
    }
    syscalls
}

#[test]
fn resolve_explain_and_compile_decide_alike() {
    let seed = std::env::var("PALISADE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_125);
    println!("PALISADE_SEED={seed}");
    let mut random = Random(seed);
    let names = [
        "read",
        "write",
        "openat",
        "openat2",
        "clone",
        "clone3",
        "socket",
        "personality",
        "mmap",
        "mprotect",
        "fchmodat",
        "fchmodat2",
        "cachestat",
        "futex_wake",
        "statx",
        "setns",
        "unshare",
        "sched_setscheduler",
        "clock_settime",
        "execve",
        "stat64",
        "close_range",
        "nosuchsyscall",
    ];
    for case in 0..160 {
        let is_unit = case % 4 == 3;
        let text = if is_unit { unit(&mut random, &names) } else { container(&mut random, &names) };
        let syntax = if is_unit { Syntax::Unit } else { Syntax::Json };
        let sources = source::read(&text, syntax);
        let Some(profile) = sources[0].profile() else { panic!("{text}: {:?}", sources[0].findings) };
        let context = context(&mut random);
        let rules = resolve(profile, &context).rules;
        let filter = Filter::new(&rules);
        let Ok(filter) = filter else { continue };
        let compiled = Decision::of_rules(&rules).unwrap();
        // As OCI, on any kernel and with any capabilities: it does not depend on them.
        for (form, written) in [
            ("oci", write_oci(&rules, profile, context.arch)),
            ("docker", write_docker(profile, context.arch)),
        ] {
            let (again, findings) = read_json(&written.to_string());
            let again = again.unwrap_or_else(|| panic!("{text}: {form}: {findings:?}"));
            let elsewhere =
                Context { caps: Default::default(), kernel: KernelVersion::new(7, 0), ..context.clone() };
            // Docker's form keeps conditions, and does not record the age of the syscalls that a unit knows.
            if form == "docker" && is_unit {
                continue;
            }
            let rules = resolve(&again, if form == "oci" { &elsewhere } else { &context }).rules;
            let differences =
                Decision::of_rules(&rules).unwrap().differences(&compiled, &rules.archs, 3).unwrap();
            assert_eq!(differences, [], "{text}\n{form}: {written:#}\n{context:?}");
        }
        for data in calls(&rules.archs, &names) {
            let explained = explain(&rules, &data).unwrap();
            assert_eq!(explained.action, filter.decide(&data), "{text}\n{data:x?}\n{explained:?}");
        }
    }
}
