//! A replica set as its Deployment reads it.

use palisade_k8s::put;
use serde_json::{Map, Value};

use super::{DESIRED, HASH, MOST, REVISION};
use crate::work::brief;

/// The needed fields of an old ReplicaSet.
pub(super) fn outline(set: Value) -> Value {
    let said = [REVISION, DESIRED, MOST].into_iter().filter_map(|name| {
        let value = set.pointer("/metadata/annotations")?.get(name)?.clone();
        Some((name.to_owned(), value))
    });
    let said: Map<String, Value> = said.collect();
    let mut set = brief(set);
    put(&mut set, &["metadata", "annotations"], said.into());
    set
}

fn annotation<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

pub(super) fn count(object: &Value, name: &str) -> Option<i64> {
    annotation(object, name)?.parse().ok()
}

pub(super) fn revision(set: &Value) -> i64 {
    count(set, REVISION).unwrap_or_default()
}

/// The template of a replica set as its deployment has it.
pub(super) fn form(set: &Value) -> Value {
    let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.shift_remove(HASH);
    }
    template
}

pub(super) fn replicas(set: &Value) -> i64 {
    set.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default()
}

pub(super) fn available(set: &Value) -> i64 {
    set.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or_default()
}

pub(super) fn running(set: &Value) -> i64 {
    set.pointer("/status/replicas").and_then(Value::as_i64).unwrap_or_default()
}

pub(super) fn is_empty(set: &Value) -> bool {
    replicas(set) == 0 && running(set) == 0
}
