//! Intersection and union of profiles: the syscalls that both allow, and those that either does.

use crate::action::Action;
use crate::arch::{Arch, ArchSet};
use crate::compare::{CompareError, Decision};
use crate::compile::{CompileError, compile};
use crate::errno;
use crate::filter::{Filter, FilterError, Rules, Unknown};
use crate::rule::{Condition, Operator, Rule};
use crate::table::Syscall;
use crate::weight::Weights;

/// An error in joining two profiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// They are for different machines.
    #[error("the profiles are for different architectures")]
    Archs,
    /// No list of rules expresses it.
    #[error(
        "no profile can say what both together decide on {0}; write a program with --output FILE.bpf instead"
    )]
    Inexpressible(String),
    /// Each condition of one has to be held against each of the other.
    #[error(
        "the profiles have too many conditional rules for the same syscalls: {0} pairs with {1}, and the maximum is {MAX_PAIRS}"
    )]
    Pairs(usize, &'static str),
    /// See there.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// See there.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// See there.
    #[error(transparent)]
    Compare(#[from] CompareError),
}

impl Decision {
    /// The decision of rules, ready to be compared and joined.
    pub fn of_rules(rules: &Rules) -> Result<Self, JoinError> {
        Ok(Self::of_programs(&compile(&Filter::new(rules)?, Weights::shipped())?)?)
    }
}

/// Joins two sets of rules: the result for each syscall is the one that `choose` picks, [`strictest`] for the
/// intersection, [`laxest`] for the union. The joined rules are compared with that exactly, so they are right or it is
/// an error.
///
/// [`strictest`]: crate::strictest
/// [`laxest`]: crate::laxest
pub fn join(a: &Rules, b: &Rules, choose: fn(Action, Action) -> Action) -> Result<Rules, JoinError> {
    let archs = archs(a, b, choose)?;
    let sides = sides(a, b)?;
    let exact = Decision::of_rules(a)?.combine(&Decision::of_rules(b)?, choose)?;
    let default = choose(a.default, b.default);
    let unknown = match (a.unknown, b.unknown) {
        (Unknown::Enosys { kernel: a }, Unknown::Enosys { kernel: b }) => {
            Unknown::Enosys { kernel: a.max(b) }
        }
        (Unknown::Default, other) | (other, Unknown::Default) => other,
    };
    let mut joined = Rules { default, archs, rules: Vec::new(), unknown, ..a.clone() };
    for (syscall, x, y) in sides {
        // Syscalls that one of them names stay named: the newest of these determines the age of the profile.
        let is_named = x.is_named || y.is_named;
        let rules = joined_syscall(&x, &y, choose);
        if is_named
            || !matches!(rules.as_slice(), [(conditions, action)] if conditions.is_empty() && *action == unlisted(&joined, syscall))
        {
            let rule =
                |(conditions, action)| Rule { syscall, conditions, action, archs: ArchSet::ALL, entry: 0 };
            joined.rules.extend(rules.into_iter().map(rule));
        }
    }
    let wrong = Decision::of_rules(&joined)?.differences(&exact, &[&a.archs[..], &b.archs].concat(), 5)?;
    if wrong.is_empty() {
        return Ok(joined);
    }
    let name = |data: &crate::filter::Data| {
        let arch = data.arch_among(&a.archs)?;
        Some(format!("{} on {arch}", Syscall::numbered(arch, data.number)?))
    };
    let mut names: Vec<_> = wrong
        .iter()
        .map(|d| name(&d.example).unwrap_or_else(|| format!("number {}", d.example.number)))
        .collect();
    names.dedup();
    Err(JoinError::Inexpressible(names.join(", ")))
}

/// Pairs of conditional rules in all, so that joining takes less than a second: 64 rules of a syscall on each side. The
/// profiles of container engines have fewer than 100 pairs.
const MAX_PAIRS: usize = 4096;

/// Both sides' rules for each syscall.
fn sides(a: &Rules, b: &Rules) -> Result<Vec<(Syscall, Side, Side)>, JoinError> {
    let mut pairs = 0;
    let side = |syscall: Syscall| {
        let (x, y) = (of_syscall(a, syscall), of_syscall(b, syscall));
        pairs += x.rules.len() * y.rules.len();
        if pairs > MAX_PAIRS { Err(JoinError::Pairs(pairs, syscall.name())) } else { Ok((syscall, x, y)) }
    };
    Syscall::all().map(side).collect()
}

/// An architecture that only one side is for is killed by the other, so an intersection leaves it out. A union would be
/// the one side's there and both sides' elsewhere, which no profile can express.
fn archs(a: &Rules, b: &Rules, choose: fn(Action, Action) -> Action) -> Result<Vec<Arch>, JoinError> {
    let is_killed =
        choose(a.bad_arch, Action::Allow) == a.bad_arch && choose(b.bad_arch, Action::Allow) == b.bad_arch;
    if a.archs != b.archs && !is_killed {
        return Err(JoinError::Archs);
    }
    Ok(a.archs.iter().copied().filter(|arch| b.archs.contains(arch)).collect())
}

/// One side's rules for a syscall: conditions and results, and the result for the rest.
struct Side {
    is_named: bool,
    rules: Vec<(Vec<Condition>, Action)>,
    rest: Action,
}

/// The result for a syscall that no rule names.
fn unlisted(rules: &Rules, syscall: Syscall) -> Action {
    match rules.unknown {
        Unknown::Enosys { kernel } if syscall.introduced() > kernel => Action::Errno(errno::ENOSYS),
        _ => rules.default,
    }
}

fn of_syscall(rules: &Rules, syscall: Syscall) -> Side {
    let own: Vec<_> = rules.rules.iter().filter(|rule| rule.syscall == syscall).collect();
    let is_named = !own.is_empty();
    match own.iter().find(|rule| rule.conditions.is_empty()) {
        Some(rule) => Side { is_named, rules: Vec::new(), rest: rule.action },
        None if !is_named => Side { is_named, rules: Vec::new(), rest: unlisted(rules, syscall) },
        None => Side {
            is_named,
            rules: own.iter().map(|rule| (rule.conditions.clone(), rule.action)).collect(),
            rest: rules.default,
        },
    }
}

/// Conditions that hold where both lists do; `None` if no list expresses that.
fn both_hold(x: &[Condition], y: &[Condition]) -> Option<Vec<Condition>> {
    let mut both = x.to_vec();
    for condition in y {
        match both.iter_mut().find(|other| other.arg() == condition.arg()) {
            Some(other) if other == condition => {}
            Some(other) => *other = both_bits(other, condition)?,
            None => both.push(*condition),
        }
    }
    Some(both)
}

/// Two conditions on bits of an argument as one.
fn both_bits(x: &Condition, y: &Condition) -> Option<Condition> {
    let mask = |condition: &Condition| match condition.operator() {
        Operator::Equal => Some(u64::MAX),
        Operator::MaskedEqual { mask } => Some(mask),
        _ => None,
    };
    let (x_mask, y_mask) = (mask(x)?, mask(y)?);
    let agree = (x.value() ^ y.value()) & x_mask & y_mask == 0;
    let (mask, value) = (x_mask | y_mask, (x.value() & x_mask) | (y.value() & y_mask));
    agree.then(|| Condition::new(x.arg(), Operator::MaskedEqual { mask }, value))?
}

fn joined_syscall(a: &Side, b: &Side, choose: fn(Action, Action) -> Action) -> Vec<(Vec<Condition>, Action)> {
    if a.rules.is_empty() && b.rules.is_empty() {
        return vec![(Vec::new(), choose(a.rest, b.rest))];
    }
    let mut joined = Vec::new();
    for (x, x_action) in &a.rules {
        for (y, y_action) in &b.rules {
            let both = both_hold(x, y);
            joined.extend(both.map(|both| (both, choose(*x_action, *y_action))));
        }
        joined.push((x.clone(), choose(*x_action, b.rest)));
    }
    joined.extend(b.rules.iter().map(|(y, y_action)| (y.clone(), choose(a.rest, *y_action))));
    let rest = choose(a.rest, b.rest);
    // A rule with the same result as the rest is redundant.
    joined.retain(|(_, action)| *action != rest);
    joined.sort_by_key(|(conditions, _)| conditions.len());
    let mut kept: Vec<(Vec<Condition>, Action)> = Vec::new();
    for (conditions, action) in joined {
        let is_implied = kept
            .iter()
            .any(|(fewer, other)| *other == action && fewer.iter().all(|c| conditions.contains(c)));
        if !is_implied {
            kept.push((conditions, action));
        }
    }
    if kept.is_empty() { vec![(Vec::new(), rest)] } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{laxest, strictest};
    use crate::example::{Case, call, rules};
    use Action::{Allow, Errno};
    use Operator::{Equal, Less, MaskedEqual};

    #[test]
    fn joined_rules_decide_as_both_do() {
        let sides: &[(&[Case<'_>], &[Case<'_>])] = &[
            (&[("read", &[], Allow)], &[("read", &[], Allow), ("write", &[], Allow)]),
            (&[("socket", &[(0, Equal, 1)], Allow)], &[("socket", &[], Allow)]),
            (&[("socket", &[(0, Equal, 1)], Allow)], &[("socket", &[(1, Equal, 2)], Allow)]),
            (
                &[("clone", &[(0, MaskedEqual { mask: 0x1000_0000 }, 0)], Allow)],
                &[("clone", &[(0, MaskedEqual { mask: 0x4000_0000 }, 0)], Allow)],
            ),
            (&[("read", &[], Errno(9))], &[("read", &[], Allow)]),
        ];
        for (a, b) in sides {
            let archs = [Arch::X86_64];
            let (a, b) = (rules(&archs, a), rules(&archs, b));
            for choose in [strictest, laxest] {
                let joined = Filter::new(&join(&a, &b, choose).unwrap()).unwrap();
                let (a, b) = (Filter::new(&a).unwrap(), Filter::new(&b).unwrap());
                for name in ["read", "write", "socket", "clone", "openat"] {
                    for args in [[0, 0], [1, 2], [1, 0], [0x1000_0000, 2], [0x4000_0000, 0], [0x5000_0000, 0]]
                    {
                        let data = call(Arch::X86_64, name, &args);
                        let expected = choose(a.decide(&data), b.decide(&data));
                        assert_eq!(joined.decide(&data), expected, "{name} {args:x?}");
                    }
                }
            }
        }
    }

    #[test]
    fn conditional_rules_are_bounded_in_pairs() {
        let many = |number: u64| {
            let args: Vec<_> = (0..number).map(|value| [(0, Equal, value)]).collect();
            let cases: Vec<Case<'_>> = args.iter().map(|args| ("socket", &args[..], Allow)).collect();
            rules(&[Arch::X86_64], &cases)
        };
        assert!(join(&many(64), &many(64), laxest).is_ok());
        assert_eq!(join(&many(65), &many(64), laxest), Err(JoinError::Pairs(65 * 64, "socket")));
    }

    #[test]
    fn what_no_profile_can_say_is_refused() {
        let one = [Arch::X86_64];
        let (low, high) = (
            rules(&one, &[("socket", &[(0, Less, 10)], Allow)]),
            rules(&one, &[("socket", &[(0, Operator::Greater, 5)], Allow)]),
        );
        assert_eq!(
            join(&low, &high, strictest).map_err(|error| error.to_string().contains("socket on x86_64")),
            Err(true)
        );
        let two = rules(&[Arch::X86_64, Arch::X86], &[]);
        assert_eq!(join(&low, &two, laxest), Err(JoinError::Archs));
        assert_eq!(join(&low, &two, strictest).map(|rules| rules.archs), Ok(vec![Arch::X86_64]));
    }
}
