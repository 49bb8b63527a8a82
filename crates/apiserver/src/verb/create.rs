//! Create.

use palisade_k8s::put;
use palisade_store::StoreError;
use serde_json::{Value, json};

use super::{read_object, validate};
use crate::admit;
use crate::call::{Answer, Call};
use crate::convert;
use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::names::random_name;
use crate::objects;
use crate::patch::managed::{self, Writer};
use crate::quota;
use crate::resource::{Admission, Resource, text};
use crate::time;
use crate::webhook::attributes;
use palisade_hooks::Operation;
use palisade_registry::services::Reserved;

/// `POST` of an object.
pub(crate) fn create(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let mut object = read_object(call, bytes, content_type)?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        let why = "metadata.resourceVersion: must not be set on an object to be created; remove it";
        return Err(ApiError::bad_request(why));
    }
    create_object(call, object).map(Answer::created)
}

/// Creates an object that fits its type.
pub(crate) fn create_object(call: &Call<'_>, mut object: Value) -> ApiResult<Value> {
    let target = call.target;
    let resource = &target.resource;
    super::check_sent(call, &object)?;
    place(&mut object, &target.namespace, resource.namespaced)?;
    let generate = text(&object, "/metadata/generateName").to_owned();
    if generate.is_empty() || !text(&object, "/metadata/name").is_empty() {
        return attempt(call, object);
    }
    for _ in 0..8 {
        let mut candidate = object.clone();
        let made = random_name(&generate);
        put(&mut candidate, &["metadata", "name"], made.clone().into());
        match attempt(call, candidate) {
            Err(error) if error.reason == Reason::AlreadyExists => {}
            // A generated name is unknown to the client, so a refusal does not name it.
            Err(mut error) if error.reason == Reason::Forbidden => {
                error.message = error.message.replace(&format!("{made:?}"), &format!("{generate:?}"));
                if let Some(details) = error.details.as_mut().filter(|details| details.get("name").is_some())
                {
                    put(details, &["name"], generate.as_str().into());
                }
                return Err(error);
            }
            result => return result,
        }
    }
    Err(ApiError::exists(resource, &generate))
}

fn attempt(call: &Call<'_>, mut object: Value) -> ApiResult<Value> {
    let (target, store) = (call.target, &call.api.store);
    let resource = &target.resource;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for ours in [
            "uid",
            "creationTimestamp",
            "resourceVersion",
            "generation",
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        ] {
            metadata.shift_remove(ours);
        }
        metadata.insert("uid".to_owned(), uuid::Uuid::new_v4().to_string().into());
        metadata.insert("creationTimestamp".to_owned(), time::now().into());
        if resource.has_generation(&object) {
            put(&mut object, &["metadata", "generation"], 1.into());
        }
    }
    resource.prepare(&mut object, None);
    // Of what it was, only metadata is restored after a webhook.
    let given = json!({"metadata": object.get("metadata")});
    let settle = |changed| fit_again(resource, changed, &given);
    let reserved = admit::create(call, &mut object, &settle)?;
    let (written, allocated) = reserve(call, &mut object)?;
    // Before the validation, which reads schemas and compiles expressions.
    objects::check_size(&object)?;
    let errors = validate(resource, &object, None);
    let name = text(&object, "/metadata/name").to_owned();
    if !errors.is_empty() {
        return Err(ApiError::invalid(resource, &name, &errors));
    }
    call.notes.warn(resource.warnings(&object, None));
    admit::check_create(call, &object)?;
    let version = resource.api_version();
    let now = time::now();
    let writer = Writer { manager: call.manager(), api_version: &version, subresource: "", time: &now };
    // An object made by server-side apply comes with its fields recorded.
    if object.pointer("/metadata/managedFields").is_none() {
        record(&mut object, written, resource, &writer);
    }
    objects::check_size(&object)?;
    let request = attributes(call, Operation::Create, None);
    palisade_hooks::validate(request, Some(&object))?;
    if call.is_dry_run() {
        if objects::get(store, resource, &target.namespace, &name).is_ok() {
            return Err(ApiError::exists(resource, &name));
        }
        quota::charge(call, &object, None)?;
        admit::look_last(call, &mut object, None)?;
        return Ok(object);
    }
    let mut kept = convert::kept(call.asker(), resource, object)?;
    call.stay.check()?;
    let charge = quota::charge(call, &kept, None)?;
    let last = admit::look_last(call, &mut kept, None)?;
    let created = objects::create(store, resource, &target.namespace, kept);
    let created = match created {
        Ok(created) => created,
        Err(StoreError::Exists(_)) => return Err(ApiError::exists(resource, &name)),
        Err(error) => return Err(failure::store(resource, &name, error)),
    };
    charge.into_iter().for_each(quota::Charge::settle);
    // The policy has the object by now, and with it what was reserved.
    drop((reserved, allocated, last));
    admit::created(call, &created)?;
    match resource.conversion().is_some() || resource.is_other_version() {
        true => convert::shown(call.asker(), resource, created),
        false => Ok(created),
    }
}

/// Allocates what the object needs of the server. First: the object without it, if it needs anything.
fn reserve(call: &Call<'_>, object: &mut Value) -> ApiResult<(Option<Value>, Option<Reserved>)> {
    let is_service = call.target.resource.admission == Admission::Service;
    let written = is_service.then(|| object.clone());
    Ok((written, admit::reserve(call, object, None)?))
}

/// Records the manager of a new object's fields, but for those that the server has allocated.
fn record(object: &mut Value, written: Option<Value>, resource: &Resource, writer: &Writer<'_>) {
    let Some(mut written) = written else {
        return managed::update(None, object, resource.shape(), writer);
    };
    managed::update(None, &mut written, resource.shape(), writer);
    let fields = written.pointer_mut("/metadata/managedFields").map(Value::take);
    if let Some(fields) = fields {
        put(object, &["metadata", "managedFields"], fields);
    }
}

/// Fits an object that a webhook has changed to its type again; the server's own fields stay as they are.
fn fit_again(resource: &Resource, mut changed: Value, given: &Value) -> ApiResult<Value> {
    super::fit_changed(resource, &mut changed)?;
    super::ours::keep_ours(&mut changed, given);
    resource.prepare(&mut changed, None);
    Ok(changed)
}

/// Puts an object into the namespace of its path.
fn place(object: &mut Value, namespace: &str, namespaced: bool) -> ApiResult<()> {
    let map = object.as_object_mut().ok_or_else(|| ApiError::bad_request("the body is not an object"))?;
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if namespaced && namespace.is_empty() {
        return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
    }
    if let Some(metadata) = metadata.as_object_mut().filter(|_| namespaced) {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
    Ok(())
}
