//! Subresources: parts and operations of an object with a path of their own.

use palisade_k8s::put;
use serde_json::{Value, json};

/// A subresource of a resource.
#[derive(Debug)]
pub struct Subresource {
    /// Name in paths, and in RBAC rules after the resource's.
    pub name: &'static str,
    /// Verbs of its path, as in RBAC rules.
    pub verbs: &'static [&'static str],
    /// Group, version and kind of its request or answer, if that is not the object itself. Without a version the kind
    /// is of the resource's own group.
    pub kind: Option<(&'static str, &'static str, &'static str)>,
    /// Whether writes go through the admission of the resource.
    pub is_admitted: bool,
    /// Its handler.
    pub serves: Serves,
}

/// The handler of a subresource.
#[derive(Clone, Copy, Debug)]
pub enum Serves {
    /// The object. A write takes a part of the request: the function copies it into the old object, its second
    /// argument.
    Part(fn(&mut Value, &Value)),
    /// The number of replicas of an object.
    Scale,
    /// A token of a service account.
    Token,
    /// A new password of a user.
    Password,
    /// The binding of a pod to a node.
    Binding,
    /// The eviction of a pod.
    Eviction,
    /// A container's log.
    Log,
    /// A connection to a pod. A process in a container is only for users for whom SCC would admit the pod.
    Connection {
        /// Whether a process is run in a container.
        has_process: bool,
    },
}

impl Subresource {
    /// Whether its path supports a verb.
    #[must_use]
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

impl Serves {
    /// Whether the answer is a stream of bytes from the node.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Log | Self::Connection { .. })
    }
}

const PART: &[&str] = &["get", "patch", "update"];

/// The part of an object that its controller writes.
pub(super) const STATUS: Subresource =
    Subresource { name: "status", verbs: PART, kind: None, is_admitted: false, serves: Serves::Part(status) };

/// The status of a custom resource: metadata stays as it is (`apiextensions-apiserver/pkg/registry/customresource/status_strategy.go`).
pub(super) const STATUS_ALONE: Subresource = Subresource { serves: Serves::Part(status_alone), ..STATUS };

/// The number of replicas of an object.
pub(super) const SCALE: Subresource = Subresource {
    name: "scale",
    verbs: PART,
    kind: Some(("autoscaling", "v1", "Scale")),
    is_admitted: false,
    serves: Serves::Scale,
};

/// A part of an object whose writes go through admission as those of the object itself.
pub(super) const fn admitted_part(name: &'static str, take: fn(&mut Value, &Value)) -> Subresource {
    Subresource { name, is_admitted: true, serves: Serves::Part(take), ..STATUS }
}

/// A request that is sent with POST.
pub(super) const fn request(
    name: &'static str,
    kind: Option<(&'static str, &'static str, &'static str)>,
    serves: Serves,
) -> Subresource {
    Subresource { name, verbs: &["create"], kind, is_admitted: false, serves }
}

/// A connection to a pod.
pub(super) const fn connection(name: &'static str, options: &'static str, has_process: bool) -> Subresource {
    Subresource {
        name,
        verbs: &["create", "get"],
        kind: Some(("", "", options)),
        is_admitted: false,
        serves: Serves::Connection { has_process },
    }
}

/// Replaces the status, labels and annotations.
pub(super) fn status(new: &mut Value, old: &Value) {
    take_status(new, old, &["labels", "annotations", "managedFields"]);
}

fn status_alone(new: &mut Value, old: &Value) {
    take_status(new, old, &["managedFields"]);
}

/// Replaces the status and these fields of the metadata.
fn take_status(new: &mut Value, old: &Value, fields: &[&str]) {
    let status = new.get("status").cloned().unwrap_or_else(|| json!({}));
    let metadata = fields.iter().map(|field| (*field, new.pointer(&format!("/metadata/{field}")).cloned()));
    let metadata: Vec<_> = metadata.collect();
    new.clone_from(old);
    put(new, &["status"], status);
    for (field, value) in metadata {
        if let Some(value) = value {
            put(new, &["metadata", field], value);
        }
    }
}
