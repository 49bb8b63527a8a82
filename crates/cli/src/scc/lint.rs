//! `palisade scc lint`.

use std::collections::BTreeMap;
use std::io::Write;

use palisade_k8s::FieldPath;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::{Finding, Severity, suggestion};
use serde_json::Value;

use crate::args::LintArgs;
use crate::exit::Exit;
use crate::files::Document;
use crate::{files, paint};

/// The kinds that are looked at beside workloads.
const KINDS: [&str; 6] =
    ["SecurityContextConstraints", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Namespace"];

pub(crate) fn run(args: &LintArgs) -> crate::Outcome {
    let mut documents = files::read(&args.files)?;
    documents.extend(files::embedded(&documents));
    let objects: Vec<Value> = documents.iter().map(|document| document.node.to_json()).collect();
    let mut found = palisade_admission::lint_all(&objects);
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, document) in documents.iter().enumerate() {
        if !is_understood(document) {
            match misunderstood(document) {
                Some(finding) => found.push((place, finding)),
                None => *skipped.entry(document.text("kind")).or_default() += 1,
            }
        }
    }
    found.sort_by_key(|(place, _)| *place);
    let mut out = palisade_console::terminal::out();
    for (place, finding) in &found {
        let Some(document) = documents.get(*place) else { continue };
        print(&mut out, document, finding)?;
    }
    if !skipped.is_empty() {
        let kinds: Vec<String> = skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(out, "not looked at: {}", kinds.join(", "))?;
    }
    writeln!(out, "{} objects, {} findings", documents.len(), found.len())?;
    let nothing = skipped.values().sum::<usize>() == documents.len();
    if nothing {
        writeln!(
            out,
            "nothing here is an SCC, a role, a binding, a namespace or a workload, so that nothing was judged"
        )?;
    }
    Ok(if nothing || !found.is_empty() { Exit::Findings } else { Exit::Fine })
}

fn print(out: &mut impl Write, document: &Document, finding: &Finding) -> std::io::Result<()> {
    let severity = match finding.severity {
        Severity::Error => paint::error(finding.severity),
        Severity::Warning => paint::warning(finding.severity),
    };
    let place = document.place(&finding.path);
    let (path, message, rule, help) = (&finding.path, &finding.message, finding.rule, &finding.help);
    let path = path.to_string();
    let separator = if path.is_empty() { "" } else { ": " };
    writeln!(out, "{place}: {severity}: {path}{separator}{message} [{rule}]")?;
    writeln!(out, "    help: {help}")
}

fn is_understood(document: &Document) -> bool {
    KINDS.contains(&document.text("kind"))
        || WorkloadKind::of(document.text("apiVersion"), document.text("kind")).is_some()
}

/// A finding for an object that is likely to be meant as policy and is not read as such.
fn misunderstood(document: &Document) -> Option<Finding> {
    let kind = document.text("kind");
    let finding = |rule, message: String, help: String| {
        Some(Finding::new(rule, Severity::Error, FieldPath::of("kind"), message, help))
    };
    if kind == "PodSecurityPolicy" {
        return finding(
            "pod-security-policy",
            "PodSecurityPolicy is gone since Kubernetes 1.25: nobody reads it, and neither does this"
                .to_owned(),
            format!("`palisade import psp {}` prints the SCC that permits the same", document.source.name),
        );
    }
    if kind == "Template" {
        return None;
    }
    if kind.contains("{{") || document.metadata("name").contains("{{") {
        return finding(
            "template",
            "this is a template, which nothing can judge before it is filled in".to_owned(),
            "render it first: helm template CHART | palisade scc lint -".to_owned(),
        );
    }
    let workloads = palisade_k8s::workload::KINDS.iter().map(|workload| workload.kind);
    let help = suggestion(kind, KINDS.into_iter().chain(workloads), "");
    // What is a kind of its own, as an Ingress, is near to none of them.
    if help.is_empty() {
        return None;
    }
    finding("unknown-kind", format!("unknown kind {kind:?}, which was not looked at"), help)
}
