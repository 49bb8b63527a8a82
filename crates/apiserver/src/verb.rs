//! The verbs of the API.

mod change;
mod create;
mod delete;
mod ours;
pub(crate) mod read;
mod scale;

pub(crate) use change::{apply, patch, revise, update};
pub(crate) use create::{create, create_object};
pub(crate) use delete::{delete, delete_collection, delete_if};
pub(crate) use palisade_api::{metadata, options};
pub(crate) use read::{Listing, get, is_visible, list_reviews, sees, select, start};
pub(crate) use scale::{get_scale, patch_scale, update_scale};

use palisade_k8s::FieldError;
use serde_json::Value;

use crate::body::{self, Validation};
use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::resource::{Resource, text};

/// Reads a body as an object of the requested resource.
pub(crate) fn read_object(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Value> {
    let resource = &call.target.resource;
    let mut findings = Vec::new();
    let mut object = body::read(bytes, content_type, &mut findings)?;
    let validation = Validation::parse(call.query.get("fieldValidation"))?;
    call.notes.warn(body::fit(&mut object, resource.shape(), validation, findings)?);
    body::claim(&mut object, resource)?;
    Ok(object)
}

/// Refuses a sent object whose name or namespace is not that of its path.
pub(crate) fn check_sent(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    let target = call.target;
    let [namespace, name] = ["/metadata/namespace", "/metadata/name"].map(|field| text(object, field));
    if !namespace.is_empty() && namespace != target.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(ApiError::bad_request(why));
    }
    match !name.is_empty() && !target.name.is_empty() && name != target.name {
        true => Err(ApiError::misplaced("name", name, &target.name)),
        false => Ok(()),
    }
}

/// Fits an object that a webhook has changed to its type; unknown fields are dropped, as where objects are stored.
fn fit_changed(resource: &Resource, object: &mut Value) -> ApiResult<()> {
    body::fit(object, resource.shape(), Validation::Ignore, Vec::new())?;
    body::claim(object, resource)
}

/// Validates an object: its metadata, then by the rules of its kind.
fn validate(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = metadata::check(resource, new, old);
    errors.extend(resource.validate(new, old));
    errors
}
