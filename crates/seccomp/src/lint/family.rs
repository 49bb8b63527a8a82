//! Syscalls that do the same as a denied one; newer forms that fail with an error nobody falls back on.

use std::collections::BTreeSet;

use super::view::{Answer, START, View, list};
use crate::action::Action;
use crate::errno::ENOSYS;
use crate::finding::Findings;
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
        for (name, _) in &entry.names {
            let family = match (table::family(name), name.as_str(), entry.args.is_empty()) {
                (None, ..) => continue,
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
        if !left.is_empty() && !view.profile.origin.is_unit() {
            let (does, are) = if denied.len() == 1 { ("does", "is") } else { ("do", "are") };
            let message = format!(
                "{} {are} denied, but {} can do what {} {does} and {} let through; name {} too",
                list(&denied),
                list(&left),
                if denied.len() == 1 { "it" } else { "they" },
                if left.len() == 1 { "is" } else { "are" },
                if left.len() == 1 { "it" } else { "them" },
            );
            findings.warn(entry.at, format!("syscalls[{at}].names"), message);
        }
    }
}

/// libc and programs try the newer form first, and the older one only on `ENOSYS`.
fn newer_forms(view: &View<'_>, findings: &mut Findings) {
    if view.profile.origin.is_unit() {
        return;
    }
    let mut refused: Vec<(&str, Action)> = Vec::new();
    for (older, newer) in table::NEWER_FORMS {
        let is_tried = older.split('|').any(|older| view.native(older) == Answer::Through);
        if let (true, Answer::Denied(action)) = (is_tried, view.native(newer))
            && action != Action::Errno(ENOSYS)
            && !matches!(action, Action::Trace(_))
        {
            refused.push((newer, action));
        }
    }
    let names: Vec<_> = refused.iter().map(|(name, _)| *name).collect();
    let Some((_, action)) = refused.first() else { return };
    let message = format!(
        "{}: newer forms of syscalls that are let through get {action}, where libc and programs fall back to the older form on ENOSYS only; let them through too, or have them fail with errnoRet 38",
        list(&names)
    );
    findings.warn(START, "syscalls", message);
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
            // Newer than all that the profile names: ENOSYS.
            (profile("ERRNO", "ALLOW", r#""openat","clone""#), &[]),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
    }
}
