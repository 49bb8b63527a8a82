//! Syscalls that runc, crun and the program's own start need once the filter is loaded.

use std::collections::BTreeSet;

use super::view::{Answer, START, View, list};
use crate::finding::Findings;
use crate::rule::Rule;

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
    /// Whether later versions go on without them.
    is_mended: bool,
}

/// From the sources: runc 76d9cf5 libcontainer/standard_init_linux.go (the filter is loaded before
/// `finalizeNamespace` without no_new_privs, and before the exec fifo is opened with it),
/// vendor/github.com/cyphar/filepath-securejoin (`Reopen`, `procfsLookupInRoot`; its CHANGELOG.md, 0.5.2 and 0.6.1, for openat2); crun ba38286 src/libcrun/container.c
/// `container_init_setup` and `container_init`; glibc 2.36's start, by strace. runc's list was checked against a
/// recording of runc 1.1.5 and the base profile of the security-profiles-operator for runc 1.2.3. The lists of runc, crun and the
/// program's start were reduced one by one under runc 1.1.5 and crun 1.8.1. glibc's fstat is fstat(2) up to 2.32 and from 2.39 on,
/// newfstatat(2) between; musl's is fstat(2). getcwd is runc's answer to CVE-2024-21626.
/// Go's runtime sends itself signals and waits by epoll: without rt_sigreturn runc 1.1.5 ended in one start of seven.
const NEEDS: [Need; 8] = [
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
            "pread64",
            "close",
            "arch_prctl",
        ],
        else_: "the program ends before its main",
        is_mended: false,
    },
    Need {
        what: "a dynamically linked program's start with glibc 2.33 to 2.38",
        runtime: None,
        syscalls: &["newfstatat"],
        else_: "the program ends before its main, as with \"cannot stat shared object\"",
        is_mended: false,
    },
    Need {
        what: "a dynamically linked program's start with musl, or glibc before 2.33 or from 2.39 on,",
        runtime: None,
        syscalls: &["fstat|fstat64"],
        else_: "the program ends before its main, as with \"cannot stat shared object\"",
        is_mended: false,
    },
    Need {
        what: "runc",
        runtime: Some(Runtime::Runc),
        syscalls: &[
            "close",
            "epoll_ctl",
            "epoll_pwait",
            "execve",
            "fstatfs",
            "futex",
            "getdents64|close_range",
            "getpid",
            "openat",
            "prctl",
            "read",
            "rt_sigreturn",
            "write",
            "fcntl",
        ],
        else_: "no container starts, as with \"ensure /proc/self/fd is on procfs: operation not permitted\"",
        is_mended: false,
    },
    Need {
        what: "runc where allowPrivilegeEscalation is not false",
        runtime: Some(Runtime::Runc),
        syscalls: &[
            "capget",
            "capset",
            "chdir",
            "fstat|fstat64",
            "getcwd",
            "getppid",
            "getuid",
            "newfstatat|stat64",
            "setgid",
            "setgroups",
            "setuid",
        ],
        else_: "no container starts",
        is_mended: false,
    },
    Need {
        what: "runc 1.2.8, 1.3.3 and 1.4.0-rc.3",
        runtime: Some(Runtime::Runc),
        syscalls: &["openat2"],
        else_: "no container starts; 1.2.9, 1.3.4 and 1.4.0 go on without it",
        is_mended: true,
    },
    Need {
        what: "runc from 1.2.8, 1.3.3 and 1.4.0-rc.3 on",
        runtime: Some(Runtime::Runc),
        // Paths below /proc are walked component by component if openat2 fails.
        syscalls: &["fstatfs", "readlinkat|openat2", "statx"],
        else_: "no container starts (fsopen, fsconfig, fsmount and open_tree are tried too, and not needed)",
        is_mended: false,
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
            "rt_sigaction",
            "rt_sigprocmask",
            "setresgid",
            "setresuid",
            "write",
        ],
        else_: "no container starts",
        is_mended: false,
    },
];

/// glibc's and musl's last act of a thread is exit(2), in a loop (glibc nptl/pthread_create.c `start_thread`; seen with 2.36).
static THREAD: Need = Need {
    what: "the end of a thread",
    runtime: None,
    syscalls: &["exit"],
    else_: "the thread never ends: it takes a processor, and who waits for it hangs",
    is_mended: false,
};

/// Whether a runtime needs a syscall itself, not one of several.
pub(super) fn is_needed(name: &str) -> bool {
    NEEDS.iter().filter(|need| need.runtime.is_some()).any(|need| need.syscalls.contains(&name))
}

/// Whether every program needs a syscall to start, whatever starts it.
pub(super) fn is_of_the_start(name: &str) -> bool {
    NEEDS.iter().filter(|need| need.runtime.is_none()).any(|need| need.syscalls.contains(&name))
}

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    let is_of_a_list = view.denies_by_default();
    let has_rules = view.rules.rules.iter().any(|rule| rule.action.lets_through());
    // The syscalls that a base allows are not known here.
    if view.profile.base.is_some() || (is_of_a_list && !has_rules) {
        return;
    }
    let is_unit = view.profile.origin.is_unit();
    let field = if is_unit { "SystemCallFilter" } else { "syscalls" };
    for need in of(view) {
        let missing = missing_of(view, need);
        if !missing.is_empty() {
            let (what, else_, names) = (need.what, need.else_, list(&missing));
            let message = format!("{what} needs {names}, denied here: {else_}; {}", remedy(view, &missing));
            findings.warn(START, field, message);
        }
    }
}

/// The needs of what a profile is for: of units, those of every program.
fn of<'v>(view: &'v View<'_>) -> impl Iterator<Item = &'static Need> + use<'v> {
    let is_unit = view.profile.origin.is_unit();
    let needs = NEEDS.iter().chain(makes_threads(view).then_some(&THREAD));
    needs.filter(move |need| !is_unit || need.runtime.is_none())
}

fn missing_of(view: &View<'_>, need: &Need) -> Vec<&'static str> {
    let missing =
        need.syscalls.iter().filter(|names| is_missing(view, names) && !is_meant(view, need, names));
    missing.map(|names| first(view, names)).collect()
}

/// All syscalls that are needed and denied.
pub(super) fn missing(view: &View<'_>) -> impl Iterator<Item = &'static str> {
    of(view).flat_map(|need| missing_of(view, need))
}

/// The changes that allow the missing syscalls: of the list that allows, and of the entries that deny.
fn remedy(view: &View<'_>, missing: &[&str]) -> String {
    if view.profile.origin.is_unit() {
        return match view.denies_by_default() {
            true => match removing(view, missing) {
                None => "list them, or @system-service, too".to_owned(),
                Some(words) => {
                    format!("{words}: SystemCallFilter={} on a later line lists them", missing.join(" "))
                }
            },
            false => {
                format!("SystemCallFilter={} on a later line takes them out of the list", missing.join(" "))
            }
        };
    }
    let add = "add the names to an entry that allows";
    match (view.denies_by_default(), view.denying(missing)) {
        (true, None) => add.to_owned(),
        (true, Some(entries)) => format!("take them out of {entries}, and {add}"),
        (false, entries) => format!("take them out of {}", entries.unwrap_or_default()),
    }
}

/// The words that remove listed syscalls again, with their lines.
fn removing(view: &View<'_>, names: &[&str]) -> Option<String> {
    let removed = view.profile.lines.removed.iter().filter(|removed| names.contains(&&*removed.syscall));
    let words: BTreeSet<_> =
        removed.map(|removed| format!("{} in line {}", removed.word, removed.at.line)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let verb = if words.len() == 1 { "removes" } else { "remove" };
    (!words.is_empty()).then(|| format!("{} {verb} listed ones", list(&words)))
}

/// Whether an entry denies by name what only some versions of a runtime need: its author knows the later ones.
fn is_meant(view: &View<'_>, need: &Need, name: &str) -> bool {
    let denies = |rule: &Rule| rule.syscall.name() == name && !rule.action.lets_through();
    need.is_mended && view.rules.rules.iter().any(denies)
}

/// Whether a program can start threads.
fn makes_threads(view: &View<'_>) -> bool {
    let is_made = |name| matches!(view.native(name), Answer::Through | Answer::Conditional);
    is_made("clone") || is_made("clone3")
}

/// Whether the machine has one of the alternatives, and none is let through.
fn is_missing(view: &View<'_>, alternatives: &str) -> bool {
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
        let deny = |names: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{names}"],"action":"SCMP_ACT_KILL"}}]}}"#
            )
        };
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
            // NVIDIA/libnvidia-container#124, francma/wob#62.
            (without("pread64"), &["start needs pread64, denied here"]),
            (
                without("newfstatat"),
                &[
                    "glibc 2.33 to 2.38 needs newfstatat",
                    "runc where allowPrivilegeEscalation is not false needs newfstatat",
                ],
            ),
            (
                without("fstat"),
                &[
                    "from 2.39 on, needs fstat",
                    "runc where allowPrivilegeEscalation is not false needs fstat",
                ],
            ),
            (without("getcwd"), &["runc where allowPrivilegeEscalation is not false needs getcwd"]),
            (without("setresuid"), &["crun where allowPrivilegeEscalation is not false needs setresuid"]),
            (without("mmap"), &["start needs mmap, denied here: the program ends before its main"]),
            (
                without("openat2").replace(
                    "\"}]}",
                    r#""},{"names":["openat2"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#,
                ),
                &[],
            ),
            // Lists that deny: moby/moby#36830, systemd/systemd#27552.
            (
                deny("execve"),
                &[
                    "start needs execve, denied here: the program ends before its main; take them out of syscalls[0]",
                    "runc needs execve",
                    "crun where allowPrivilegeEscalation is not false needs execve",
                ],
            ),
            (deny("fstatfs\",\"reboot"), &["runc needs fstatfs", "1.4.0-rc.3 on needs fstatfs"]),
            (deny("reboot"), &[]),
            (deny("exit"), &["the end of a thread needs exit, denied here: the thread never ends"]),
            // Without clone there are no threads.
            (without("exit"), &[]),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
        assert_eq!(findings_of(check, crate::builtin::DEFAULT, Arch::X86_64), [] as [String; 0]);
        assert!(all.iter().all(|name| Syscall::named(name).is_some()));
    }

    #[test]
    fn what_services_need_is_named() {
        let cases: &[(&str, &[&str])] = &[
            (
                "SystemCallFilter=read",
                &[
                    "start needs openat, pread64 and close, denied here: the program ends before its main; list them, or @system-service, too",
                    "glibc 2.33 to 2.38 needs newfstatat",
                    "from 2.39 on, needs fstat",
                ],
            ),
            ("SystemCallFilter=@system-service", &[]),
            (
                "SystemCallFilter=@system-service\nSystemCallFilter=~openat",
                &[
                    "start needs openat, denied here: the program ends before its main; ~openat in line 2 removes listed ones: SystemCallFilter=openat on a later line lists them",
                ],
            ),
            ("SystemCallFilter=@system-service\nSystemCallFilter=~openat\nSystemCallFilter=openat", &[]),
            ("SystemCallFilter=~fsync", &[]),
            (
                "SystemCallFilter=~execve",
                &[
                    "start needs execve, denied here: the program ends before its main; SystemCallFilter=execve on a later line takes them out of the list",
                ],
            ),
            ("SystemCallFilter=~execve\nSystemCallFilter=execve", &[]),
        ];
        check_cases(check, cases);
    }
}
