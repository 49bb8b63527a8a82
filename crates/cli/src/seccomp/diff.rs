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
    // A is a subset of B if their union is B.
    let a = if args.subset { b.combine(&a, laxest)? } else { a };
    let differences = a.differences(&b, &archs, args.limit)?;
    match args.output {
        TextJsonOrHtml::Html => {
            let (a, b) = (args.a.display().to_string(), args.b.display().to_string());
            let page = palisade_review::difference_page(&a, &b, &differences, &archs);
            write!(std::io::stdout().lock(), "{}", page.file()?)?;
        }
        _ => print(args, &differences, &archs)?,
    }
    Ok(if differences.is_empty() { Exit::Fine } else { Exit::Findings })
}

fn print(args: &DiffArgs, differences: &[Difference], archs: &[Arch]) -> Result<(), std::io::Error> {
    let mut out = palisade_console::terminal::out();
    if args.output == TextJsonOrHtml::Json {
        let list: Vec<_> = differences.iter().map(|difference| as_json(difference, archs)).collect();
        return writeln!(out, "{:#}", json!({"equal": differences.is_empty(), "differences": list}));
    }
    for difference in differences {
        writeln!(out, "{}: {} -> {}", difference.written(archs), difference.a, difference.b)?;
    }
    match (differences.len(), args.subset) {
        (0, false) => writeln!(out, "{} and {} decide the same", args.a.display(), args.b.display()),
        (0, true) => {
            writeln!(out, "{} allows nothing that {} does not", args.a.display(), args.b.display())
        }
        (count, _) if count >= args.limit => writeln!(out, "and perhaps more: --limit is {}", args.limit),
        _ => Ok(()),
    }
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
