//! The permitted changes of a pod, by subresource.

use std::collections::{BTreeSet, HashSet};

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

use super::security::{APPARMOR, MIRROR};
use super::{Errors, text};

/// A pod's spec is immutable but for images, deadlines, added tolerations and removed gates; resources and ephemeral
/// containers have subresources of their own.
pub(in super::super) fn check_change(new: &Value, old: &Value, subresource: &str) -> Errors {
    let (fields, of_containers): (&[&str], &[&str]) = match subresource {
        "" => (
            &["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"],
            &["image"],
        ),
        "ephemeralcontainers" => (&["ephemeralContainers"], &[]),
        "resize" => (&[], &["resources", "resizePolicy"]),
        "binding" => (&["nodeName"], &[]),
        _ => (&[], &[]),
    };
    let mut errors = Vec::new();
    let lists = ["containers", "initContainers"];
    if let Some(list) = lists.into_iter().find(|field| list(new, field).len() != list(old, field).len()) {
        let why = "containers can neither be added nor removed";
        return vec![FieldError::forbidden(FieldPath::of("spec").field(list), why)];
    }
    if fixed(new, fields, of_containers) != fixed(old, fields, of_containers) {
        let why = match subresource {
            "" => {
                "only images, activeDeadlineSeconds, schedulingGates (to remove) and tolerations (to add) can be changed"
            }
            _ => "this subresource changes its own part of the pod only",
        };
        errors.push(FieldError::forbidden(FieldPath::of("spec"), why));
    }
    check_deadline(new, old, &mut errors);
    check_grace(new, old, &mut errors);
    check_kept(new, old, "tolerations", toleration, &mut errors);
    check_kept(new, old, "ephemeralContainers", Value::to_string, &mut errors);
    check_gates(new, old, &mut errors);
    check_annotations(new, old, &mut errors);
    errors
}

/// Annotations that decide on a running pod stay as they are (kubernetes/kubernetes,
/// pkg/apis/core/validation/validation.go, `ValidatePodSpecificAnnotationUpdates`).
fn check_annotations(new: &Value, old: &Value, errors: &mut Errors) {
    let [new, old] = [new, old].map(|pod| pod.pointer("/metadata/annotations").and_then(Value::as_object));
    let keys: BTreeSet<&String> = [new, old].into_iter().flatten().flat_map(|map| map.keys()).collect();
    let is_fixed = |key: &str| key == MIRROR || key.starts_with(APPARMOR);
    for key in keys.into_iter().filter(|key| is_fixed(key)) {
        let [new, old] = [new, old].map(|map| map.and_then(|map| map.get(key)));
        if new != old {
            let path = FieldPath::of("metadata.annotations").key(key);
            errors.push(FieldError::forbidden(path, "is fixed when the pod is created"));
        }
    }
}

/// The spec without its mutable fields.
fn fixed(pod: &Value, fields: &[&str], of_containers: &[&str]) -> Value {
    let mut spec = pod.get("spec").cloned().unwrap_or_default();
    let remove = |value: &mut Value, names: &[&str]| {
        if let Some(map) = value.as_object_mut() {
            map.retain(|name, _| !names.contains(&name.as_str()));
        }
    };
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        containers.for_each(|container| remove(container, of_containers));
    }
    remove(&mut spec, fields);
    spec
}

fn number(pod: &Value, field: &str) -> Option<i64> {
    pod.get("spec")?.get(field)?.as_i64()
}

/// A deadline can be set, and shortened.
fn check_deadline(new: &Value, old: &Value, errors: &mut Errors) {
    let path = || FieldPath::of("spec.activeDeadlineSeconds");
    match (number(old, "activeDeadlineSeconds"), number(new, "activeDeadlineSeconds")) {
        (Some(_), None) => errors.push(FieldError::invalid(path(), Value::Null, "cannot be taken away")),
        (Some(old), Some(new)) if new > old => {
            errors.push(FieldError::invalid(path(), new, "cannot be later than it was"));
        }
        _ => {}
    }
}

/// Only a negative value, from older clients, can become one second.
fn check_grace(new: &Value, old: &Value, errors: &mut Errors) {
    let field = "terminationGracePeriodSeconds";
    let (old, new) = (number(old, field), number(new, field));
    let is_mended = old.is_some_and(|old| old < 0) && new == Some(1);
    if old != new && !is_mended {
        let path = FieldPath::of("spec").field(field);
        errors.push(FieldError::forbidden(path, "can only become 1, where it was negative"));
    }
}

fn list<'v>(pod: &'v Value, field: &str) -> &'v [Value] {
    pod.get("spec").and_then(|spec| spec.get(field)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// All elements of a list must remain, as far as `kept` returns their immutable part.
fn check_kept(
    new: &Value,
    old: &Value,
    field: &'static str,
    kept: fn(&Value) -> String,
    errors: &mut Errors,
) {
    let there: HashSet<String> = list(new, field).iter().map(kept).collect();
    if !list(old, field).iter().all(|old| there.contains(&kept(old))) {
        let path = FieldPath::of("spec").field(field);
        errors.push(FieldError::forbidden(path, "existing entries can neither be changed nor removed"));
    }
}

/// The immutable part of a toleration: all but its duration.
fn toleration(toleration: &Value) -> String {
    let kept = ["key", "operator", "value", "effect"].map(|field| toleration.get(field));
    serde_json::json!(kept).to_string()
}

/// Scheduling gates can only be removed.
fn check_gates(new: &Value, old: &Value, errors: &mut Errors) {
    let closed: HashSet<&str> = list(old, "schedulingGates").iter().map(|gate| text(gate, "/name")).collect();
    for (index, gate) in list(new, "schedulingGates").iter().enumerate() {
        if !closed.contains(text(gate, "/name")) {
            let path = FieldPath::of("spec.schedulingGates").index(index);
            errors.push(FieldError::forbidden(path, "can only be removed once the pod is there"));
        }
    }
}
