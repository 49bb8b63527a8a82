//! Small rules for the tests of this crate.

use crate::action::Action;
use crate::arch::{Arch, ArchSet};
use crate::filter::{Data, Filter, Rules, Unknown};
use crate::rule::{Condition, Operator, Rule};
use crate::table::Syscall;

/// A rule: the syscall, conditions, the action.
pub(crate) type Case<'a> = (&'a str, &'a [(u8, Operator, u64)], Action);

/// Rules over a default of `EPERM`; numbers without a syscall get that too.
pub(crate) fn rules(archs: &[Arch], cases: &[Case<'_>]) -> Rules {
    let condition =
        |&(arg, operator, value): &(u8, Operator, u64)| Condition::new(arg, operator, value).unwrap();
    let rule = |(entry, (name, conditions, action)): (usize, &Case<'_>)| Rule {
        syscall: Syscall::named(name).unwrap(),
        conditions: conditions.iter().map(condition).collect(),
        action: *action,
        archs: ArchSet::ALL,
        entry,
    };
    Rules {
        default: Action::Errno(1),
        archs: archs.to_vec(),
        rules: cases.iter().enumerate().map(rule).collect(),
        unknown: Unknown::Default,
        bad_arch: Action::KillThread,
        open_multiplexers: true,
    }
}

/// The filter of such rules on x86_64.
pub(crate) fn filter(cases: &[Case<'_>]) -> Filter {
    Filter::new(&rules(&[Arch::X86_64], cases)).unwrap()
}

/// A syscall by name.
pub(crate) fn call(arch: Arch, name: &str, args: &[u64]) -> Data {
    let number = Syscall::named(name).and_then(|syscall| syscall.number(arch)).unwrap();
    let mut data = Data { number, arch: arch.audit(), args: [0; 6] };
    data.args.iter_mut().zip(args).for_each(|(slot, arg)| *slot = *arg);
    data
}
