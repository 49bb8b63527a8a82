//! The meaning of rules, case by case: overlaps, 64-bit arguments, multiplexers, unknown numbers, ABIs; through the
//! compiled program, which is proved equal first.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use palisade_k8s::KernelVersion;
use palisade_seccomp::{
    Action::{self, Allow, Errno, KillThread},
    Arch, ArchSet, Condition, Context, Data, Filter, FilterError, Operator, Rule, Rules, Unknown, Weights,
    builtin, compile, open_holes, profile, resolve, simulate,
    table::{self, Syscall},
    verify,
};

use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};

/// Rules, and the answers to some first arguments.
type Overlap<'a> = (&'a [Case<'a>], &'a [(u64, Action)]);

/// A rule: syscall, conditions, action.
type Case<'a> = (&'a str, &'a [(u8, Operator, u64)], Action);

fn rules(archs: &[Arch], cases: &[Case<'_>]) -> Rules {
    let rule = |(entry, (syscall, conditions, action)): (usize, &Case<'_>)| Rule {
        syscall: Syscall::named(syscall).unwrap(),
        conditions: conditions
            .iter()
            .map(|&(arg, operator, value)| Condition::new(arg, operator, value).unwrap())
            .collect(),
        action: *action,
        archs: ArchSet::ALL,
        entry,
    };
    Rules {
        default: Errno(1),
        archs: archs.to_vec(),
        rules: cases.iter().enumerate().map(rule).collect(),
        unknown: Unknown::Default,
        bad_arch: KillThread,
        open_multiplexers: true,
    }
}

fn answer(rules: &Rules, arch: Arch, number: u32, args: &[u64]) -> Action {
    let filter = Filter::new(rules).unwrap();
    let programs = compile(&filter, Weights::shipped()).unwrap();
    assert_eq!(verify(&filter, &programs, 1), Ok(vec![]));
    let mut data = Data { number, arch: arch.audit(), args: [0; 6] };
    data.args[..args.len()].copy_from_slice(args);
    let action = simulate(&programs[0], &data).action();
    assert_eq!(filter.decide(&data), action);
    action
}

fn call(rules: &Rules, arch: Arch, name: &str, args: &[u64]) -> Action {
    answer(rules, arch, Syscall::named(name).unwrap().number(arch).unwrap(), args)
}

#[test]
fn overlapping_rules_have_an_order() {
    // Rules for read on x86_64, and the answers to first arguments.
    let cases: &[Overlap<'_>] = &[
        // A rule without conditions beats all others, wherever it stands; of two the first counts.
        (&[("read", &[(0, Equal, 5)], Errno(9)), ("read", &[], Allow)], &[(5, Allow), (6, Allow)]),
        (&[("read", &[], Allow), ("read", &[(0, Equal, 5)], Errno(9))], &[(5, Allow)]),
        (&[("read", &[], Allow), ("read", &[], Errno(9))], &[(0, Allow)]),
        // An equality beats an order; of orders the tightest bound.
        (
            &[("read", &[(0, Less, 10)], Allow), ("read", &[(0, Equal, 2)], Errno(9))],
            &[(2, Errno(9)), (3, Allow)],
        ),
        (
            &[("read", &[(0, Equal, 2)], Errno(9)), ("read", &[(0, Less, 10)], Allow)],
            &[(2, Errno(9)), (3, Allow)],
        ),
        (
            &[("read", &[(0, Greater, 5)], Allow), ("read", &[(0, Greater, 7)], Errno(9))],
            &[(6, Allow), (8, Errno(9))],
        ),
        // Two inequalities in alternatives are everything.
        (
            &[("read", &[(0, NotEqual, 1)], Allow), ("read", &[(0, NotEqual, 2)], Allow)],
            &[(1, Allow), (2, Allow)],
        ),
        // GHSA-4q85-33p6-j5g6: libseccomp up to 2.6.0 answers 1 at 0, where both bounds hold.
        (
            &[
                ("read", &[(0, Less, 0x1_0000_0010)], Errno(1)),
                ("read", &[(0, Less, 0x1_0000_0005)], Errno(9)),
            ],
            &[(0, Errno(9)), (0x1_0000_0004, Errno(9)), (0x1_0000_0005, Errno(1))],
        ),
        // CVE-2019-9893: orders of 64-bit arguments.
        (
            &[("read", &[(0, LessOrEqual, 0x2_0000_0005)], Allow)],
            &[
                (0x1_ffff_ffff, Allow),
                (0x2_0000_0005, Allow),
                (0x2_0000_0006, Errno(1)),
                (0x3_0000_0000, Errno(1)),
            ],
        ),
        (
            &[("read", &[(0, GreaterOrEqual, 0x2_0000_0005)], Allow)],
            &[
                (0x1_ffff_ffff, Errno(1)),
                (0x2_0000_0004, Errno(1)),
                (0x2_0000_0005, Allow),
                (0x3_0000_0000, Allow),
            ],
        ),
        // libseccomp 2.5.4 loses the second rule for upper halves other than 0.
        (
            &[
                ("read", &[(0, LessOrEqual, 2), (1, NotEqual, 7)], Allow),
                ("read", &[(0, Less, 0x7fff_ffff_ffff_ffff)], Allow),
            ],
            &[(0x8000_0000, Allow), (u64::MAX, Errno(1))],
        ),
        // The end of the range: nothing is greater than everything, everything is at least 0.
        (&[("read", &[(0, Greater, u64::MAX)], Allow)], &[(u64::MAX, Errno(1))]),
        (&[("read", &[(0, GreaterOrEqual, 0)], Allow)], &[(0, Allow), (u64::MAX, Allow)]),
        // Bits of the value outside of the mask do not count; a mask of 0 always holds.
        (
            &[("read", &[(0, MaskedEqual { mask: 0xf }, 0x13)], Allow)],
            &[(3, Allow), (0x13, Allow), (4, Errno(1))],
        ),
        (&[("read", &[(0, MaskedEqual { mask: 0 }, 7)], Allow)], &[(0, Allow)]),
    ];
    for (list, answers) in cases {
        let rules = rules(&[Arch::X86_64], list);
        for (arg, expected) in *answers {
            assert_eq!(call(&rules, Arch::X86_64, "read", &[*arg]), *expected, "{list:?} at {arg:#x}");
        }
    }
}

#[test]
fn the_same_conditions_with_two_actions_are_refused() {
    let same: &[(u8, Operator, u64)] = &[(0, Equal, 5), (1, Less, 9)];
    let rules = rules(&[Arch::X86_64], &[("read", same, Allow), ("read", same, Errno(9))]);
    assert!(matches!(Filter::new(&rules), Err(FilterError::Conflict { .. })));
}

#[test]
fn narrow_abis_look_at_lower_halves() {
    let rules = rules(
        &[Arch::X86_64, Arch::X86, Arch::X32],
        &[("personality", &[(0, Equal, 0xffff_ffff_ffff_fff8)], Allow)],
    );
    let high = 0xffff_ffff_ffff_fff8;
    assert_eq!(call(&rules, Arch::X86_64, "personality", &[high]), Allow);
    assert_eq!(call(&rules, Arch::X86_64, "personality", &[0xffff_fff8]), Errno(1));
    for arch in [Arch::X86, Arch::X32] {
        assert_eq!(call(&rules, arch, "personality", &[high]), Allow);
        assert_eq!(call(&rules, arch, "personality", &[0xffff_fff8]), Allow);
    }
}

#[test]
fn big_endian_machines_have_the_upper_half_first() {
    let rules = rules(&[Arch::S390x], &[("read", &[(2, Equal, 0x1_0000_0002)], Allow)]);
    assert_eq!(call(&rules, Arch::S390x, "read", &[0, 0, 0x1_0000_0002]), Allow);
    assert_eq!(call(&rules, Arch::S390x, "read", &[0, 0, 0x2_0000_0001]), Errno(1));
}

#[test]
fn multiplexers_are_open_unless_closed() {
    let mut rules = rules(&[Arch::X86], &[("socket", &[(0, Equal, 2)], Allow), ("listen", &[], Allow)]);
    let socketcall = |rules: &Rules, sub: u64| call(rules, Arch::X86, "socketcall", &[sub, 0xdead]);
    assert_eq!(call(&rules, Arch::X86, "socket", &[2]), Allow);
    assert_eq!(call(&rules, Arch::X86, "socket", &[17]), Errno(1));
    assert_eq!([1, 4, 2].map(|sub| socketcall(&rules, sub)), [Allow, Allow, Errno(1)]);
    rules.open_multiplexers = false;
    assert_eq!([1, 4, 2].map(|sub| socketcall(&rules, sub)), [Errno(1), Allow, Errno(1)]);
    assert_eq!(call(&rules, Arch::X86, "socket", &[2]), Allow);
}

/// libseccomp never sees a rule whose action is the default, and gives precedence to its own additions
/// (containerd#13330); here such a rule counts.
#[test]
fn a_denial_that_repeats_the_default_counts() {
    let rules = rules(&[Arch::X86], &[("socket", &[(0, Less, 38)], Allow), ("socketcall", &[], Errno(1))]);
    assert_eq!(call(&rules, Arch::X86, "socketcall", &[1]), Errno(1));
    assert_eq!(call(&rules, Arch::X86, "socket", &[2]), Allow);
}

#[test]
fn what_the_profiles_kernel_lacked_does_not_exist() {
    let mut rules = rules(&[Arch::X86_64, Arch::X32], &[("read", &[], Allow)]);
    rules.unknown = Unknown::Enosys { kernel: KernelVersion::new(5, 9) };
    let answers = [
        // Known and not listed, newer, a hole, beyond the table, and not a number at all.
        ("mount", Errno(1)),
        ("close_range", Errno(1)),
        ("mount_setattr", Errno(38)),
    ];
    for (name, expected) in answers {
        assert_eq!(call(&rules, Arch::X86_64, name, &[]), expected, "{name}");
    }
    for number in [400, 423, 5000, 0x3fff_ffff, 0x4000_0000 + 400, u32::MAX] {
        assert_eq!(answer(&rules, Arch::X86_64, number, &[]), Errno(38), "{number:#x}");
    }
}

#[test]
fn open_holes_let_through_only_what_no_call_has() {
    let (profile, _) = profile::read(builtin::DEFAULT);
    let context = Context { arch: Arch::X86_64, caps: Default::default(), kernel: table::NEWEST };
    let exact = Filter::new(&resolve(&profile.unwrap(), &context).rules).unwrap();
    let open = open_holes(&exact);
    let length = |filter| {
        let programs = compile(filter, Weights::shipped()).unwrap();
        assert_eq!(verify(filter, &programs, 1), Ok(vec![]));
        programs.iter().map(|program| program.instructions().len()).sum::<usize>()
    };
    assert!(length(&open) < length(&exact));
    let mut opened = 0;
    for &arch in exact.archs() {
        for number in arch.base().saturating_sub(3)..table::highest(arch) + 100 {
            let data = Data { number, arch: arch.audit(), args: [u64::MAX; 6] };
            if open.decide(&data) != exact.decide(&data) {
                assert_eq!(
                    (Syscall::numbered(arch, number), open.decide(&data)),
                    (None, Allow),
                    "{arch} {number}"
                );
                opened += 1;
            }
        }
    }
    assert!(opened > 0);
}

#[test]
fn mips_numbers_enosys_differently() {
    let mut rules = rules(&[Arch::Mips64el], &[("read", &[], Allow)]);
    rules.unknown = Unknown::Enosys { kernel: KernelVersion::new(5, 9) };
    assert_eq!(call(&rules, Arch::Mips64el, "mount_setattr", &[]), Errno(89));
}

#[test]
fn other_abis_are_killed_but_for_minus_one() {
    let rules = rules(&[Arch::X86_64], &[("read", &[], Allow)]);
    assert_eq!(answer(&rules, Arch::X86, 3, &[]), KillThread);
    assert_eq!(answer(&rules, Arch::X32, 0x4000_0000, &[]), KillThread);
    // A tracer sets -1 to skip a syscall.
    assert_eq!(answer(&rules, Arch::X86_64, u32::MAX, &[]), Errno(1));
}

#[test]
fn every_architecture_has_a_filter() {
    for arch in Arch::ALL {
        let rules = rules(&[arch], &[("write", &[(0, Equal, 1)], Allow), ("exit_group", &[], Allow)]);
        assert_eq!(call(&rules, arch, "write", &[1]), Allow, "{arch}");
        assert_eq!(call(&rules, arch, "write", &[2]), Errno(1), "{arch}");
        assert_eq!(call(&rules, arch, "exit_group", &[0]), Allow, "{arch}");
    }
}
