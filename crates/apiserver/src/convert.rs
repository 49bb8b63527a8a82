//! Objects in the requested version and in the stored version: built-in resources convert their own; of custom resources the
//! conversion webhook of their definition does, if there is one; otherwise versions differ in name only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use palisade_api::error::{ApiError, ApiResult};
use serde_json::Value;

use crate::api::Api;
use crate::call::Stay;
use crate::endpoint::endpoint;
use crate::limits;
use crate::objects;
use crate::resource::{Resource, text};

/// Pause between two looks whether it is one's turn.
const PAUSE: Duration = Duration::from_millis(2);

/// The server, and the request that waits for the webhook.
pub(crate) type Asker<'a> = (&'a Api, Stay<'a>);

/// Objects in the version of a resource.
///
/// # Errors
///
/// The conversion webhook fails. Must not be called on a worker thread of the async runtime.
pub(crate) fn all(asker: Asker<'_>, resource: &Resource, objects: Vec<Value>) -> ApiResult<Vec<Value>> {
    let objects = match resource.conversion() {
        Some(webhook) => converted(asker, resource, webhook, objects)?,
        None => objects,
    };
    Ok(objects.into_iter().map(|object| resource.show(object)).collect())
}

/// An object in the version of a resource.
pub(crate) fn shown(asker: Asker<'_>, resource: &Resource, object: Value) -> ApiResult<Value> {
    match resource.conversion() {
        Some(_) => only(all(asker, resource, vec![object])?),
        None => Ok(resource.show(object)),
    }
}

/// An object in the stored version of its resource.
pub(crate) fn kept(asker: Asker<'_>, resource: &Resource, object: Value) -> ApiResult<Value> {
    if resource.is_other_version() {
        let kept = crate::resource::of_storage(resource.storage()).ok_or_else(ApiError::no_such_path)?;
        return Ok(kept.show(object));
    }
    let Some(webhook) = resource.conversion() else { return Ok(object) };
    let stored =
        asker.0.definitions.now().of_storage(resource.storage()).ok_or_else(ApiError::no_such_path)?;
    let kept = only(converted(asker, &stored, webhook, vec![object])?)?;
    // The webhook may have made it larger.
    objects::check_size(&kept)?;
    Ok(kept)
}

/// Lists and watches that convert objects of one resource take turns: a page of them weighs many times its text, for as long
/// as their webhook takes.
///
/// # Errors
///
/// The turn did not come in time.
pub(crate) fn in_turn<T>(
    (api, stay): Asker<'_>,
    resource: &Resource,
    work: impl FnOnce() -> ApiResult<T>,
) -> ApiResult<T> {
    static TURNS: Mutex<BTreeMap<String, Arc<Mutex<()>>>> = Mutex::new(BTreeMap::new());
    if resource.conversion().is_none() {
        return work();
    }
    let turn = {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(resource.storage().to_owned()).or_default())
    };
    // A webhook that hangs keeps those that wait for it from nothing else.
    let begun = Instant::now();
    let _turn = loop {
        match turn.try_lock() {
            Ok(turn) => break turn,
            Err(TryLockError::Poisoned(turn)) => break turn.into_inner(),
            Err(TryLockError::WouldBlock) if begun.elapsed() < limits::QUEUE_TIME => {
                stay.set_aside(api)?;
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(ApiError::busy("the conversion webhook of this resource is busy; try again"));
            }
        }
    };
    work()
}

fn only(objects: Vec<Value>) -> ApiResult<Value> {
    objects.into_iter().next().ok_or_else(|| ApiError::internal("a conversion has no result"))
}

fn converted(
    (api, stay): Asker<'_>,
    resource: &Resource,
    webhook: &Value,
    objects: Vec<Value>,
) -> ApiResult<Vec<Value>> {
    let wanted = resource.api_version();
    if objects.iter().all(|object| text(object, "/apiVersion") == wanted) {
        return Ok(objects);
    }
    let resolve = |namespace: &str, name: &str, port: u16| endpoint(&api.store, namespace, name, port);
    let asked = palisade_hooks::convert(&api.webhook_client, &resolve, webhook, &wanted, objects);
    let mut objects = stay.wait(api, asked)?.map_err(|why| ApiError::internal(&why))?;
    // Fields that the schema of this version lacks are dropped, whoever wrote them.
    for object in &mut objects {
        resource.shape().fit(object).map_err(|error| ApiError::internal(&error.to_string()))?;
    }
    Ok(objects)
}
