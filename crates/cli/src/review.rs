//! `palisade review`.

mod advice;
mod report;
mod sarif;
mod subject;
mod text;

use std::io::Write;

use palisade_admission::PolicyBuilder;

pub(crate) use report::{Report, Verdict};
pub(crate) use subject::{Options, Subject};

use crate::args::{Output, ReviewArgs};
use crate::exit::Exit;
use crate::files::{self, Document};
use crate::policy;

pub(crate) fn run(args: &ReviewArgs) -> crate::Outcome {
    let documents = files::read(&args.files)?;
    let mut builder = policy::load(&args.policy)?;
    policy::add_surroundings(&mut builder, &documents)?;
    let options = Options {
        namespace: args.namespace.as_deref(),
        service_account: args.serviceaccount.as_deref(),
        user: args.user.as_deref(),
        groups: &args.groups,
    };
    let subjects = subjects(&documents, &options)?;
    assume_namespaces(&mut builder, &subjects);
    let policy = builder.build();
    let reports: Vec<Report> = subjects.iter().map(|subject| Report::new(&policy, subject)).collect();
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

fn print(args: &ReviewArgs, reports: &[Report], subjects: &[Subject]) -> Result<(), crate::Failure> {
    let mut out = anstream::stdout().lock();
    match args.output {
        Output::Text | Output::Wide => {
            text::print(&mut out, reports, subjects, args.output == Output::Wide, args.show_pod)?;
        }
        Output::Json => {
            writeln!(out, "{}", serde_json::to_string_pretty(&report::list(reports, args.show_pod))?)?;
        }
        Output::Yaml => write!(out, "{}", serde_saphyr::to_string(&report::list(reports, args.show_pod))?)?,
        Output::Sarif => writeln!(out, "{}", serde_json::to_string_pretty(&sarif::log(reports))?)?,
    }
    Ok(())
}
