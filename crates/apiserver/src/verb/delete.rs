//! Delete, and delete of a collection.

use palisade_hooks::{Attributes, Operation};
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::body;
use crate::call::{Answer, Call};
use crate::convert;
use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::limits;
use crate::locks::Held;
use crate::objects;
use crate::remove::remove;
use crate::request::Target;
use crate::resource::{Deletion, Resource, text};
use crate::schema;
use crate::webhook::attributes;
use crate::{admit, time};

use super::Listing;

/// `DELETE` of one object.
pub(crate) fn delete(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    delete_if(call, bytes, content_type, &|_| Ok(None))
}

/// A last look at an object that is deleted next; what it gives is held until then.
pub(crate) type Last<'f, 'a> = &'f dyn Fn(&Value) -> ApiResult<Option<Held<'a>>>;

/// `DELETE` of one object, if it may be once webhooks have answered.
pub(crate) fn delete_if(
    call: &Call<'_>,
    bytes: &[u8],
    content_type: &str,
    last: Last<'_, '_>,
) -> ApiResult<Answer> {
    let options = options(call, bytes, content_type)?;
    admit::delete(call)?;
    let deleted = delete_with(call, &options, last)?;
    Ok(match deleted {
        // An object that remains is returned; one that is deleted is answered by a status.
        Deleted::Waits(object) => {
            convert::shown(call.asker(), &call.target.resource, object).map(Answer::ok)?
        }
        Deleted::Gone(object) => {
            let resource = &call.target.resource;
            if resource.deletion == Deletion::Graceful {
                return Ok(Answer::ok(resource.show(object)));
            }
            let mut details = details(resource);
            put(&mut details, &["name"], call.target.name.as_str().into());
            put(&mut details, &["uid"], text(&object, "/metadata/uid").into());
            Answer::ok(success(details))
        }
    })
}

fn success(details: Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// The deleted object: the group, unless it is empty, and the kind.
fn details(resource: &Resource) -> Value {
    let mut details = json!({"kind": resource.plural()});
    if !resource.group().is_empty() {
        put(&mut details, &["group"], resource.group().into());
    }
    details
}

/// `DELETE` of all objects that a selector selects. The answer lists them, unless they are too many: then it is a
/// `Status`, as the API's specification permits (`deletecollection`, 200: `Status`).
pub(crate) fn delete_collection(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let options = options(call, bytes, content_type)?;
    let (targets, listing) = selected(call)?;
    for target in targets {
        let one = call.at(&target);
        admit::delete(&one)?;
        match delete_with(&one, &options, &|_| Ok(None)) {
            Ok(_) => {}
            Err(error) if error.reason == Reason::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let resource = &call.target.resource;
    Ok(Answer::ok(match listing {
        Some(listing) => listing.into_value(resource),
        None => success(details(resource)),
    }))
}

/// The keys of the objects that a request selects, and the list of them if it is a short one. Of a long one only the
/// names are kept.
fn selected(call: &Call<'_>) -> ApiResult<(Vec<Target>, Option<Listing>)> {
    let limit = call.query.limit()?;
    let (mut targets, mut items, mut weight) = (Vec::new(), Some(Vec::new()), 0);
    let mut cursor = super::start(call)?;
    loop {
        let wanted = Some(limit.unwrap_or(limits::PART));
        let (revision, next) = super::select(call, wanted, cursor, |object| {
            targets.push(Target {
                name: text(&object, "/metadata/name").to_owned(),
                namespace: text(&object, "/metadata/namespace").to_owned(),
                ..call.target.clone()
            });
            weight += crate::weight::of(&object);
            items = items.take().filter(|_| weight <= Listing::WEIGHT);
            if let Some(items) = &mut items {
                items.push(object);
            }
            if limit.is_some() { weight / 8 } else { 0 }
        })?;
        if limit.is_some() || next.is_none() {
            return Ok((targets, items.map(|items| Listing::new(items, revision, next))));
        }
        cursor = next;
    }
}

fn options(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Value> {
    let mut options = json!({});
    if !bytes.is_empty() {
        options = body::read(bytes, content_type, &mut Vec::new())?;
        if let Some(message) = schema::message("DeleteOptions") {
            body::fit(&mut options, message.into(), body::Validation::Ignore, Vec::new())?;
        }
    }
    if let Some(grace) = call.query.number("gracePeriodSeconds")? {
        put(&mut options, &["gracePeriodSeconds"], grace.into());
    }
    if let Some(policy) = call.query.get("propagationPolicy") {
        put(&mut options, &["propagationPolicy"], policy.into());
    }
    super::options::check_delete(&options)?;
    Ok(options)
}

enum Deleted {
    Gone(Value),
    Waits(Value),
}

fn delete_with(call: &Call<'_>, options: &Value, last: Last<'_, '_>) -> ApiResult<Deleted> {
    let (target, api) = (call.target, call.api);
    let resource = &target.resource;
    let dry = call.is_dry_run()
        || options.get("dryRun").and_then(Value::as_array).is_some_and(|stages| !stages.is_empty());
    loop {
        let old = objects::get(&api.store, resource, &target.namespace, &target.name)?;
        check(resource, &old.object, options)?;
        let shown = convert::shown(call.asker(), resource, old.object.clone())?;
        let request = attributes(call, Operation::Delete, Some(&shown));
        let request = Attributes { is_dry_run: dry, ..request };
        palisade_hooks::admit(request, None)?;
        call.stay.check()?;
        let _held = last(&old.object)?;
        let waiting = resource.deletion.waiting(&old.object, options, &time::now());
        if dry {
            return Ok(waiting.map_or_else(|| Deleted::Gone(old.object.clone()), Deleted::Waits));
        }
        match waiting {
            Some(new) if new == old.object => return Ok(Deleted::Waits(new)),
            Some(new) => match objects::update(&api.store, resource, &target.namespace, old.revision, new) {
                Ok(written) => {
                    return Ok(Deleted::Waits(written));
                }
                Err(palisade_store::StoreError::Conflict { .. }) => {}
                Err(error) => return Err(failure::store(resource, &target.name, error)),
            },
            None => match remove(api, resource, &target.namespace, &target.name, Some(old.revision)) {
                Ok(()) => return Ok(Deleted::Gone(old.object)),
                Err(error) if error.reason == Reason::Conflict => {}
                Err(error) => return Err(error),
            },
        }
    }
}

/// Checks the client's preconditions against the object.
fn check(resource: &Resource, object: &Value, options: &Value) -> ApiResult<()> {
    for (field, what) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let wanted = text(options, &format!("/preconditions/{field}"));
        let found = text(object, &format!("/metadata/{field}"));
        if !wanted.is_empty() && wanted != found {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(ApiError::conflict(resource, text(object, "/metadata/name"), why));
        }
    }
    Ok(())
}
