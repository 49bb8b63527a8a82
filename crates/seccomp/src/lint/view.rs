//! A profile as the checks see it: as written, and as it decides.

use std::collections::BTreeSet;

use palisade_k8s::manifest::Position;

use crate::action::Action;
use crate::arch::Arch;
use crate::filter::{Data, Filter, Rules, Unknown};
use crate::graph::Node;
use crate::profile::Profile;
use crate::table::Syscall;

/// The position of findings about the profile as a whole.
pub(super) const START: Position = Position { line: 1, column: 1 };

pub(super) struct View<'p> {
    pub(super) profile: &'p Profile,
    pub(super) native: Arch,
    pub(super) rules: &'p Rules,
    /// `None` if the rules contradict each other, which other commands report.
    filter: Option<Filter>,
}

/// The result of a syscall on an ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The ABI lacks it.
    Absent,
    /// It is allowed whatever its arguments.
    Through,
    /// Its arguments decide.
    Conditional,
    /// It is denied whatever its arguments.
    Denied(Action),
}

impl<'p> View<'p> {
    pub(super) fn new(profile: &'p Profile, rules: &'p Rules, native: Arch) -> Self {
        let filter = Filter::new(rules).ok();
        Self { profile, native, rules, filter }
    }

    /// Whether the rules have `ENOSYS` for a syscall only because the profile is older than it, which is runc's
    /// behaviour.
    pub(super) fn is_unknown(&self, name: &str) -> bool {
        let Some(syscall) = Syscall::named(name) else { return false };
        let is_named = self.rules.rules.iter().any(|rule| rule.syscall == syscall);
        matches!(self.rules.unknown, Unknown::Enosys { kernel } if syscall.introduced() > kernel && !is_named)
    }

    /// The syscall with the highest number that the profile names, where that is above the number of `name`: no runtime
    /// has `ENOSYS` for numbers below it.
    pub(super) fn highest_above(&self, name: &str) -> Option<Syscall> {
        let number = Syscall::named(name)?.number(self.native)?;
        self.rules
            .highest_named(self.native)
            .filter(|(highest, _)| *highest > number)
            .map(|(_, syscall)| syscall)
    }

    pub(super) fn answer(&self, arch: Arch, syscall: Syscall) -> Answer {
        let Some((filter, number)) = self.filter.as_ref().zip(syscall.number(arch)) else {
            return Answer::Absent;
        };
        match filter.graph().node(filter.decision(arch.audit(), number)) {
            Node::Leaf(action) if action.lets_through() || action == Action::Notify => Answer::Through,
            Node::Leaf(action) => Answer::Denied(action),
            Node::Test { .. } => Answer::Conditional,
        }
    }

    /// The result of a syscall by name on the machine's own ABI.
    pub(super) fn native(&self, name: &str) -> Answer {
        Syscall::named(name).map_or(Answer::Absent, |syscall| self.answer(self.native, syscall))
    }

    /// The result of a syscall on the machine's own ABI.
    pub(super) fn decide(&self, name: &str, args: [u64; 6]) -> Option<Action> {
        let number = Syscall::named(name)?.number(self.native)?;
        let filter = self.filter.as_ref()?;
        Some(filter.decide(&Data { number, arch: self.native.audit(), args }))
    }

    /// Whether syscalls that no entry names are denied.
    pub(super) fn denies_by_default(&self) -> bool {
        !self.profile.default_action.lets_through()
    }

    /// Every ABI that the profile names for any machine, or the resolved ones of a profile that names none.
    pub(super) fn named_archs(&self) -> Vec<Arch> {
        let maps = self.profile.arch_map.iter();
        let mapped = maps.flat_map(|map| std::iter::once(&map.architecture).chain(&map.sub_architectures));
        let named = self.profile.architectures.iter().chain(mapped).filter_map(|name| Arch::parse(name));
        let mut archs: Vec<_> = named.chain(self.rules.archs.iter().copied()).collect();
        archs.sort_unstable();
        archs.dedup();
        archs
    }

    /// Whether a name is written in the file itself, and not only in one of systemd's sets.
    pub(super) fn is_written(&self, name: &str, at: Position) -> bool {
        let named = &self.profile.lines.named;
        !self.profile.origin.is_unit() || named.iter().any(|(other, place)| other == name && *place == at)
    }

    /// The entries of the profile that deny syscalls of these names, in words.
    pub(super) fn denying(&self, names: &[&str]) -> Option<String> {
        let denying = self.rules.rules.iter().filter(|rule| !rule.action.lets_through());
        let entries: BTreeSet<_> =
            denying.filter(|rule| names.contains(&rule.syscall.name())).map(|rule| rule.entry).collect();
        let entries: Vec<_> = entries.iter().map(|entry| format!("syscalls[{entry}]")).collect();
        let entries: Vec<_> = entries.iter().map(String::as_str).collect();
        (!entries.is_empty()).then(|| list(&entries))
    }

    /// The field of an entry in messages: in a unit, the directive.
    pub(super) fn field(&self, entry: usize, field: &str) -> String {
        match self.profile.entries.get(entry) {
            Some(entry) if self.profile.origin.is_unit() => entry.comment.trim_end_matches('=').to_owned(),
            _ => format!("syscalls[{entry}].{field}"),
        }
    }

    /// The position of an entry of the profile.
    pub(super) fn place(&self, entry: usize) -> Position {
        self.profile.entries.get(entry).map_or(START, |entry| entry.at)
    }
}

/// "a, b and c".
pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Reads a profile for a test of a check, and returns the check's findings.
#[cfg(test)]
pub(super) fn findings_of(
    check: fn(&View<'_>, &mut crate::finding::Findings),
    text: &str,
    arch: Arch,
) -> Vec<String> {
    let (profile, wrong) = match text.trim_start().starts_with('{') {
        true => crate::profile::read_json(text),
        false => crate::systemd::read(text),
    };
    let profile = profile.unwrap_or_else(|| panic!("{text}: {wrong:?}"));
    let caps = palisade_k8s::capability::CONTAINER_DEFAULT.into_iter().map(str::to_owned).collect();
    let context = crate::resolve::Context { arch, caps, kernel: crate::table::NEWEST };
    let rules = crate::resolve::resolve(&profile, &context).rules;
    let mut findings = crate::finding::Findings::default();
    check(&View::new(&profile, &rules, arch), &mut findings);
    findings.list.into_iter().map(|finding| format!("{}: {}", finding.field, finding.message)).collect()
}

/// Cases of a check: a profile, and a part of each finding.
#[cfg(test)]
pub(super) fn check_cases(check: fn(&View<'_>, &mut crate::finding::Findings), cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let got = findings_of(check, text, Arch::X86_64);
        assert_eq!(got.len(), expected.len(), "{text}: {got:#?}");
        for (got, expected) in got.iter().zip(*expected) {
            assert!(got.contains(expected), "{text}: {got:?} does not say {expected:?}");
        }
    }
}
