//! Names that an ABI of the profile does not have, and the equivalent names there.

use super::view::{Answer, START, View, list};
use crate::arch::Arch;
use crate::finding::Findings;
use crate::table::{self, Syscall};

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    nowhere(view, findings);
    if view.denies_by_default() && !view.profile.origin.is_unit() {
        other_names(view, findings);
    }
}

/// Names without a number on any ABI that the profile is for: if their equivalents there are denied, or if the whole
/// entry has no effect. A list for many machines has others, which do no harm.
fn nowhere(view: &View<'_>, findings: &mut Findings) {
    let archs = view.named_archs();
    let exists = |syscall: Syscall| archs.iter().any(|arch| syscall.number(*arch).is_some());
    for (at, entry) in
        view.profile.entries.iter().enumerate().filter(|(_, entry)| entry.includes.arches.is_empty())
    {
        let written = entry.names.iter().filter(|(name, at)| view.is_written(name, *at));
        let known: Vec<_> = written.filter_map(|(name, _)| Syscall::named(name)).collect();
        let without = known.iter().filter(|syscall| !exists(**syscall));
        let mut told: Vec<String> = Vec::new();
        for syscall in without {
            let others = table::counterparts(syscall.name()).iter();
            let there = others.copied().find(|other| !matches!(view.native(other), Answer::Absent));
            match there {
                Some(other) if is_undone(view, entry.action, other) => {
                    told.push(format!("{syscall} (there: {other})"))
                }
                None if !known.iter().copied().any(exists) => told.push(syscall.name().to_owned()),
                _ => {}
            }
        }
        if !told.is_empty() {
            let names: Vec<_> = archs.iter().map(|arch| arch.name()).collect();
            let message =
                format!("no number on {}, so these names do nothing: {}", list(&names), told.join(", "));
            findings.warn(entry.at, view.field(at, "names"), message);
        }
    }
}

/// Whether a syscall gets another result than an entry intended for its equivalent.
fn is_undone(view: &View<'_>, action: crate::action::Action, name: &str) -> bool {
    match view.native(name) {
        Answer::Absent | Answer::Conditional => false,
        Answer::Through => !action.lets_through(),
        Answer::Denied(_) => action.lets_through(),
    }
}

/// Findings for syscalls that are allowed on the machine's own ABI and have another name on one of its other ABIs.
fn other_names(view: &View<'_>, findings: &mut Findings) {
    for &arch in view.rules.archs.iter().filter(|arch| **arch != view.native) {
        let through = Syscall::all().filter(|syscall| view.answer(view.native, *syscall) == Answer::Through);
        let missing: Vec<_> = through
            .flat_map(|syscall| {
                denied_forms(view, arch, syscall).map(move |other| format!("{other} ({syscall})"))
            })
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "on {arch} programs use other names for syscalls that are allowed on {}, and these are denied: {}",
                view.native,
                missing.join(", ")
            );
            findings.warn(START, "syscalls", message);
        }
    }
}

/// The other names of a syscall on an ABI, which denies them.
fn denied_forms<'v>(
    view: &'v View<'_>,
    arch: Arch,
    syscall: Syscall,
) -> impl Iterator<Item = Syscall> + use<'v> {
    let others = table::wide_forms(syscall.name()).iter().filter_map(|name| Syscall::named(name));
    others.filter(move |other| {
        *other != syscall
            && matches!(view.answer(arch, *other), Answer::Denied(_))
            && !is_met(view, arch, syscall)
    })
}

/// The same for the names that are allowed on the machine's own ABI, and for those that are to be.
pub(super) fn denied_names<'v>(
    view: &'v View<'_>,
    added: &'v [&str],
) -> impl Iterator<Item = &'static str> + use<'v> {
    let is_let = |syscall: &Syscall| {
        view.answer(view.native, *syscall) == Answer::Through || added.contains(&syscall.name())
    };
    let archs = view.rules.archs.iter().filter(|arch| **arch != view.native);
    archs.flat_map(move |arch| {
        Syscall::all()
            .filter(is_let)
            .flat_map(move |syscall| denied_forms(view, *arch, syscall))
            .map(Syscall::name)
    })
}

/// Whether an ABI has a syscall only under its own name.
fn is_met(view: &View<'_>, arch: Arch, syscall: Syscall) -> bool {
    let is_64_bit = arch.is_wide() || arch == Arch::X32;
    is_64_bit && view.answer(arch, syscall) == Answer::Through
}

#[cfg(test)]
mod tests {
    use super::super::view::{check_cases, findings_of};
    use super::*;
    use crate::arch::Arch;

    #[test]
    fn names_of_other_abis_are_given() {
        let profile = |archs: &str, names: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":[{archs}],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}]}}"#
            )
        };
        let both = r#""SCMP_ARCH_X86_64","SCMP_ARCH_X86""#;
        let cases: Vec<(String, &[&str])> = vec![
            (profile(both, r#""read","write""#), &[]),
            (profile(both, r#""newfstatat""#), &["fstatat64 (newfstatat)"]),
            (profile(both, r#""clock_gettime""#), &["clock_gettime64 (clock_gettime)"]),
            (profile(both, r#""clock_gettime","clock_gettime64""#), &[]),
            (profile(r#""SCMP_ARCH_X86_64""#, r#""newfstatat""#), &[]),
            (profile(r#""SCMP_ARCH_X86_64""#, r#""mmap2""#), &["mmap2 (there: mmap)"]),
            (
                "SystemCallFilter=cacheflush".to_owned(),
                &[
                    "SystemCallFilter: no number on x86_64, x86 and x32, so these names do nothing: cacheflush",
                ],
            ),
            ("SystemCallFilter=@system-service".to_owned(), &[]),
            (profile(r#""SCMP_ARCH_X86_64""#, r#""mmap","mmap2","set_tls""#), &[]),
            (
                profile(r#""SCMP_ARCH_X86_64""#, r#""riscv_flush_icache""#),
                &["do nothing: riscv_flush_icache"],
            ),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
        let arm =
            findings_of(check, &profile(r#""SCMP_ARCH_AARCH64""#, r#""open","chmod","read""#), Arch::Aarch64);
        assert!(arm[0].contains("open (there: openat), chmod (there: fchmodat)"), "{arm:?}");
    }
}
