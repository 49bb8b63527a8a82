//! `palisade review`.

mod load;
mod sarif;
mod text;

use std::io::Write;

use palisade_admission::PolicyBuilder;
use palisade_console::terminal;

pub(crate) use load::{Inputs, Loaded};
pub(crate) use palisade_review::{
    Options, Report, Subject, Surroundings, Verdict, beyond, free_name, scc_object, use_role,
};

use crate::args::{Output, ReviewArgs};
use crate::exit::Exit;
use crate::files::Document;

pub(crate) fn run(args: &ReviewArgs) -> crate::Outcome {
    #[cfg(feature = "serve")]
    if args.cluster {
        return crate::operate::running(args.policy.scc_set.unwrap_or(palisade_scc::BuiltinSet::V4));
    }
    let inputs = Inputs { files: &args.files, must_gather: args.must_gather.as_ref(), policy: &args.policy };
    let Loaded { documents, around, mut builder } = Loaded::read(inputs)?;
    let surroundings = Surroundings::new(&around);
    let options = Options {
        namespace: args.namespace.as_deref(),
        service_account: args.serviceaccount.as_deref(),
        user: args.user.as_deref(),
        groups: &args.groups,
    };
    let subjects = subjects(&documents, &options)?;
    assume_namespaces(&mut builder, &subjects);
    let policy = builder.build();
    let mut reports: Vec<Report> =
        subjects.iter().map(|subject| Report::new(&policy, &surroundings, subject)).collect();
    let dead = dead_grants(&around);
    let refused = reports.iter_mut().filter(|report| report.verdict == Verdict::Refused);
    refused.for_each(|report| report.notes.extend(dead.iter().cloned()));
    print(args, &reports, &subjects)?;
    let refused = reports.iter().any(|report| report.verdict == Verdict::Refused);
    Ok(if refused { Exit::Findings } else { Exit::Fine })
}

/// The workloads among the documents; it is an error if there is none, since then nothing was reviewed.
pub(crate) fn subjects(
    documents: &[Document],
    options: &Options<'_>,
) -> Result<Vec<Subject>, crate::Failure> {
    let mut subjects = Vec::new();
    for document in documents {
        subjects.extend(Subject::new(document, documents, options)?);
    }
    if subjects.is_empty() {
        return Err("no pod and no workload among the input".into());
    }
    Ok(subjects)
}

/// Gives ranges to the namespaces of workloads that have none.
pub(crate) fn assume_namespaces(builder: &mut PolicyBuilder, subjects: &[Subject]) {
    subjects.iter().for_each(|subject| builder.assume_namespace(&subject.namespace));
}

/// Lint's rules about grants that grant nothing, which may be why a pod is refused.
const GRANT_RULES: [&str; 5] =
    ["dead-rule", "missing-role", "impossible-subject", "unknown-scc", "misplaced-name"];
/// How many of them are told beside a refusal.
const MAX_DEAD_GRANTS: usize = 5;

/// Grants among the objects that grant nothing, each with its place and what to do about it.
fn dead_grants(documents: &[Document]) -> Vec<String> {
    let objects: Vec<serde_json::Value> = documents.iter().map(|document| document.node.to_json()).collect();
    let found = palisade_admission::lint_all(&objects).into_iter();
    let dead = found.filter(|(_, finding)| GRANT_RULES.contains(&finding.rule));
    let told = dead.filter_map(|(index, finding)| {
        let place = documents.get(index)?.place(&finding.path);
        Some(format!("{place}: {}: {}; {}", finding.path, finding.message, finding.help))
    });
    told.take(MAX_DEAD_GRANTS).collect()
}

fn print(args: &ReviewArgs, reports: &[Report], subjects: &[Subject]) -> Result<(), crate::Failure> {
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Text | Output::Wide => {
            text::print(&mut terminal::out(), reports, subjects, args.output == Output::Wide, args.show_pod)?;
        }
        Output::Json => {
            writeln!(
                out,
                "{}",
                serde_json::to_string_pretty(&palisade_review::list(reports, args.show_pod))?
            )?;
        }
        Output::Yaml => {
            write!(out, "{}", palisade_k8s::yaml::write(&palisade_review::list(reports, args.show_pod)))?;
        }
        Output::Html => write!(out, "{}", palisade_review::matrix(reports, subjects).file()?)?,
        Output::Sarif => writeln!(out, "{}", serde_json::to_string_pretty(&sarif::log(reports))?)?,
    }
    Ok(())
}
