//! ConfigMaps and Secrets.

use palisade_k8s::{FieldError, FieldPath};
use serde_json::{Value, json};

use super::{AGE, BASE, Column, Resource, age, column, count, default, text};

const DATA: Column = column("Data");

pub(super) const CONFIG_MAPS: Resource = Resource {
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    schema: "ConfigMap",
    short_names: &["cm"],
    storage: "configmaps",
    columns: &[DATA, AGE],
    cells: |object| vec![(count(object, "data") + count(object, "binaryData")).into(), age(object)],
    validate: keep_immutable,
    ..BASE
};

pub(super) const SECRETS: Resource = Resource {
    plural: "secrets",
    singular: "secret",
    kind: "Secret",
    schema: "Secret",
    storage: "secrets",
    selectable: &["type"],
    columns: &[column("Type"), DATA, AGE],
    cells: |object| vec![text(object, "/type").into(), count(object, "data").into(), age(object)],
    prepare: prepare_secret,
    validate: validate_secret,
    ..BASE
};

/// `stringData` is only for writing: it goes into `data`.
fn prepare_secret(secret: &mut Value, _old: Option<&Value>) {
    use base64::Engine;
    default(secret, "type", "Opaque");
    let Some(plain) = secret.as_object_mut().and_then(|map| map.shift_remove("stringData")) else { return };
    default(secret, "data", json!({}));
    let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) else { return };
    for (key, value) in plain.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        data.insert(key.clone(), base64::engine::general_purpose::STANDARD.encode(value).into());
    }
}

fn validate_secret(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = super::immutable(new, old, &["type"]);
    errors.extend(keep_immutable(new, old));
    errors
}

/// An object that says it is immutable stays so, and keeps its data.
fn keep_immutable(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["data", "binaryData"] {
        for key in new.get(field).and_then(Value::as_object).into_iter().flat_map(|map| map.keys()) {
            let is_good = !key.is_empty()
                && key.len() <= 253
                && key != "."
                && key != ".."
                && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            if !is_good {
                let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
                let path = FieldPath::root().name(field).key(key.clone());
                errors.push(FieldError::invalid(path, key.clone(), why));
            }
        }
    }
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) else { return errors };
    let changed =
        ["immutable", "data", "binaryData"].into_iter().filter(|field| new.get(field) != old.get(field));
    errors.extend(changed.map(|field| {
        FieldError::forbidden(FieldPath::root().name(field), "field is immutable when `immutable` is set")
    }));
    errors
}
