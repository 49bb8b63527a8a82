//! Priority: a pod has the priority of its class, never one that it sets itself.

use palisade_k8s::put;
use serde_json::Value;

use crate::call::Call;
use crate::error::{ApiError, ApiResult, Reason};
use crate::objects;
use crate::resource::{PRIORITY_CLASSES, text};

/// The preemption policy of pods without a class.
const PREEMPTS: &str = "PreemptLowerPriority";

/// Gives a pod the priority of its class; without one, that of the default class, or 0.
pub(super) fn complete(call: &Call<'_>, pod: &mut Value) -> ApiResult<()> {
    let Some(spec) = pod.get("spec").filter(|spec| spec.is_object()) else { return Ok(()) };
    let class = class_of(call, pod, text(spec, "/priorityClassName"))?;
    let field = |name: &str| class.as_ref().and_then(|class| class.get(name));
    let priority = field("value").and_then(Value::as_i64).unwrap_or_default();
    let preempts = field("preemptionPolicy").and_then(Value::as_str).unwrap_or(PREEMPTS);
    let refuse = |why: String| Err(forbidden(call, pod, why));
    if let Some(own) = spec.get("priority").and_then(Value::as_i64).filter(|own| *own != priority) {
        return refuse(format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        ));
    }
    let own = text(spec, "/preemptionPolicy");
    if !own.is_empty() && own != preempts {
        return refuse(format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission \
             controller computed {preempts} from the given PriorityClass name"
        ));
    }
    if let Some(class) = &class {
        put(pod, &["spec", "priorityClassName"], text(class, "/metadata/name").into());
    }
    put(pod, &["spec", "priority"], priority.into());
    put(pod, &["spec", "preemptionPolicy"], preempts.into());
    Ok(())
}

/// An update that does not set the priority leaves it unchanged.
pub(super) fn keep(pod: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        let was = old.get("spec").and_then(|spec| spec.get(field));
        if let Some(was) = was.filter(|_| pod.get("spec").is_some_and(|spec| spec.get(field).is_none())) {
            put(pod, &["spec", field], was.clone());
        }
    }
}

fn forbidden(call: &Call<'_>, object: &Value, why: impl std::fmt::Display) -> Box<ApiError> {
    ApiError::forbidden(&call.target.resource, text(object, "/metadata/name"), why)
}

fn class_of(call: &Call<'_>, pod: &Value, name: &str) -> ApiResult<Option<Value>> {
    if name.is_empty() {
        return default_class(call);
    }
    match objects::get(&call.api.store, &PRIORITY_CLASSES, "", name) {
        Ok(found) => Ok(Some(found.object)),
        Err(error) if error.reason == Reason::NotFound => {
            Err(forbidden(call, pod, format!("no PriorityClass with name {name} was found")))
        }
        Err(error) => Err(error),
    }
}

/// The default class; if a race has left several, the one with the lowest value.
fn default_class(call: &Call<'_>) -> ApiResult<Option<Value>> {
    let mut found: Option<Value> = None;
    let value = |class: &Value| class.get("value").and_then(Value::as_i64).unwrap_or_default();
    objects::each(&call.api.store, &PRIORITY_CLASSES, None, |class| {
        let is_default = class.get("globalDefault") == Some(&Value::Bool(true));
        if is_default && found.as_ref().is_none_or(|least| value(least) > value(&class)) {
            found = Some(class);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Refuses a second default class.
pub(super) fn check_class(call: &Call<'_>, class: &Value) -> ApiResult<()> {
    if class.get("globalDefault") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let other = default_class(call)?;
    let other = other.as_ref().map(|other| text(other, "/metadata/name"));
    match other.filter(|other| *other != text(class, "/metadata/name")) {
        Some(other) => {
            let why =
                format!("PriorityClass {other} is already marked as default. Only one default can exist");
            Err(forbidden(call, class, why))
        }
        None => Ok(()),
    }
}
