//! Updates of a pod that need no decision, so that a finalizer is never blocked (reference/scc.md 1b).

use palisade_k8s::scc::annotation::REQUIRED_SCC;
use serde_json::{Map, Value, json};

use crate::equality::equal;

/// An annotation that the cluster's network writes to running pods.
const POD_NETWORKS: &str = "k8s.ovn.org/pod-networks";
/// Bookkeeping that controllers and the garbage collector change.
const METADATA: [&str; 4] = ["ownerReferences", "finalizers", "managedFields", "selfLink"];

/// The changes of an update, as far as they matter for SCC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// None.
    Irrelevant,
    /// The SCC that the pod requires, which may not change.
    RequiredChanged,
    /// Others.
    Relevant,
}

impl Update {
    /// Compares an old pod with a new one.
    #[must_use]
    pub fn between(old: Value, new: Value) -> Self {
        let required = |pod: &Value| -> String {
            let annotations = pod.get("metadata").and_then(|metadata| metadata.get("annotations"));
            let name = annotations.and_then(|annotations| annotations.get(REQUIRED_SCC)?.as_str());
            name.unwrap_or_default().to_owned()
        };
        let is_required_the_same = required(&old) == required(&new);
        match is_irrelevant(old, new) {
            true => Self::Irrelevant,
            false if is_required_the_same => Self::Relevant,
            false => Self::RequiredChanged,
        }
    }
}

/// Whether nothing differs but metadata that SCC ignores, and scheduling gates.
fn is_irrelevant(mut old: Value, mut new: Value) -> bool {
    for pod in [&mut old, &mut new] {
        if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
            METADATA.iter().for_each(|field| drop(metadata.shift_remove(*field)));
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.shift_remove(POD_NETWORKS);
            }
        }
        if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
            spec.shift_remove("schedulingGates");
            settle_aliases(spec);
        }
    }
    equal(&old, &new)
}

/// A spec after Kubernetes' conversion: with a security context always, and with the older name of the service account
/// if the newer is absent.
fn settle_aliases(spec: &mut Map<String, Value>) {
    if spec.get("securityContext").is_none_or(Value::is_null) {
        spec.insert("securityContext".to_owned(), json!({}));
    }
    let old_name = spec.shift_remove("serviceAccount");
    let is_set = |name: Option<&Value>| name.and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if let Some(name) = old_name
        && !is_set(spec.get("serviceAccountName"))
    {
        spec.insert("serviceAccountName".to_owned(), name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_bookkeeping_from_changes() {
        let old = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
        let with = |pointer: &str, key: &str, value: Value| {
            let mut new = old.clone();
            new.pointer_mut(pointer).unwrap().as_object_mut().unwrap().insert(key.into(), value);
            is_irrelevant(old.clone(), new)
        };
        assert!(with("/metadata", "finalizers", json!(["a"])));
        assert!(with("/metadata", "annotations", json!({POD_NETWORKS: "{}"})));
        assert!(with("/spec", "schedulingGates", json!([{"name": "g"}])));
        assert!(with("/spec", "tolerations", json!([])));
        assert!(!with("/metadata", "annotations", json!({"a": "b"})));
        assert!(!with("/metadata", "labels", json!({"a": "b"})));
        assert!(with("/spec", "securityContext", json!({})));
        assert!(with("/spec", "securityContext", json!(null)));
        assert!(with("/spec", "hostNetwork", json!(false)));
        assert!(!with("/spec", "securityContext", json!({"runAsUser": 0})));
        assert!(!with("/spec", "serviceAccount", json!("a")));
        assert!(!with("/spec/containers/0", "image", json!("x")));
    }

    #[test]
    fn the_required_scc_stays() {
        let pod = |scc: Option<&str>, image: &str| {
            let mut pod =
                json!({"metadata": {"annotations": {}}, "spec": {"containers": [{"image": image}]}});
            if let Some(scc) = scc {
                pod["metadata"]["annotations"][REQUIRED_SCC] = scc.into();
            }
            pod
        };
        for (old, new, expected) in [
            (pod(Some("a"), "x"), pod(Some("a"), "x"), Update::Irrelevant),
            (pod(Some("a"), "x"), pod(Some("a"), "y"), Update::Relevant),
            (pod(Some("a"), "x"), pod(Some("b"), "x"), Update::RequiredChanged),
            (pod(Some("a"), "x"), pod(None, "x"), Update::RequiredChanged),
            (pod(None, "x"), pod(Some(""), "y"), Update::Relevant),
        ] {
            assert_eq!(Update::between(old.clone(), new.clone()), expected, "{old} {new}");
        }
    }
}
