//! Update, patch and server-side apply.

use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use super::ours::keep_ours;
use super::{create_object, read_object, validate};
use crate::admit;
use crate::body::{self, Validation};
use crate::call::{Answer, Call};
use crate::convert;
use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::limits;
use crate::objects;
use crate::patch::managed::{self, Writer};
use crate::patch::{self, PatchKind};
use crate::quota;
use crate::remove::remove;
use crate::resource::{Resource, Serves, text};
use crate::time;
use crate::webhook::attributes;
use palisade_hooks::Operation;
use palisade_registry::services::Reserved;

/// The field manager of a change, for `managedFields`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorder {
    /// The change is compared with the old object.
    Update,
    /// Server-side apply has recorded it.
    Apply,
}

/// `PUT` of an object.
pub(crate) fn update(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let object = read_object(call, bytes, content_type)?;
    let resource = &call.target.resource;
    let is_blind = resource.needs_version && text(&object, "/metadata/resourceVersion").is_empty();
    let revised =
        revise_recorded(call, Recorder::Update, |old| match is_blind && is_meant(call, &object, old) {
            true => {
                let path = FieldPath::of("metadata.resourceVersion");
                let error = FieldError::invalid(path, "", "must be specified for an update");
                Err(ApiError::invalid(resource, &call.target.name, &[error]))
            }
            false => Ok(object.clone()),
        });
    match revised {
        Err(error) if error.reason == Reason::NotFound && is_new(call, &object) => made_by_put(call, object),
        result => result.map(Answer::ok),
    }
}

/// Whether a replacement may make its object: it names none that was there.
fn is_new(call: &Call<'_>, object: &Value) -> bool {
    let is_unmade = |field: &str| text(object, &format!("/metadata/{field}")).is_empty();
    call.target.resource.is_made_by_put
        && call.target.subresource.is_none()
        && is_unmade("resourceVersion")
        && is_unmade("uid")
}

fn made_by_put(call: &Call<'_>, mut object: Value) -> ApiResult<Answer> {
    call.api.require(call.identity, "create", call.target, None)?;
    check_place(call, &object)?;
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("managedFields");
    }
    create_object(call, object).map(Answer::created)
}

/// Whether an object is the stored one by name, and by UID if it has one.
fn is_meant(call: &Call<'_>, object: &Value, old: &Value) -> bool {
    let uid = text(object, "/metadata/uid");
    text(object, "/metadata/name") == call.target.name
        && (uid.is_empty() || uid == text(old, "/metadata/uid"))
}

/// `PATCH` other than server-side apply.
pub(crate) fn patch(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let kind = PatchKind::of(body::media_type(content_type))?;
    let patch = body::read(bytes, "application/json", &mut Vec::new())?;
    let shape = call.target.resource.shape();
    let validation = Validation::parse(call.query.get("fieldValidation"))?;
    revise_recorded(call, Recorder::Update, |old| {
        let mut new = old.clone();
        patch::change(&mut new, kind, &patch, shape)?;
        call.notes.warn(body::fit(&mut new, shape, validation, Vec::new())?);
        body::claim(&mut new, &call.target.resource)?;
        keeps_uid(call, &new, old)?;
        unpin(&mut new, old);
        Ok(new)
    })
    .map(Answer::ok)
}

/// `PATCH` by server-side apply: all fields that its manager wants; creates a missing object.
pub(crate) fn apply(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let resource = &call.target.resource;
    let manager = call.query.get("fieldManager").filter(|manager| !manager.is_empty()).unwrap_or_default();
    let mut config = body::read(bytes, content_type, &mut Vec::new())?;
    for field in ["apiVersion", "kind"] {
        if config.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
            return Err(ApiError::bad_request(format!(
                "{field}: an applied configuration must name its type"
            )));
        }
    }
    // An unknown field has no owner.
    body::fit(&mut config, resource.shape(), Validation::Strict, Vec::new())?;
    body::claim(&mut config, resource)?;
    resource.fill_keys(&mut config);
    if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    let force = call.query.is_true("force");
    let version = resource.api_version();
    let now = time::now();
    let writer =
        Writer { manager, api_version: &version, subresource: call.target.subresource_name(), time: &now };
    let merge = |live: &Value| {
        let mut merged = patch::apply::apply(live, &config, resource.shape(), &writer, force)?;
        fit_quietly(&mut merged, resource)?;
        keeps_uid(call, &merged, live)?;
        unpin(&mut merged, live);
        Ok(merged)
    };
    match revise_recorded(call, Recorder::Apply, merge) {
        Err(error) if error.reason == Reason::NotFound && call.target.subresource.is_none() => {
            call.api.require(call.identity, "create", call.target, None)?;
            let mut start = json!({"kind": resource.kind(), "apiVersion": version,
                                   "metadata": {"name": call.target.name}});
            start = patch::apply::apply(&start, &config, resource.shape(), &writer, force)?;
            fit_quietly(&mut start, resource)?;
            create_object(call, start).map(Answer::created)
        }
        result => result.map(Answer::ok),
    }
}

/// Refuses an object with a UID other than the stored one: the UID is a precondition of a replacement.
fn keeps_uid(call: &Call<'_>, new: &Value, old: &Value) -> ApiResult<()> {
    let (uid, was) = (text(new, "/metadata/uid"), text(old, "/metadata/uid"));
    if uid.is_empty() || uid == was {
        return Ok(());
    }
    let error = FieldError::invalid(FieldPath::of("metadata.uid"), uid, "field is immutable");
    Err(ApiError::invalid(&call.target.resource, &call.target.name, &[error]))
}

fn fit_quietly(object: &mut Value, resource: &Resource) -> ApiResult<()> {
    resource.shape().fit(object).map_err(|error| ApiError::bad_request(error.to_string()))?;
    body::claim(object, resource)
}

/// Changes an object by a function, and tries again on a write conflict.
pub(crate) fn revise(call: &Call<'_>, change: impl Fn(&Value) -> ApiResult<Value>) -> ApiResult<Value> {
    revise_recorded(call, Recorder::Update, |old| {
        let mut new = change(old)?;
        unpin(&mut new, old);
        Ok(new)
    })
}

/// Removes the version that the patch did not set itself, so that a race is tried again.
fn unpin(new: &mut Value, old: &Value) {
    if text(new, "/metadata/resourceVersion") == text(old, "/metadata/resourceVersion") {
        put(new, &["metadata", "resourceVersion"], "".into());
    }
}

fn revise_recorded(
    call: &Call<'_>,
    recorder: Recorder,
    change: impl Fn(&Value) -> ApiResult<Value>,
) -> ApiResult<Value> {
    let mut last = None;
    for _ in 0..limits::ATTEMPTS {
        match attempt(call, recorder, &change) {
            // Only a write without a resource version is tried again.
            Err((error, true)) if error.reason == Reason::Conflict => last = Some(error),
            result => return result.map_err(|(error, _)| error),
        }
    }
    Err(last.unwrap_or_else(|| ApiError::modified(&call.target.resource, &call.target.name)))
}

/// One try; an error comes with whether it was a write conflict.
fn attempt(
    call: &Call<'_>,
    recorder: Recorder,
    change: &impl Fn(&Value) -> ApiResult<Value>,
) -> Result<Value, (Box<ApiError>, bool)> {
    let (target, store) = (call.target, &call.api.store);
    let resource = &target.resource;
    let firm = |error| (error, false);
    let mut old = objects::get(store, resource, &target.namespace, &target.name).map_err(firm)?;
    if matches!(resource, Resource::Custom(_)) || resource.is_other_version() {
        // It may have been written in another version of its API.
        old.object = convert::shown(call.asker(), resource, old.object).map_err(firm)?;
    }
    let new = change(&old.object).map_err(firm)?;
    let (new, expects, _reserved) = settle(call, recorder, &old.object, new).map_err(firm)?;
    // A change without effect writes nothing.
    if new == old.object {
        return Ok(resource.show(new));
    }
    objects::check_size(&new).map_err(firm)?;
    let is_finished = resource.deletion.is_finished(&new);
    // The webhook that converts it may take long, and quotas are locked afterwards.
    let mut kept = match is_finished || call.is_dry_run() {
        true => new,
        false => convert::kept(call.asker(), resource, new).map_err(firm)?,
    };
    call.stay.check().map_err(firm)?;
    let charge = quota::charge(call, &kept, Some(&old.object)).map_err(firm)?;
    let last = admit::look_last(call, &mut kept, Some(&old.object)).map_err(firm)?;
    if call.is_dry_run() {
        return Ok(resource.show(kept));
    }
    if is_finished {
        let gone = remove(call.api, resource, &target.namespace, &target.name, Some(old.revision));
        gone.map_err(|error| (error, !expects))?;
        return Ok(resource.show(kept));
    }
    let written = objects::update(store, resource, &target.namespace, old.revision, kept)
        .map_err(|error| (failure::store(resource, &target.name, error), !expects))?;
    charge.into_iter().for_each(quota::Charge::settle);
    drop(last);
    convert::shown(call.asker(), resource, written).map_err(firm)
}

/// The object after a change: the server's own fields kept, defaults, admission, validation, managed fields. Second:
/// whether the writer set a resource version. Third: what was allocated for it, until it is written.
fn settle(
    call: &Call<'_>,
    recorder: Recorder,
    old: &Value,
    mut new: Value,
) -> ApiResult<(Value, bool, Option<Reserved>)> {
    let resource = &call.target.resource;
    let name = call.target.name.as_str();
    let expected = text(&new, "/metadata/resourceVersion").to_owned();
    if !expected.is_empty() && expected != text(old, "/metadata/resourceVersion") {
        return Err(ApiError::modified(resource, name));
    }
    let uid = text(&new, "/metadata/uid");
    if !uid.is_empty() && uid != text(old, "/metadata/uid") {
        let why = format!(
            "StorageError: invalid object, Code: 4, Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            text(old, "/metadata/uid")
        );
        return Err(ApiError::conflict(resource, name, why));
    }
    check_place(call, &new)?;
    keep_ours(&mut new, old);
    by_subresource(call, &mut new, old);
    let again = |mut changed: Value| {
        super::fit_changed(resource, &mut changed)?;
        keep_ours(&mut changed, old);
        by_subresource(call, &mut changed, old);
        Ok(changed)
    };
    admit::update(call, &mut new, old, &again)?;
    let reserved = admit::reserve(call, &mut new, Some(old))?;
    objects::check_size(&new)?;
    let mut errors = validate(resource, &new, Some(old));
    errors.extend(resource.check_change(&new, old, call.target.subresource_name()));
    if !errors.is_empty() {
        return Err(ApiError::invalid(resource, name, &errors));
    }
    if call.target.subresource.is_none() {
        call.notes.warn(resource.warnings(&new, Some(old)));
    }
    admit::check_update(call, &new, old)?;
    // An object of another group is compared, and stored, as one of its own group.
    put(&mut new, &["apiVersion"], old["apiVersion"].clone());
    put(&mut new, &["kind"], old["kind"].clone());
    if resource.turns_generation(&new, old) {
        let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(1);
        put(&mut new, &["metadata", "generation"], (generation + 1).into());
    }
    resource.shape().fit(&mut new).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if recorder == Recorder::Update {
        let version = resource.api_version();
        let now = time::now();
        let writer = Writer {
            manager: call.manager(),
            api_version: &version,
            subresource: call.target.subresource_name(),
            time: &now,
        };
        managed::update(Some(old), &mut new, resource.shape(), &writer);
    }
    if call.target.subresource.is_none_or(|part| matches!(part.serves, Serves::Part(_))) {
        let request = attributes(call, Operation::Update, Some(old));
        palisade_hooks::validate(request, Some(&new))?;
    }
    let mut same = old.clone();
    resource.shape().fit(&mut same).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if same == new {
        new = old.clone();
    }
    Ok((new, !expected.is_empty(), reserved))
}

/// Refuses an object whose name or namespace is not that of the path.
fn check_place(call: &Call<'_>, new: &Value) -> ApiResult<()> {
    let (name, namespace) = (text(new, "/metadata/name"), text(new, "/metadata/namespace"));
    if name.is_empty() {
        let why = "metadata.name: an object that is written has a name, that of its path";
        return Err(ApiError::bad_request(why));
    }
    if name != call.target.name {
        return Err(ApiError::misplaced("name", name, &call.target.name));
    }
    if !namespace.is_empty() && namespace != call.target.namespace {
        return Err(ApiError::misplaced("namespace", namespace, &call.target.namespace));
    }
    Ok(())
}

/// Takes the part of the new object that the subresource writes; for the object itself all but its status.
fn by_subresource(call: &Call<'_>, new: &mut Value, old: &Value) {
    let resource = &call.target.resource;
    match call.target.subresource.map(|part| part.serves) {
        None => {
            resource.prepare(new, Some(old));
            if resource.subresource("status").is_some() {
                keep(new, old, "status");
            }
        }
        Some(Serves::Part(take)) => {
            take(new, old);
            resource.fill(new);
        }
        Some(_) => {}
    }
}

/// Restores a field to its old value or absence.
fn keep(new: &mut Value, old: &Value, field: &str) {
    let Some(map) = new.as_object_mut() else { return };
    match old.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.shift_remove(field),
    };
}
