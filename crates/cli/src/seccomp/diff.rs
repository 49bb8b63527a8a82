//! `palisade seccomp diff`.

use std::io::Write;

use palisade_seccomp::{Arch, Decision, Difference, laxest};
use serde_json::json;

use super::args::{DiffArgs, TextJsonOrHtml};
use super::input;
use crate::exit::Exit;

pub(super) fn run(args: &DiffArgs) -> crate::Outcome {
    let (a_programs, a_archs) = input::programs(&args.a, &args.context)?;
    let (b_programs, b_archs) = input::programs(&args.b, &args.context)?;
    let mut archs = [a_archs, b_archs].concat();
    archs.sort_unstable();
    archs.dedup();
    let decide = |programs, path: &std::path::Path| {
        Decision::of_programs(programs).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (a, b) = (decide(&a_programs, &args.a)?, decide(&b_programs, &args.b)?);
    // A is at most B where the laxer of both is B.
    let a = if args.subset { b.combine(&a, laxest)? } else { a };
    let differences = a.differences(&b, &archs, args.limit)?;
    match args.output {
        TextJsonOrHtml::Html => html(args, &differences, &archs)?,
        _ => print(args, &differences, &archs)?,
    }
    Ok(if differences.is_empty() { Exit::Fine } else { Exit::Findings })
}

fn html(args: &DiffArgs, differences: &[Difference], archs: &[Arch]) -> Result<(), crate::Failure> {
    let (a, b) = (args.a.display().to_string(), args.b.display().to_string());
    let summary = match differences.len() {
        0 => format!("{a} and {b} decide the same."),
        count => format!("{count} differences, each with an example."),
    };
    let row = |found: &Difference| [example(found, archs), found.a.to_string(), found.b.to_string()];
    let rows = differences.iter().map(row).collect();
    let page = palisade_review::changes("Seccomp difference", &summary, ["Syscall", &a, &b], rows);
    Ok(write!(std::io::stdout().lock(), "{}", page.file()?)?)
}

fn print(args: &DiffArgs, differences: &[Difference], archs: &[Arch]) -> Result<(), std::io::Error> {
    let mut out = palisade_console::terminal::out();
    if args.output == TextJsonOrHtml::Json {
        let list: Vec<_> = differences.iter().map(|difference| as_json(difference, archs)).collect();
        return writeln!(out, "{:#}", json!({"equal": differences.is_empty(), "differences": list}));
    }
    for difference in differences {
        writeln!(out, "{}: {} -> {}", example(difference, archs), difference.a, difference.b)?;
    }
    match (differences.len(), args.subset) {
        (0, false) => writeln!(out, "{} and {} decide the same", args.a.display(), args.b.display()),
        (0, true) => {
            writeln!(out, "{} lets through nothing that {} does not", args.a.display(), args.b.display())
        }
        (count, _) if count >= args.limit => writeln!(out, "and perhaps more: --limit is {}", args.limit),
        _ => Ok(()),
    }
}

/// A syscall as one would write it, without the arguments that are 0 at its end.
pub(super) fn example(difference: &Difference, archs: &[Arch]) -> String {
    let data = &difference.example;
    let Some(arch) = data.arch_among(archs) else {
        return format!("any syscall by architecture {:#x}", data.arch);
    };
    let last = data.args.iter().rposition(|arg| *arg != 0).map_or(0, |at| at + 1);
    let args: Vec<_> = data.args.iter().take(last).map(|arg| format!("{arg:#x}")).collect();
    let args = if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) };
    format!("{arch} {}{args}", input::name(arch, data.number))
}

fn as_json(difference: &Difference, archs: &[Arch]) -> serde_json::Value {
    let data = &difference.example;
    let arch = data.arch_among(archs);
    json!({
        "arch": arch.map(Arch::name), "auditArch": data.arch, "number": data.number,
        "call": arch.map(|arch| input::name(arch, data.number)), "args": data.args,
        "a": difference.a.to_string(), "b": difference.b.to_string(),
    })
}
