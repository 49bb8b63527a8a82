//! `palisade seccomp explain`.

use std::io::Write;

use palisade_seccomp::{
    Arch, Data, Decider, Explanation, Filter, Rules, Unknown, explain, profile::Profile, systemd,
    table::Syscall,
};
use serde_json::json;

use palisade_review::{shares, syscalls};

use super::args::{ExplainArgs, TextOrJson};
use super::input;
use crate::exit::Exit;
use crate::paint;

pub(super) fn run(args: &ExplainArgs) -> crate::Outcome {
    let (profile, rules) = input::rules(&args.file, &args.rest.context)?;
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
    let mut out = palisade_console::terminal::out();
    if args.rest.output == TextOrJson::Json {
        writeln!(out, "{:#}", as_json(&explanation, rules, arch, data))?;
        return Ok(());
    }
    let name = input::name(arch, data.number);
    let syscall = Syscall::numbered(arch, data.number);
    writeln!(out, "{name} on {arch}: {}", paint::strong(explanation.action))?;
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
    writeln!(out, "  {}", reason(&explanation, rules))?;
    if let Some(consequence) = explanation.action.consequence() {
        writeln!(out, "  {consequence}")?;
    }
    Ok(())
}

/// The place of a rule in its file: line, column and entry, or the directive of a unit.
fn place(args: &ExplainArgs, profile: &Profile, entry: usize) -> String {
    let (at, comment) =
        profile.entries.get(entry).map(|entry| (entry.at, entry.comment.as_str())).unwrap_or_default();
    let what = match profile.origin.is_unit() && !comment.is_empty() {
        true => comment.to_owned(),
        false => format!("syscalls[{entry}]"),
    };
    format!("{}:{at}: {what}", args.file.display())
}

fn reason(explanation: &Explanation, rules: &Rules) -> String {
    match (explanation.decider, rules.unknown) {
        (Decider::Rule(_), _) => {
            "the first rule that fits decides; a rule without conditions goes before all others".to_owned()
        }
        (Decider::Unknown, Unknown::Enosys { kernel }) => {
            format!(
                "no rule names it, and it is newer than Linux {kernel}, from which the newest syscall that the profile names is"
            )
        }
        (Decider::BadArch, _) => "the filter is not for this architecture".to_owned(),
        _ if explanation.tried.is_empty() => "no rule names it: the profile's default".to_owned(),
        _ => "no rule fits: the profile's default".to_owned(),
    }
}

fn as_json(explanation: &Explanation, rules: &Rules, arch: Arch, data: &Data) -> serde_json::Value {
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
        "action": explanation.action.to_string(), "reason": reason(explanation, rules),
        "consequence": explanation.action.consequence(), "tried": tried,
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
        // The shorter list says more.
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
