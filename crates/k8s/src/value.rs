//! JSON values.

use serde_json::{Map, Value};

/// Sets a nested field of an object. A value on the path that is not an object is replaced by one.
///
/// ```
/// let mut pod = serde_json::json!({"metadata": null});
/// palisade_k8s::put(&mut pod, &["metadata", "labels", "app"], "web".into());
/// assert_eq!(pod.to_string(), r#"{"metadata":{"labels":{"app":"web"}}}"#);
/// ```
pub fn put(object: &mut Value, path: &[&str], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if let Some(map) = object.as_object_mut() {
        put(map.entry(*name).or_insert(Value::Null), rest, value);
    }
}
