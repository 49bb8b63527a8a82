//! One recording: syscalls, their counts, and their selecting arguments.

use std::collections::{BTreeMap, BTreeSet};

use crate::arch::Arch;
use crate::table::Syscall;

/// Maximum number of combinations of selecting arguments in a profile; beyond that it allows the syscall with any.
pub const MAX_COMBINATIONS: usize = 8;

/// Arguments that select an operation, and are neither addresses nor file descriptors: the profile keeps the recorded
/// ones. The kernel uses their lower 32 bits.
const SELECTORS: [(&str, &[u8]); 18] = [
    ("arch_prctl", &[0]),
    ("bpf", &[0]),
    ("clone", &[0]),
    ("fcntl", &[1]),
    ("fcntl64", &[1]),
    ("io_uring_register", &[1]),
    ("ioctl", &[1]),
    ("keyctl", &[0]),
    ("memfd_create", &[1]),
    ("personality", &[0]),
    ("prctl", &[0]),
    ("ptrace", &[0]),
    ("seccomp", &[0]),
    ("setns", &[1]),
    ("setsockopt", &[1, 2]),
    ("socket", &[0, 1, 2]),
    ("socketpair", &[0, 1, 2]),
    ("unshare", &[0]),
];

/// The indexes of a syscall's selecting arguments; empty for most.
#[must_use]
pub fn selectors(name: &str) -> &'static [u8] {
    SELECTORS.iter().find(|(other, _)| *other == name).map_or(&[], |(_, indexes)| indexes)
}

/// The observations of one syscall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The count.
    pub count: u64,
    /// The selecting arguments, combination by combination; `None`: any, since there were too many, or they are not
    /// known.
    combinations: Option<BTreeSet<Vec<u32>>>,
}

impl Seen {
    /// The combinations of selecting arguments, if they are few and known.
    #[must_use]
    pub fn few(&self) -> Option<&BTreeSet<Vec<u32>>> {
        self.combinations.as_ref().filter(|all| (1..=MAX_COMBINATIONS).contains(&all.len()))
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        match (&mut self.combinations, &other.combinations) {
            (Some(all), Some(new)) if all.len() <= MAX_COMBINATIONS => all.extend(new.iter().cloned()),
            (Some(_), Some(_)) => {}
            _ => self.combinations = None,
        }
    }

    pub(super) fn forget_arguments(&mut self) {
        self.combinations = None;
    }
}

/// The observations of one recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    archs: BTreeSet<Arch>,
    syscalls: BTreeMap<Syscall, Seen>,
    /// Names and numbers that no table has.
    unknown: BTreeSet<String>,
}

/// Maximum number of them that are kept.
const MAX_UNKNOWN: usize = 100;

impl Observed {
    /// The ABIs.
    pub fn archs(&self) -> impl Iterator<Item = Arch> {
        self.archs.iter().copied()
    }

    /// The syscalls, by name.
    pub fn syscalls(&self) -> impl ExactSizeIterator<Item = (Syscall, &Seen)> {
        self.syscalls.iter().map(|(syscall, seen)| (*syscall, seen))
    }

    /// Names and numbers that no table has, so that a profile cannot name them.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(String::as_str)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.syscalls.is_empty() && self.unknown.is_empty()
    }

    /// Adds syscalls by name; `args` are the first arguments, as far as they are known.
    pub(super) fn add(&mut self, arch: Arch, name: &str, args: &[Option<u64>], count: u64) {
        let Some(syscall) = Syscall::named(name) else {
            let number = name.starts_with("syscall_").then(|| Syscall::parse_number(name)).flatten();
            match number.and_then(|number| Syscall::numbered(arch, number)) {
                Some(syscall) => self.add(arch, syscall.name(), args, count),
                None => self.strange(name),
            }
            return;
        };
        self.archs.insert(arch);
        // On s390 clone's first two arguments are swapped, which one rule for all ABIs cannot express.
        let swapped = name == "clone" && arch.is_big_endian();
        let indexes = selectors(name);
        #[expect(clippy::cast_possible_truncation, reason = "the lower 32 bits are what counts")]
        let values: Option<Vec<u32>> = indexes
            .iter()
            .map(|index| args.get(usize::from(*index)).copied().flatten().map(|value| value as u32))
            .collect();
        let known = values.filter(|values| !values.is_empty() && !swapped);
        let seen = Seen { count, combinations: known.map(|values| BTreeSet::from([values])) };
        self.merge(syscall, &seen);
    }

    /// Adds a syscall by its number.
    pub(super) fn add_number(&mut self, arch: Arch, number: u32, args: &[Option<u64>]) {
        match Syscall::numbered(arch, number) {
            Some(syscall) => self.add(arch, syscall.name(), args, 1),
            None => self.strange(&format!("number {number} on {arch}")),
        }
    }

    pub(super) fn strange(&mut self, word: &str) {
        if self.unknown.len() < MAX_UNKNOWN {
            self.unknown.insert(word.chars().take(60).collect());
        }
    }

    fn merge(&mut self, syscall: Syscall, seen: &Seen) {
        match self.syscalls.get_mut(&syscall) {
            Some(known) => known.merge(seen),
            None => drop(self.syscalls.insert(syscall, seen.clone())),
        }
    }
}
