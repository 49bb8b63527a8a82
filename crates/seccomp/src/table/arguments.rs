//! Names of the arguments of syscalls.

use super::Syscall;
use crate::arch::Arch;

/// A syscall in each line, with its arguments: as syscalls(2) and its pages name them, else as the prototypes of Linux
/// 6.12's include/linux/syscalls.h do.
const ARGUMENTS: &str = include_str!("arguments.txt");

impl Syscall {
    /// The names of its arguments, in the order of an ABI; `None` if they are not known.
    #[must_use]
    pub fn arguments(self, arch: Arch) -> Option<Vec<&'static str>> {
        let mut lines = ARGUMENTS.lines().map(str::split_whitespace);
        let mut words = lines.find(|words| words.clone().next() == Some(self.name()))?;
        words.next();
        let mut names: Vec<_> = words.collect();
        // clone(2), "C library/kernel differences".
        if self.name() == "clone" {
            match arch {
                Arch::S390 | Arch::S390x => names.swap(0, 1),
                Arch::X86_64 | Arch::X32 | Arch::Riscv64 | Arch::Loongarch64 => {}
                _ => names.swap(3, 4),
            }
        }
        Some(names)
    }

    /// The name of one argument, such as `flags` or, if it is not known, `arg0`.
    #[must_use]
    pub fn argument(self, arch: Arch, index: u8) -> String {
        let names = self.arguments(arch).unwrap_or_default();
        names.get(usize::from(index)).map_or_else(|| format!("arg{index}"), |name| (*name).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_the_names_of_the_manual() {
        let cases = [
            ("clone", Arch::X86_64, 0, "flags"),
            ("clone", Arch::S390x, 0, "stack"),
            ("clone", Arch::S390x, 1, "flags"),
            ("clone", Arch::X86, 3, "tls"),
            ("clone", Arch::X86_64, 3, "child_tid"),
            ("openat", Arch::Aarch64, 2, "flags"),
            ("mmap", Arch::X86_64, 2, "prot"),
            ("personality", Arch::X86_64, 0, "persona"),
            ("personality", Arch::X86_64, 5, "arg5"),
            ("sched_yield", Arch::X86_64, 0, "arg0"),
        ];
        for (name, arch, index, expected) in cases {
            assert_eq!(
                Syscall::named(name).unwrap().argument(arch, index),
                expected,
                "{name} {index} on {arch}"
            );
        }
        let count =
            |name: &str| Syscall::named(name).unwrap().arguments(Arch::X86_64).map(|names| names.len());
        assert_eq!((count("gettid"), count("openat"), count("vserver")), (Some(0), Some(4), None));
        for line in ARGUMENTS.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            assert!(Syscall::named(words[0]).is_some() && (1..=7).contains(&words.len()), "{line}");
        }
    }
}
