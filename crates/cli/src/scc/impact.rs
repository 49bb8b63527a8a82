//! `palisade scc impact`.

use std::io::Write;

use palisade_admission::Policy;

use crate::args::ImpactArgs;
use crate::exit::Exit;
use crate::review::{Options, Report, Subject, Verdict, assume_namespaces, subjects};
use crate::{files, paint, policy};

pub(crate) fn run(args: &ImpactArgs) -> crate::Outcome {
    let documents = files::read(&args.files)?;
    let options = Options { namespace: args.namespace.as_deref(), ..Options::default() };
    let subjects = subjects(&documents, &options)?;
    let mut old = policy::load(&args.policy)?;
    policy::add_surroundings(&mut old, &documents)?;
    assume_namespaces(&mut old, &subjects);
    let mut new = old.clone();
    policy::add_layer(&mut new, &files::read(&args.with)?)?;
    report(&subjects, &old.build(), &new.build())
}

fn report(subjects: &[Subject], old: &Policy, new: &Policy) -> crate::Outcome {
    let mut out = anstream::stdout().lock();
    let mut moved = 0;
    for subject in subjects {
        let (before, after) = (Report::new(old, subject), Report::new(new, subject));
        if (before.verdict, &before.scc) == (after.verdict, &after.scc) {
            continue;
        }
        moved += 1;
        let title = paint::strong(subject.title());
        writeln!(out, "{title} in {}: {} -> {}", subject.namespace, verdict(&before), verdict(&after))?;
        for error in after.refusal.iter().flat_map(|refusal| &refusal.errors) {
            writeln!(
                out,
                "  {}:{}:{}: {}: {}",
                error.file, error.line, error.column, error.field, error.message
            )?;
        }
        if let (Some(from), Some(to)) = (before.pod_security, after.pod_security)
            && from != to
        {
            writeln!(out, "  Pod Security: {from} -> {to}")?;
        }
    }
    writeln!(out, "{moved} of {} workloads move", subjects.len())?;
    Ok(if moved > 0 { Exit::Findings } else { Exit::Fine })
}

fn verdict(report: &Report) -> String {
    match (report.verdict, &report.scc) {
        (Verdict::Refused, _) => "refused".to_owned(),
        (_, Some(scc)) => scc.clone(),
        (_, None) => "not subject to SCC".to_owned(),
    }
}
