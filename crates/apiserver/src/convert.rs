//! Objects of custom resources in the version that a request is for, and in the one in which they are kept: a webhook of their
//! definition converts them, if there is one; otherwise versions differ in name only.

use palisade_api::error::{ApiError, ApiResult};
use serde_json::Value;

use crate::api::Api;
use crate::endpoint::endpoint;
use crate::resource::{Resource, text};

/// Objects as a resource shows them.
///
/// # Errors
///
/// The webhook that converts them fails. The thread must be none of the runtime's workers if there is one.
pub(crate) fn all(api: &Api, resource: &Resource, objects: Vec<Value>) -> ApiResult<Vec<Value>> {
    let objects = match resource.conversion() {
        Some(webhook) => converted(api, resource, webhook, objects)?,
        None => objects,
    };
    Ok(objects.into_iter().map(|object| resource.show(object)).collect())
}

/// An object as a resource shows it.
pub(crate) fn shown(api: &Api, resource: &Resource, object: Value) -> ApiResult<Value> {
    match resource.conversion() {
        Some(_) => only(all(api, resource, vec![object])?),
        None => Ok(resource.show(object)),
    }
}

/// An object in the version in which its resource is kept.
pub(crate) fn kept(api: &Api, resource: &Resource, object: Value) -> ApiResult<Value> {
    let Some(webhook) = resource.conversion() else { return Ok(object) };
    let stored = api.definitions.now().of_storage(resource.storage()).ok_or_else(ApiError::no_such_path)?;
    only(converted(api, &stored, webhook, vec![object])?)
}

fn only(objects: Vec<Value>) -> ApiResult<Value> {
    objects.into_iter().next().ok_or_else(|| ApiError::internal("a conversion has no result"))
}

fn converted(api: &Api, resource: &Resource, webhook: &Value, objects: Vec<Value>) -> ApiResult<Vec<Value>> {
    let wanted = resource.api_version();
    if objects.iter().all(|object| text(object, "/apiVersion") == wanted) {
        return Ok(objects);
    }
    let resolve = |namespace: &str, name: &str, port: u16| endpoint(&api.store, namespace, name, port);
    let asked = palisade_hooks::convert(&api.webhook_client, &resolve, webhook, &wanted, objects);
    let mut objects = api.runtime.block_on(asked).map_err(|why| ApiError::internal(&why))?;
    // What the schema of this version does not have is dropped, whoever wrote it.
    for object in &mut objects {
        resource.shape().fit(object).map_err(|error| ApiError::internal(&error.to_string()))?;
    }
    Ok(objects)
}
