//! Scales: current and desired number of pods of an object, and its selector.

use palisade_k8s::put;
use serde_json::{Value, json};

/// A number of an object, 0 if it is absent.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// A selector in the syntax of command lines.
pub(super) fn selector_text(selector: Option<&Value>) -> String {
    let labels = selector.and_then(|selector| selector.get("matchLabels")).or(selector);
    pairs(labels)
}

/// Labels in the syntax of command lines.
pub(super) fn pairs(map: Option<&Value>) -> String {
    let pairs = map.and_then(Value::as_object).into_iter().flatten();
    let mut pairs: Vec<String> =
        pairs.filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    pairs.sort_unstable();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// The number of replicas of an object, as the object that scales it.
pub(super) fn scale_of(object: &Value) -> Value {
    let metadata = object.get("metadata");
    let mut kept = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.and_then(|metadata| metadata.get(field)) {
            put(&mut kept, &[field], value.clone());
        }
    }
    let selector = match selector_text(object.pointer("/spec/selector")) {
        text if text == "<none>" => String::new(),
        text => text,
    };
    scale(kept, count(object, "/spec/replicas"), count(object, "/status/replicas"), &selector)
}

/// A Scale. Zero and empty fields are omitted, as in Kubernetes.
pub(super) fn scale(metadata: Value, wanted: i64, found: i64, selector: &str) -> Value {
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {},
        "status": {"replicas": found}});
    if wanted != 0 {
        put(&mut scale, &["spec", "replicas"], wanted.into());
    }
    if !selector.is_empty() {
        put(&mut scale, &["status", "selector"], selector.into());
    }
    scale
}
