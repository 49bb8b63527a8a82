//! All filters of a unit as the entries of one profile.

use std::collections::BTreeMap;

use palisade_k8s::manifest::Position;

use super::Unit;
use crate::action::Action;
use crate::arch::ArchSet;
use crate::profile::{Entry, Gate};
use crate::rule::{Condition, Operator};
use crate::systemd::guard::Guard;
use crate::table::Syscall;

/// All filters of a unit together. A denial by the list takes precedence over one by another directive: it is loaded
/// last, and a kill is final whatever else is loaded.
pub(super) struct Whole<'u> {
    /// The result for a syscall that no list names.
    pub(super) default: Action,
    listed: BTreeMap<Syscall, (Action, String, Position)>,
    guards: BTreeMap<Syscall, Vec<&'u (String, Position, Guard)>>,
}

impl<'u> Whole<'u> {
    pub(super) fn new(unit: &Unit, guards: &'u [(String, Position, Guard)], start: Position) -> Self {
        let deny = unit.errno.map_or(Action::KillProcess, Action::Errno);
        let allows = unit.filter.allows() == Some(true);
        let logged = |syscall: Syscall| match unit.log.allows() {
            Some(lists) if unit.log.syscalls.contains_key(&syscall) == lists => Action::Log,
            _ => Action::Allow,
        };
        let default = match (allows, unit.log.allows()) {
            (true, _) => deny,
            (false, Some(false)) => Action::Log,
            (false, _) => Action::Allow,
        };
        let mut listed = BTreeMap::new();
        for (&syscall, &(own, at)) in &unit.filter.syscalls {
            let action = own.unwrap_or(if allows { logged(syscall) } else { deny });
            listed.insert(syscall, (action, "SystemCallFilter=".to_owned(), at));
        }
        // systemd itself writes to its manager before execve, and so allows write whatever the list.
        if let (Some(write), Some(_)) = (Syscall::named("write"), unit.filter.allows()) {
            match allows {
                true => drop(listed.entry(write).or_insert_with(|| {
                    (logged(write), "systemd's own write before execve".to_owned(), start)
                })),
                false => drop(listed.remove(&write)),
            }
        }
        if !allows {
            for &syscall in unit.log.syscalls.keys() {
                let at = unit.log.syscalls.get(&syscall).map_or(start, |(_, at)| *at);
                let entry = || (logged(syscall), "SystemCallLog=".to_owned(), at);
                listed.entry(syscall).or_insert_with(entry);
            }
        }
        let mut by_syscall: BTreeMap<Syscall, Vec<_>> = BTreeMap::new();
        for guard in guards {
            by_syscall.entry(guard.2.syscall).or_default().push(guard);
        }
        Self { default, listed, guards: by_syscall }
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut plain: Vec<Entry> = Vec::new();
        let mut guarded = Vec::new();
        for (&syscall, (action, directive, at)) in &self.listed {
            match self.guards.get(&syscall).filter(|_| action.lets_through()) {
                Some(guards) => guarded.extend(self.guarded(syscall, *action, directive, *at, guards)),
                None => add_plain(&mut plain, syscall, *action, directive, *at),
            }
        }
        for (&syscall, guards) in &self.guards {
            if !self.listed.contains_key(&syscall) && self.default.lets_through() {
                guarded.extend(self.guarded(syscall, self.default, "", Position::default(), guards));
            }
        }
        plain.into_iter().chain(guarded).collect()
    }

    /// A syscall that is allowed except where a guard denies it: on the guards' ABIs their denials, and the rest by a
    /// condition that always holds, which is evaluated last; elsewhere the syscall as it is. Entries with the default's
    /// result are left out.
    fn guarded(
        &self,
        syscall: Syscall,
        through: Action,
        directive: &str,
        at: Position,
        guards: &[&(String, Position, Guard)],
    ) -> Vec<Entry> {
        let plain = || entry(syscall, through, directive, at);
        let mut entries = Vec::new();
        let mut free = ArchSet::ALL;
        for (name, place, guard) in guards {
            let arches = guard.not_on.map(str::to_owned).into_iter().collect();
            let gate = Gate { min_kernel: guard.before, arches, ..Gate::default() };
            let denial = entry(syscall, Action::Errno(guard.errno), name, *place);
            for conditions in &guard.denied {
                let args = conditions.clone();
                entries.push(Entry { args, abis: guard.abis, excludes: gate.clone(), ..denial.clone() });
            }
            let args = Condition::new(0, Operator::GreaterOrEqual, 0).into_iter().collect();
            if !guard.denied.iter().any(Vec::is_empty) {
                entries.push(Entry { args, abis: guard.abis, excludes: gate.clone(), ..plain() });
            }
            if !gate.is_empty() {
                entries.push(Entry { abis: guard.abis, includes: gate, ..plain() });
            }
            free = free.minus(guard.abis);
        }
        if !free.is_empty() {
            entries.push(Entry { abis: free, ..plain() });
        }
        entries.retain(|entry| entry.action != self.default);
        entries
    }
}

/// One entry for each action and line.
fn add_plain(entries: &mut Vec<Entry>, syscall: Syscall, action: Action, directive: &str, at: Position) {
    let name = (syscall.name().to_owned(), at);
    let same = |entry: &&mut Entry| entry.action == action && entry.at == at && entry.comment == directive;
    match entries.iter_mut().rev().find(same) {
        Some(entry) => entry.names.push(name),
        None => entries.push(entry(syscall, action, directive, at)),
    }
}

fn entry(syscall: Syscall, action: Action, directive: &str, at: Position) -> Entry {
    Entry {
        names: vec![(syscall.name().to_owned(), at)],
        action,
        args: Vec::new(),
        includes: Gate::default(),
        excludes: Gate::default(),
        comment: directive.to_owned(),
        abis: ArchSet::ALL,
        at,
    }
}
