//! Which updates of a pod need no decision, so that a finalizer is never blocked (reference/scc.md 1b).

use serde_json::{Map, Value, json};

use crate::equality::equal;

/// An annotation that the cluster's network writes to running pods.
const POD_NETWORKS: &str = "k8s.ovn.org/pod-networks";
/// Bookkeeping that controllers and the garbage collector change.
const METADATA: [&str; 4] = ["ownerReferences", "finalizers", "managedFields", "selfLink"];

/// Whether nothing differs but metadata that SCC does not look at, and scheduling gates.
pub(crate) fn is_irrelevant(mut old: Value, mut new: Value) -> bool {
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

/// What Kubernetes' conversion makes of a spec: a security context there always is, and the older name of the service
/// account counts where the newer is absent.
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
}
