//! The kernel answers as the simulator says: filters are loaded in child processes and syscalls made.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, reason = "tests")]

use palisade_k8s::capability::CONTAINER_DEFAULT;
use palisade_seccomp::{
    Action, Arch, ArchSet, Context, Data, Filter, Program, Rule, Rules, Unknown, Weights, X32_BIT, builtin,
    compile, profile, resolve, simulate_stack,
    table::{self, Syscall},
};
use palisade_sys::notify;
use palisade_sys::probe::{Entry, Probe, has_int80, probe};
use palisade_sys::seccomp::Loading;

fn loading(programs: &[Program]) -> Loading {
    Loading { programs: programs.iter().map(Program::to_bytes).collect(), log: false, spec_allow: true }
}

fn programs(rules: &Rules) -> Vec<Program> {
    compile(&Filter::new(rules).expect("a filter"), Weights::shipped()).expect("it compiles")
}

fn native() -> Arch {
    Arch::parse(std::env::consts::ARCH).expect("an architecture of ours")
}

fn rules(default: Action, rules: &[(&str, Action)]) -> Rules {
    let rule = |(entry, &(name, action)): (usize, &(&str, Action))| Rule {
        syscall: Syscall::named(name).expect("a syscall"),
        conditions: Vec::new(),
        action,
        archs: ArchSet::ALL,
        entry,
    };
    Rules {
        default,
        archs: vec![native()],
        rules: rules.iter().enumerate().map(rule).collect(),
        unknown: Unknown::Default,
        bad_arch: Action::KillThread,
        open_multiplexers: true,
    }
}

fn number(name: &str) -> u32 {
    Syscall::named(name).and_then(|call| call.number(native())).expect("a syscall of this machine")
}

/// Marks a syscall that the profile would let through. It never happens, so every syscall can be made.
const LET_THROUGH: Action = Action::Errno(2000);

/// All numbers, with arguments on both sides of what the profiles compare.
fn calls(arch: Arch) -> Vec<Probe> {
    let entry = if arch == Arch::X86 { Entry::Int80 } else { Entry::Native };
    // The one that leaves, and two that newer kernels let through before any filter and kill for.
    let apart = ["exit_group", "uretprobe", "uprobe"]
        .map(|name| Syscall::named(name).and_then(|call| call.number(arch)));
    let mut calls = Vec::new();
    for number in arch.base()..table::highest(arch) + 8 {
        if apart.contains(&Some(number)) {
            continue;
        }
        let looked_at = ["clone", "socket", "personality", "socketcall"];
        let is_looked_at =
            Syscall::numbered(arch, number).is_some_and(|call| looked_at.contains(&call.name()));
        let values: &[u64] = match is_looked_at {
            true => &[
                0,
                1,
                8,
                37,
                38,
                39,
                40,
                41,
                0x20000,
                0x20008,
                0x1000_0000,
                0x7e02_0000,
                0xffff_ffff,
                u64::MAX,
            ],
            false => &[0, u64::MAX],
        };
        for &first in values {
            for second in [0, 1, 3, u64::MAX] {
                calls.push(Probe { entry, number, args: [first, second, 0, 0, 0, 0] });
            }
        }
    }
    calls
}

fn agrees(text: &str, caps: &[&str], arch: Arch) -> usize {
    let profile = profile::read(text).0.expect("a profile");
    let caps = caps.iter().map(|cap| (*cap).to_owned()).collect();
    let mut rules = resolve(&profile, &Context { arch: native(), caps, kernel: table::NEWEST }).rules;
    let harmless = |action: Action| if action == Action::Allow { LET_THROUGH } else { action };
    rules.default = harmless(rules.default);
    rules.bad_arch = Action::Errno(2001);
    let leave = Syscall::named("exit_group").expect("a syscall");
    for rule in rules.rules.iter_mut().filter(|rule| rule.syscall != leave) {
        rule.action = harmless(rule.action);
    }
    let programs = programs(&rules);
    let calls = calls(arch);
    let outcome = probe(&loading(&programs), &calls).expect("the kernel takes the filter");
    assert_eq!((outcome.returned.len(), outcome.signal), (calls.len(), None));
    for (call, returned) in calls.iter().zip(&outcome.returned) {
        let data = Data { number: call.number, arch: arch.audit(), args: call.args };
        let Action::Errno(errno) = simulate_stack(&programs, &data) else { unreachable!("{call:?}") };
        assert_eq!(*returned, -i64::from(errno), "{arch} {call:?}");
    }
    calls.len()
}

#[test]
fn every_call_is_answered_as_simulated() {
    let mut archs = vec![native()];
    if native() == Arch::X86_64 {
        archs.push(Arch::X32);
        match has_int80() {
            true => archs.push(Arch::X86),
            false => println!("skipped for x86: this kernel runs no 32-bit programs"),
        }
    }
    for (name, text) in builtin::ALL {
        for caps in [&CONTAINER_DEFAULT[..], &["CAP_SYS_ADMIN"]] {
            for &arch in &archs {
                let count = agrees(text, caps, arch);
                println!("{name} on {arch}: {count} syscalls answered as simulated");
            }
        }
    }
}

#[test]
fn x32_numbers_are_not_x86_64s() {
    if native() != Arch::X86_64 {
        println!("skipped: x32 is x86_64's");
        return;
    }
    let rules = rules(Action::Allow, &[("getpid", Action::Errno(7))]);
    let call = Probe { entry: Entry::Native, number: number("getpid") | X32_BIT, args: [0; 6] };
    let outcome = probe(&loading(&programs(&rules)), &[call]).expect("the kernel takes it");
    assert_eq!(outcome.signal, Some(31), "a filter without x32 kills its syscalls");
}

#[test]
fn every_action_does_what_it_says() {
    let getpid = [Probe { entry: Entry::Native, number: number("getpid"), args: [0; 6] }];
    let run = |action| {
        let rules = rules(Action::Allow, &[("getpid", action)]);
        probe(&loading(&programs(&rules)), &getpid).expect("the kernel takes it")
    };
    for (action, expected) in [
        (Action::Errno(1), -1),
        (Action::Errno(4095), -4095),
        // Without a tracer.
        (Action::Trace(5), -38),
        // Without a supervisor.
        (Action::Notify, -38),
    ] {
        // The library's wrapper knows errors up to 4095 only.
        assert_eq!(run(action).returned, [expected], "{action}");
    }
    assert!(run(Action::Log).returned[0] > 0, "a logged syscall happens");
    for action in [Action::Trap(0), Action::KillThread, Action::KillProcess] {
        let outcome = run(action);
        assert_eq!((outcome.returned.len(), outcome.signal), (0, Some(31)), "{action} ends in SIGSYS");
    }
}

#[test]
fn of_several_filters_the_strictest_wins() {
    let getpid = [Probe { entry: Entry::Native, number: number("getpid"), args: [0; 6] }];
    let all = [Action::Allow, Action::Log, Action::Errno(3), Action::Errno(9), Action::Trace(1)];
    for a in all {
        for b in all {
            let stack: Vec<_> = [a, b]
                .iter()
                .flat_map(|action| programs(&rules(Action::Allow, &[("getpid", *action)])))
                .collect();
            let data = Data { number: getpid[0].number, arch: native().audit(), args: [0; 6] };
            let returned = probe(&loading(&stack), &getpid).expect("the kernel takes them").returned[0];
            match simulate_stack(&stack, &data) {
                Action::Errno(errno) => assert_eq!(returned, -i64::from(errno), "{a}, {b}"),
                Action::Trace(_) => assert_eq!(returned, -38, "{a}, {b}"),
                _ => assert!(returned > 0, "{a}, {b}"),
            }
        }
    }
}

#[test]
fn a_supervisor_is_asked_and_answers() {
    let programs = programs(&rules(Action::Allow, &[("uname", Action::Notify)]));
    for (answer, works) in [(Some(1), false), (None, true)] {
        let mut command = std::process::Command::new("uname");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let supervised = notify::spawn(command, &loading(&programs)).expect("it starts");
        let mut asked = 0;
        while let Some(call) = supervised.listener.receive().expect("syscalls arrive") {
            assert_eq!((call.number, call.arch), (number("uname"), native().audit()));
            asked += 1;
            match answer {
                Some(errno) => supervised.listener.fail(call.id, errno).expect("it is answered"),
                None => supervised.listener.allow(call.id).expect("it is answered"),
            }
        }
        let mut child = supervised.child.join().expect("no panic").expect("it ran");
        assert_eq!(child.wait().expect("it ends").success(), works);
        assert!(asked > 0);
    }
}
