//! Namespaces.

use palisade_k8s::put;
use serde_json::{Value, json};

use super::{AGE, BASE, Names, Resource, age, column, text};

pub(super) const NAMESPACES: Resource = Resource {
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    schema: "Namespace",
    namespaced: false,
    short_names: &["ns"],
    subresources: &["status", "finalize"],
    storage: "namespaces",
    selectable: &["status.phase"],
    names: Names::Label,
    columns: &[column("Status"), AGE],
    cells: |namespace| vec![text(namespace, "/status/phase").into(), age(namespace)],
    prepare,
    ..BASE
};

/// A namespace has its own name as a label, and is finalized by this server.
fn prepare(namespace: &mut Value, old: Option<&Value>) {
    let name = text(namespace, "/metadata/name").to_owned();
    if let Some(metadata) = namespace.get_mut("metadata") {
        super::default(metadata, "labels", json!({}));
        if let Some(labels) = metadata.get_mut("labels").filter(|_| !name.is_empty()) {
            put(labels, &["kubernetes.io/metadata.name"], name.into());
        }
    }
    match old {
        None => {
            put(namespace, &["spec"], json!({"finalizers": ["kubernetes"]}));
            put(namespace, &["status"], json!({"phase": "Active"}));
        }
        Some(old) => namespace["spec"] = old.get("spec").cloned().unwrap_or_else(|| json!({})),
    }
}
