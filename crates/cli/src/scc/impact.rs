//! `palisade scc impact`.

use std::io::Write;

use palisade_review::{Move, impact};

use crate::args::{ImpactArgs, TextOrHtml};
use crate::exit::Exit;
use crate::review::{Loaded, Options, Surroundings, assume_namespaces, subjects};
use crate::{paint, policy};

pub(crate) fn run(args: &ImpactArgs) -> crate::Outcome {
    let Loaded { documents, mut around, builder: mut old, mut left_out } = Loaded::of_args(&args.inputs)?;
    let namespace = args.inputs.namespace.as_deref();
    let (user, groups) = (args.user.as_deref(), args.groups.as_slice());
    let options = Options { namespace, user, groups, ..Options::default() };
    let subjects = subjects(&documents, &options, &mut left_out)?;
    assume_namespaces(&mut old, &subjects);
    let mut new = old.clone();
    let mut with = policy::objects(&args.with, namespace)?;
    policy::put_into(&mut with, namespace);
    policy::add_layer(&mut new, &with)?;
    let before = Surroundings::new(&around).without_scc(!old.has_sccs());
    around.extend(with);
    let after = Surroundings::new(&around).without_scc(!new.has_sccs());
    let new = (&new.build(), &after);
    let moves = impact(&subjects, (&old.build(), &before), new);
    match args.output {
        TextOrHtml::Text => text(&moves, subjects.len())?,
        TextOrHtml::Html => {
            write!(
                std::io::stdout().lock(),
                "{}",
                palisade_review::impact_page(&moves, subjects.len()).file()?
            )?;
        }
    }
    Ok(policy::ended(if moves.is_empty() { Exit::Fine } else { Exit::Findings }, left_out))
}

fn text(moves: &[Move], of: usize) -> Result<(), crate::Failure> {
    let mut out = palisade_console::terminal::out();
    for found in moves {
        let Move { title, namespace, before, after, lines } = found;
        writeln!(out, "{} in {namespace}: {before} -> {after}", paint::strong(title))?;
        lines.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(writeln!(out, "{} of {of} workloads move or change", moves.len())?)
}
