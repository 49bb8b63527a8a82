//! Entries that hide others, or allow everything together.

use std::collections::{BTreeMap, BTreeSet};

use super::view::{Answer, View, list};
use crate::finding::Findings;
use crate::rule::Rule;
use crate::table::Syscall;

pub(super) fn check(view: &View<'_>, findings: &mut Findings) {
    if view.profile.origin.is_unit() {
        return;
    }
    let mut by_syscall: BTreeMap<Syscall, Vec<&Rule>> = BTreeMap::new();
    for rule in &view.rules.rules {
        by_syscall.entry(rule.syscall).or_default().push(rule);
    }
    for (syscall, rules) in by_syscall {
        match rules.iter().find(|rule| rule.conditions.is_empty()) {
            Some(whole) => hidden(view, whole, &rules, findings),
            None => together(view, syscall, &rules, findings),
        }
    }
}

/// An entry without conditions decides whatever the conditions of other entries for the same syscall.
fn hidden(view: &View<'_>, whole: &Rule, rules: &[&Rule], findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for rule in rules {
        // The alternatives of an entry are told once.
        let is_first = seen.insert(rule.entry);
        if rule.action == whole.action && (rule.conditions.is_empty() || !is_first) {
            continue;
        }
        let what = if rule.conditions.is_empty() {
            "this entry never counts for it"
        } else {
            "these conditions never count for it"
        };
        let narrows = match rule.action == whole.action {
            true => {
                format!("; they narrow nothing: take {} out of that entry if they are meant", whole.syscall)
            }
            false => format!(": {}", rule.action),
        };
        let message = format!(
            "syscalls[{}] says {} of {} without conditions, so {what}{narrows}",
            whole.entry, whole.action, whole.syscall
        );
        findings.warn(view.place(rule.entry), format!("syscalls[{}]", rule.entry), message);
    }
}

/// Conditions that all arguments meet, such as two `!=` on one argument.
fn together(view: &View<'_>, syscall: Syscall, rules: &[&Rule], findings: &mut Findings) {
    let [first, .., last] = rules else { return };
    let through = rules.iter().all(|rule| rule.action.lets_through());
    if !through || !view.denies_by_default() || view.answer(view.native, syscall) != Answer::Through {
        return;
    }
    let mut entries: Vec<_> = rules.iter().map(|rule| rule.entry).collect();
    entries.dedup();
    let names: Vec<_> = entries.iter().map(|entry| format!("syscalls[{entry}]")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let conditions: Vec<_> = rules
        .iter()
        .flat_map(|rule| &rule.conditions)
        .map(|condition| condition.named(&syscall.argument(view.native, condition.arg())))
        .collect();
    let by = if first.entry == last.entry {
        "each condition of this entry lets the syscall match by itself"
    } else {
        "each of these entries lets the syscall match by itself"
    };
    let message = format!(
        "{} let {syscall} through whatever its arguments: {by}, and no arguments fail to meet both of {}; deny the values to be denied by entries of their own, over a default or an entry that allows",
        list(&names),
        conditions.join(", ")
    );
    findings.warn(view.place(first.entry), format!("syscalls[{}].args", first.entry), message);
}

#[cfg(test)]
mod tests {
    use super::super::view::check_cases;
    use super::*;

    #[test]
    fn entries_that_undo_each_other_are_named() {
        let profile = |entries: &str| {
            format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64"],"syscalls":[{entries}]}}"#
            )
        };
        let socket = |action: &str, op: &str, value: u64| {
            format!(
                r#"{{"names":["socket"],"action":"SCMP_ACT_{action}","args":[{{"index":0,"value":{value},"op":"SCMP_CMP_{op}"}}]}}"#
            )
        };
        let whole = |action: &str| format!(r#"{{"names":["socket"],"action":"SCMP_ACT_{action}"}}"#);
        let both = r#"{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"},{"index":0,"value":38,"op":"SCMP_CMP_NE"}]}"#;
        let join = |entries: &[String]| profile(&entries.join(","));
        let cases: Vec<(String, &[&str])> = vec![
            (
                join(&[socket("ALLOW", "NE", 40), socket("ALLOW", "NE", 38)]),
                &["syscalls[0] and syscalls[1] let socket through whatever"],
            ),
            (profile(both), &["syscalls[0] let socket through whatever"]),
            (join(&[socket("ALLOW", "LT", 38), socket("ALLOW", "GE", 38)]), &["whatever its arguments"]),
            (join(&[socket("ALLOW", "LT", 38), socket("ALLOW", "GT", 38)]), &[]),
            (join(&[socket("ALLOW", "NE", 40)]), &[]),
            (join(&[whole("ALLOW"), socket("KILL", "EQ", 40)]), &["these conditions never count"]),
            (join(&[socket("KILL", "EQ", 40), whole("LOG")]), &["these conditions never count"]),
            (join(&[whole("ALLOW"), whole("KILL")]), &["this entry never counts"]),
            // The same result: the conditions look as if they narrowed it.
            (
                join(&[socket("ALLOW", "EQ", 1), whole("ALLOW")]),
                &[
                    "syscalls[1] says ALLOW of socket without conditions, so these conditions never count for it; they narrow nothing",
                ],
            ),
            (join(&[whole("ALLOW"), whole("ALLOW")]), &[]),
        ];
        let cases: Vec<_> = cases.iter().map(|(text, expected)| (text.as_str(), *expected)).collect();
        check_cases(check, &cases);
    }
}
