//! Syscalls that runc, crun and the program's own start need once the filter is loaded.

use super::view::{Answer, START, View, list};
use crate::finding::Findings;

/// An OCI runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// runc.
    Runc,
    /// crun.
    Crun,
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        })
    }
}

/// The syscalls that a runtime of any version, and a program that it starts, make after the filter is loaded;
/// alternatives are separated by `|`.
pub(crate) fn needs(runtime: Runtime) -> impl Iterator<Item = &'static str> {
    let is_meant = move |need: &&Need| need.runtime.is_none_or(|other| other == runtime);
    NEEDS.iter().filter(is_meant).flat_map(|need| need.syscalls).copied()
}

/// Syscalls between the load of the filter and the program's first own instruction.
struct Need {
    /// The program that makes them.
    what: &'static str,
    /// The runtime that makes them; `None` for every program.
    runtime: Option<Runtime>,
    /// Each must be allowed; of alternatives, separated by `|`, one.
    syscalls: &'static [&'static str],
    /// The consequence otherwise.
    else_: &'static str,
}

/// From the sources: runc 76d9cf5 libcontainer/standard_init_linux.go (the filter is loaded before
/// `finalizeNamespace` without no_new_privs, and before the exec fifo is opened with it),
/// vendor/github.com/cyphar/filepath-securejoin (`Reopen`, `procfsLookupInRoot`; its CHANGELOG.md, 0.5.2 and 0.6.1, for openat2); crun ba38286 src/libcrun/container.c
/// `container_init_setup` and `container_init`; glibc 2.36's start, by strace. runc's list was checked against a
/// recording of runc 1.1.5 and the base profile of the security-profiles-operator for runc 1.2.3.
const NEEDS: [Need; 6] = [
    Need {
        what: "a dynamically linked program's start",
        runtime: None,
        syscalls: &[
            "execve",
            "exit_group",
            "mmap",
            "mprotect",
            "openat",
            "read",
            "newfstatat|fstat|statx|fstat64",
            "close",
            "arch_prctl",
        ],
        else_: "the program ends before its main",
    },
    Need {
        what: "runc",
        runtime: Some(Runtime::Runc),
        syscalls: &[
            "close",
            "epoll_ctl",
            "execve",
            "fstatfs",
            "futex",
            "getdents64|close_range",
            "getpid",
            "openat",
            "prctl",
            "read",
            "write",
            "fcntl",
        ],
        else_: "no container starts, as with \"ensure /proc/self/fd is on procfs: operation not permitted\"",
    },
    Need {
        what: "runc where allowPrivilegeEscalation is not false",
        runtime: Some(Runtime::Runc),
        syscalls: &[
            "capget",
            "capset",
            "chdir",
            "getppid",
            "getuid",
            "newfstatat|fstat",
            "setgid",
            "setgroups",
            "setuid",
        ],
        else_: "no container starts",
    },
    Need {
        what: "runc 1.2.8, 1.3.3 and 1.4.0-rc.3",
        runtime: Some(Runtime::Runc),
        syscalls: &["openat2"],
        else_: "no container starts; 1.2.9, 1.3.4 and 1.4.0 go on without it",
    },
    Need {
        what: "runc from 1.2.8, 1.3.3 and 1.4.0-rc.3 on",
        runtime: Some(Runtime::Runc),
        // Paths below /proc are walked component by component if openat2 fails.
        syscalls: &["fstatfs", "readlinkat|openat2", "statx"],
        else_: "no container starts (fsopen, fsconfig, fsmount and open_tree are tried too, and not needed)",
    },
    Need {
        what: "crun where allowPrivilegeEscalation is not false",
        runtime: Some(Runtime::Crun),
        syscalls: &[
            "capset",
            "close",
            "execve",
            "prctl",
            "read",
            "rt_sigprocmask",
            "setresgid",
            "setresuid",
            "write",
        ],
        else_: "no container starts",
    },
];

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    let has_rules = view.rules.rules.iter().any(|rule| rule.action.lets_through());
    // The syscalls that a base allows are not known here.
    if view.profile.base.is_some() || !view.denies_by_default() || !has_rules {
        return;
    }
    let is_unit = view.profile.origin.is_unit();
    let (field, add) = match is_unit {
        true => ("SystemCallFilter", "list them, or @system-service, too"),
        false => ("syscalls", "add the names to an entry that allows"),
    };
    for need in NEEDS.iter().filter(|need| !is_unit || need.runtime.is_none()) {
        let missing: Vec<_> = need
            .syscalls
            .iter()
            .filter(|names| is_missing(view, names))
            .map(|names| first(view, names))
            .collect();
        if !missing.is_empty() {
            let message =
                format!("{} needs {}, denied here: {}; {add}", need.what, list(&missing), need.else_);
            findings.warn(START, field, message);
        }
    }
}

/// Whether the machine has one of the alternatives, and none is allowed. Denials by name are taken to be intended.
fn is_missing(view: &View<'_>, alternatives: &str) -> bool {
    let names = |name: &str| {
        view.rules.rules.iter().any(|rule| rule.syscall.name() == name && !rule.action.lets_through())
    };
    let is_settled = |name: &str| names(name) || view.native(name) == Answer::Absent;
    if alternatives.split('|').any(names) && alternatives.split('|').all(is_settled) {
        return false;
    }
    let answers: Vec<_> = alternatives.split('|').map(|name| view.native(name)).collect();
    answers.iter().any(|answer| matches!(answer, Answer::Denied(_)))
        && !answers.iter().any(|answer| matches!(answer, Answer::Through | Answer::Conditional))
}

/// The first of the alternatives that the machine has.
fn first<'n>(view: &View<'_>, alternatives: &'n str) -> &'n str {
    alternatives.split('|').find(|name| view.native(name) != Answer::Absent).unwrap_or(alternatives)
}

#[cfg(test)]
mod tests {
    use super::super::view::{check_cases, findings_of};
    use super::*;
    use crate::arch::Arch;
    use crate::table::Syscall;

    #[test]
    fn what_runtimes_need_is_named() {
        let profile = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{}],"action":"SCMP_ACT_ALLOW"}}]}}"#,
                names.join(",")
            )
        };
        let all: Vec<_> =
            NEEDS.iter().flat_map(|need| need.syscalls).flat_map(|names| names.split('|')).collect();
        let without =
            |name: &str| profile(&all.iter().copied().filter(|other| *other != name).collect::<Vec<_>>());
        let cases: Vec<(String, &[&str])> = vec![
            (profile(&all), &[]),
            (
                without("fstatfs"),
                &[
                    "runc needs fstatfs, denied here: no container starts, as with \"ensure",
                    "on needs fstatfs",
                ],
            ),
            (without("openat2"), &["1.3.3 and 1.4.0-rc.3 needs openat2"]),
            (without("readlinkat"), &[]),
            (
                profile(
                    &all.iter()
                        .copied()
                        .filter(|n| !["openat2", "readlinkat"].contains(n))
                        .collect::<Vec<_>>(),
                ),
                &["needs openat2", "on needs readlinkat"],
            ),
            (without("fstat"), &[]),
            (without("setresuid"), &["crun where allowPrivilegeEscalation is not false needs setresuid"]),
            (without("mmap"), &["start needs mmap, denied here: the program ends before its main"]),
            (
                "SystemCallFilter=read".to_owned(),
                &[
                    "start needs openat, newfstatat and close, denied here: the program ends before its main; list them, or @system-service, too",
                ],
            ),
            ("SystemCallFilter=@system-service".to_owned(), &[]),
            ("SystemCallFilter=~read".to_owned(), &[]),
            (
                without("openat2").replace(
                    "\"}]}",
                    r#""},{"names":["openat2"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#,
                ),
                &[],
            ),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
        assert_eq!(findings_of(check, crate::builtin::DEFAULT, Arch::X86_64), [] as [String; 0]);
        assert!(all.iter().all(|name| Syscall::named(name).is_some()));
    }
}
