//! `palisade scc diff`.

use std::io::Write;
use std::path::PathBuf;

use palisade_admission::PolicyBuilder;
use palisade_k8s::SecurityContextConstraints;
use palisade_review::Comparison;
use palisade_scc::BuiltinSet;

use crate::args::{DiffArgs, TextOrHtml};
use crate::exit::Exit;
use crate::{paint, policy};

pub(crate) fn run(args: &DiffArgs) -> crate::Outcome {
    let (a, b) = (scc(&args.a, args.scc_set)?, scc(&args.b, args.scc_set)?);
    let both = Comparison::new(&a, &b);
    let same = both.is_same();
    match args.output {
        TextOrHtml::Text => text(args, &both)?,
        TextOrHtml::Html => write!(std::io::stdout().lock(), "{}", both.page(&args.a, &args.b).file()?)?,
    }
    Ok(if same { Exit::Fine } else { Exit::Findings })
}

fn text(args: &DiffArgs, both: &Comparison) -> Result<(), crate::Failure> {
    let Comparison { differences, changed } = both;
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
    if both.is_same() {
        writeln!(out, "{} and {} permit and set the same", args.a, args.b)?;
    }
    Ok(())
}

/// The only SCC of a file, one of several (`FILE#NAME`), or the built-in one of that name.
pub(super) fn scc(name: &str, set: BuiltinSet) -> Result<SecurityContextConstraints, crate::Failure> {
    let is_file = |name: &str| name == "-" || PathBuf::from(name).exists();
    let (file, one) = match name.rsplit_once('#') {
        Some((file, one)) if !is_file(name) && is_file(file) => (file, Some(one)),
        _ => (name, None),
    };
    let (path, is_file) = (PathBuf::from(file), is_file(file));
    let mut builder = PolicyBuilder::default();
    let documents = if is_file { policy::objects(&[path], None)? } else { Vec::new() };
    if is_file {
        policy::add_layer(&mut builder, &documents)?;
    } else {
        builder.add_set(set)?;
    }
    let policy = builder.build();
    let names = || policy.sccs().entries().map(|entry| entry.name()).collect::<Vec<_>>().join(", ");
    let wanted = if is_file { one } else { Some(name) };
    let mut found =
        policy.sccs().entries().filter(|entry| wanted.is_none_or(|wanted| entry.name() == wanted));
    match (found.next(), found.next()) {
        (Some(entry), None) => Ok(entry.scc().clone()),
        (Some(_), Some(_)) => {
            Err(format!("{name}: holds more than one SCC; name one as FILE#NAME: {}", names()).into())
        }
        (None, _) if one.is_some() => {
            Err(format!("{name}: {file} holds no SCC of this name, but {}", names()).into())
        }
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
