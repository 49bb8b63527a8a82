//! References of the pods on nodes to secrets, config maps, claims and accounts, kept in step with the store: the node
//! authorizer decides without reading pods.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use palisade_store::Key;
use serde_json::Value;

use super::references::{self, Reference};
use crate::resource::text;

/// The references of pods that have a node and have not ended.
#[derive(Debug, Default)]
pub struct Placed(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    /// The references of each pod.
    pods: HashMap<Key, Vec<Need>>,
    /// The number of pods that have a reference.
    needs: HashMap<Need, usize>,
}

/// A node, and the namespace, kind and name of an object that one of its pods refers to. Names are shared: a pod may have thousands
/// of references.
type Need = (Arc<str>, Arc<str>, Reference, Arc<str>);

/// The references of a pod on a node.
#[derive(Debug)]
pub(crate) struct Found(Vec<Need>);

impl Placed {
    /// The references of a pod as it is stored; `None` without a node, or once it has ended.
    pub(crate) fn read(key: &Key, bytes: &[u8]) -> Option<Found> {
        // Most writes of a pod that waits are not worth parsing.
        std::str::from_utf8(bytes).ok().filter(|text| text.contains("\"nodeName\":"))?;
        Self::of(key, &serde_json::from_slice(bytes).ok()?)
    }

    /// The references of a pod; `None` without a node, or once it has ended.
    pub(crate) fn of(key: &Key, pod: &Value) -> Option<Found> {
        let (node, phase) = (text(pod, "/spec/nodeName"), text(pod, "/status/phase"));
        if node.is_empty() || matches!(phase, "Succeeded" | "Failed") {
            return None;
        }
        let (node, namespace) = (Arc::from(node), Arc::from(key.namespace.as_str()));
        let all = references::all(pod).into_iter();
        let needs = all
            .map(|(reference, name)| (Arc::clone(&node), Arc::clone(&namespace), reference, Arc::from(name)));
        Some(Found(needs.collect()))
    }

    /// Keeps the references of a pod, or forgets them.
    pub(crate) fn set(&self, key: &Key, found: Option<Found>) {
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        for need in state.pods.remove(key).into_iter().flatten() {
            if let Some(count) = state.needs.get_mut(&need) {
                *count -= 1;
                if *count == 0 {
                    state.needs.remove(&need);
                }
            }
        }
        if let Some(Found(needs)) = found {
            needs.iter().for_each(|need| *state.needs.entry(need.clone()).or_default() += 1);
            state.pods.insert(key.clone(), needs);
        }
    }

    /// Whether a pod on a node refers to an object.
    pub(super) fn needs(&self, node: &str, namespace: &str, reference: Reference, name: &str) -> bool {
        let need: Need = (node.into(), namespace.into(), reference, name.into());
        self.0.read().unwrap_or_else(PoisonError::into_inner).needs.contains_key(&need)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reference_counts_while_a_pod_on_the_node_has_it() {
        let placed = Placed::default();
        let key = |name: &str| Key::new("pods", "a", name);
        let pod = |node: &str, phase: &str, secret: &str| {
            json!({"metadata": {"name": "p"}, "status": {"phase": phase}, "spec": {
                "nodeName": node, "volumes": [{"name": "v", "secret": {"secretName": secret}}]}})
        };
        let set = |name: &str, pod: Option<Value>| {
            let found = pod.and_then(|pod| Placed::read(&key(name), pod.to_string().as_bytes()));
            placed.set(&key(name), found);
        };
        let needs = |node, namespace, name| placed.needs(node, namespace, Reference::Secret, name);
        set("waits", Some(pod("", "Pending", "s")));
        assert!(!needs("", "a", "s"));
        set("one", Some(pod("n", "Running", "s")));
        set("two", Some(pod("n", "Running", "s")));
        assert!(
            needs("n", "a", "s") && !needs("m", "a", "s") && !needs("n", "b", "s") && !needs("n", "a", "t")
        );
        assert!(!placed.needs("n", "a", Reference::ConfigMap, "s"));
        set("one", None);
        assert!(needs("n", "a", "s"));
        set("two", Some(pod("n", "Succeeded", "s")));
        assert!(!needs("n", "a", "s"));
        set("two", Some(pod("n", "Running", "t")));
        assert!(needs("n", "a", "t"));
        set("two", Some(pod("m", "Running", "t")));
        assert!(!needs("n", "a", "t") && needs("m", "a", "t"));
        set("two", None);
        let state = placed.0.read().unwrap();
        assert!(state.pods.is_empty() && state.needs.is_empty());
    }
}
