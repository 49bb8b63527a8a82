//! Objects that are judged, and those that are likely to be meant as such.

use std::collections::BTreeMap;

use palisade_k8s::FieldPath;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::{Finding, Severity, suggestion};

use crate::files::Document;

/// The kinds that are looked at beside workloads.
const KINDS: [&str; 6] =
    ["SecurityContextConstraints", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Namespace"];

/// Whether an object is of a kind that is judged.
pub(crate) fn is_understood(document: &Document) -> bool {
    KINDS.contains(&document.text("kind"))
        || WorkloadKind::of(document.text("apiVersion"), document.text("kind")).is_some()
}

/// A finding for an object that is likely to be meant as policy and is not read as such.
pub(crate) fn misunderstood(document: &Document) -> Option<Finding> {
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
    if kind == "Template" && document.text("apiVersion").starts_with("template.openshift.io/") {
        return finding(
            "template",
            "this is a template, which nothing can judge before it is filled in".to_owned(),
            format!(
                "fill it in first: oc process --local -f {} | palisade review -f -",
                document.source.name
            ),
        );
    }
    if kind.contains("{{") || document.metadata("name").contains("{{") {
        return finding(
            "template",
            "this is a template, which nothing can judge before it is filled in".to_owned(),
            "render it first: helm template CHART | palisade review -f -, or scc lint -".to_owned(),
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

/// The kinds of objects, each with how many there are: `1 ConfigMap, 2 Service`.
pub(crate) fn kinds<'d>(documents: impl Iterator<Item = &'d Document>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    documents.for_each(|document| *counts.entry(document.text("kind")).or_default() += 1);
    let all: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    all.join(", ")
}
