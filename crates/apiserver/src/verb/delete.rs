//! Deleting: at once, after a time to end, or after others have cleaned up.

use palisade_k8s::put;
use palisade_store::{Revision, Write};
use serde_json::{Value, json};

use crate::api::Api;
use crate::body;
use crate::call::{Answer, Call};
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::objects;
use crate::request::Target;
use crate::resource::{Resource, text};
use crate::schema;
use crate::{admit, time};

/// `DELETE` of one object.
pub(crate) fn delete(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let options = options(call, bytes, content_type)?;
    admit::delete(call)?;
    let deleted = delete_with(call, &options)?;
    Ok(match deleted {
        // What is still there is shown; what is gone is said to be.
        Deleted::Waits(object) => Answer::ok(super::show(call.target.resource, object)),
        Deleted::Gone(object) => {
            let resource = call.target.resource;
            if resource.kind == "Pod" {
                return Ok(Answer::ok(super::show(resource, object)));
            }
            let mut details = json!({"name": call.target.name});
            if !resource.group.is_empty() {
                put(&mut details, &["group"], resource.group.into());
            }
            put(&mut details, &["kind"], resource.plural.into());
            put(&mut details, &["uid"], text(&object, "/metadata/uid").into());
            Answer::ok(json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
            }))
        }
    })
}

/// `DELETE` of all objects that a selector selects.
pub(crate) fn delete_collection(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Answer> {
    let options = options(call, bytes, content_type)?;
    let listed = super::list(call)?;
    for object in listed.object.get("items").and_then(Value::as_array).into_iter().flatten() {
        let target = Target {
            name: text(object, "/metadata/name").to_owned(),
            namespace: text(object, "/metadata/namespace").to_owned(),
            ..call.target.clone()
        };
        let one = call.at(&target);
        admit::delete(&one)?;
        match delete_with(&one, &options) {
            Ok(_) => {}
            Err(error) if error.code == 404 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listed)
}

fn options(call: &Call<'_>, bytes: &[u8], content_type: &str) -> ApiResult<Value> {
    let mut options = json!({});
    if !bytes.is_empty() {
        options = body::read(bytes, content_type, &mut Vec::new())?;
        if let Some(message) = schema::message("DeleteOptions") {
            body::fit(&mut options, message, body::Validation::Ignore, Vec::new())?;
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

fn delete_with(call: &Call<'_>, options: &Value) -> ApiResult<Deleted> {
    let (target, api) = (call.target, call.api);
    let resource = target.resource;
    let dry = call.is_dry_run()
        || options.get("dryRun").and_then(Value::as_array).is_some_and(|stages| !stages.is_empty());
    loop {
        let old = objects::get(&api.store, resource, &target.namespace, &target.name)?;
        check(resource, &old.object, options)?;
        let waiting = wait_for(resource, &old.object, options);
        if dry {
            return Ok(waiting.map_or_else(|| Deleted::Gone(old.object.clone()), Deleted::Waits));
        }
        match waiting {
            Some(new) if new == old.object => return Ok(Deleted::Waits(new)),
            Some(new) => match objects::update(&api.store, resource, &target.namespace, old.revision, new) {
                Ok(written) => {
                    api.live.wrote(resource.storage, api.store.revision());
                    return Ok(Deleted::Waits(written));
                }
                Err(palisade_store::StoreError::Conflict { .. }) => {}
                Err(error) => return Err(failure::store(resource, &target.name, error)),
            },
            None => match remove(api, resource, &target.namespace, &target.name, Some(old.revision)) {
                Ok(()) => return Ok(Deleted::Gone(old.object)),
                Err(error) if error.reason == "Conflict" => {}
                Err(error) => return Err(error),
            },
        }
    }
}

/// Takes an object away for good.
pub(crate) fn remove(
    api: &Api,
    resource: &Resource,
    namespace: &str,
    name: &str,
    seen: Option<Revision>,
) -> ApiResult<()> {
    let (key, store) = (objects::key(resource, namespace, name), &api.store);
    let removed = match resource.kind {
        // How a user logs in goes with the user, in one write.
        "User" => {
            let found = objects::get(store, resource, namespace, name)?;
            let expected = Some(seen.unwrap_or(found.revision));
            let mut writes = vec![Write::Delete { key, expected }];
            writes.extend(crate::password::end_all(text(&found.object, "/metadata/uid")));
            store.transact(writes).map(drop)
        }
        _ => store.delete(&key, seen).map(drop),
    };
    removed.map_err(|error| failure::store(resource, name, error))?;
    api.live.wrote(resource.storage, store.revision());
    // Tokens may have been theirs, or bound to them.
    if matches!(resource.kind, "User" | "Group" | "ServiceAccount" | "Pod" | "Secret") {
        api.live.forgot();
    }
    Ok(())
}

/// Whether the object is the one that the client means.
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

/// The object as it waits for its end, if it has to.
fn wait_for(resource: &Resource, object: &Value, options: &Value) -> Option<Value> {
    let mut new = object.clone();
    let mark = |new: &mut Value, grace: i64| {
        if new.pointer("/metadata/deletionTimestamp").is_none() {
            put(new, &["metadata", "deletionTimestamp"], time::now().into());
        }
        put(new, &["metadata", "deletionGracePeriodSeconds"], grace.into());
    };
    match text(options, "/propagationPolicy") {
        "Orphan" => add_finalizer(&mut new, "orphan"),
        "Foreground" => add_finalizer(&mut new, "foregroundDeletion"),
        _ => {}
    }
    if resource.kind == "Namespace" || resource.kind == "Project" {
        mark(&mut new, 0);
        if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("deletionGracePeriodSeconds");
        }
        put(&mut new, &["status", "phase"], "Terminating".into());
        return Some(new);
    }
    let is_held =
        new.pointer("/metadata/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
    if resource.kind == "Pod" {
        let own = object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
        let asked = options.get("gracePeriodSeconds").and_then(Value::as_i64);
        let before = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        let grace = asked.or(before).or(own).unwrap_or(30);
        // Less than nothing is as little as there is.
        let grace = if grace < 0 { 1 } else { grace };
        let grace = before.map_or(grace, |before| before.min(grace));
        // A pod that is on no node, or has ended, has nothing to end.
        let is_idle = text(object, "/spec/nodeName").is_empty()
            || matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
        let grace = if is_idle { 0 } else { grace };
        if grace > 0 || is_held {
            mark(&mut new, grace);
            return Some(new);
        }
        return None;
    }
    if is_held {
        mark(&mut new, 0);
        return Some(new);
    }
    None
}

fn add_finalizer(object: &mut Value, name: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let finalizers = metadata.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(list) = finalizers.as_array_mut()
        && !list.iter().any(|finalizer| finalizer == name)
    {
        list.push(name.into());
    }
}
