//! The syscalls of every architecture: names, numbers, and the kernel that added each.

use palisade_k8s::KernelVersion;

use crate::arch::Arch;

mod arguments;
mod libseccomp;
mod meaning;
mod relatives;
mod syscalls;

pub use relatives::meant;
pub(crate) use relatives::{NEWER_FORMS, counterparts, family, wide_forms};

const NONE: u32 = u32::MAX;

/// The newest kernel whose syscalls the table holds.
pub const NEWEST: KernelVersion = KernelVersion::new(7, 3);

struct Row {
    name: &'static str,
    since: (u8, u8),
    /// By [`Arch`], without the architecture's base.
    numbers: [u32; 13],
}

/// A syscall by name, whatever its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Syscall(u16);

impl Syscall {
    /// The syscall of that name, if any architecture has it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let at = syscalls::SYSCALLS.binary_search_by(|syscall| syscall.name.cmp(name)).ok()?;
        u16::try_from(at).ok().map(Self)
    }

    /// The number in a text: decimal, `0x1b5`, or `syscall_0x1b5` as strace prints an unknown one.
    #[must_use]
    pub fn parse_number(text: &str) -> Option<u32> {
        let digits = text.strip_prefix("syscall_").unwrap_or(text);
        match digits.strip_prefix("0x") {
            Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u32::from_str_radix(hex, 16).ok()
            }
            None if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            _ => None,
        }
    }

    /// The equivalent on an architecture of a syscall that it does not have under this name.
    #[must_use]
    pub fn counterpart(self, arch: Arch) -> Option<Self> {
        let others = counterparts(self.name()).iter().filter_map(|name| Self::named(name));
        others.filter(|other| *other != self).find(|other| other.number(arch).is_some())
    }

    /// All syscalls, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..syscalls::SYSCALLS.len()).filter_map(|at| u16::try_from(at).ok().map(Self))
    }

    /// The syscall with a number, the architecture's base included.
    #[must_use]
    pub fn numbered(arch: Arch, number: u32) -> Option<Self> {
        let small = number.checked_sub(arch.base())?;
        if let Some(&at) = BY_NUMBER.get(arch as usize)?.get(small as usize) {
            return (at != u16::MAX).then_some(Self(at));
        }
        Self::all().find(|syscall| syscall.row().numbers.get(arch as usize) == Some(&small))
    }

    #[expect(clippy::indexing_slicing, reason = "only places in the table are made")]
    fn row(self) -> &'static Row {
        &syscalls::SYSCALLS[usize::from(self.0)]
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its number on an architecture, which may lack it.
    #[must_use]
    pub fn number(self, arch: Arch) -> Option<u32> {
        match self.row().numbers.get(arch as usize) {
            None | Some(&NONE) => None,
            Some(number) => Some(number + arch.base()),
        }
    }

    /// The kernel that added it to its first architecture.
    #[must_use]
    pub fn introduced(self) -> KernelVersion {
        let (major, minor) = self.row().since;
        KernelVersion::new(major.into(), minor.into())
    }

    /// The kernel that added it to an architecture.
    #[must_use]
    pub fn since(self, arch: Arch) -> KernelVersion {
        self.introduced()
            .max(arch.since())
            .max(wired_later(arch, self.row().numbers.get(arch as usize).copied()))
    }
}

/// Syscalls that `socketcall` and `ipc` carried long before they had numbers of their own.
fn wired_later(arch: Arch, number: Option<u32>) -> KernelVersion {
    let sockets = matches!(arch, Arch::X86 | Arch::S390 | Arch::S390x);
    match number {
        Some(359..=373) if sockets => KernelVersion::new(4, 3),
        Some(393..=402) if arch.is_multiplexed() => KernelVersion::new(5, 1),
        _ => KernelVersion::new(1, 0),
    }
}

impl std::fmt::Display for Syscall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

const NUMBERS: usize = 576;

/// The index into the table for each architecture's numbers, computed when this crate is built.
static BY_NUMBER: [[u16; NUMBERS]; 13] = by_number();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated when built")]
const fn by_number() -> [[u16; NUMBERS]; 13] {
    let mut table = [[u16::MAX; NUMBERS]; 13];
    let mut at = 0;
    while at < syscalls::SYSCALLS.len() {
        let mut arch = 0;
        while arch < 13 {
            let number = syscalls::SYSCALLS[at].numbers[arch] as usize;
            // Of two names for a number, the first in the alphabet is its name.
            if number < NUMBERS && table[arch][number] == u16::MAX {
                table[arch][number] = at as u16;
            }
            arch += 1;
        }
        at += 1;
    }
    table
}

/// The highest number of an architecture's syscalls in the table, except ARM's private ones.
#[must_use]
pub fn highest(arch: Arch) -> u32 {
    let row = BY_NUMBER.get(arch as usize);
    let last = row.and_then(|row| row.iter().rposition(|&at| at != u16::MAX)).unwrap_or_default();
    u32::try_from(last).unwrap_or_default() + arch.base()
}

/// The known name that is most similar to `name`, if one is similar enough.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + name.len() / 5;
    known
        .filter(|other| other.len().abs_diff(name.len()) <= limit)
        .map(|other| (distance(name, other), !other.starts_with(name), other))
        .filter(|&(distance, ..)| distance <= limit)
        .min()
        .map(|(.., other)| other)
}

/// The edit distance: bytes to insert, delete, change or swap with the next.
fn distance(a: &str, b: &str) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![vec![0; width]; a.len() + 1];
    let at = |rows: &[Vec<usize>], i: usize, j: usize| {
        rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or_default()
    };
    for i in 0..=a.len() {
        for j in 0..width {
            let byte = |text: &str, at: usize| text.as_bytes().get(at).copied();
            let distance = match (i, j) {
                (0, other) | (other, 0) => other,
                _ => {
                    let changed = usize::from(byte(a, i - 1) != byte(b, j - 1));
                    let plain = (at(&rows, i - 1, j) + 1)
                        .min(at(&rows, i, j - 1) + 1)
                        .min(at(&rows, i - 1, j - 1) + changed);
                    let swapped = i > 1
                        && j > 1
                        && byte(a, i - 1) == byte(b, j - 2)
                        && byte(a, i - 2) == byte(b, j - 1);
                    if swapped { plain.min(at(&rows, i - 2, j - 2) + 1) } else { plain }
                }
            };
            if let Some(cell) = rows.get_mut(i).and_then(|row| row.get_mut(j)) {
                *cell = distance;
            }
        }
    }
    at(&rows, a.len(), b.len())
}

/// A syscall inside of `socketcall` or `ipc`: the carrier's name and the first argument.
#[must_use]
pub fn carrier(syscall: &str) -> Option<(&'static str, u32)> {
    const SOCKET: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u32); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some(at) = SOCKET.iter().position(|name| *name == syscall) {
        return Some(("socketcall", u32::try_from(at).unwrap_or_default() + 1));
    }
    let found = IPC.iter().find(|(name, _)| *name == syscall);
    found.map(|&(_, number)| ("ipc", number))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn numbers_and_names_belong_together() {
        let cases = [
            ("read", Arch::X86_64, Some(0), "read"),
            ("read", Arch::X32, Some(0x4000_0000), "read"),
            ("read", Arch::Mips64el, Some(5000), "read"),
            ("open", Arch::Aarch64, None, ""),
            ("fstatat64", Arch::X86, Some(300), "fstatat64"),
        ];
        for (name, arch, number, back) in cases {
            let syscall = Syscall::named(name).unwrap();
            assert_eq!(syscall.number(arch), number, "{name} on {arch}");
            if let Some(number) = number {
                assert_eq!(
                    Syscall::numbered(arch, number).map(Syscall::name),
                    Some(back),
                    "{name} on {arch}"
                );
            }
        }
        assert_eq!(Syscall::named("cloen"), None);
        for syscall in Syscall::all() {
            assert!(Arch::ALL.iter().any(|arch| syscall.number(*arch).is_some()), "{syscall}");
            assert!(syscall.introduced() <= NEWEST, "{syscall}");
        }
    }

    #[test]
    fn numbers_are_written_in_three_ways() {
        for (text, number) in [
            ("437", Some(437)),
            ("0x1b5", Some(437)),
            ("syscall_0x1b5", Some(437)),
            ("syscall_437", Some(437)),
            ("syscall_", None),
            ("0x", None),
            ("0x+1", None),
            ("+1", None),
            ("", None),
            ("0x100000000", None),
        ] {
            assert_eq!(Syscall::parse_number(text), number, "{text}");
        }
        let there = |name, arch| Syscall::named(name).unwrap().counterpart(arch).map(Syscall::name);
        assert_eq!(there("fadvise64_64", Arch::Arm), Some("arm_fadvise64_64"));
        assert_eq!(there("open", Arch::Aarch64), Some("openat"));
        assert_eq!(there("read", Arch::Aarch64), None);
    }

    #[test]
    fn near_names_and_carriers_are_found() {
        let names = || Syscall::all().map(Syscall::name);
        for (name, near) in [
            ("cloen", Some("clone")),
            ("opnat", Some("openat")),
            ("fchmodat22", Some("fchmodat2")),
            ("qwertyuiop", None),
        ] {
            assert_eq!(nearest(name, names()), near, "{name}");
        }
        for (name, expected) in [
            ("socket", Some(("socketcall", 1))),
            ("sendmmsg", Some(("socketcall", 20))),
            ("shmctl", Some(("ipc", 24))),
            ("read", None),
        ] {
            assert_eq!(carrier(name), expected, "{name}");
        }
    }
}
