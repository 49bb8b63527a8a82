//! What a profile means that its author may not have meant.

use palisade_k8s::manifest::Position;

use crate::action::Action;
use crate::arch::Arch;
use crate::finding::{Finding, Findings};
use crate::profile::{Entry, Profile};
use crate::table::{self, Syscall};

/// Looks a profile over.
#[must_use]
pub fn lint(profile: &Profile) -> Vec<Finding> {
    let mut findings = Findings::default();
    whole(profile, &mut findings);
    for (at, entry) in profile.entries.iter().enumerate() {
        gates(profile, at, entry, &mut findings);
        calls(profile, at, entry, &mut findings);
    }
    findings.list
}

fn whole(profile: &Profile, findings: &mut Findings) {
    let start = Position { line: 1, column: 1 };
    if profile.default_action.lets_through() {
        findings.warn(
            start,
            "defaultAction",
            "lets every call through that no entry names, those of newer kernels too",
        );
    }
    if let Some(flags) = &profile.flags
        && !flags.iter().any(|flag| flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
    {
        let message = "without SECCOMP_FILTER_FLAG_SPEC_ALLOW the kernel slows the container down against Spectre variant 4; leave flags out to have it";
        findings.warn(start, "flags", message);
    }
    let killed =
        profile.entries.iter().all(|entry| !entry.action.lets_through() && entry.action != Action::Notify);
    if killed && !profile.default_action.lets_through() {
        findings.warn(start, "syscalls", "no call is let through, so no program can start");
    }
    if profile.arch_map.is_empty() && profile.architectures.is_empty() {
        let message = "name the architectures, or calls of 32-bit programs are killed";
        findings.warn(start, "architectures", message);
    }
}

/// containerd reads a profile of a node's file as OCI's form, and so ignores what only Docker's has.
fn gates(profile: &Profile, at: usize, entry: &Entry, findings: &mut Findings) {
    if entry.includes.is_empty() && entry.excludes.is_empty() {
        return;
    }
    if entry.action.lets_through() && !profile.default_action.lets_through() {
        let message = "containerd ignores includes and excludes in a Localhost profile, so that these calls are allowed always; `palisade seccomp resolve` writes a profile that means the same everywhere";
        findings.warn(entry.at, format!("syscalls[{at}]"), message);
    }
}

fn calls(profile: &Profile, at: usize, entry: &Entry, findings: &mut Findings) {
    let field = format!("syscalls[{at}].names");
    if entry.action == profile.default_action && entry.args.is_empty() {
        let message = format!("{} is the default anyway; runtimes leave such entries out", entry.action);
        findings.warn(entry.at, format!("syscalls[{at}].action"), message);
    }
    let mut seen = std::collections::BTreeSet::new();
    for (name, position) in &entry.names {
        if !seen.insert(name) {
            findings.warn(*position, field.clone(), format!("{name} is named twice"));
        }
        let Some(call) = Syscall::named(name) else { continue };
        if !entry.args.is_empty() && table::carrier(name).is_some() && is_multiplexed(profile) {
            let message = format!(
                "on x86, s390x and ppc64le {name} can also be made through socketcall or ipc, where no filter sees these arguments; --strict closes that"
            );
            findings.warn(*position, field.clone(), message);
        }
        if entry.action == Action::Notify && call.name() == "write" {
            findings.warn(
                *position,
                field.clone(),
                "runtimes refuse to notify on write: they write themselves before anybody listens",
            );
        }
        if entry.action.lets_through() && call.name().starts_with("io_uring_") {
            let message = "what a program does through io_uring passes no filter";
            findings.warn(*position, field.clone(), format!("{name}: {message}"));
        }
    }
}

/// Whether the profile is for an architecture with `socketcall` and `ipc`.
fn is_multiplexed(profile: &Profile) -> bool {
    let maps = profile
        .arch_map
        .iter()
        .flat_map(|map| std::iter::once(&map.architecture).chain(&map.sub_architectures));
    profile.architectures.iter().chain(maps).filter_map(|name| Arch::parse(name)).any(Arch::is_multiplexed)
}
