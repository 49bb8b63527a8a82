//! Syscalls that do the same as a denied one; newer forms that fail with an error on which no program falls back.

use std::collections::BTreeSet;

use super::runtime;
use super::view::{Answer, START, View, list};
use crate::action::Action;
use crate::errno::ENOSYS;
use crate::finding::Findings;
use crate::profile::Entry;
use crate::table;

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    match view.denies_by_default() {
        true => newer_forms(view, findings),
        false => siblings(view, findings),
    }
}

/// A profile that denies some syscalls and leaves others that do the same.
fn siblings(view: &View<'_>, findings: &mut Findings) {
    for (at, entry) in
        view.profile.entries.iter().enumerate().filter(|(_, entry)| !entry.action.lets_through())
    {
        let mut left: BTreeSet<&str> = BTreeSet::new();
        let mut denied: Vec<&str> = Vec::new();
        for (name, _) in entry.names.iter().filter(|(name, at)| view.is_written(name, *at)) {
            let family = match (table::family(name), name.as_str(), entry.args.is_empty()) {
                (None, ..) => continue,
                // The same threads and processes are made by clone: what matters is the error.
                (_, "clone3", _) if !matches!(view.native("clone"), Answer::Denied(_)) => {
                    denied_clone3(view, at, entry, findings);
                    continue;
                }
                // Without it nothing starts: said on its own.
                _ if runtime::is_of_the_start(name) => continue,
                // Neither fork nor vfork takes flags.
                (_, "clone", false) => &["clone", "clone3"],
                (Some(family), ..) => family,
            };
            let through: Vec<_> = family
                .iter()
                .filter(|other| **other != name && view.native(other) == Answer::Through)
                .collect();
            if !through.is_empty() && view.native(name) != Answer::Through {
                denied.push(name);
                left.extend(through);
            }
        }
        let left: Vec<_> = left.into_iter().collect();
        if !left.is_empty() {
            let (does, are) = if denied.len() == 1 { ("does", "is") } else { ("do", "are") };
            let message = format!(
                "{} {are} denied, but {} can do what {} {does} and {} let through; name {} too",
                list(&denied),
                list(&left),
                if denied.len() == 1 { "it" } else { "they" },
                if left.len() == 1 { "is" } else { "are" },
                if left.len() == 1 { "it" } else { "them" },
            );
            findings.warn(entry.at, view.field(at, "names"), message);
        }
    }
}

/// libc falls back from clone3 to clone on `ENOSYS` only.
fn denied_clone3(view: &View<'_>, at: usize, entry: &Entry, findings: &mut Findings) {
    let Answer::Denied(action) = view.native("clone3") else { return };
    if matches!(action, Action::Errno(ENOSYS) | Action::Trace(_)) {
        return;
    }
    let remedy = if view.profile.origin.is_unit() {
        format!("write {}", enosys(view, &["clone3"]))
    } else {
        "set \"action\": \"SCMP_ACT_ERRNO\", \"errnoRet\": 38 for it".to_owned()
    };
    let message = format!(
        "clone3 gets {action}, where libc (glibc from 2.34 on) falls back to clone on ENOSYS only, so that programs cannot start threads or processes; {remedy}"
    );
    findings.warn(entry.at, view.field(at, "names"), message);
}

/// The newer forms of syscalls that fail with an error on which no program falls back.
#[derive(Default)]
struct Refused {
    /// By the profile.
    by_profile: Vec<(&'static str, Action)>,
    /// By every runtime but runc, which has `ENOSYS` for numbers above all that are named.
    but_by_runc: Vec<&'static str>,
    /// By every runtime, with the syscall above it that is named.
    below: Vec<(&'static str, table::Syscall)>,
}

/// libc and programs try the newer form first, and the older one only on `ENOSYS`.
fn newer_forms(view: &View<'_>, findings: &mut Findings) {
    // The rules of a base for them are not known here.
    if view.profile.base.is_some() {
        return;
    }
    let field = if view.profile.origin.is_unit() { "SystemCallFilter" } else { "syscalls" };
    let (refused, masked) = refused_forms(view);
    if let Some(action) = masked {
        masked_clone(view, action, findings);
    }
    for message in refused.messages(view) {
        findings.warn(START, field, message);
    }
}

/// The newer forms to let through, also of the syscalls that are to be added. clone3 is left out beside a mask of clone's
/// flags: a filter cannot see those of clone3.
pub(super) fn refused<'v>(
    view: &'v View<'_>,
    added: &'v BTreeSet<&str>,
) -> impl Iterator<Item = &'static str> + use<'v> {
    let Refused { by_profile, but_by_runc, below } = refused_forms(view).0;
    let by_profile = by_profile.into_iter().map(|(name, _)| name);
    let all = by_profile.chain(but_by_runc).chain(below.into_iter().map(|(name, _)| name));
    let is_answered =
        |name| !view.is_unknown(name) && view.native(name) == Answer::Denied(Action::Errno(ENOSYS));
    let of_added = table::NEWER_FORMS.into_iter().filter(move |(older, newer)| {
        let is_denied = matches!(view.native(newer), Answer::Denied(_)) && !is_answered(newer);
        is_denied && older.split('|').any(|older| added.contains(older))
    });
    let is_masked = view.native("clone") == Answer::Conditional;
    all.chain(of_added.map(|(_, newer)| newer)).filter(move |name| !is_masked || *name != "clone3")
}

/// The newer forms that are refused, and the answer to clone3 where clone's flags are masked.
fn refused_forms(view: &View<'_>) -> (Refused, Option<Action>) {
    let (mut refused, mut masked) = (Refused::default(), None);
    let is_made = |name: &str| matches!(view.native(name), Answer::Through | Answer::Conditional);
    for (older, newer) in table::NEWER_FORMS {
        match view.native(newer) {
            Answer::Denied(_) if !older.split('|').any(is_made) => {}
            Answer::Denied(_) if view.is_unknown(newer) && view.profile.origin.is_unit() => {}
            Answer::Denied(_) if view.is_unknown(newer) => match view.highest_above(newer) {
                Some(highest) => refused.below.push((newer, highest)),
                None => refused.but_by_runc.push(newer),
            },
            Answer::Denied(Action::Errno(ENOSYS) | Action::Trace(_)) => {}
            // Threads start by it: reported separately.
            Answer::Denied(action) if newer == "clone3" && view.native("clone") == Answer::Conditional => {
                masked = Some(action);
            }
            Answer::Denied(action) => refused.by_profile.push((newer, action)),
            Answer::Absent | Answer::Through | Answer::Conditional => {}
        }
    }
    (refused, masked)
}

impl Refused {
    fn messages(&self, view: &View<'_>) -> Vec<String> {
        let mut messages = Vec::new();
        if let Some((_, action)) = self.by_profile.first() {
            let names: Vec<_> = self.by_profile.iter().map(|(name, _)| *name).collect();
            messages.push(format!(
                "{}: newer forms of syscalls that are let through get {action}, where libc and programs fall back to the older form on ENOSYS only; {}let them through too{}",
                list(&names),
                taken_out(view, &names),
                or_enosys(view, &names, ", or have ", " fail with "),
            ));
        }
        if let Some((_, highest)) = self.below.first() {
            let names: Vec<_> = self.below.iter().map(|(name, _)| *name).collect();
            messages.push(format!(
                "{}: newer than the profile, but with a number below that of {highest}, which it names: runc returns ENOSYS only above it, so that every runtime returns {}, on which programs do not fall back to the older form; let them through too{}",
                list(&names),
                view.profile.default_action,
                or_enosys(view, &names, ", or have ", " fail with "),
            ));
        }
        if !self.but_by_runc.is_empty() {
            messages.push(format!(
                "{}: newer than all syscalls that the profile names, so that runc from 1.0.0-rc93 on returns ENOSYS; crun, older runc and libseccomp alone return {}, on which programs do not fall back to the older form; let them through{}",
                list(&self.but_by_runc),
                view.profile.default_action,
                or_enosys(view, &self.but_by_runc, ", or have ", " fail everywhere with "),
            ));
        }
        messages
    }
}

/// The entry that has syscalls fail with `ENOSYS`, but for those that a runtime needs itself.
fn or_enosys(view: &View<'_>, names: &[&str], or: &str, with: &str) -> String {
    let is_free = |name: &&&str| view.profile.origin.is_unit() || !runtime::is_needed(name);
    let free: Vec<_> = names.iter().filter(is_free).copied().collect();
    match free.len() {
        0 => String::new(),
        some if some == names.len() => format!("{or}them{with}{}", enosys(view, &free)),
        _ => format!("{or}{}{with}{}", list(&free), enosys(view, &free)),
    }
}

/// The entries to change first: beside one that denies a syscall, another for it has no effect.
fn taken_out(view: &View<'_>, names: &[&str]) -> String {
    match view.denying(names) {
        Some(entries) if !view.profile.origin.is_unit() => {
            format!("take {} out of {entries}, and ", list(names))
        }
        _ => String::new(),
    }
}

/// clone3's flags are behind a pointer, so that it can be allowed or denied, but not by its flags (moby/moby#42680).
fn masked_clone(view: &View<'_>, action: Action, findings: &mut Findings) {
    let message = format!(
        "clone3 gets {action}, where libc (glibc from 2.34 on) falls back to clone on ENOSYS only, so that programs cannot start threads or processes; {}add {}; to let it through would undo the conditions on clone, whose flags clone3 has behind a pointer",
        taken_out(view, &["clone3"]),
        enosys(view, &["clone3"]),
    );
    findings.warn(
        START,
        if view.profile.origin.is_unit() { "SystemCallFilter" } else { "syscalls" },
        message,
    );
}

/// The entry that makes syscalls fail with `ENOSYS`, in the profile's format.
fn enosys(view: &View<'_>, names: &[&str]) -> String {
    if view.profile.origin.is_unit() {
        let words: Vec<_> = names.iter().map(|name| format!("{name}:ENOSYS")).collect();
        return format!("SystemCallFilter=~{}", words.join(" "));
    }
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("{{\"names\":[{}],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38}}", names.join(","))
}

#[cfg(test)]
mod tests {
    use super::super::view::check_cases;
    use super::*;

    #[test]
    fn relatives_are_named() {
        let profile = |default: &str, action: &str, names: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_{default}","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_{action}"}}]}}"#
            )
        };
        let none = |names: &str| format!(r#"{{"names":[{names}],"action":"SCMP_ACT_ERRNO","errnoRet":38}}"#);
        let masked = |names: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}},{{"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"}}]}}]}}"#
            )
        };
        let cases: Vec<(String, &[&str])> = vec![
            (
                profile("ALLOW", "ERRNO", r#""chmod""#),
                &["chmod is denied, but fchmod, fchmodat and fchmodat2 can do what it does"],
            ),
            (profile("ALLOW", "ERRNO", r#""chmod","fchmod","fchmodat","fchmodat2""#), &[]),
            (
                profile("ALLOW", "ERRNO", r#""init_module","reboot""#),
                &["finit_module can do what it does and is let through"],
            ),
            (profile("ALLOW", "ERRNO", r#""reboot""#), &[]),
            (profile("ALLOW", "ERRNO", r#""clone3""#), &["\"errnoRet\": 38 for it"]),
            (
                profile("ALLOW", "ERRNO", r#""clone3""#).replace("SCMP_ACT_ERRNO\"", "SCMP_ACT_ERRNO\",\"errnoRet\":38"),
                &[],
            ),
            (profile("ALLOW", "ERRNO", r#""clone","clone3""#), &["fork and vfork can do what they do"]),
            (
                profile("ALLOW", "ERRNO", r#""reboot""#).replace("]}]", r#"]},{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":268435456,"valueTwo":268435456,"op":"SCMP_CMP_MASKED_EQ"}]},{"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]"#),
                &[],
            ),
            (
                profile("ERRNO", "ALLOW", r#""openat","fchmodat","futex_wake""#),
                &["openat2 and fchmodat2: newer forms"],
            ),
            (profile("ERRNO", "ALLOW", r#""openat","openat2","fchmodat2","fchmodat""#), &[]),
            // Newer than all syscalls that the profile names: ENOSYS by runc.
            (
                profile("ERRNO", "ALLOW", r#""openat","clone""#),
                &["openat2 and clone3: newer than all syscalls that the profile names, so that runc from 1.0.0-rc93 on returns ENOSYS; crun, older runc and libseccomp alone return ERRNO(EPERM)"],
            ),
            // Below the highest number named, runc has no ENOSYS either (moby/moby#43595); openat2 runc needs itself.
            (
                profile("ERRNO", "ALLOW", r#""openat","close","faccessat2","access""#),
                &[
                    "openat2: newer forms of syscalls that are let through get ERRNO(EPERM), where libc and programs fall back to the older form on ENOSYS only; let them through too",
                    "close_range: newer than the profile, but with a number below that of faccessat2, which it names: runc returns ENOSYS only above it, so that every runtime returns ERRNO(EPERM), on which programs do not fall back to the older form; let them through too, or have them fail with {\"names\":[\"close_range\"]",
                ],
            ),
            // statx runc needs too: ENOSYS would not help (natlas/natlas#1301).
            (
                profile("ERRNO", "ALLOW", r#""stat","fchmodat","futex_wake""#),
                &["fchmodat2 and statx: newer forms of syscalls that are let through get ERRNO(EPERM), where libc and programs fall back to the older form on ENOSYS only; let them through too, or have fchmodat2 fail with {\"names\":[\"fchmodat2\"],"],
            ),
            // The advised entry.
            (
                profile("ERRNO", "ALLOW", r#""openat","clone""#).replace("}]}", &format!("}},{}]}}", none(r#""openat2","clone3""#))),
                &[],
            ),
            (masked(r#""openat2""#), &["clone3 gets ERRNO(EPERM), where libc (glibc from 2.34 on) falls back to clone on ENOSYS only"]),
            (masked(r#""read""#), &["clone3: newer than all syscalls that the profile names"]),
            (masked(r#""openat2""#).replace("}]}]}", &format!("}}]}},{}]}}", none(r#""clone3""#))), &[]),
            // An entry denies it already: another beside it has no effect.
            (
                masked(r#""openat2""#).replace("}]}]}", r#"}]},{"names":["clone3"],"action":"SCMP_ACT_KILL"}]}"#),
                &["ENOSYS only, so that programs cannot start threads or processes; take clone3 out of syscalls[2], and add {\"names\":[\"clone3\"]"],
            ),
            (
                profile("ERRNO", "ALLOW", r#""fchmodat","futex_wake""#)
                    .replace("}]}", r#"},{"names":["fchmodat2"],"action":"SCMP_ACT_ERRNO","errnoRet":5}]}"#),
                &["ENOSYS only; take fchmodat2 out of syscalls[1], and let them through too, or have them fail with {\"names\":[\"fchmodat2\"]"],
            ),
            ("SystemCallFilter=openat".to_owned(), &["openat2: newer forms of syscalls that are let through get KILL_PROCESS, where libc and programs fall back to the older form on ENOSYS only; let them through too, or have them fail with SystemCallFilter=~openat2:ENOSYS"]),
            ("SystemCallFilter=openat\nSystemCallFilter=~openat2:ENOSYS".to_owned(), &[]),
            ("SystemCallFilter=@system-service".to_owned(), &[]),
            ("SystemCallFilter=~chmod".to_owned(), &["chmod is denied, but fchmod, fchmodat and fchmodat2 can do"]),
            ("SystemCallFilter=~@privileged".to_owned(), &[]),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
    }
}
