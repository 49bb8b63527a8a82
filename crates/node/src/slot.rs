//! The places for containers in a pod, of every kind, in the order in which they start.

use k8s_openapi::api::core::v1::{Container, Pod};

/// The kind of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next starts.
    Init,
    /// An init container that goes on beside the others (sidecar).
    Sidecar,
    /// One of the pod's main containers.
    Main,
    /// An ephemeral container, added to a running pod for debugging.
    Ephemeral,
}

/// A container's place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) container: Container,
    /// For an ephemeral container, the container whose processes it sees.
    pub(crate) target: Option<String>,
}

impl Slot {
    pub(crate) fn name(&self) -> &str {
        &self.container.name
    }
}

/// All places of a pod: init containers and sidecars, main containers, ephemeral ones.
pub(crate) fn slots(pod: &Pod) -> Vec<Slot> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().map(|container| {
        let goes_on = container.restart_policy.as_deref() == Some("Always");
        let kind = if goes_on { Kind::Sidecar } else { Kind::Init };
        Slot { kind, container: container.clone(), target: None }
    });
    let main = spec.containers.iter().map(|container| Slot {
        kind: Kind::Main,
        container: container.clone(),
        target: None,
    });
    let ephemeral = spec.ephemeral_containers.iter().flatten().filter_map(|ephemeral| {
        // The same fields, under the same names, in another type.
        let value = serde_json::to_value(ephemeral).ok()?;
        let container = serde_json::from_value(value).ok()?;
        Some(Slot { kind: Kind::Ephemeral, container, target: ephemeral.target_container_name.clone() })
    });
    init.chain(main).chain(ephemeral).collect()
}

/// The name, namespace and UID of a pod.
pub(crate) struct Names<'p> {
    pub(crate) name: &'p str,
    pub(crate) namespace: &'p str,
    pub(crate) uid: &'p str,
}

pub(crate) fn names(pod: &Pod) -> Names<'_> {
    Names {
        name: pod.metadata.name.as_deref().unwrap_or_default(),
        namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
        uid: pod.metadata.uid.as_deref().unwrap_or_default(),
    }
}
