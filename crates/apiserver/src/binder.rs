//! Claims get the volumes that fit them: the smallest that is free, or the one that either names.

use palisade_k8s::put;
use palisade_store::Change;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{ApiError, ApiResult, Reason};
use crate::hub::Event;
use crate::objects;
use crate::resource::{self, Resource, text};
use crate::selector::Labels;
use palisade_k8s::quantity;

const CLAIMS: &str = "persistentvolumeclaims";
const VOLUMES: &str = "persistentvolumes";

/// Does what a change of a claim or a volume makes possible.
pub(crate) fn happened(api: &Api, event: &Event) -> ApiResult<()> {
    match (event.storage.as_str(), event.change) {
        (CLAIMS, Change::Deleted) => release(api, &event.object),
        (CLAIMS, _) => bind(api, &event.object, &list(api, VOLUMES)?).map(drop),
        // Volumes that were there before have been offered to these claims.
        (VOLUMES, Change::Created | Change::Updated) => offer(api, &event.object),
        _ => Ok(()),
    }
}

/// Does what was left undone when the server last ended.
pub(crate) fn settle(api: &Api) -> ApiResult<()> {
    let claims = list(api, CLAIMS)?;
    for volume in list(api, VOLUMES)? {
        let uid = text(&volume, "/spec/claimRef/uid");
        let is_lost = !uid.is_empty() && claims.iter().all(|claim| text(claim, "/metadata/uid") != uid);
        if is_lost && text(&volume, "/status/phase") == "Bound" {
            let_go(api, volume)?;
        }
    }
    claims.iter().try_for_each(|claim| bind(api, claim, &list(api, VOLUMES)?).map(drop))
}

/// Gives a volume to the first claim that it fits.
fn offer(api: &Api, volume: &Value) -> ApiResult<()> {
    for claim in list(api, CLAIMS)?.iter().filter(|claim| fits(volume, claim)) {
        if bind(api, claim, std::slice::from_ref(volume))? {
            break;
        }
    }
    Ok(())
}

fn find(plural: &str) -> ApiResult<&'static Resource> {
    resource::find("", plural).ok_or_else(ApiError::no_such_path)
}

fn list(api: &Api, plural: &str) -> ApiResult<Vec<Value>> {
    Ok(objects::list(&api.store, find(plural)?, None, None, None)?.items)
}

fn write(api: &Api, plural: &str, object: Value) -> ApiResult<bool> {
    objects::keep(&api.store, find(plural)?, object)
}

/// Gives a claim the best of some volumes, if one fits. The volume is written first, as only one claim wins it; a claim
/// that changed meanwhile gets the volume that is kept for it when it is next looked at.
fn bind(api: &Api, claim: &Value, volumes: &[Value]) -> ApiResult<bool> {
    if text(claim, "/status/phase") != "Pending" || claim.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(false);
    }
    let fitting = volumes.iter().filter(|volume| fits(volume, claim));
    let order = |volume: &&Value| {
        let size = quantity::billionths(text(volume, "/spec/capacity/storage"));
        (!is_for(volume, claim), size, text(volume, "/metadata/name").to_owned())
    };
    let Some(mut volume) = fitting.min_by_key(order).cloned() else { return Ok(false) };
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

/// Whether a volume is kept for a claim.
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

/// The volume of a claim that is gone: kept, with what is on it, or deleted, as it says itself.
fn release(api: &Api, claim: &Value) -> ApiResult<()> {
    let uid = text(claim, "/metadata/uid");
    let volumes = list(api, VOLUMES)?.into_iter();
    let own = volumes.filter(|volume| text(volume, "/spec/claimRef/uid") == uid);
    own.into_iter().try_for_each(|volume| let_go(api, volume))
}

fn let_go(api: &Api, mut volume: Value) -> ApiResult<()> {
    if text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
        let name = text(&volume, "/metadata/name");
        return match crate::remove::remove(api, find(VOLUMES)?, "", name, None) {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    put(&mut volume, &["status"], json!({"phase": "Released"}));
    write(api, VOLUMES, volume).map(drop)
}
