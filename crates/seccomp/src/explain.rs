//! Why a syscall gets its answer: the rules for it in the order in which they are tried.

use crate::action::Action;
use crate::arch::{Arch, X32_BIT};
use crate::filter::{Data, FilterError, Rules, Unknown, branches};
use crate::rule::Condition;
use crate::table::Syscall;

/// What decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A rule: its place in [`Rules::rules`].
    Rule(usize),
    /// No rule fits.
    Default,
    /// The profile's own kernel did not have the syscall.
    Unknown,
    /// The syscall is by an architecture that the filter is not for.
    BadArch,
}

/// A rule that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its place in [`Rules::rules`].
    pub rule: usize,
    /// Its conditions as the architecture sees them, and whether each holds.
    pub conditions: Vec<(Condition, bool)>,
}

/// Why a syscall gets its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The answer.
    pub action: Action,
    /// What decided it.
    pub decider: Decider,
    /// What was tried, up to the rule that decided.
    pub tried: Vec<Tried>,
}

/// The architecture that makes a syscall, among those of the rules.
#[must_use]
pub fn arch_of(archs: &[Arch], data: &Data) -> Option<Arch> {
    let is_x32 = |arch: Arch| arch == Arch::X32;
    let found = archs.iter().copied().filter(|arch| arch.audit() == data.arch);
    found.filter(|&arch| data.arch != Arch::X32.audit() || is_x32(arch) == (data.number >= X32_BIT)).max()
}

/// Explains the answer to one syscall.
pub fn explain(rules: &Rules, data: &Data) -> Result<Explanation, FilterError> {
    let Some(arch) = arch_of(&rules.archs, data) else {
        return Ok(Explanation { action: rules.bad_arch, decider: Decider::BadArch, tried: Vec::new() });
    };
    let mut tried = Vec::new();
    for branch in branches(rules, arch, data.number)? {
        let holds = |condition: &Condition| {
            let argument = data.args.get(usize::from(condition.arg())).copied().unwrap_or_default();
            condition.holds(if arch.is_wide() { argument } else { argument & 0xffff_ffff })
        };
        let conditions: Vec<_> = branch.conditions.iter().map(|c| (*c, holds(c))).collect();
        let fits = conditions.iter().all(|(_, holds)| *holds);
        tried.push(Tried { rule: branch.rule, conditions });
        if fits {
            return Ok(Explanation { action: branch.action, decider: Decider::Rule(branch.rule), tried });
        }
    }
    let has_rule = !tried.is_empty();
    Ok(match rules.unknown {
        Unknown::Enosys { kernel } if !has_rule && is_unknown(arch, data.number, kernel) => {
            Explanation { action: Action::Errno(arch.enosys()), decider: Decider::Unknown, tried }
        }
        _ => Explanation { action: rules.default, decider: Decider::Default, tried },
    })
}

fn is_unknown(arch: Arch, number: u32, kernel: palisade_k8s::KernelVersion) -> bool {
    Syscall::numbered(arch, number).is_none_or(|syscall| syscall.introduced() > kernel)
}

/// Parts of the kernel, and the syscalls that belong to each, for summaries.
pub fn areas() -> impl Iterator<Item = (&'static str, Vec<Syscall>)> {
    const AREAS: [(&str, &[&str]); 13] = [
        ("files", &["@file-system", "@basic-io", "@chown", "@sync"]),
        ("network", &["@network-io"]),
        ("processes", &["@process", "@default", "@signal", "@resources"]),
        ("events and asynchronous I/O", &["@io-event", "@aio"]),
        ("inter-process communication", &["@ipc"]),
        ("time", &["@timer", "@clock"]),
        ("identity", &["@setuid"]),
        ("memory", &["@memlock", "@pkey"]),
        ("keys", &["@keyring"]),
        ("mounts", &["@mount"]),
        ("debugging", &["@debug"]),
        ("the machine", &["@module", "@reboot", "@raw-io", "@swap", "@privileged"]),
        ("obsolete", &["@obsolete", "@cpu-emulation"]),
    ];
    let mut seen = std::collections::BTreeSet::new();
    AREAS.into_iter().map(move |(area, sets)| {
        let names = sets.iter().flat_map(|set| crate::systemd::members(set));
        let syscalls = names.filter_map(Syscall::named).filter(|syscall| seen.insert(*syscall)).collect();
        (area, syscalls)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{call, rules};
    use crate::filter::Filter;
    use crate::rule::Operator;

    #[test]
    fn the_decider_is_named() {
        let mut rules = rules(
            &[Arch::X86_64],
            &[("socket", &[(0, Operator::Equal, 1)], Action::Allow), ("read", &[], Action::Allow)],
        );
        rules.unknown = Unknown::Enosys { kernel: palisade_k8s::KernelVersion::new(5, 0) };
        let filter = Filter::new(&rules).unwrap();
        let cases = [
            (call(Arch::X86_64, "socket", &[1]), Decider::Rule(0), 1),
            (call(Arch::X86_64, "socket", &[2]), Decider::Default, 1),
            (call(Arch::X86_64, "read", &[]), Decider::Rule(1), 1),
            (call(Arch::X86_64, "write", &[]), Decider::Default, 0),
            (call(Arch::X86_64, "openat2", &[]), Decider::Unknown, 0),
            (call(Arch::Aarch64, "read", &[]), Decider::BadArch, 0),
        ];
        for (data, decider, tried) in cases {
            let explained = explain(&rules, &data).unwrap();
            assert_eq!((explained.decider, explained.tried.len()), (decider, tried), "{data:x?}");
            assert_eq!(explained.action, filter.decide(&data), "{data:x?}");
        }
    }

    #[test]
    fn x32_is_told_by_its_bit() {
        let both = [Arch::X86_64, Arch::X32];
        let of = |number: u32| arch_of(&both, &Data { number, arch: Arch::X86_64.audit(), args: [0; 6] });
        assert_eq!((of(1), of(X32_BIT | 1)), (Some(Arch::X86_64), Some(Arch::X32)));
    }

    #[test]
    fn a_syscall_is_in_one_area() {
        let mut seen = std::collections::BTreeSet::new();
        for (area, syscalls) in areas() {
            assert!(!syscalls.is_empty(), "{area}");
            assert!(syscalls.iter().all(|syscall| seen.insert(*syscall)), "{area}");
        }
    }
}
