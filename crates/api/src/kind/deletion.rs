//! Deletion of objects: at once, after a grace period, or after others have cleaned up.

use palisade_k8s::put;
use serde_json::{Value, json};

use super::text;

/// The deletion of an object without finalizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is deleted at once.
    AtOnce,
    /// It stays until its node has ended it, or for its grace period; the last state is returned.
    Graceful,
    /// It stays until everything in it is deleted.
    Emptied,
    /// It stays until the objects that it defines are deleted.
    Instances,
}

/// The finalizer of a definition whose objects are being deleted.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl Deletion {
    /// The object as it waits for its deletion; `None` if it is deleted at once. `options` are those of the request
    /// (`DeleteOptions`), `now` is the time in RFC 3339.
    #[must_use]
    pub fn waiting(self, object: &Value, options: &Value, now: &str) -> Option<Value> {
        let mut new = object.clone();
        match text(options, "/propagationPolicy") {
            "Orphan" => add_finalizer(&mut new, "orphan"),
            "Foreground" => add_finalizer(&mut new, "foregroundDeletion"),
            _ => {}
        }
        let is_held = !is_empty(&new, "/metadata/finalizers");
        let grace = match self {
            Self::Emptied => {
                mark(&mut new, now);
                put(&mut new, &["status", "phase"], "Terminating".into());
                return Some(new);
            }
            Self::Instances => {
                add_finalizer(&mut new, CLEANUP);
                mark(&mut new, now);
                return Some(new);
            }
            Self::AtOnce => 0,
            Self::Graceful => grace(object, options),
        };
        if grace == 0 && !is_held {
            return None;
        }
        mark(&mut new, now);
        put(&mut new, &["metadata", "deletionGracePeriodSeconds"], grace.into());
        Some(new)
    }

    /// Whether an object waited only for its last finalizer.
    #[must_use]
    pub fn is_finished(self, object: &Value) -> bool {
        object.pointer("/metadata/deletionTimestamp").is_some()
            && is_empty(object, "/metadata/finalizers")
            && match self {
                Self::AtOnce | Self::Instances => true,
                Self::Graceful => object.pointer("/metadata/deletionGracePeriodSeconds") == Some(&json!(0)),
                Self::Emptied => is_empty(object, "/spec/finalizers"),
            }
    }
}

fn mark(object: &mut Value, now: &str) {
    if object.pointer("/metadata/deletionTimestamp").is_none() {
        put(object, &["metadata", "deletionTimestamp"], now.into());
    }
}

fn is_empty(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_array).is_none_or(Vec::is_empty)
}

/// The grace period of a pod, in seconds: as requested, but no longer than the rest of an earlier one.
fn grace(pod: &Value, options: &Value) -> i64 {
    // A pod that is on no node, or has ended, has no processes to end.
    let is_idle = text(pod, "/spec/nodeName").is_empty()
        || matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if is_idle {
        return 0;
    }
    let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    let asked = options.get("gracePeriodSeconds").and_then(Value::as_i64);
    let before = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
    let grace = asked.or(before).or(own).unwrap_or(30);
    // A negative one means the shortest.
    let grace = if grace < 0 { 1 } else { grace };
    before.map_or(grace, |before| before.min(grace))
}

fn add_finalizer(object: &mut Value, name: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.iter().any(|finalizer| finalizer == name)
    {
        list.push(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_end_within_their_grace_period() {
        let pod = |spec: Value, metadata: Value, phase: &str| json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}});
        let on_node = json!({"nodeName": "n", "terminationGracePeriodSeconds": 60});
        let ending = json!({"deletionTimestamp": "then", "deletionGracePeriodSeconds": 20});
        let cases = [
            // pod, options, grace period in seconds (`None`: deleted at once)
            (pod(json!({}), json!({}), "Pending"), json!({}), None),
            (pod(on_node.clone(), json!({}), "Running"), json!({}), Some(60)),
            (pod(json!({"nodeName": "n"}), json!({}), "Running"), json!({}), Some(30)),
            (pod(on_node.clone(), json!({}), "Running"), json!({"gracePeriodSeconds": 5}), Some(5)),
            (pod(on_node.clone(), json!({}), "Running"), json!({"gracePeriodSeconds": 0}), None),
            (pod(on_node.clone(), json!({}), "Running"), json!({"gracePeriodSeconds": -3}), Some(1)),
            (pod(on_node.clone(), ending.clone(), "Running"), json!({"gracePeriodSeconds": 90}), Some(20)),
            (pod(on_node.clone(), ending, "Running"), json!({"gracePeriodSeconds": 10}), Some(10)),
            (pod(on_node.clone(), json!({}), "Failed"), json!({}), None),
            (pod(on_node, json!({"finalizers": ["a/b"]}), "Failed"), json!({}), Some(0)),
        ];
        for (pod, options, wanted) in cases {
            let waiting = Deletion::Graceful.waiting(&pod, &options, "now");
            let grace = waiting.as_ref().map(|pod| pod["metadata"]["deletionGracePeriodSeconds"].clone());
            assert_eq!(grace, wanted.map(Value::from), "{pod} {options}");
        }
    }

    #[test]
    fn finalizers_hold_objects() {
        let plain = json!({"metadata": {"name": "a"}});
        assert_eq!(Deletion::AtOnce.waiting(&plain, &json!({}), "now"), None);
        let waiting =
            Deletion::AtOnce.waiting(&plain, &json!({"propagationPolicy": "Orphan"}), "now").unwrap();
        assert_eq!(waiting["metadata"]["finalizers"], json!(["orphan"]));
        assert!(!Deletion::AtOnce.is_finished(&waiting));
        let waiting = Deletion::Emptied.waiting(&plain, &json!({}), "now").unwrap();
        assert_eq!(waiting["status"]["phase"], "Terminating");
        assert_eq!(waiting["metadata"], json!({"name": "a", "deletionTimestamp": "now"}));
        let empty = json!({"metadata": {"deletionTimestamp": "now"}, "spec": {"finalizers": ["kubernetes"]}});
        assert!(!Deletion::Emptied.is_finished(&empty));
        assert!(Deletion::AtOnce.is_finished(&empty));
    }
}
