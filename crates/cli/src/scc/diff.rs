//! `palisade scc diff`.

use std::io::Write;
use std::path::PathBuf;

use palisade_admission::PolicyBuilder;
use palisade_k8s::SecurityContextConstraints;
use palisade_scc::{BuiltinSet, Difference, defaults, diff};

use crate::args::{DiffArgs, TextOrHtml};
use crate::exit::Exit;
use crate::{files, paint, policy};

pub(crate) fn run(args: &DiffArgs) -> crate::Outcome {
    let (a, b) = (scc(&args.a, args.scc_set)?, scc(&args.b, args.scc_set)?);
    let differences = diff(&a, &b);
    let both = defaults(&a).into_iter().zip(defaults(&b));
    let changed: Vec<Changed> = both.filter(|((_, a), (_, b))| a != b).collect();
    let same = differences.is_empty() && changed.is_empty();
    match args.output {
        TextOrHtml::Text => text(args, &differences, &changed)?,
        TextOrHtml::Html => html(args, &differences, changed)?,
    }
    Ok(if same { Exit::Fine } else { Exit::Findings })
}

/// A default of both.
type Changed = ((&'static str, String), (&'static str, String));

fn html(args: &DiffArgs, differences: &[Difference], changed: Vec<Changed>) -> Result<(), crate::Failure> {
    let permits = |words: &Option<String>| words.clone().unwrap_or_default();
    let permitted = differences
        .iter()
        .map(|found| [found.field.to_owned(), permits(&found.only_a), permits(&found.only_b)]);
    let given = changed.into_iter().map(|((field, a), (_, b))| [format!("default: {field}"), a, b]);
    let rows: Vec<[String; 3]> = permitted.chain(given).collect();
    let summary = match rows.is_empty() {
        true => format!("{} and {} permit and set the same.", args.a, args.b),
        false => "What only one of the two permits, and what a pod gets that asks for nothing.".to_owned(),
    };
    let (a, b) = (format!("Only {}", args.a), format!("Only {}", args.b));
    let page = palisade_review::changes("SCC difference", &summary, ["Field", &a, &b], rows);
    Ok(write!(std::io::stdout().lock(), "{}", page.file()?)?)
}

fn text(args: &DiffArgs, differences: &[Difference], changed: &[Changed]) -> Result<(), crate::Failure> {
    let mut out = palisade_console::terminal::out();
    for difference in differences {
        writeln!(out, "{}", paint::strong(difference.field))?;
        for (label, only) in [(&args.a, &difference.only_a), (&args.b, &difference.only_b)] {
            if let Some(only) = only {
                writeln!(out, "  only {label} permits: {only}")?;
            }
        }
    }
    if !changed.is_empty() {
        writeln!(out, "{}", paint::strong("what a pod that asks for nothing gets"))?;
    }
    for ((field, a), (_, b)) in changed {
        writeln!(out, "  {field}: {a} -> {b}")?;
    }
    if differences.is_empty() && changed.is_empty() {
        writeln!(out, "{} and {} permit and set the same", args.a, args.b)?;
    }
    Ok(())
}

/// The one SCC of a file, or the built-in one of that name.
pub(super) fn scc(name: &str, set: BuiltinSet) -> Result<SecurityContextConstraints, crate::Failure> {
    let path = PathBuf::from(name);
    let mut builder = PolicyBuilder::default();
    let is_file = name == "-" || path.exists();
    let documents = if is_file { files::read(&[path])? } else { Vec::new() };
    if is_file {
        policy::add_layer(&mut builder, &documents)?;
    } else {
        builder.add_set(set)?;
    }
    let policy = builder.build();
    let mut found = policy.sccs().entries().filter(|entry| is_file || entry.name() == name);
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry.scc().clone()),
        (Some(_), Some(_)) => Err(format!("{name}: holds more than one SCC").into()),
        (None, _) if is_file => {
            let psp = documents.iter().any(|document| document.text("kind") == "PodSecurityPolicy");
            let hint = if psp { "; `palisade import psp` makes one of its PodSecurityPolicy" } else { "" };
            Err(format!("{name}: holds no SCC{hint}").into())
        }
        (None, _) => {
            Err(format!("{name}: no such file, and no SCC of the built-in set {}", set.name()).into())
        }
    }
}
