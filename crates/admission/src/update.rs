//! Which updates of a pod need no decision, so that a finalizer is never blocked (reference/scc.md 1b).

use serde_json::{Map, Value};

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
        }
    }
    same(&old, &new)
}

/// Equality in which an absent field, `null` and an empty list are one, as for Go's semantic
/// equality. Empty objects are left distinct, except for maps: most are structures behind a pointer.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let covers = |a: &Map<String, Value>, b: &Map<String, Value>| {
                a.iter().all(|(key, value)| match b.get(key) {
                    Some(other) => same(value, other),
                    None => is_unset(key, value),
                })
            };
            covers(a, b) && b.iter().all(|(key, value)| a.contains_key(key) || is_unset(key, value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Null, Value::Array(list)) | (Value::Array(list), Value::Null) => list.is_empty(),
        (a, b) => a == b,
    }
}

fn is_unset(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(key, "annotations" | "labels" | "nodeSelector"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        assert!(!with("/spec", "securityContext", json!({})));
        assert!(!with("/spec/containers/0", "image", json!("x")));
    }
}
