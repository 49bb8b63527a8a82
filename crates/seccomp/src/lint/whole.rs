//! Checks of the default action, the flags and the architectures.

use super::view::{START, View};
use crate::action::Action;
use crate::arch::Arch;
use crate::finding::Findings;

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    default_action(view, findings);
    flags(view, findings);
    nothing_passes(view, findings);
    architectures(view, findings);
}

fn default_action(view: &View<'_>, findings: &mut Findings) {
    let message = match view.profile.default_action {
        // A unit's deny list is the usual case.
        Action::Allow if view.profile.origin.is_unit() => return,
        Action::Allow => "lets every syscall through that no entry names, those of newer kernels too",
        Action::Log => {
            "LOG allows every syscall that no entry names, and only writes it to the kernel's log: nothing is denied by default"
        }
        Action::Trace(_) => {
            "without a tracer attached, TRACE makes a syscall fail with ENOSYS (kernel/seccomp.c); SCMP_ACT_ERRNO with defaultErrnoRet 38 does the same, with or without a tracer"
        }
        _ => return,
    };
    findings.warn(START, "defaultAction", message);
}

fn flags(view: &View<'_>, findings: &mut Findings) {
    let Some(flags) = &view.profile.flags else { return };
    if !flags.iter().any(|flag| flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
        let message = "without SECCOMP_FILTER_FLAG_SPEC_ALLOW the kernel slows the container down against Spectre variant 4; leave flags out to have it";
        findings.warn(START, "flags", message);
    }
}

fn nothing_passes(view: &View<'_>, findings: &mut Findings) {
    let passes = |action: Action| action.lets_through() || action == Action::Notify;
    // An entry without names, or one that does not count here, lets nothing through.
    let denied = view.rules.rules.iter().all(|rule| !passes(rule.action));
    if denied && view.denies_by_default() && view.profile.base.is_none() {
        findings.warn(START, "syscalls", "no syscall is let through, so no program can start");
    }
}

/// 32-bit programs run on a 64-bit kernel by ABIs that the profile must name.
fn architectures(view: &View<'_>, findings: &mut Findings) {
    let profile = view.profile;
    if profile.origin.is_unit() {
        return;
    }
    if profile.arch_map.is_empty() && profile.architectures.is_empty() {
        let message = "name the architectures, or syscalls of 32-bit programs are killed";
        findings.warn(START, "architectures", message);
        return;
    }
    let is_missing = |arch: &&Arch| !view.rules.archs.contains(arch);
    let missing: Vec<_> =
        view.native.companions().iter().filter(is_missing).map(|arch| arch.scmp()).collect();
    let names_native = profile.architectures.iter().any(|name| Arch::parse(name) == Some(view.native));
    if let (true, [first, ..]) = (names_native, missing.as_slice()) {
        let message = format!(
            "on {} the threads of programs that use other ABIs are killed; add {first} if 32-bit programs are to run",
            view.native
        );
        // A profile that names one ABI intends that; a profile that names some of them forgot the others.
        if missing.len() < view.native.companions().len() && *first != Arch::X32.scmp() {
            findings.warn(START, "architectures", message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::check_cases;
    use super::*;

    #[test]
    fn what_default_flags_and_architectures_mean_is_said() {
        let archs = r#""architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"]"#;
        let read = r#""syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]"#;
        let profile =
            |default: &str, rest: &str| format!(r#"{{"defaultAction":"SCMP_ACT_{default}",{rest}}}"#);
        let cases: Vec<(String, &[&str])> = vec![
            (profile("ERRNO", &format!("{archs},{read}")), &[]),
            (profile("ALLOW", &format!("{archs},{read}")), &["newer kernels"]),
            (profile("LOG", &format!("{archs},{read}")), &["nothing is denied"]),
            (profile("TRACE", &format!("{archs},{read}")), &["without a tracer"]),
            (profile("ERRNO", archs), &["no program can start"]),
            (
                profile(
                    "ERRNO",
                    &format!(r#"{archs},"syscalls":[{{"names":[],"action":"SCMP_ACT_ALLOW"}}]"#),
                ),
                &["no program can start"],
            ),
            (profile("ERRNO", read), &["32-bit programs are killed"]),
            (profile("ERRNO", &format!(r#""flags":[],{archs},{read}"#)), &["Spectre"]),
            (profile("ERRNO", &format!(r#""architectures":["SCMP_ARCH_X86_64"],{read}"#)), &[]),
            (
                profile("ERRNO", &format!(r#""architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X32"],{read}"#)),
                &["add SCMP_ARCH_X86 "],
            ),
            ("SystemCallFilter=~read".to_owned(), &[]),
            ("SystemCallFilter=read\nSystemCallArchitectures=native".to_owned(), &[]),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
    }
}
