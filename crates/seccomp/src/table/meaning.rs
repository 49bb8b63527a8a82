//! Names of values of arguments, and of their flags.

use super::Syscall;

const CLONE: [(&str, u64); 25] = [
    ("CLONE_NEWTIME", 0x80),
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_PIDFD", 0x1000),
    ("CLONE_PTRACE", 0x2000),
    ("CLONE_VFORK", 0x4000),
    ("CLONE_PARENT", 0x8000),
    ("CLONE_THREAD", 0x1_0000),
    ("CLONE_NEWNS", 0x2_0000),
    ("CLONE_SYSVSEM", 0x4_0000),
    ("CLONE_SETTLS", 0x8_0000),
    ("CLONE_PARENT_SETTID", 0x10_0000),
    ("CLONE_CHILD_CLEARTID", 0x20_0000),
    ("CLONE_DETACHED", 0x40_0000),
    ("CLONE_UNTRACED", 0x80_0000),
    ("CLONE_CHILD_SETTID", 0x100_0000),
    ("CLONE_NEWCGROUP", 0x200_0000),
    ("CLONE_NEWUTS", 0x400_0000),
    ("CLONE_NEWIPC", 0x800_0000),
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
    ("CLONE_IO", 0x8000_0000),
];

/// personality(2). The lowest byte is the execution domain.
const PERSONALITY: [(&str, u64); 11] = [
    ("UNAME26", 0x2_0000),
    ("ADDR_NO_RANDOMIZE", 0x4_0000),
    ("FDPIC_FUNCPTRS", 0x8_0000),
    ("MMAP_PAGE_ZERO", 0x10_0000),
    ("ADDR_COMPAT_LAYOUT", 0x20_0000),
    ("READ_IMPLIES_EXEC", 0x40_0000),
    ("ADDR_LIMIT_32BIT", 0x80_0000),
    ("SHORT_INODE", 0x100_0000),
    ("WHOLE_SECONDS", 0x200_0000),
    ("STICKY_TIMEOUTS", 0x400_0000),
    ("ADDR_LIMIT_3GB", 0x800_0000),
];

const FAMILIES: [(&str, u64); 8] = [
    ("AF_UNIX", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_BLUETOOTH", 31),
    ("AF_ALG", 38),
    ("AF_VSOCK", 40),
];

const PROTECTION: [(&str, u64); 3] = [("PROT_READ", 1), ("PROT_WRITE", 2), ("PROT_EXEC", 4)];

impl Syscall {
    /// The value of the argument of this name in the manual's notation, `CLONE_NEWUSER|SIGCHLD`; `None` if it is not a
    /// known flag or name.
    #[must_use]
    pub fn meaning(self, argument: &str, value: u64) -> Option<String> {
        match (self.name(), argument) {
            ("clone", "flags") => {
                let signal = match value & 0xff {
                    0 => None,
                    17 => Some("SIGCHLD".to_owned()),
                    other => Some(format!("signal {other}")),
                };
                let flags = flags(&CLONE, value & !0xff);
                [flags, signal].into_iter().flatten().reduce(|all, one| format!("{all}|{one}"))
            }
            ("personality", "persona") if value & 0xffff_ffff == 0xffff_ffff => {
                Some("asks for the present one".to_owned())
            }
            ("personality", "persona") => {
                let domain = match value & 0xff {
                    0 => "PER_LINUX".to_owned(),
                    8 => "PER_LINUX32".to_owned(),
                    other => format!("domain {other:#x}"),
                };
                let flags = flags(&PERSONALITY, value & !0xff);
                Some(flags.map_or_else(
                    || domain.clone(),
                    |flags| match value & 0xff {
                        0 => flags,
                        _ => format!("{domain}|{flags}"),
                    },
                ))
            }
            ("unshare", "flags") | ("setns", "nstype") => flags(&CLONE, value),
            ("socket" | "socketpair", "domain") => {
                FAMILIES.iter().find(|(_, family)| *family == value).map(|(name, _)| (*name).to_owned())
            }
            ("mmap" | "mmap2" | "mprotect" | "pkey_mprotect", "prot") => flags(&PROTECTION, value),
            _ => None,
        }
    }
}

fn flags(names: &[(&str, u64)], value: u64) -> Option<String> {
    let set = names.iter().filter(|(_, flag)| value & flag != 0);
    let rest = names.iter().fold(value, |rest, (_, flag)| rest & !flag);
    let rest = (rest != 0).then(|| format!("{rest:#x}"));
    set.map(|(name, _)| (*name).to_owned()).chain(rest).reduce(|all, one| format!("{all}|{one}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_manual_does() {
        let cases = [
            ("clone", "flags", 0x1000_0011, Some("CLONE_NEWUSER|SIGCHLD")),
            ("clone", "flags", 17, Some("SIGCHLD")),
            ("clone", "flags", 0, None),
            ("clone", "stack", 1, None),
            ("unshare", "flags", 0x4000_0080, Some("CLONE_NEWTIME|CLONE_NEWNET")),
            ("socket", "domain", 38, Some("AF_ALG")),
            ("personality", "persona", 0x4_0000, Some("ADDR_NO_RANDOMIZE")),
            ("personality", "persona", 0x2_0008, Some("PER_LINUX32|UNAME26")),
            ("personality", "persona", 0, Some("PER_LINUX")),
            ("personality", "persona", 0xffff_ffff, Some("asks for the present one")),
            ("socket", "domain", 99, None),
            ("mprotect", "prot", 0x1005, Some("PROT_READ|PROT_EXEC|0x1000")),
        ];
        for (name, argument, value, expected) in cases {
            let got = Syscall::named(name).and_then(|syscall| syscall.meaning(argument, value));
            assert_eq!(got.as_deref(), expected, "{name} {argument} {value:#x}");
        }
    }
}
