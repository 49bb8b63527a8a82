//! Namespaces.

use palisade_k8s::put;
use serde_json::{Value, json};

use super::subresource::STATUS;
use super::{AGE, Admission, BASE, Deletion, Names, Resource, Row, Serves, Subresource, age, column, text};

/// Namespaces.
pub static NAMESPACES: Resource = Resource::Row(&Row {
    plural: "namespaces",
    singular: "namespace",
    kind: "Namespace",
    schema: "Namespace",
    namespaced: false,
    short_names: &["ns"],
    subresources: &[
        STATUS,
        Subresource { name: "finalize", verbs: &["update"], serves: Serves::Part(take_finalizers), ..STATUS },
    ],
    is_own_scope: true,
    deletion: Deletion::Emptied,
    undeletable: IMMORTAL,
    admission: Admission::Namespace,
    storage: "namespaces",
    selectable: &["status.phase"],
    names: Names::Label,
    columns: &[column("Status"), AGE],
    cells: |namespace, now| vec![text(namespace, "/status/phase").into(), age(namespace, now)],
    prepare,
    ..BASE
});

/// Namespaces that cannot be deleted.
pub(super) const IMMORTAL: &[&str] = &["default", "kube-public", "kube-system"];

/// Replaces the list of finalizers.
fn take_finalizers(new: &mut Value, old: &Value) {
    let finalizers = new.pointer("/spec/finalizers").cloned();
    new.clone_from(old);
    put(new, &["spec"], json!({}));
    if let Some(finalizers) = finalizers {
        put(new, &["spec", "finalizers"], finalizers);
    }
}

/// A namespace has its own name as a label, and this server's finalizer.
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
