//! `palisade seccomp compile`.

use std::io::Write;
use std::path::{Path, PathBuf};

use palisade_seccomp::{Filter, Program, Rules, Weights, compile, open_holes, stats, verify};
use serde_json::json;

use super::args::{CompileArgs, TextOrJson};
use super::input;
use crate::exit::Exit;

pub(super) fn run(args: &CompileArgs) -> crate::Outcome {
    let name = args.file.display();
    let (_, rules) = input::rules(&args.file, &args.context)?;
    let weights = match &args.hot {
        Some(path) => {
            Weights::parse(&input::text(path)?).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Weights::shipped().clone(),
    };
    let filter = Filter::new(&rules).map_err(|error| format!("{name}: {error}"))?;
    let filter = if args.open_holes { open_holes(&filter) } else { filter };
    let programs = compile(&filter, &weights).map_err(|error| format!("{name}: {error}"))?;
    if args.verify {
        let differences = verify(&filter, &programs, 1)?;
        if let Some(difference) = differences.first() {
            return Err(
                format!("the program is wrong, which is a mistake of Palisade's: {difference:x?}").into()
            );
        }
        anstream::eprintln!("verified: on every path the program decides as the profile does");
    }
    let (out, stats) = outputs_asked(args);
    if let Some(out) = out {
        for (path, program) in outputs(out, &programs) {
            std::fs::write(&path, program.to_bytes())
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    if let Some(form) = stats {
        print_stats(form, &programs, &rules, &weights)?;
    }
    Ok(Exit::Fine)
}

/// With `--stats`, `-o json` is the format of the statistics, as with other commands.
fn outputs_asked(args: &CompileArgs) -> (Option<&Path>, Option<TextOrJson>) {
    let out = args.out.as_deref();
    match (args.stats, out.and_then(Path::to_str)) {
        (Some(_), Some("json")) => (None, Some(TextOrJson::Json)),
        (stats, _) => (out, stats),
    }
}

/// One program goes to OUT.bpf, several to OUT.1.bpf and so on.
fn outputs<'p>(out: &Path, programs: &'p [Program]) -> Vec<(PathBuf, &'p Program)> {
    let numbered = |at: usize| match programs.len() {
        1 => out.to_owned(),
        _ => out.with_extension(format!("{}.bpf", at + 1)),
    };
    programs.iter().enumerate().map(|(at, program)| (numbered(at), program)).collect()
}

fn print_stats(
    form: TextOrJson,
    programs: &[Program],
    rules: &Rules,
    weights: &Weights,
) -> Result<(), std::io::Error> {
    let lengths: Vec<_> = programs.iter().map(|program| program.instructions().len()).collect();
    let archs = stats(programs, &rules.archs, weights);
    let mut out = palisade_console::terminal::out();
    if form == TextOrJson::Json {
        let archs: Vec<_> = archs
            .iter()
            .map(|arch| {
                json!({
                    "arch": arch.arch.name(), "worst": arch.worst, "mean": arch.mean, "weighted": arch.weighted,
                    "cacheable": arch.cacheable, "calls": arch.syscalls,
                })
            })
            .collect();
        let total: usize = lengths.iter().sum();
        return writeln!(out, "{:#}", json!({"instructions": total, "programs": lengths, "archs": archs}));
    }
    writeln!(
        out,
        "{} instructions",
        lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
    )?;
    writeln!(out, "{:<14}{:>6}{:>7}{:>10}{:>12}", "", "worst", "mean", "weighted", "cacheable")?;
    for arch in archs {
        let cacheable = format!("{} of {}", arch.cacheable, arch.syscalls);
        writeln!(
            out,
            "{:<14}{:>6}{:>7.1}{:>10.1}{cacheable:>12}",
            arch.arch, arch.worst, arch.mean, arch.weighted
        )?;
    }
    Ok(())
}
