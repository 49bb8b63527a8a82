//! One entry that adds all that runtimes, the program's start and newer libcs need and the profile denies.

use std::collections::BTreeSet;

use super::view::View;
use super::{abi, family, runtime};
use crate::arch::Arch;
use crate::filter::Rules;
use crate::profile::Profile;

/// What to add to a profile that denies by default, so that lint finds no syscall missing: an entry, or a line of a unit. `None`
/// if that is less than two names, or not to be had by an addition, since entries deny some of them by name.
#[must_use]
pub fn addition(profile: &Profile, rules: &Rules, native: Arch) -> Option<String> {
    let view = View::new(profile, rules, native);
    let has_rules = rules.rules.iter().any(|rule| rule.action.lets_through());
    if !view.denies_by_default() || !has_rules || profile.base.is_some() {
        return None;
    }
    let mut names: BTreeSet<&str> = runtime::missing(&view).collect();
    let newer: Vec<&str> = family::refused(&view, &names).collect();
    names.extend(newer);
    if !profile.origin.is_unit() {
        let added: Vec<&str> = names.iter().copied().collect();
        names.extend(abi::denied_names(&view, &added));
    }
    let names: Vec<&str> = names.into_iter().collect();
    let is_free = names.len() > 1 && view.denying(&names).is_none();
    is_free.then(|| match profile.origin.is_unit() {
        true => format!("SystemCallFilter={}", names.join(" ")),
        false => {
            let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
            format!("{{\"names\":[{}],\"action\":\"SCMP_ACT_ALLOW\"}}", names.join(","))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{lint, view::START};
    use crate::resolve::{Context, resolve};

    fn read(text: &str) -> (Profile, Rules) {
        let (profile, wrong) = match text.starts_with('{') {
            true => crate::profile::read_json(text),
            false => crate::systemd::read(text),
        };
        let profile = profile.unwrap_or_else(|| panic!("{text}: {wrong:?}"));
        let caps = palisade_k8s::capability::CONTAINER_DEFAULT.into_iter().map(str::to_owned).collect();
        let context = Context { arch: Arch::X86_64, caps, kernel: crate::table::NEWEST };
        let rules = resolve(&profile, &context).rules;
        (profile, rules)
    }

    fn missing(text: &str) -> Vec<String> {
        let (profile, rules) = read(text);
        let findings = lint(&profile, &rules, Arch::X86_64).into_iter();
        let about = findings.filter(|finding| finding.at == START).map(|finding| finding.message);
        about
            .filter(|text| ["needs ", "newer ", "other names"].iter().any(|words| text.contains(words)))
            .collect()
    }

    #[test]
    fn nothing_is_missing_after_it() {
        let profile = |names: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{{"names":[{names}],"action":"SCMP_ACT_ALLOW"}}]}}"#
            )
        };
        for text in [
            profile(r#""read","write""#),
            // cloudfoundry/garden-runc-release#372: statx, beside the older forms.
            profile(r#""read","openat","stat","newfstatat","fstat","epoll_wait","close","clone""#),
            profile(r#""read","openat","stat","fstat","getuid","select""#)
                .replace("_64\"", "_64\",\"SCMP_ARCH_X86\""),
            // kubernetes-sigs/security-profiles-operator#168.
            profile(r#""_llseek","_newselect","accept","futex_wake""#),
        ] {
            let (before, rules) = read(&text);
            assert!(missing(&text).len() > 1, "{text}");
            let entry = addition(&before, &rules, Arch::X86_64).unwrap();
            let after = text.replace("\"}]}", &format!("\"}},{entry}]}}"));
            assert_eq!(missing(&after), [""; 0], "{after}");
        }
        let unit = "SystemCallFilter=read write";
        let (before, rules) = read(unit);
        let line = addition(&before, &rules, Arch::X86_64).unwrap();
        assert_eq!(missing(&format!("{unit}\n{line}")), [""; 0], "{line}");
    }

    #[test]
    fn it_is_left_out_where_it_would_not_do() {
        for text in [
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["execve","mmap"],"action":"SCMP_ACT_ERRNO"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#,
            // Another entry for a name that one denies has no effect.
            r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["execve"],"action":"SCMP_ACT_KILL"}]}"#,
            "SystemCallFilter=~chmod",
        ] {
            let (profile, rules) = read(text);
            assert_eq!(addition(&profile, &rules, Arch::X86_64), None, "{text}");
        }
    }
}
