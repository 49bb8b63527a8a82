//! Linux' capabilities by name (capabilities(7)): with the prefix `CAP_`, as the kernel and seccomp profiles write them,
//! and without it, as pods do.

/// Every capability by its number, as the kernel writes them.
pub const PREFIXED: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Every capability by its number, as pods name them.
pub const ALL: [&str; 41] = bare(PREFIXED);

/// The capabilities that Docker and containerd give to a container that asks for none, as the kernel writes them.
pub const CONTAINER_DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Names without their prefix.
#[expect(clippy::indexing_slicing, reason = "evaluated when built, and every name has the prefix")]
const fn bare<const N: usize>(mut names: [&'static str; N]) -> [&'static str; N] {
    let mut at = 0;
    while at < N {
        names[at] = names[at].split_at("CAP_".len()).1;
        at += 1;
    }
    names
}

/// The capability that a word names in any spelling: `SYS_ADMIN`, `sys_admin` and `CAP_SYS_ADMIN` are `SYS_ADMIN`.
#[must_use]
pub fn parse(word: &str) -> Option<&'static str> {
    ALL.get(number(word)?).copied()
}

/// The capability that a word names in any spelling, with the prefix: `sys_admin` is `CAP_SYS_ADMIN`.
#[must_use]
pub fn parse_prefixed(word: &str) -> Option<&'static str> {
    PREFIXED.get(number(word)?).copied()
}

fn number(word: &str) -> Option<usize> {
    let upper = word.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    ALL.iter().position(|known| *known == bare)
}

/// Whether a word is a capability exactly as pods name it.
#[must_use]
pub fn is_known(word: &str) -> bool {
    ALL.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        let cases = [
            ("SYS_ADMIN", Some("SYS_ADMIN"), true),
            ("sys_admin", Some("SYS_ADMIN"), false),
            ("CAP_SYS_ADMIN", Some("SYS_ADMIN"), false),
            ("cap_chown", Some("CHOWN"), false),
            ("CAP_", None, false),
            ("CAP_CAP_CHOWN", None, false),
            ("SYS_ADMN", None, false),
            ("", None, false),
        ];
        for (word, parsed, known) in cases {
            assert_eq!((parse(word), is_known(word)), (parsed, known), "{word:?}");
            let prefixed = parsed.map(|bare| format!("CAP_{bare}"));
            assert_eq!(parse_prefixed(word), prefixed.as_deref(), "{word:?}");
        }
        assert!(CONTAINER_DEFAULT.iter().all(|name| PREFIXED.contains(name)));
        assert!(PREFIXED.iter().zip(ALL).all(|(full, bare)| full.strip_prefix("CAP_") == Some(bare)));
    }
}
