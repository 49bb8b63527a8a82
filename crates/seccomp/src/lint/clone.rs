//! Masks of namespaces, inverted or incomplete; the order of arguments on s390.

use super::view::View;
use crate::arch::Arch;
use crate::finding::Findings;
use crate::profile::Entry;
use crate::rule::{Condition, Operator};

/// The flags of clone(2) that create namespaces.
const NAMESPACES: [(&str, u64); 7] = [
    ("CLONE_NEWUSER", 0x1000_0000),
    ("CLONE_NEWNS", 0x0002_0000),
    ("CLONE_NEWCGROUP", 0x0200_0000),
    ("CLONE_NEWUTS", 0x0400_0000),
    ("CLONE_NEWIPC", 0x0800_0000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
];

/// In clone(2) this bit is a part of the signal; in unshare(2) and clone3(2) it is a flag.
const NEWTIME: (&str, u64) = ("CLONE_NEWTIME", 0x80);

const SIGCHLD: u64 = 17;

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    if view.profile.origin.is_unit() {
        return;
    }
    for (at, entry) in view.profile.entries.iter().enumerate() {
        for name in entry
            .names
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| ["clone", "unshare"].contains(name))
        {
            swapped(view, at, name, entry, findings);
            for condition in &entry.args {
                masks(view, at, name, entry, condition, findings);
            }
        }
    }
}

/// On s390 and s390x clone takes the stack first and the flags second.
fn swapped(view: &View<'_>, at: usize, name: &str, entry: &Entry, findings: &mut Findings) {
    let is_s390 = |arch: &Arch| matches!(arch, Arch::S390 | Arch::S390x);
    let docker = ["s390", "s390x"];
    let names = |list: &[String]| list.iter().any(|arch| docker.contains(&arch.as_str()));
    let (excluded, included) = (names(&entry.excludes.arches), names(&entry.includes.arches));
    let only_elsewhere = !entry.includes.arches.is_empty() && !included;
    let argument = |index: u8| entry.args.iter().any(|condition| condition.arg() == index);
    let has_s390 = view.named_archs().iter().any(is_s390);
    let wrong_there = argument(0) && has_s390 && !excluded && !only_elsewhere;
    if name == "clone" && wrong_there {
        let message = "on s390 and s390x clone takes its flags as argument 1 and the stack as argument 0, so there this condition looks at the stack; give s390 and s390x an entry of their own by includes.arches, and exclude them here";
        findings.warn(entry.at, format!("syscalls[{at}].args"), message);
    }
    if name == "clone" && argument(1) && !argument(0) && !included && !is_s390(&view.native) {
        let message =
            format!("on {} clone takes its flags as argument 0; argument 1 is the stack", view.native);
        findings.warn(entry.at, format!("syscalls[{at}].args"), message);
    }
}

fn masks(
    view: &View<'_>,
    at: usize,
    name: &str,
    entry: &Entry,
    condition: &Condition,
    findings: &mut Findings,
) {
    let Operator::MaskedEqual { mask } = condition.operator() else { return };
    let field = format!("syscalls[{at}].args");
    let flags =
        |bits: u64| NAMESPACES.iter().filter(move |(_, flag)| bits & flag != 0).map(|(name, _)| *name);
    if entry.action.lets_through() {
        let with_time = name == "unshare";
        let mut missing: Vec<_> = flags(!mask).collect();
        missing.extend((with_time && mask & NEWTIME.1 == 0).then_some(NEWTIME.0));
        let some = flags(mask).next().is_some();
        // Where the default lets everything through, the mask narrows nothing.
        if view.denies_by_default() && condition.value() == 0 && some && !missing.is_empty() {
            let all = NAMESPACES.iter().fold(0, |bits, (_, flag)| bits | flag)
                | if with_time { NEWTIME.1 } else { 0 };
            let message = format!(
                "the mask {mask:#x} lacks {}, so that {name} with it is let through; {all:#x} ({all}) has all",
                missing.join(", ")
            );
            findings.warn(entry.at, field, message);
        }
        return;
    }
    // A denial that one more flag or the signal circumvents.
    let lifted = NAMESPACES.iter().find(|(_, flag)| {
        let denied = |argument: u64| condition.holds(argument);
        (denied(*flag) || denied(0) || mask & flag != 0)
            && !denied(flag | SIGCHLD)
            && passes(view, name, flag | SIGCHLD)
    });
    if let (0, Some((flag, value))) = (condition.value(), lifted) {
        let message = format!(
            "denies {name} only where none of the bits {mask:#x} is set in flags, so that {name}({flag}|SIGCHLD) goes through; to deny {flag}, use \"value\": {value}, \"valueTwo\": {value}, an entry for each flag"
        );
        findings.warn(entry.at, field, message);
    }
}

fn passes(view: &View<'_>, name: &str, flags: u64) -> bool {
    view.decide(name, [flags, 0, 0, 0, 0, 0]).is_some_and(crate::action::Action::lets_through)
}

#[cfg(test)]
mod tests {
    use super::super::view::check_cases;
    use super::*;

    #[test]
    fn masks_and_arguments_of_clone_are_looked_at() {
        let clone = |default: &str,
                     action: &str,
                     name: &str,
                     index: u8,
                     mask: u64,
                     value: u64,
                     more: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_{default}","archMap":[{{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}}{more}],"syscalls":[{{"names":["{name}"],"action":"SCMP_ACT_{action}","args":[{{"index":{index},"value":{mask},"valueTwo":{value},"op":"SCMP_CMP_MASKED_EQ"}}]}}]}}"#
            )
        };
        let s390 = r#",{"architecture":"SCMP_ARCH_S390X","subArchitectures":["SCMP_ARCH_S390"]}"#;
        let cases: Vec<(String, &[&str])> = vec![
            (clone("ERRNO", "ALLOW", "clone", 0, 0x7e02_0000, 0, ""), &[]),
            (clone("ERRNO", "ALLOW", "clone", 0, 0x7c02_0000, 0, ""), &["lacks CLONE_NEWCGROUP"]),
            (clone("ALLOW", "ALLOW", "clone", 0, 0x7c02_0000, 0, ""), &[]),
            (clone("ERRNO", "ALLOW", "unshare", 0, 0x7e02_0000, 0, ""), &["lacks CLONE_NEWTIME"]),
            (clone("ERRNO", "ALLOW", "unshare", 0, 0x7e02_0080, 0, ""), &[]),
            (
                clone("ALLOW", "ERRNO", "clone", 0, 0x81fd_dfff, 0, ""),
                &["clone(CLONE_NEWUSER|SIGCHLD) goes through"],
            ),
            (clone("ALLOW", "ERRNO", "clone", 0, 0x1000_0000, 0x1000_0000, ""), &[]),
            (
                clone("ALLOW", "ERRNO", "clone", 0, 0x1000_0000, 0, ""),
                &["clone(CLONE_NEWUSER|SIGCHLD) goes through"],
            ),
            (clone("ERRNO", "ALLOW", "clone", 1, 0x7e02_0000, 0, ""), &["argument 1 is the stack"]),
            (
                clone("ERRNO", "ALLOW", "clone", 0, 0x7e02_0000, 0, s390),
                &["this condition looks at the stack"],
            ),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
        // Docker's own default gives s390 an entry of its own.
        let own = super::super::view::findings_of(check, crate::builtin::DEFAULT, Arch::X86_64);
        assert_eq!(own, [] as [String; 0]);
    }
}
