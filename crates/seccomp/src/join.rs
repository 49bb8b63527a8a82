//! Intersection and union of profiles: what both let through, and what either does.

use std::collections::BTreeSet;

use crate::action::Action;
use crate::compare::{CompareError, Decision};
use crate::compile::{CompileError, compile};
use crate::filter::{Filter, FilterError, Rules};
use crate::rule::{Condition, Rule};
use crate::table::Syscall;
use crate::weight::Weights;

/// Why two profiles cannot be joined into one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// They are for different machines.
    #[error("the profiles are for different architectures")]
    Archs,
    /// No list of rules says it.
    #[error(
        "no profile can say what both together decide on {0}; write a program with --output FILE.bpf instead"
    )]
    Inexpressible(String),
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

/// What rules decide, ready to be compared and joined.
pub fn decision(rules: &Rules) -> Result<Decision, JoinError> {
    Ok(Decision::of_programs(&compile(&Filter::new(rules)?, Weights::shipped())?)?)
}

/// Joins two sets of rules: of the answers to each call the one that `choose` picks, [`strictest`] for the
/// intersection, [`laxest`] for the union. The result is compared with that exactly, so it is right or an
/// error.
///
/// [`strictest`]: crate::compare::strictest
/// [`laxest`]: crate::compare::laxest
pub fn join(a: &Rules, b: &Rules, choose: fn(Action, Action) -> Action) -> Result<Rules, JoinError> {
    if a.archs != b.archs {
        return Err(JoinError::Archs);
    }
    let exact = decision(a)?.combine(&decision(b)?, choose)?;
    let mut rules = Vec::new();
    let calls: BTreeSet<Syscall> = a.rules.iter().chain(&b.rules).map(|rule| rule.call).collect();
    for call in calls {
        rules.extend(
            joined_call(&of_call(a, call), &of_call(b, call), choose)
                .into_iter()
                .map(|(conditions, action)| Rule { call, conditions, action, entry: 0 }),
        );
    }
    let mut wrong = Vec::new();
    for unknown in [a.unknown, b.unknown] {
        let joined =
            Rules { default: choose(a.default, b.default), rules: rules.clone(), unknown, ..a.clone() };
        wrong = decision(&joined)?.differences(&exact, &joined.archs, 5)?;
        if wrong.is_empty() {
            return Ok(joined);
        }
    }
    let name = |data: &crate::filter::Data| {
        let arch = crate::explain::arch_of(&a.archs, data)?;
        Some(format!("{} on {arch}", Syscall::numbered(arch, data.number)?))
    };
    let mut names: Vec<_> = wrong
        .iter()
        .map(|d| name(&d.example).unwrap_or_else(|| format!("number {}", d.example.number)))
        .collect();
    names.dedup();
    Err(JoinError::Inexpressible(names.join(", ")))
}

/// What one side says of a call: conditions and answers, and what is left.
struct Side {
    rules: Vec<(Vec<Condition>, Action)>,
    rest: Action,
}

fn of_call(rules: &Rules, call: Syscall) -> Side {
    let own: Vec<_> = rules.rules.iter().filter(|rule| rule.call == call).collect();
    match own.iter().find(|rule| rule.conditions.is_empty()) {
        Some(rule) => Side { rules: Vec::new(), rest: rule.action },
        None => Side {
            rules: own.iter().map(|rule| (rule.conditions.clone(), rule.action)).collect(),
            rest: rules.default,
        },
    }
}

fn joined_call(a: &Side, b: &Side, choose: fn(Action, Action) -> Action) -> Vec<(Vec<Condition>, Action)> {
    if a.rules.is_empty() && b.rules.is_empty() {
        return vec![(Vec::new(), choose(a.rest, b.rest))];
    }
    let mut joined = Vec::new();
    for (x, x_action) in &a.rules {
        for (y, y_action) in &b.rules {
            let mut both = x.clone();
            both.extend(y.iter().filter(|condition| !x.contains(condition)));
            joined.push((both, choose(*x_action, *y_action)));
        }
        joined.push((x.clone(), choose(*x_action, b.rest)));
    }
    joined.extend(b.rules.iter().map(|(y, y_action)| (y.clone(), choose(a.rest, *y_action))));
    let rest = choose(a.rest, b.rest);
    // What comes to the same as the rest need not be said; an entry with two conditions on one argument would
    // be read as two.
    joined.retain(|(conditions, action)| {
        let args: BTreeSet<_> = conditions.iter().map(Condition::arg).collect();
        *action != rest && args.len() == conditions.len()
    });
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
