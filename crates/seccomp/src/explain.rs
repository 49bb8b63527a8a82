//! The reason for the result of a syscall: its rules in the order of their evaluation.

use crate::action::Action;
use crate::arch::Arch;
use crate::filter::{Data, FilterError, Rules, Unknown, branches};
use crate::rule::Condition;
use crate::table::Syscall;

/// The part of the rules that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A rule: its place in [`Rules::rules`].
    Rule(usize),
    /// No rule matches.
    Default,
    /// The profile's own kernel did not have the syscall.
    Unknown,
    /// The syscall is of an architecture that the filter is not for.
    BadArch,
}

/// An evaluated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Its place in [`Rules::rules`].
    pub rule: usize,
    /// Its conditions on the architecture, and whether each holds.
    pub conditions: Vec<(Condition, bool)>,
}

/// The reason for the result of a syscall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The result.
    pub action: Action,
    /// The part of the rules that decided it.
    pub decider: Decider,
    /// The evaluated rules, up to the one that decided.
    pub tried: Vec<Tried>,
}

/// Explains the result of one syscall.
pub fn explain(rules: &Rules, data: &Data) -> Result<Explanation, FilterError> {
    let Some(arch) = data.arch_among(&rules.archs) else {
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
}
