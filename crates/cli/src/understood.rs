//! Objects that are checked, and objects that were likely meant to be.

use std::collections::BTreeMap;

use palisade_k8s::FieldPath;
use palisade_k8s::manifest::Node;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::{Finding, Severity, suggestion};

use crate::files::Document;

const RBAC: &str = "rbac.authorization.k8s.io";

/// The kinds that are checked beside workloads, with their API groups.
const KINDS: [(&str, &str); 6] = [
    ("SecurityContextConstraints", "security.openshift.io"),
    ("Role", RBAC),
    ("ClusterRole", RBAC),
    ("RoleBinding", RBAC),
    ("ClusterRoleBinding", RBAC),
    ("Namespace", ""),
];

/// Kinds of the core group, or once in it, whose names are similar to those of kinds that are checked.
const OTHERS: [&str; 2] = ["Node", "Route"];

/// The kinds that are checked, with their API groups.
fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.into_iter().chain(palisade_k8s::workload::KINDS.iter().map(|known| (known.kind, known.group)))
}

/// The API group of an object; empty for the core group, and without an `apiVersion`.
pub(crate) fn group(document: &Document) -> &str {
    document.text("apiVersion").split_once('/').map_or("", |(group, _)| group)
}

/// Whether an object's API group is this one, absent, or this one misspelt.
fn is_meant(document: &Document, known: &str) -> bool {
    let group = group(document);
    group.is_empty() || group == known || !suggestion(group, std::iter::once(known), "").is_empty()
}

/// Whether an object is of a kind that is checked, and no template.
pub(crate) fn is_understood(document: &Document) -> bool {
    (is_policy(document) || workload(document).is_some()) && placeholder(document).is_none()
}

/// Whether an object is of a kind that counts as policy.
pub(crate) fn is_policy(document: &Document) -> bool {
    let kind = document.text("kind");
    KINDS.iter().any(|(known, group)| *known == kind && is_meant(document, group))
}

fn workload(document: &Document) -> Option<&'static WorkloadKind> {
    WorkloadKind::of(document.text("apiVersion"), document.text("kind"))
}

/// The first field that a template leaves to be filled in, such as `"{{ .Values.name }}"`. A workload's commands may hold
/// braces, its names may not.
fn placeholder(document: &Document) -> Option<FieldPath> {
    let is_open = |path: &FieldPath| {
        let text = document.node.at_path(path).and_then(Node::as_str);
        text.is_some_and(|text| text.contains("{{"))
    };
    let names = ["kind", "metadata.name", "metadata.generateName", "metadata.namespace"];
    let account = |kind: &WorkloadKind| kind.template_path().field("spec.serviceAccountName");
    let named = names.map(FieldPath::of).into_iter().chain(workload(document).map(account)).find(is_open);
    named.or_else(|| is_policy(document).then(|| open_value(&document.node, FieldPath::root()))?)
}

/// The first value of a policy that is open; annotations hold any text.
fn open_value(node: &Node, path: FieldPath) -> Option<FieldPath> {
    if node.as_str().is_some_and(|text| text.contains("{{")) {
        return Some(path);
    }
    let mut items = node.items().iter().enumerate();
    items.find_map(|(index, item)| open_value(item, path.clone().index(index))).or_else(|| {
        let mut fields = node.entries().iter().filter(|entry| entry.key != "annotations");
        fields.find_map(|entry| open_value(&entry.value, path.clone().name(&entry.key)))
    })
}

/// A finding for an object that is a template.
pub(crate) fn template(document: &Document) -> Option<Finding> {
    let message = "this is a template, which must be rendered before it can be checked";
    let help = "render it first: helm template CHART | palisade review -f -, or scc lint -";
    placeholder(document).map(|path| Finding::new("template", Severity::Error, path, message, help))
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
    if let Some(finding) = template(document) {
        return Some(finding);
    }
    if let Some((_, group)) = known().find(|(known, _)| *known == kind) {
        let version = document.text("apiVersion");
        let message = format!("there is no {kind} in {version:?}, so that it was not looked at");
        let prefix = if group.is_empty() { String::new() } else { format!("{group}/") };
        return is_meant(document, group)
            .then(|| finding("unknown-kind", message, format!("write apiVersion: {prefix}v1")))?;
    }
    let group = group(document);
    let of_group = known().filter(|(_, known)| group.is_empty() || *known == group);
    let help = suggestion(kind, of_group.map(|(kind, _)| kind), "");
    // The name of a kind of its own, such as Ingress, is not similar to any of them.
    if help.is_empty() || OTHERS.contains(&kind) {
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
