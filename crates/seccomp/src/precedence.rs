//! Precedence: the rule that decides if several rules for one syscall overlap.
//!
//! A rule without conditions beats all with; of two with the same conditions the actions must agree; one whose
//! conditions are the first ones of another's beats it. The rest are evaluated in libseccomp's order
//! (`reference/seccomp.md` 4): the rule whose first argument is higher goes first, then by operator (`==`, `!=` and
//! masks, then `<` and `<=`, then `>` and `>=`), then the tightest bound, then the largest value, then as written; ties
//! go on with the next argument.

use std::cmp::Ordering;

use crate::action::Action;
use crate::rule::{Condition, Operator};

/// Conditions, sorted by argument, and their result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
    /// Its rule.
    pub(crate) rule: usize,
}

/// Two rules with different actions for the same syscalls: their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict(pub(crate) usize, pub(crate) usize);

/// A step of a comparison: of a whole argument, or of a half if libseccomp splits it.
#[derive(Clone, Copy, Debug)]
struct Step {
    arg: (u8, bool),
    class: u8,
    /// The sort key: larger first, except for `<` and `<=`.
    value: u64,
    /// The compared bits and the kind of comparison: a condition and its opposite are one comparison.
    test: (u64, Test),
    /// Whether it is the comparison that must hold, or its opposite.
    holds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Equal,
    Masked,
    AtLeast,
    Greater,
    /// The upper half of an ordering comparison.
    Upper,
}

impl Step {
    fn is_same_test(&self, other: &Self) -> bool {
        (self.arg, self.value, self.test) == (other.arg, other.value, other.test)
    }
}

/// A comparison, and the continuations for both outcomes.
#[derive(Debug)]
struct Place {
    step: Step,
    holds: Slot,
    fails: Slot,
}

#[derive(Debug, Default)]
struct Slot {
    branch: Option<Branch>,
    below: Vec<Place>,
}

/// Sorts branches into the order of their evaluation.
pub(crate) fn order(branches: Vec<Branch>, wide: bool) -> Result<Vec<Branch>, Conflict> {
    if branches.len() < 2 {
        return Ok(branches);
    }
    let mut top = Vec::new();
    for branch in branches {
        let steps: Vec<Step> = branch.conditions.iter().flat_map(|c| steps(c, wide)).collect();
        insert(&mut top, &steps, branch)?;
    }
    let mut ordered = Vec::new();
    flatten(top, &mut ordered);
    Ok(ordered)
}

fn insert(level: &mut Vec<Place>, steps: &[Step], branch: Branch) -> Result<(), Conflict> {
    let [step, rest @ ..] = steps else { return Ok(()) };
    let at = level.iter().position(|place| place.step.is_same_test(step) || goes_before(step, &place.step));
    let at = at.unwrap_or(level.len());
    if level.get(at).is_none_or(|place| !place.step.is_same_test(step)) {
        level.insert(at, Place { step: *step, holds: Slot::default(), fails: Slot::default() });
    }
    let Some(place) = level.get_mut(at) else { return Ok(()) };
    let slot = if step.holds { &mut place.holds } else { &mut place.fails };
    match &slot.branch {
        Some(other) if rest.is_empty() && other.action != branch.action => {
            Err(Conflict(other.rule, branch.rule))
        }
        // The existing branch has fewer conditions, or the same.
        Some(_) => Ok(()),
        None if rest.is_empty() => {
            *slot = Slot { branch: Some(branch), below: Vec::new() };
            Ok(())
        }
        None => insert(&mut slot.below, rest, branch),
    }
}

fn flatten(level: Vec<Place>, ordered: &mut Vec<Branch>) {
    for Slot { branch, below } in level.into_iter().flat_map(|place| [place.holds, place.fails]) {
        ordered.extend(branch);
        flatten(below, ordered);
    }
}

fn goes_before(a: &Step, b: &Step) -> bool {
    let by_value = if a.class == 2 { b.value.cmp(&a.value) } else { a.value.cmp(&b.value) };
    a.arg.cmp(&b.arg).then(a.class.cmp(&b.class)).then(by_value) == Ordering::Greater
}

/// A 64-bit argument is compared by its upper half, then by its lower.
fn steps(condition: &Condition, wide: bool) -> impl Iterator<Item = Step> {
    let (class, mask, test, holds) = match condition.operator() {
        Operator::Equal => (3, u64::MAX, Test::Equal, true),
        Operator::NotEqual => (3, u64::MAX, Test::Equal, false),
        Operator::MaskedEqual { mask } => (3, mask, Test::Masked, true),
        Operator::Less => (2, u64::MAX, Test::AtLeast, false),
        Operator::LessOrEqual => (2, u64::MAX, Test::Greater, false),
        Operator::GreaterOrEqual => (1, u64::MAX, Test::AtLeast, true),
        Operator::Greater => (1, u64::MAX, Test::Greater, true),
    };
    let (arg, value) = (condition.arg(), condition.value());
    let upper = if class == 3 { test } else { Test::Upper };
    let half = |value: u64, high: bool| if high { value >> 32 } else { value & 0xffff_ffff };
    let step = |high, test, holds| Step {
        arg: (arg, high),
        class,
        value: half(value, high),
        test: (half(mask, high), test),
        holds,
    };
    [wide.then(|| step(true, upper, true)), Some(step(false, test, holds))].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    fn branch(rule: usize, conditions: &[(u8, Operator, u64)], action: Action) -> Branch {
        let conditions = conditions.iter().map(|&(a, o, v)| Condition::new(a, o, v).unwrap()).collect();
        Branch { conditions, action, rule }
    }

    /// Rules, and their numbers in the order of their evaluation; those that are never reached are left out.
    #[test]
    fn rules_are_tried_in_libseccomps_order() {
        use Operator::{Equal, Greater, GreaterOrEqual, Less, NotEqual};
        type Rules<'a> = &'a [&'a [(u8, Operator, u64)]];
        let cases: &[(Rules<'_>, &[usize])] = &[
            // The higher argument goes first.
            (&[&[(0, Equal, 1)], &[(1, Equal, 1)]], &[1, 0]),
            // Equality, then less, then greater.
            (&[&[(0, Greater, 1)], &[(0, Less, 9)], &[(0, Equal, 5)]], &[2, 1, 0]),
            (&[&[(0, Less, 9)], &[(0, NotEqual, 5)]], &[1, 0]),
            // The tightest bound.
            (&[&[(0, Less, 9)], &[(0, Less, 5)]], &[1, 0]),
            (&[&[(0, Greater, 5)], &[(0, Greater, 9)]], &[1, 0]),
            (&[&[(0, GreaterOrEqual, 0)], &[(0, Equal, 3)]], &[1, 0]),
            // A rule whose conditions are the first of another's beats it.
            (&[&[(0, Equal, 1), (1, Equal, 2)], &[(0, Equal, 1)]], &[1]),
            // The same conditions again add nothing.
            (&[&[(0, Equal, 1)], &[(0, Equal, 1)]], &[0]),
        ];
        for (rules, expected) in cases {
            for wide in [true, false] {
                let branches =
                    rules.iter().enumerate().map(|(at, rule)| branch(at, rule, Action::Allow)).collect();
                let ordered = order(branches, wide).unwrap();
                let got: Vec<_> = ordered.iter().map(|branch| branch.rule).collect();
                assert_eq!(got, *expected, "{rules:?} wide: {wide}");
            }
        }
        let contradiction =
            vec![branch(3, &[(0, Equal, 1)], Action::Allow), branch(7, &[(0, Equal, 1)], Action::Errno(1))];
        assert_eq!(order(contradiction, true), Err(Conflict(3, 7)));
    }
}
