//! Runtime classes: a pod gets the overhead of its class, and is scheduled to nodes that can run it.

use palisade_k8s::{put, quantity};
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::error::{ApiError, ApiResult, Reason};
use crate::objects;
use crate::resource::{RUNTIME_CLASSES, text};

/// Gives a pod the overhead, the node selector and the tolerations of its class.
pub(super) fn complete(call: &Call<'_>, pod: &mut Value) -> ApiResult<()> {
    let Some(class) = class_of(call, pod)? else { return Ok(()) };
    if let Some(overhead) = class.pointer("/overhead/podFixed") {
        let own = pod.pointer("/spec/overhead");
        if own.is_some_and(|own| !is_empty(own) && !is_same(own, overhead)) {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(forbidden(call, pod, why));
        }
        put(pod, &["spec", "overhead"], overhead.clone());
    }
    let selector = class.pointer("/scheduling/nodeSelector").and_then(Value::as_object);
    for (key, value) in selector.into_iter().flatten() {
        let own = pod.pointer("/spec/nodeSelector").and_then(|selector| selector.get(key));
        if let Some(own) = own.filter(|own| *own != value) {
            let [value, own] = [value, own].map(|text| text.as_str().unwrap_or_default());
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            );
            return Err(forbidden(call, pod, why));
        }
        put(pod, &["spec", "nodeSelector", key], value.clone());
    }
    if let Some(further) = class.pointer("/scheduling/tolerations").and_then(Value::as_array) {
        tolerate(pod, further);
    }
    Ok(())
}

/// Refuses a pod with an overhead that no class gives it.
pub(super) fn check(call: &Call<'_>, pod: &Value) -> ApiResult<()> {
    let Some(own) = pod.pointer("/spec/overhead").filter(|own| !own.is_null()) else { return Ok(()) };
    let class = class_of(call, pod)?;
    let why = match class.as_ref().and_then(|class| class.pointer("/overhead/podFixed")) {
        Some(overhead) if is_same(own, overhead) => return Ok(()),
        Some(_) => "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        None => "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
    };
    Err(forbidden(call, pod, why))
}

fn forbidden(call: &Call<'_>, pod: &Value, why: impl std::fmt::Display) -> Box<ApiError> {
    ApiError::forbidden(&call.target.resource, text(pod, "/metadata/name"), why)
}

fn class_of(call: &Call<'_>, pod: &Value) -> ApiResult<Option<Value>> {
    let name = text(pod, "/spec/runtimeClassName");
    if name.is_empty() {
        return Ok(None);
    }
    match objects::get(&call.api.store, &RUNTIME_CLASSES, "", name) {
        Ok(found) => Ok(Some(found.object)),
        Err(error) if error.reason == Reason::NotFound => {
            Err(forbidden(call, pod, format!("pod rejected: RuntimeClass {name:?} not found")))
        }
        Err(error) => Err(error),
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_object().is_none_or(Map::is_empty)
}

/// Whether two lists of resources have equal amounts, however they are written.
fn is_same(one: &Value, other: &Value) -> bool {
    let amount = |value: &Value| quantity::billionths(value.as_str().unwrap_or_default());
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
    let has = |(name, value): (&String, &Value)| {
        other.get(name).is_some_and(|other| amount(other) == amount(value))
    };
    one.len() == other.len() && one.iter().all(has)
}

/// Adds the tolerations that a pod does not have yet.
fn tolerate(pod: &mut Value, further: &[Value]) {
    let key = |toleration: &Value| toleration.to_string();
    let mut all = pod.pointer("/spec/tolerations").and_then(Value::as_array).cloned().unwrap_or_default();
    let known: std::collections::HashSet<String> = all.iter().map(key).collect();
    all.extend(further.iter().filter(|one| !known.contains(&key(one))).cloned());
    put(pod, &["spec", "tolerations"], json!(all));
}
