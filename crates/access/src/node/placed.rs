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
    pods: HashMap<Key, Kept>,
    /// By namespace and node, the number of pods that have a reference.
    needs: HashMap<String, HashMap<Need, u32>>,
    /// By owner, the memory of references.
    weights: HashMap<Arc<str>, usize>,
}

/// The kind and name of an object that a pod refers to. Names are shared: a pod may have many references.
type Need = (Reference, Arc<str>);

/// The memory of a reference beside its name, in bytes: in the list of its pod, and, where no other pod has it, in that of the node.
const NEED: usize = 100;

/// The references of a pod on a node.
#[derive(Debug)]
pub(crate) struct Found {
    place: String,
    needs: Vec<Need>,
}

/// References that are kept.
#[derive(Debug)]
struct Kept {
    found: Found,
    /// The user or namespace whose bound their memory counts in: see [`owner`](crate::policy::owner).
    owner: Arc<str>,
}

/// No namespace has a slash in its name.
fn place(namespace: &str, node: &str) -> String {
    format!("{namespace}/{node}")
}

/// The number of objects that a pod refers to, and the memory that these references take while it is on a node, in bytes.
pub fn weigh(pod: &Value) -> (usize, usize) {
    let all = references::all(pod);
    (all.len(), weight(all.iter().map(|(_, name)| &**name)))
}

fn weight<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(|name| NEED + name.len()).sum()
}

impl Found {
    fn weight(&self) -> usize {
        weight(self.needs.iter().map(|(_, name)| &**name))
    }
}

impl State {
    fn keep(&mut self, found: &mut Found, owner: &Arc<str>) {
        *self.weights.entry(Arc::clone(owner)).or_default() += found.weight();
        let counts = self.needs.entry(found.place.clone()).or_default();
        for need in &mut found.needs {
            // The name that is kept already is the one.
            if let Some((kept, _)) = counts.get_key_value(need) {
                *need = kept.clone();
            }
            *counts.entry(need.clone()).or_default() += 1;
        }
    }

    fn forget(&mut self, Kept { found, owner }: &Kept) {
        if let Some(weight) = self.weights.get_mut(owner) {
            *weight = weight.saturating_sub(found.weight());
            if *weight == 0 {
                self.weights.remove(owner);
            }
        }
        let Some(counts) = self.needs.get_mut(&found.place) else { return };
        for need in &found.needs {
            if let Some(count) = counts.get_mut(need) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(need);
                }
            }
        }
        if counts.is_empty() {
            self.needs.remove(&found.place);
        }
    }
}

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
        let needs = references::all(pod).into_iter().map(|(reference, name)| (reference, Arc::from(name)));
        Some(Found { place: place(&key.namespace, node), needs: needs.collect() })
    }

    /// Keeps the references of a pod, whose memory counts against an owner, or forgets them.
    pub(crate) fn set(&self, key: &Key, found: Option<Found>, owner: impl FnOnce() -> Arc<str>) {
        let found = found.map(|found| (found, owner()));
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if let Some(old) = state.pods.remove(key) {
            state.forget(&old);
        }
        if let Some((mut found, owner)) = found {
            state.keep(&mut found, &owner);
            state.pods.insert(key.clone(), Kept { found, owner });
        }
    }

    /// Whether a pod on a node refers to an object.
    pub(super) fn needs(&self, node: &str, namespace: &str, reference: Reference, name: &str) -> bool {
        let need: Need = (reference, name.into());
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.needs.get(&place(namespace, node)).is_some_and(|counts| counts.contains_key(&need))
    }

    /// The memory that references of an owner's pods take, in bytes.
    pub fn weight(&self, owner: &str) -> usize {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        state.weights.get(owner).copied().unwrap_or_default()
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
            placed.set(&key(name), found, || "joe".into());
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
        let (count, weight) = weigh(&pod("n", "Running", "s"));
        assert_eq!((count, placed.weight("joe"), placed.weight("ann")), (1, 2 * weight, 0));
        set("one", None);
        assert!(needs("n", "a", "s"));
        assert_eq!(placed.weight("joe"), weight);
        set("two", Some(pod("n", "Succeeded", "s")));
        assert!(!needs("n", "a", "s"));
        set("two", Some(pod("n", "Running", "t")));
        assert!(needs("n", "a", "t"));
        set("two", Some(pod("m", "Running", "t")));
        assert!(!needs("n", "a", "t") && needs("m", "a", "t"));
        set("two", None);
        let state = placed.0.read().unwrap();
        assert!(state.pods.is_empty() && state.needs.is_empty() && state.weights.is_empty());
    }
}
