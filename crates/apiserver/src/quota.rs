//! Quotas: writes in a namespace are checked against its ResourceQuotas, and their status shows the usage.
//!
//! One write at a time is checked and made in each namespace, if it uses a quota, so that no race overruns one.
//! Released usage is counted again by a thread that follows the store.

use std::borrow::Borrow;
use std::sync::Arc;

use palisade_api::amount::{self, Amounts};
use palisade_api::kind::quota;
use palisade_controllers::paced::Task;
use palisade_k8s::put;
use palisade_store::Change;
use serde_json::Value;

use crate::api::Api;
use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::hub::Event;
use crate::limits;
use crate::locks::Held;
use crate::objects;
use crate::resource::{Counted, LIMIT_RANGES, RESOURCE_QUOTAS, text};

/// The usage after a write; the namespace's quotas are locked until it is settled, or dropped.
pub(crate) struct Charge<'a> {
    api: &'a Api,
    _held: Held<'a>,
    due: Vec<(Value, Amounts)>,
}

impl Charge<'_> {
    /// The write was made: its usage is recorded.
    pub(crate) fn settle(self) {
        for (quota, used) in self.due {
            say(self.api, quota, &used);
        }
    }
}

/// Refuses a write that exceeds a quota. `None` if the write uses none.
pub(crate) fn charge<'a>(call: &Call<'a>, new: &Value, old: Option<&Value>) -> ApiResult<Option<Charge<'a>>> {
    let resource = &call.target.resource;
    let namespace = call.target.namespace.as_str();
    if namespace.is_empty() || !is_counted(call) {
        return Ok(None);
    }
    let usage = quota::usage(resource, new);
    // A pod with unchanged usage may move to another scope.
    let is_same = old.is_some_and(|old| quota::usage(resource, old) == usage);
    if is_same && resource.counted != Counted::Pods || of_namespace(call.api, namespace)?.is_empty() {
        return Ok(None);
    }
    let held = call.api.quotas.lock(namespace);
    let mut quotas = of_namespace(call.api, namespace)?;
    quotas.retain(|quota| quota::matches(quota, resource, new));
    complete(call.api, &mut quotas, namespace)?;
    let mut due = Vec::new();
    for quota in quotas {
        let refuse = |why: String| Err(ApiError::forbidden(resource, text(new, "/metadata/name"), why));
        // Usage that this quota has counted before is not charged again.
        let before = old.filter(|old| quota::matches(&quota, resource, old));
        let before = before.map(|old| quota::usage(resource, old)).unwrap_or_default();
        if old.is_none()
            && let Some(unsaid) = quota::unsaid(&quota, resource, new)
        {
            return refuse(format!("failed quota: {}: {unsaid}", text(&quota, "/metadata/name")));
        }
        let further = usage
            .iter()
            .map(|(name, amount)| (name.clone(), amount.less(before.get(name).copied().unwrap_or_default())));
        let further: Amounts = further.filter(|(_, amount)| !amount.is_zero()).collect();
        if let Some(exceeded) = quota::exceeded(&quota, &further) {
            return refuse(exceeded);
        }
        let mut used = amount::read(quota.pointer("/status/used"));
        amount::add(&mut used, &further);
        if !further.is_empty() {
            due.push((quota, used));
        }
    }
    Ok(Some(Charge { api: call.api, _held: held, due }))
}

/// Whether a write may use a quota: one of the object itself, or of the resources that a pod requests.
fn is_counted(call: &Call<'_>) -> bool {
    call.target.subresource.is_none_or(|part| part.name == "resize")
}

fn of_namespace(api: &Api, namespace: &str) -> ApiResult<Vec<Value>> {
    Ok(objects::list(&api.store, &RESOURCE_QUOTAS, Some(namespace), None, None)?.items)
}

/// Writes the usage of a quota, if its status differs.
fn say(api: &Api, mut quota: Value, used: &Amounts) {
    let status = quota::status(&quota, used);
    put(&mut quota, &["status"], status);
    // A conflicting write has it counted again.
    if let Err(error) = objects::keep(&api.store, &RESOURCE_QUOTAS, quota) {
        tracing::warn!("the usage of a quota cannot be written: {}", error.message);
    }
}

/// Counts the usage of quotas that have not been counted.
fn complete(api: &Api, quotas: &mut [Value], namespace: &str) -> ApiResult<()> {
    let mut uncounted: Vec<&mut Value> =
        quotas.iter_mut().filter(|quota| !quota::is_counted(quota)).collect();
    if uncounted.is_empty() {
        return Ok(());
    }
    let used = count(api, &uncounted, namespace)?;
    for (quota, used) in uncounted.iter_mut().zip(used) {
        let status = quota::status(quota, &used);
        put(quota, &["status"], status);
    }
    Ok(())
}

/// Counts the usage of quotas. Each object is read once for all of them.
fn count(api: &Api, quotas: &[impl Borrow<Value>], namespace: &str) -> ApiResult<Vec<Amounts>> {
    let mut used = vec![Amounts::new(); quotas.len()];
    let all: Vec<_> = api.definitions.now().kept().filter(|resource| resource.namespaced).collect();
    for resource in &all {
        let counted = quotas.iter().map(Borrow::<Value>::borrow).zip(&mut used);
        let mut counted: Vec<_> = counted.filter(|(quota, _)| quota::bounds(quota, resource)).collect();
        if counted.is_empty() {
            continue;
        }
        objects::each(&api.store, resource, Some(namespace), |object| {
            let usage = quota::usage(resource, &object);
            for (quota, used) in &mut counted {
                if quota::covers(quota, resource, &object) {
                    amount::add(used, &usage);
                }
            }
            Ok(())
        })?;
    }
    Ok(used)
}

/// Refuses a quota or a range of limits that is more than a namespace may have: each write in it reads all of them. What it
/// gives is held until the object is written.
pub(crate) fn claim_room<'a>(
    call: &Call<'a>,
    new: &Value,
    old: Option<&Value>,
) -> ApiResult<Option<Held<'a>>> {
    let resource = &call.target.resource;
    let kinds = [(&RESOURCE_QUOTAS, limits::QUOTAS), (&LIMIT_RANGES, limits::RANGES)];
    let bounds = kinds.into_iter().find(|(kind, _)| kind.storage() == resource.storage());
    let (Some((_, (number, bytes))), name) = (bounds, text(new, "/metadata/name")) else { return Ok(None) };
    let own = new.to_string().len();
    // What there is may be changed, if it does not grow.
    if old.is_some_and(|old| own <= old.to_string().len()) {
        return Ok(None);
    }
    let namespace = call.target.namespace.as_str();
    let held = call.api.rooms.lock(&format!("{} {namespace}", resource.plural()));
    let page = call.api.store.list(resource.storage(), Some(namespace), None, None);
    let page = page.map_err(|error| failure::store(resource, name, error))?;
    let others = page.objects.iter().filter(|other| other.key.name != name).map(|other| other.value.len());
    let (count, size) = others.fold((1, own), |(count, size), other| (count + 1, size + other));
    if count <= number && size <= bytes {
        return Ok(Some(held));
    }
    let (plural, kib) = (resource.plural(), bytes >> 10);
    let why = format!("the {plural} of namespace {namespace:?} are {number} and take {kib} KiB at most");
    Err(ApiError::forbidden(resource, name, why))
}

/// Recounts a namespace's quotas.
fn recount(api: &Api, namespace: &str) -> ApiResult<()> {
    if of_namespace(api, namespace)?.is_empty() {
        return Ok(());
    }
    let _held = api.quotas.lock(namespace);
    let quotas = of_namespace(api, namespace)?;
    let used = count(api, &quotas, namespace)?;
    for (quota, used) in quotas.into_iter().zip(used) {
        if quota.get("status") != Some(&quota::status(&quota, &used)) {
            say(api, quota, &used);
        }
    }
    Ok(())
}

/// Recounts the quotas of namespaces in which something was changed or released. Writers wait while it counts.
pub(crate) fn recounted(api: Arc<Api>) -> Task {
    let settle = move |namespace: &str| recount(&api, namespace);
    Task { resource: &RESOURCE_QUOTAS, moves: is_freed, settle: Box::new(settle) }
}

fn is_quota(event: &Event) -> bool {
    event.storage == RESOURCE_QUOTAS.storage()
}

/// Whether an event may release usage, or create usage that was not counted.
fn is_freed(event: &Event) -> bool {
    let was = |pointer: &str| event.previous.as_ref().and_then(|previous| previous.pointer(pointer));
    match event.storage.as_str() {
        // The update of the quota's own status does not trigger a recount.
        _ if is_quota(event) && event.change == Change::Updated => !quota::is_counted(&event.object),
        "events" | "coordination.k8s.io/leases" => event.change == Change::Deleted,
        // Objects that clients create are counted when they are written; the server itself creates these.
        "configmaps" | "serviceaccounts" if event.change == Change::Created => true,
        _ if event.change != Change::Updated => event.change == Change::Deleted || is_quota(event),
        _ => ["/spec", "/status/phase"].iter().any(|field| was(field) != event.object.pointer(field)),
    }
}
