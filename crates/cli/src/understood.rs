//! Objects that are checked, and objects that were likely meant to be.

use std::collections::BTreeMap;

use palisade_k8s::FieldPath;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::{Finding, Severity, suggestion};

use crate::files::Document;

/// The kinds that are checked beside workloads.
const KINDS: [&str; 6] =
    ["SecurityContextConstraints", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Namespace"];

/// Whether an object is of a kind that is checked.
pub(crate) fn is_understood(document: &Document) -> bool {
    KINDS.contains(&document.text("kind"))
        || WorkloadKind::of(document.text("apiVersion"), document.text("kind")).is_some()
}

/// A finding for an object that was likely meant as policy and is not recognized as such.
pub(crate) fn misunderstood(document: &Document) -> Option<Finding> {
    let kind = document.text("kind");
    let finding = |rule, message: String, help: String| {
        Some(Finding::new(rule, Severity::Error, FieldPath::of("kind"), message, help))
    };
    if kind == "PodSecurityPolicy" {
        return finding(
            "pod-security-policy",
            "PodSecurityPolicy was removed in Kubernetes 1.25 and is ignored, here too".to_owned(),
            format!("`palisade import psp {}` prints the SCC that permits the same", document.source.name),
        );
    }
    if kind == "Template" && document.text("apiVersion").starts_with("template.openshift.io/") {
        return finding(
            "template",
            "this is a template, which must be rendered before it can be checked".to_owned(),
            format!(
                "fill it in first: oc process --local -f {} | palisade review -f -",
                document.source.name
            ),
        );
    }
    if kind.contains("{{") || document.metadata("name").contains("{{") {
        return finding(
            "template",
            "this is a template, which must be rendered before it can be checked".to_owned(),
            "render it first: helm template CHART | palisade review -f -, or scc lint -".to_owned(),
        );
    }
    let workloads = palisade_k8s::workload::KINDS.iter().map(|workload| workload.kind);
    let help = suggestion(kind, KINDS.into_iter().chain(workloads), "");
    // The name of a kind of its own, such as Ingress, is not similar to any of them.
    if help.is_empty() {
        return None;
    }
    finding("unknown-kind", format!("unknown kind {kind:?}, which was not looked at"), help)
}

/// The kinds of objects with their numbers: `1 ConfigMap, 2 Service`.
pub(crate) fn kinds<'d>(documents: impl Iterator<Item = &'d Document>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    documents.for_each(|document| *counts.entry(document.text("kind")).or_default() += 1);
    let all: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    all.join(", ")
}
