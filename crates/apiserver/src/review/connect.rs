//! exec, attach, port-forward and log of a pod: decided here, carried out by a node.

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

use crate::admit;
use crate::call::{Answer, Call};
use crate::error::{ApiError, ApiResult};
use crate::objects;
use crate::request::Query;
use crate::resource::{Serves, text};

/// Decides on exec, attach, log and port forwarding.
pub(crate) fn connect(call: &Call<'_>, serves: Serves) -> ApiResult<Answer> {
    let target = call.target;
    let pod = objects::get(&call.api.store, target.resource, &target.namespace, &target.name)?.object;
    let is_log = matches!(serves, Serves::Log);
    if is_log {
        check_log(&target.name, call.query)?;
    }
    if let Serves::Connection { has_process: true } = serves {
        admit::connect(call, &pod)?;
    }
    check_container(&target.name, &pod, call.query)?;
    let node = text(&pod, "/spec/nodeName");
    if node.is_empty() && is_log {
        // What has not started has said nothing.
        return Ok(Answer::ok(Value::Null));
    }
    if node.is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", target.name)));
    }
    Err(ApiError::unavailable(format!(
        "node {node:?} cannot be reached: this server has no connection to its agent"
    )))
}

/// One that the client names is there.
fn check_container(name: &str, pod: &Value, query: &Query) -> ApiResult<()> {
    let Some(wanted) = query.get("container").filter(|container| !container.is_empty()) else {
        return Ok(());
    };
    let lists = ["containers", "initContainers", "ephemeralContainers"];
    let mut all = lists.iter().filter_map(|list| pod.get("spec")?.get(list)?.as_array()).flatten();
    match all.any(|container| text(container, "/name") == wanted) {
        true => Ok(()),
        false => Err(ApiError::bad_request(format!("pod {name} has no container {wanted}"))),
    }
}

/// How much of a log is wanted: a part of it that there can be.
fn check_log(name: &str, query: &Query) -> ApiResult<()> {
    let mut errors = Vec::new();
    for (field, least) in [("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)] {
        let number = query.get(field).and_then(|text| text.parse::<i64>().ok());
        if let Some(number) = number.filter(|number| *number < least) {
            let why = format!("must be at least {least}");
            errors.push(FieldError::invalid(FieldPath::of(field), number, why));
        }
    }
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        let why = "may not be set beside sinceSeconds";
        errors.push(FieldError::forbidden(FieldPath::of("sinceTime"), why));
    }
    match errors.as_slice() {
        [] => Ok(()),
        errors => Err(ApiError::invalid_kind("PodLogOptions", "", name, errors)),
    }
}
