//! What can be done with objects.

mod change;
mod create;
mod delete;
pub(crate) mod read;

pub(crate) use change::{apply, patch, revise, update};
pub(crate) use create::{create, create_object, random_name};
pub(crate) use delete::{delete, delete_collection, remove};
pub(crate) use read::{Listing, get, is_project_visible, list, listing, show, start};

use palisade_k8s::metadata;
use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

use crate::body::{self, Validation};
use crate::call::Call;
use crate::error::ApiResult;
use crate::resource::{Names, Resource, text};

/// Reads a body as an object of the resource that a request is for.
pub(crate) fn read_object(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Value> {
    let resource = call.target.resource;
    let mut findings = Vec::new();
    let mut object = body::read(bytes, content_type, &mut findings)?;
    let validation = Validation::parse(call.query.get("fieldValidation"))?;
    call.notes.warn(body::fit(&mut object, resource.message(), validation, findings)?);
    body::claim(&mut object, resource)?;
    Ok(object)
}

/// What is wrong with an object: its name, labels and annotations, then what its kind says.
fn validate(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(new, "/metadata/name");
    errors.extend(name_errors(resource, name));
    let map = |pointer: &str| {
        let map = new.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    metadata::labels(&map("/metadata/labels"), &mut errors);
    metadata::annotations(&map("/metadata/annotations"), &mut errors);
    errors.extend((resource.validate)(new, old));
    errors
}

fn name_errors(resource: &Resource, name: &str) -> Option<FieldError> {
    let path = || FieldPath::of("metadata.name");
    if name.is_empty() {
        return Some(FieldError::required(path(), "name or generateName is required"));
    }
    let rule = match resource.names {
        Names::Subdomain if !metadata::is_subdomain(name) => {
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        }
        Names::Label if !metadata::is_label(name) => {
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
        }
        Names::Segment if matches!(name, "." | "..") || name.contains(['/', '%']) => {
            "may not be '.' or '..' and may not contain '/' or '%'"
        }
        _ if name.len() > 253 => "must be no more than 253 characters",
        _ => return None,
    };
    Some(FieldError::invalid(path(), name, rule))
}
