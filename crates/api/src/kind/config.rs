//! ConfigMaps and Secrets.

use base64::Engine;
use palisade_k8s::{FieldError, FieldPath};
use serde_json::{Value, json};

use super::{
    AGE, BASE, CONFIG_KEY, Column, Counted, Credentials, Resource, Row, age, column, count, default,
    is_config_key, text,
};

const DATA: Column = column("Data");

/// ConfigMaps.
pub static CONFIG_MAPS: Resource = Resource::Row(&Row {
    plural: "configmaps",
    singular: "configmap",
    kind: "ConfigMap",
    schema: "ConfigMap",
    short_names: &["cm"],
    storage: "configmaps",
    columns: &[DATA, AGE],
    cells: |object, now| vec![(count(object, "data") + count(object, "binaryData")).into(), age(object, now)],
    validate: check_data,
    counted: Counted::ByName,
    ..BASE
});

/// Secrets.
pub static SECRETS: Resource = Resource::Row(&Row {
    plural: "secrets",
    singular: "secret",
    kind: "Secret",
    schema: "Secret",
    storage: "secrets",
    credentials: Credentials::Tokens,
    selectable: &["type"],
    columns: &[column("Type"), DATA, AGE],
    cells: |object, now| vec![text(object, "/type").into(), count(object, "data").into(), age(object, now)],
    prepare: prepare_secret,
    validate: validate_secret,
    counted: Counted::ByName,
    ..BASE
});

/// `stringData` is write-only: it is merged into `data`.
fn prepare_secret(secret: &mut Value, _old: Option<&Value>) {
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
    errors.extend(check_data(new, old));
    let annotation = "kubernetes.io/service-account.name";
    let account =
        new.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(annotation)?.as_str());
    if text(new, "/type") == "kubernetes.io/service-account-token" && account.is_none_or(str::is_empty) {
        errors.push(FieldError::required(FieldPath::of("metadata.annotations").key(annotation), ""));
    }
    errors.extend(check_type(new));
    errors
}

/// The required keys of secrets of a known type: all of them, but one of two for basic authentication.
fn check_type(secret: &Value) -> Vec<FieldError> {
    let path = |key: &str| FieldPath::of("data").key(key);
    let has = |key: &str| secret.get("data").is_some_and(|data| data.get(key).is_some());
    let needs: &[&str] = match text(secret, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => &["username", "password"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        _ => &[],
    };
    let missing = needs.iter().filter(|key| !has(key));
    let mut errors: Vec<FieldError> = missing.map(|key| FieldError::required(path(key), "")).collect();
    let configs = needs.iter().filter(|key| key.starts_with(".docker") && has(key));
    errors.extend(configs.filter(|key| !is_json(secret, key)).map(|key| {
        // Errors must not repeat its value.
        FieldError::invalid(path(key), "(hidden)", "must be JSON")
    }));
    errors
}

fn is_json(secret: &Value, key: &str) -> bool {
    let data = secret.get("data").and_then(|data| data.get(key)?.as_str()).unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(data).unwrap_or_default();
    serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok()
}

/// The limit on the data of an object, in bytes.
const MAX_DATA: usize = 1024 * 1024;

/// Keys are file names, each used once; an object that is immutable stays so, and keeps its data.
fn check_data(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let entries = |field: &str| new.get(field).and_then(Value::as_object).into_iter().flatten();
    for field in ["data", "binaryData"] {
        for (key, _) in entries(field).filter(|(key, _)| !is_config_key(key)) {
            let path = FieldPath::root().name(field).key(key.clone());
            errors.push(FieldError::invalid(path, key.clone(), CONFIG_KEY));
        }
    }
    let is_twice = |key: &str| new.get("binaryData").is_some_and(|binary| binary.get(key).is_some());
    for (key, _) in entries("data").filter(|(key, _)| is_twice(key)) {
        let path = FieldPath::of("data").key(key.clone());
        errors.push(FieldError::invalid(path, key.clone(), "is in binaryData too"));
    }
    // Base64 has four characters for three bytes.
    let is_text = text(new, "/kind") == "ConfigMap";
    let size = |field: &str, times: usize| -> usize {
        entries(field).map(|(_, value)| value.as_str().map_or(0, str::len) / 4 * times).sum()
    };
    if size("data", if is_text { 4 } else { 3 }) + size("binaryData", 3) > MAX_DATA {
        let path = if is_text { FieldPath::root() } else { FieldPath::of("data") };
        errors.push(FieldError::too_long(path, MAX_DATA));
    }
    errors.extend(check_kept(new, old));
    errors
}

fn check_kept(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&Value::Bool(true))) else {
        return Vec::new();
    };
    let changed =
        ["immutable", "data", "binaryData"].into_iter().filter(|field| new.get(field) != old.get(field));
    let forbid = |field| {
        FieldError::forbidden(FieldPath::root().name(field), "field is immutable when `immutable` is set")
    };
    changed.map(forbid).collect()
}
