//! Entries without an effect, or only on some ABIs, or with another one than their action.

use super::view::{View, list};
use crate::action::Action;
use crate::arch::Arch;
use crate::errno::EPERM;
use crate::finding::Findings;
use crate::profile::Entry;
use crate::table::{self, Syscall};

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    let is_unit = view.profile.origin.is_unit();
    if !is_unit {
        gates(view, findings);
        default_errno(view, findings);
    }
    for (at, entry) in view.profile.entries.iter().enumerate() {
        if !is_unit {
            redundant(view, at, entry, findings);
            multiplexed(view, at, entry, findings);
        }
        action(view, at, entry, findings);
        io_uring(view, at, entry, findings);
    }
}

/// containerd reads a profile from a node's file in OCI's form, and so ignores Docker's extensions.
fn gates(view: &View<'_>, findings: &mut Findings) {
    let is_gated = |entry: &Entry| {
        (!entry.includes.is_empty() || !entry.excludes.is_empty())
            && entry.action.lets_through()
            && view.denies_by_default()
    };
    let gated: Vec<_> =
        view.profile.entries.iter().enumerate().filter(|(_, entry)| is_gated(entry)).collect();
    let Some((first, entry)) = gated.first() else { return };
    let more = match gated.len() {
        1 => String::new(),
        count => format!(" (and {} more entries)", count - 1),
    };
    let message = format!(
        "containerd ignores includes and excludes in a Localhost profile, so that these syscalls are allowed always{more}; `palisade seccomp resolve` writes a profile that means the same everywhere"
    );
    findings.warn(entry.at, format!("syscalls[{first}]"), message);
}

fn redundant(view: &View<'_>, at: usize, entry: &Entry, findings: &mut Findings) {
    if entry.action == view.profile.default_action {
        let message = format!(
            "{} is the default anyway; crun and runc from 1.0.2 on leave such entries out, older runc starts no container (\"requested action matches default action of filter\"); leave the entry out",
            entry.action
        );
        findings.warn(entry.at, format!("syscalls[{at}].action"), message);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (name, position) in &entry.names {
        if !seen.insert(name) {
            findings.warn(*position, format!("syscalls[{at}].names"), format!("{name} is named twice"));
        }
    }
}

/// Entries that repeat the default of a runc that does not read `defaultErrnoRet` (opencontainers/runc c61f60625).
fn default_errno(view: &View<'_>, findings: &mut Findings) {
    let default = view.profile.default_action;
    let repeats = |entry: &Entry| entry.action == Action::Errno(EPERM) && entry.action != default;
    if !matches!(default, Action::Errno(_)) {
        return;
    }
    let repeating: Vec<_> =
        view.profile.entries.iter().enumerate().filter(|(_, entry)| repeats(entry)).collect();
    let Some((first, entry)) = repeating.first() else { return };
    let more = match repeating.len() {
        1 => String::new(),
        count => format!(" (and {} more entries)", count - 1),
    };
    let message = format!(
        "runc before 1.0.0-rc95 ignores defaultErrnoRet and takes the default for ERRNO(EPERM), which this entry repeats{more}: there no container starts (\"requested action matches default action of filter\"); leave the entry out, or update runc"
    );
    findings.warn(entry.at, format!("syscalls[{first}].action"), message);
}

/// Arguments that no filter sees if `socketcall` and `ipc` carry the syscall.
fn multiplexed(view: &View<'_>, at: usize, entry: &Entry, findings: &mut Findings) {
    if entry.args.is_empty() || !view.named_archs().into_iter().any(Arch::is_multiplexed) {
        return;
    }
    for (name, position) in entry.names.iter().filter(|(name, _)| table::carrier(name).is_some()) {
        let message = format!(
            "on x86, s390x and ppc64le {name} can also be made through socketcall or ipc, where no filter sees these arguments; --strict closes that"
        );
        findings.warn(*position, format!("syscalls[{at}].names"), message);
    }
}

fn action(view: &View<'_>, at: usize, entry: &Entry, findings: &mut Findings) {
    let field = || format!("syscalls[{at}].action");
    match entry.action {
        Action::Trace(_) => {
            let message =
                "without a tracer attached, TRACE makes these syscalls fail with ENOSYS (kernel/seccomp.c)";
            findings.warn(entry.at, field(), message);
        }
        Action::Log if view.denies_by_default() && !view.profile.origin.is_unit() => {
            let message = "LOG lets these syscalls through, and only writes them to the kernel's log";
            findings.warn(entry.at, field(), message);
        }
        Action::Notify => {
            for (_, position) in entry.names.iter().filter(|(name, _)| name == "write") {
                let message =
                    "runtimes refuse to notify on write: they write themselves before a supervisor listens";
                findings.warn(*position, format!("syscalls[{at}].names"), message);
            }
        }
        _ => {}
    }
}

fn io_uring(view: &View<'_>, at: usize, entry: &Entry, findings: &mut Findings) {
    if !entry.action.lets_through() {
        return;
    }
    let named: Vec<_> = entry
        .names
        .iter()
        .filter(|(name, _)| name.starts_with("io_uring_") && Syscall::named(name).is_some())
        .collect();
    let Some((_, position)) = named.first() else { return };
    let names: Vec<_> = named.iter().map(|(name, _)| name.as_str()).collect();
    let message = format!("{}: operations through io_uring are not filtered", list(&names));
    findings.warn(*position, view.field(at, "names"), message);
}

#[cfg(test)]
mod tests {
    use super::super::view::check_cases;
    use super::*;

    #[test]
    fn entries_that_do_not_do_what_they_seem_to_are_named() {
        let entry = |text: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{{{text}}}]}}"#
            )
        };
        let cases: Vec<(String, &[&str])> = vec![
            (entry(r#""names":["read"],"action":"SCMP_ACT_ALLOW""#), &[]),
            (
                entry(r#""names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}"#),
                &["containerd ignores"],
            ),
            (
                entry(r#""names":["read"],"action":"SCMP_ACT_ERRNO""#),
                &[
                    "is the default anyway; crun and runc from 1.0.2 on leave such entries out, older runc starts no container",
                ],
            ),
            // opencontainers/runc#1847: with arguments too.
            (
                entry(
                    r#""names":["personality"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]"#,
                ),
                &["is the default anyway; crun and runc from 1.0.2 on"],
            ),
            // containers/podman#11883.
            (
                entry(r#""names":["bdflush"],"action":"SCMP_ACT_ERRNO","errnoRet":1"#)
                    .replace("SCMP_ACT_ERRNO\",\"arch", "SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,\"arch"),
                &[
                    "runc before 1.0.0-rc95 ignores defaultErrnoRet and takes the default for ERRNO(EPERM), which this entry repeats: there",
                ],
            ),
            (entry(r#""names":["read","read"],"action":"SCMP_ACT_ALLOW""#), &["named twice"]),
            (
                entry(
                    r#""names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]"#,
                ),
                &["socketcall"],
            ),
            (entry(r#""names":["read"],"action":"SCMP_ACT_TRACE""#), &["without a tracer"]),
            (entry(r#""names":["read"],"action":"SCMP_ACT_LOG""#), &["LOG lets"]),
            (entry(r#""names":["read","write"],"action":"SCMP_ACT_NOTIFY""#), &["refuse to notify on write"]),
            ("SystemCallFilter=io_uring_setup".to_owned(), &["SystemCallFilter: io_uring_setup: operations"]),
            (
                entry(r#""names":["io_uring_setup","io_uring_enter"],"action":"SCMP_ACT_ALLOW""#),
                &["io_uring_setup and io_uring_enter: operations"],
            ),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
    }
}
