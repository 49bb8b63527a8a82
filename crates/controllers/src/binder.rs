//! Claims are bound to the volumes that fit them: the smallest free one, or the one that either names.

use std::collections::HashSet;

use palisade_k8s::{put, quantity};
use palisade_registry::PART;
use palisade_store::Change;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, Reason};
use crate::hub::Event;
use crate::objects;
use crate::resource::{self, Resource, text};
use crate::selector::Labels;
use crate::server::ApiServer;

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";

/// Binds claims after a change of a claim or a volume.
pub(crate) fn happened(api: &dyn ApiServer, event: &Event) -> ApiResult<()> {
    match (event.storage.as_str(), event.change) {
        (CLAIMS, Change::Deleted) => release(api, &event.object),
        (CLAIMS, _) => bind(api, &event.object),
        // The existing volumes have been offered to these claims already.
        (VOLUMES, Change::Created | Change::Updated) => offer(api, &event.object),
        _ => Ok(()),
    }
}

/// Finishes the work that was left when the server last stopped.
pub(crate) fn settle(api: &dyn ApiServer) -> ApiResult<()> {
    let (mut uids, mut waiting) = (HashSet::new(), Vec::new());
    scan(api, CLAIMS, |claim| {
        uids.insert(text(claim, "/metadata/uid").to_owned());
        waiting.extend(waits(claim).then(|| Place::of(claim)));
    })?;
    let is_lost = |volume: &Value| {
        let uid = text(volume, "/spec/claimRef/uid");
        !uid.is_empty() && !uids.contains(uid) && text(volume, "/status/phase") == "Bound"
    };
    for place in places(api, VOLUMES, is_lost)? {
        place.get(api, VOLUMES)?.filter(is_lost).map_or(Ok(()), |volume| let_go(api, volume))?;
    }
    waiting.iter().try_for_each(|place| place.get(api, CLAIMS)?.map_or(Ok(()), |claim| bind(api, &claim)))
}

/// Gives a volume to the first claim that it fits.
fn offer(api: &dyn ApiServer, volume: &Value) -> ApiResult<()> {
    for place in places(api, CLAIMS, |claim| waits(claim) && fits(volume, claim))? {
        let claim = place.get(api, CLAIMS)?.filter(waits);
        if let Some(claim) = claim.filter(|claim| fits(volume, claim))
            && join(api, &claim, volume.clone())?
        {
            break;
        }
    }
    Ok(())
}

/// The key of an object: all that is kept of each, since a client may have created many large ones.
struct Place {
    namespace: String,
    name: String,
}

impl Place {
    fn of(object: &Value) -> Self {
        let own = |field: &str| text(object, field).to_owned();
        Self { namespace: own("/metadata/namespace"), name: own("/metadata/name") }
    }

    /// The object, unless it was deleted.
    fn get(&self, api: &dyn ApiServer, plural: &str) -> ApiResult<Option<Value>> {
        match objects::get(api.store(), find(plural)?, &self.namespace, &self.name) {
            Ok(found) => Ok(Some(found.object)),
            Err(error) if error.reason == Reason::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn find(plural: &str) -> ApiResult<&'static Resource> {
    resource::find("", plural).ok_or_else(ApiError::no_such_path)
}

/// Passes all objects of a kind to a function, one at a time.
fn scan(api: &dyn ApiServer, plural: &str, mut with: impl FnMut(&Value)) -> ApiResult<()> {
    let mut after = None;
    loop {
        let one = |object: Value| {
            with(&object);
            Ok(())
        };
        let (limit, by) = (Some(PART), objects::SERVER);
        after = objects::page(api.store(), find(plural)?, None, limit, after.as_ref(), by, one)?.1;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The keys of the objects for which a condition holds.
fn places(api: &dyn ApiServer, plural: &str, mut holds: impl FnMut(&Value) -> bool) -> ApiResult<Vec<Place>> {
    let mut found = Vec::new();
    scan(api, plural, |object| found.extend(holds(object).then(|| Place::of(object))))?;
    Ok(found)
}

fn write(api: &dyn ApiServer, plural: &str, object: Value) -> ApiResult<bool> {
    objects::keep(api.store(), find(plural)?, object)
}

/// Whether a claim is unbound and is to be bound.
fn waits(claim: &Value) -> bool {
    text(claim, "/status/phase") == "Pending" && claim.pointer("/metadata/deletionTimestamp").is_none()
}

/// Gives a claim the best of the volumes, if one fits.
fn bind(api: &dyn ApiServer, claim: &Value) -> ApiResult<()> {
    if !waits(claim) {
        return Ok(());
    }
    let mut best = None;
    scan(api, VOLUMES, |volume| {
        if !fits(volume, claim) {
            return;
        }
        let size = quantity::billionths(text(volume, "/spec/capacity/storage"));
        let order = (!is_for(volume, claim), size, text(volume, "/metadata/name").to_owned());
        if best.as_ref().is_none_or(|(least, _)| order < *least) {
            best = Some((order, Place::of(volume)));
        }
    })?;
    let Some((_, place)) = best else { return Ok(()) };
    let volume = place.get(api, VOLUMES)?.filter(|volume| fits(volume, claim));
    volume.map_or(Ok(()), |volume| join(api, claim, volume).map(drop))
}

/// Binds a volume that fits to a claim; returns whether it is bound then. The volume is written first, as only one
/// claim can win it; a claim that changed meanwhile gets the volume that is reserved for it at the next look.
fn join(api: &dyn ApiServer, claim: &Value, mut volume: Value) -> ApiResult<bool> {
    put(
        &mut volume,
        &["spec", "claimRef"],
        json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": text(claim, "/metadata/namespace"),
               "name": text(claim, "/metadata/name"), "uid": text(claim, "/metadata/uid")}),
    );
    put(&mut volume, &["status"], json!({"phase": "Bound"}));
    let mut bound = claim.clone();
    put(&mut bound, &["spec", "volumeName"], text(&volume, "/metadata/name").into());
    let part = |field: &str| volume.pointer(&format!("/spec/{field}")).cloned().unwrap_or_default();
    put(
        &mut bound,
        &["status"],
        json!({"phase": "Bound", "accessModes": part("accessModes"), "capacity": part("capacity")}),
    );
    Ok(write(api, VOLUMES, volume)? && write(api, CLAIMS, bound)?)
}

/// Whether a volume is reserved for a claim.
fn is_for(volume: &Value, claim: &Value) -> bool {
    let same = |of_volume: &str, of_claim: &str| text(volume, of_volume) == text(claim, of_claim);
    same("/spec/claimRef/name", "/metadata/name")
        && same("/spec/claimRef/namespace", "/metadata/namespace")
        && (text(volume, "/spec/claimRef/uid").is_empty() || same("/spec/claimRef/uid", "/metadata/uid"))
}

fn fits(volume: &Value, claim: &Value) -> bool {
    let is_free = match volume.pointer("/spec/claimRef") {
        None => text(volume, "/status/phase") == "Available",
        Some(_) => is_for(volume, claim) && text(volume, "/status/phase") != "Released",
    };
    let wanted = text(claim, "/spec/volumeName");
    let modes = |object| -> Vec<&Value> {
        let modes = Value::pointer(object, "/spec/accessModes").and_then(Value::as_array);
        modes.into_iter().flatten().collect()
    };
    let offered = modes(volume);
    let same = |field: &str| text(volume, field) == text(claim, field);
    let sizes = [(claim, "/spec/resources/requests/storage"), (volume, "/spec/capacity/storage")];
    // A size beyond all disks fits nothing, and nothing fits into it.
    let is_large_enough = match sizes.map(|(object, field)| quantity::billionths(text(object, field))) {
        [Some(wanted), Some(offered)] => wanted <= offered,
        _ => false,
    };
    is_free
        && volume.pointer("/metadata/deletionTimestamp").is_none()
        && (wanted.is_empty() || wanted == text(volume, "/metadata/name"))
        && same("/spec/storageClassName")
        && same("/spec/volumeMode")
        && modes(claim).iter().all(|mode| offered.contains(mode))
        && is_large_enough
        && claim.pointer("/spec/selector").is_none_or(|selector| Labels::of_object(selector).matches(volume))
}

/// The volume of a deleted claim: retained with its data, or deleted, by its reclaim policy.
fn release(api: &dyn ApiServer, claim: &Value) -> ApiResult<()> {
    let uid = text(claim, "/metadata/uid");
    let is_own = |volume: &Value| text(volume, "/spec/claimRef/uid") == uid;
    for place in places(api, VOLUMES, is_own)? {
        place.get(api, VOLUMES)?.filter(is_own).map_or(Ok(()), |volume| let_go(api, volume))?;
    }
    Ok(())
}

fn let_go(api: &dyn ApiServer, mut volume: Value) -> ApiResult<()> {
    if text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
        let name = text(&volume, "/metadata/name");
        return match api.remove(find(VOLUMES)?, "", name, None) {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    put(&mut volume, &["status"], json!({"phase": "Released"}));
    write(api, VOLUMES, volume).map(drop)
}
