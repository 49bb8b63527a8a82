//! `palisade seccomp explain`.

use std::io::Write;

use palisade_seccomp::{
    Arch, Data, Decider, Explanation, Filter, Rules, Unknown, Unmet, explain, profile::Profile, systemd,
    table::Syscall,
};
use serde_json::json;

use palisade_review::{shares, syscalls};

mod notes;

use super::args::{ExplainArgs, TextOrJson};
use super::input;
use crate::exit::Exit;
use crate::paint;
use notes::Notes;

pub(super) fn run(args: &ExplainArgs) -> crate::Outcome {
    let (file, profile, rules) = input::located(&args.file, &args.rest.context)?;
    let args = &ExplainArgs { file, ..args.clone() };
    let filter = Filter::new(&rules).map_err(|error| format!("{}: {error}", args.file.display()))?;
    let arch = args.rest.abi.or(args.rest.context.arch).unwrap_or_else(Arch::native);
    match &args.syscall {
        Some(syscall) => {
            let (arch, data) = input::syscall(syscall, &args.rest.args, args.rest.abi, &args.rest.context)?;
            one(args, &profile, &rules, arch, &data)?;
        }
        None if args.html => {
            let title = format!("Seccomp profile {}", args.file.display());
            write!(std::io::stdout().lock(), "{}", syscalls(&title, &rules, &filter, arch).file()?)?;
        }
        None => summary(args, &rules, &filter, arch)?,
    }
    Ok(Exit::Fine)
}

fn one(
    args: &ExplainArgs,
    profile: &Profile,
    rules: &Rules,
    arch: Arch,
    data: &Data,
) -> Result<(), crate::Failure> {
    let explanation = explain(rules, data)?;
    let passed_over = passed_over(args, profile, &explanation, &input::name(arch, data.number))?;
    let reason = reason(&explanation, profile, rules, (arch, data), &passed_over);
    let notes = notes::of(args, profile, &explanation, rules, (arch, data))?;
    let mut out = palisade_console::terminal::out();
    if args.rest.output == TextOrJson::Json {
        writeln!(out, "{:#}", as_json(&explanation, rules, (arch, data), &reason, &passed_over, &notes))?;
        return Ok(());
    }
    let name = input::name(arch, data.number);
    let syscall = Syscall::numbered(arch, data.number);
    let but = if notes.kernel_fails { " by the filter; the kernel then fails it" } else { "" };
    writeln!(out, "{name} on {arch}: {}{but}", paint::strong(explanation.action))?;
    for tried in &explanation.tried {
        let Some(rule) = rules.rules.get(tried.rule) else { continue };
        let decides = explanation.decider == Decider::Rule(tried.rule);
        let verdict = if decides { "decides" } else { "does not fit" };
        writeln!(out, "  {}, {}: {verdict}", place(args, profile, rule.entry), rule.action)?;
        for (condition, holds) in &tried.conditions {
            let index = condition.arg();
            let value = data.args.get(usize::from(index)).copied().unwrap_or_default();
            let name = syscall.map_or_else(|| format!("arg{index}"), |syscall| syscall.argument(arch, index));
            let word = if *holds { "holds" } else { "does not hold" };
            let meaning =
                syscall.and_then(|syscall| syscall.meaning(&name, value)).map(|words| format!(" ({words})"));
            let (tested, meaning) = (condition.named(&name), meaning.unwrap_or_default());
            writeln!(out, "    {tested} {word}: {name}, argument {index}, is {value:#x}{meaning}")?;
        }
    }
    for line in &passed_over {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  {reason}")?;
    for line in &notes.lines {
        writeln!(out, "  {line}")?;
    }
    if let Some(consequence) = explanation.action.consequence() {
        writeln!(out, "  {consequence}")?;
    }
    Ok(())
}

/// The position of a rule in its file: line, column and entry, or the directive of a unit.
fn place(args: &ExplainArgs, profile: &Profile, entry: usize) -> String {
    let (at, comment) =
        profile.entries.get(entry).map(|entry| (entry.at, entry.comment.as_str())).unwrap_or_default();
    let what = match profile.origin.is_unit() && !comment.is_empty() {
        true => comment.to_owned(),
        false => format!("syscalls[{entry}]"),
    };
    format!("{}:{at}: {what}", args.file.display())
}

/// The reasons why entries for a denied syscall did not apply: conditions on the machine and the container that are not
/// met, and the line of a unit that removed it again.
fn passed_over(
    args: &ExplainArgs,
    profile: &Profile,
    explanation: &Explanation,
    name: &str,
) -> Result<Vec<String>, crate::Failure> {
    if explanation.action.lets_through() || explanation.decider == Decider::BadArch {
        return Ok(Vec::new());
    }
    let context = input::context(profile, &args.rest.context)?;
    let (mut lines, mut elsewhere) = (Vec::new(), Vec::new());
    for (at, entry) in profile.entries.iter().enumerate() {
        let unmet = entry.unmet(&context);
        let names = || entry.names.iter().any(|(other, _)| other == name);
        if !unmet.is_empty() && entry.action != explanation.action && names() {
            let is_here = |unmet: &Unmet| !matches!(unmet, Unmet::On(_) | Unmet::NotOn(_));
            let list = if unmet.iter().all(is_here) { &mut lines } else { &mut elsewhere };
            let unmet: Vec<_> = unmet.iter().map(condition).collect();
            list.push(format!(
                "{}, {}: names it, but counts {}",
                place(args, profile, at),
                entry.action,
                unmet.join(", and ")
            ));
        }
    }
    for removed in profile.lines.removed.iter().filter(|removed| removed.syscall == name) {
        let (file, at, word) = (args.file.display(), removed.at, &removed.word);
        lines.push(format!("{file}:{at}: SystemCallFilter={word} takes it out of the list again"));
    }
    // Entries for other machines are shown only if there are no others.
    Ok(if lines.is_empty() && explanation.tried.is_empty() { elsewhere } else { lines })
}

/// A condition that is not met, with the option that changes it.
fn condition(unmet: &Unmet) -> String {
    match unmet {
        Unmet::WithCap(cap) => format!("only with {cap} (--cap)"),
        Unmet::WithoutCap(cap) => format!("only without {cap} (--cap)"),
        Unmet::On(archs) => format!("only on {} (--arch)", archs.join(", ")),
        Unmet::NotOn(arch) => format!("not on {arch} (--arch)"),
        Unmet::From(kernel) => format!("only from Linux {kernel} on (--kernel)"),
        Unmet::Before(kernel) => format!("only before Linux {kernel} (--kernel)"),
    }
}

fn reason(
    explanation: &Explanation,
    profile: &Profile,
    rules: &Rules,
    (arch, data): (Arch, &Data),
    passed_over: &[String],
) -> String {
    let nothing = match passed_over {
        [] => "no rule names it",
        _ => "no rule that counts here names it",
    };
    match (explanation.decider, rules.unknown) {
        (Decider::Rule(_), _) => {
            "the first rule that fits decides; a rule without conditions goes before all others".to_owned()
        }
        (Decider::Unknown, Unknown::Enosys { .. }) if profile.origin.is_unit() => {
            "systemd does not know it, and has ENOSYS for such numbers".to_owned()
        }
        (Decider::Unknown, Unknown::Enosys { kernel }) => {
            let newer = format!(
                "{nothing}, and it is newer than Linux {kernel}, the kernel of the newest syscall that the profile names"
            );
            let default = rules.default;
            match rules.highest_named(arch).filter(|(highest, _)| *highest > data.number) {
                Some((highest, syscall)) => format!(
                    "{newer}: so Palisade's own filter has ENOSYS for it; runc has that only above the highest number named, {highest} ({syscall}), so runc, crun (with Podman too) and libseccomp alone answer with the profile's default, {default} (--unknown default)"
                ),
                None => format!(
                    "{newer}: runc from 1.0.0-rc93 on answers so; crun (with Podman too), older runc and libseccomp alone answer with the profile's default, {default} (--unknown default)"
                ),
            }
        }
        (Decider::BadArch, _) => "the filter is not for this architecture".to_owned(),
        _ if explanation.tried.is_empty() => format!("{nothing}: the profile's default"),
        _ => "no rule fits: the profile's default".to_owned(),
    }
}

fn as_json(
    explanation: &Explanation,
    rules: &Rules,
    (arch, data): (Arch, &Data),
    reason: &str,
    passed_over: &[String],
    notes: &Notes,
) -> serde_json::Value {
    let syscall = Syscall::numbered(arch, data.number);
    let tried: Vec<_> = explanation
        .tried
        .iter()
        .filter_map(|tried| {
            let rule = rules.rules.get(tried.rule)?;
            let conditions: Vec<_> = tried
                .conditions
                .iter()
                .map(|(c, holds)| {
                    let name =
                        syscall.map_or_else(|| format!("arg{}", c.arg()), |s| s.argument(arch, c.arg()));
                    json!({"condition": c.to_string(), "argument": name, "holds": holds})
                })
                .collect();
            Some(json!({
                "entry": rule.entry, "action": rule.action.to_string(), "conditions": conditions,
                "decides": explanation.decider == Decider::Rule(tried.rule),
            }))
        })
        .collect();
    json!({
        "arch": arch.name(), "call": input::name(arch, data.number), "number": data.number, "args": data.args,
        "action": explanation.action.to_string(), "reason": reason, "passedOver": passed_over,
        "consequence": explanation.action.consequence(), "tried": tried, "notes": notes.lines,
        "kernelFails": notes.kernel_fails,
    })
}

fn summary(args: &ExplainArgs, rules: &Rules, filter: &Filter, arch: Arch) -> Result<(), crate::Failure> {
    let mut out = palisade_console::terminal::out();
    let areas = systemd::areas().map(|(area, syscalls)| (area, shares(&syscalls, filter, arch)));
    if args.rest.output == TextOrJson::Json {
        let list: Vec<_> = areas
            .map(|(area, s)| json!({"area": area, "allowed": s.through, "conditional": s.conditional, "denied": s.denied}))
            .collect();
        let archs: Vec<_> = rules.archs.iter().map(|arch| arch.name()).collect();
        writeln!(
            out,
            "{:#}",
            json!({"default": rules.default.to_string(), "architectures": archs, "areas": list})
        )?;
        return Ok(());
    }
    let archs: Vec<_> = rules.archs.iter().map(|arch| arch.name()).collect();
    writeln!(out, "default {}, for {}; on {arch}:", paint::strong(rules.default), archs.join(", "))?;
    for (area, shares) in areas {
        let total = shares.through.len() + shares.conditional.len() + shares.denied.len();
        writeln!(out, "{}: {} of {total} allowed", paint::strong(area), shares.through.len())?;
        // The shorter list is the more useful one.
        let few = shares.through.len() < shares.denied.len();
        let lists = [
            ("allowed", if few { &shares.through } else { &Vec::new() }),
            ("by arguments", &shares.conditional),
            ("denied", if few { &Vec::new() } else { &shares.denied }),
        ];
        for (word, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            writeln!(out, "  {word}: {}", list.join(", "))?;
        }
    }
    Ok(())
}
