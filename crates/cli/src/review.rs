//! `palisade review`.

mod load;
mod sarif;
mod text;

use std::io::Write;

use palisade_admission::PolicyBuilder;
use palisade_console::terminal;
use palisade_k8s::manifest::Node;

pub(crate) use load::{Inputs, Loaded};
pub(crate) use palisade_review::{
    ASSUMED_NAMESPACE, Accounts, Options, Report, Subject, Surroundings, UNCONFINED, Verdict, beyond,
    free_name, is_root_with_capabilities, kept_off, scc_object, use_role,
};

use crate::args::{Output, ReviewArgs};
use crate::exit::Exit;
use crate::files::Document;
use crate::paint;
use crate::policy::{ended, tell_left_out};
use crate::understood::{is_understood, kinds, misunderstood};

pub(crate) fn run(args: &ReviewArgs) -> crate::Outcome {
    #[cfg(feature = "serve")]
    if args.live.is_named() && !args.cluster {
        return Err("--kubeconfig and --context go with --cluster".into());
    }
    #[cfg(feature = "serve")]
    if args.cluster {
        return crate::operate::running(
            &args.live,
            args.policy.scc_set.unwrap_or(palisade_scc::BuiltinSet::V4),
        );
    }
    let files: Vec<_> = args.files.iter().chain(&args.paths).cloned().collect();
    let inputs = Inputs {
        files: &files,
        must_gather: args.must_gather.as_ref(),
        policy: &args.policy,
        namespace: args.namespace.as_deref(),
    };
    let Loaded { documents, around, mut builder, mut left_out } = Loaded::read(inputs)?;
    let surroundings = Surroundings::new(&around).without_scc(!builder.has_sccs());
    tell_unread(&documents)?;
    let options = Options {
        namespace: args.namespace.as_deref(),
        service_account: args.serviceaccount.as_deref(),
        user: args.user.as_deref(),
        groups: &args.groups,
    };
    let subjects = subjects(&documents, &options, &mut left_out)?;
    assume_namespaces(&mut builder, &subjects);
    let policy = builder.build();
    let mut reports: Vec<Report> =
        subjects.iter().map(|subject| Report::new(&policy, &surroundings, subject)).collect();
    let objects: Vec<serde_json::Value> = around.iter().map(|document| document.node.to_json()).collect();
    let dead = dead_grants(&objects, &around);
    let named = palisade_admission::NamedInGrants::new(&objects);
    for (report, subject) in reports.iter_mut().zip(&subjects) {
        if report.verdict == Verdict::Refused {
            let near = named.near(&subject.namespace, &subject.service_account);
            report.notes.extend(told(near, &around));
            report.notes.extend(dead.iter().cloned());
        }
    }
    print(args, &reports, &subjects)?;
    let refused = reports.iter().any(|report| report.verdict == Verdict::Refused);
    Ok(ended(if refused { Exit::Findings } else { Exit::Fine }, left_out))
}

/// The workloads among the documents; it is an error if there is none, since nothing would be reviewed. One without a pod that can
/// be read counts as left out, unless it is the only one.
pub(crate) fn subjects(
    documents: &[Document],
    options: &Options<'_>,
    left_out: &mut usize,
) -> Result<Vec<Subject>, crate::Failure> {
    let (mut subjects, mut broken, accounts) = (Vec::new(), Vec::new(), Accounts::new(documents));
    for document in documents {
        match Subject::new(document, &accounts, options) {
            Ok(found) => subjects.extend(found),
            Err(error) => broken.push(error),
        }
    }
    if subjects.is_empty() && !broken.is_empty() {
        return Err(broken.swap_remove(0).into());
    }
    broken.iter().for_each(|error| tell_left_out(error));
    *left_out += broken.len();
    if subjects.is_empty() {
        let held = kinds(documents.iter());
        let held = if held.is_empty() { String::new() } else { format!(", which holds {held}") };
        let what = documents.iter().filter(|document| !is_understood(document)).find_map(misunderstood);
        let is_made = documents.iter().any(|document| is_custom(document.text("apiVersion")));
        let add = match is_made {
            true => {
                "; pods that a controller makes of it are reviewed by: kubectl get pods -o yaml | palisade review -f -"
            }
            false => "; add the file of a pod or workload by -f",
        };
        let what =
            what.map_or_else(|| add.to_owned(), |finding| format!("; {}: {}", finding.message, finding.help));
        return Err(format!("no pod and no workload among the input{held}{what}").into());
    }
    Ok(subjects)
}

/// Reports on stderr which objects may contain pods and are not reviewed.
fn tell_unread(documents: &[Document]) -> std::io::Result<()> {
    let mut err = terminal::err();
    let is_subject = |document: &Document| documents.len() > 1 && !is_understood(document);
    for document in documents.iter().filter(|document| is_subject(document)) {
        let Some(finding) = misunderstood(document) else { continue };
        let place = document.place(&finding.path);
        writeln!(err, "{place}: {} {}; {}", paint::warning("note:"), finding.message, finding.help)?;
    }
    let custom = documents.iter().filter(|document| is_custom(document.text("apiVersion")));
    let custom = custom.filter(|document| holds_containers(&document.node));
    let custom: Vec<&Document> = custom.collect();
    if !custom.is_empty() {
        let held = kinds(custom.into_iter());
        writeln!(err, "{} pods of custom resources are not looked at: {held}", paint::warning("note:"))?;
    }
    Ok(())
}

/// Whether a list of containers stands anywhere in an object, as in those that hold a pod template.
fn holds_containers(node: &Node) -> bool {
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        if node.get("containers").is_some_and(|containers| !containers.items().is_empty()) {
            return true;
        }
        left.extend(node.items());
        left.extend(node.entries().iter().map(|entry| &entry.value));
    }
    false
}

/// Whether an object's group is neither Kubernetes' nor OpenShift's own.
fn is_custom(api_version: &str) -> bool {
    let Some((group, _)) = api_version.split_once('/') else { return false };
    group.contains('.') && !["k8s.io", "openshift.io"].iter().any(|domain| group.ends_with(domain))
}

/// Gives ranges to the namespaces of workloads that lack them.
pub(crate) fn assume_namespaces(builder: &mut PolicyBuilder, subjects: &[Subject]) {
    subjects.iter().for_each(|subject| builder.assume_namespace(&subject.namespace));
}

/// Lint's rules about grants without effect and ranges that are not read, which may be the reason of a refusal.
const GRANT_RULES: [&str; 6] =
    ["dead-rule", "missing-role", "impossible-subject", "unknown-scc", "misplaced-name", "ignored-range"];
/// Maximum number of them beside a refusal.
const MAX_DEAD_GRANTS: usize = 5;

/// Grants without effect among the objects, each with its position and the fix.
fn dead_grants(objects: &[serde_json::Value], documents: &[Document]) -> Vec<String> {
    let mut found = palisade_admission::lint_all(objects);
    found.retain(|(_, finding)| GRANT_RULES.contains(&finding.rule));
    told(found, documents)
}

/// Findings with their positions, as notes.
fn told(
    found: impl IntoIterator<Item = (usize, palisade_scc::Finding)>,
    documents: &[Document],
) -> Vec<String> {
    let told = found.into_iter().filter_map(|(index, finding)| {
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
                terminal::json(&serde_json::to_string_pretty(&palisade_review::list(
                    reports,
                    args.show_pod
                ))?)
            )?;
        }
        Output::Yaml => {
            write!(out, "{}", palisade_k8s::yaml::write(&palisade_review::list(reports, args.show_pod)))?;
        }
        Output::Html => write!(out, "{}", palisade_review::matrix(reports, subjects).file()?)?,
        Output::Sarif => {
            writeln!(out, "{}", terminal::json(&serde_json::to_string_pretty(&sarif::log(reports))?))?
        }
    }
    Ok(())
}
