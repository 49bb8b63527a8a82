//! Pods and their service accounts: the default one, its token as a volume, its pull secrets.

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::limits;
use crate::names::random_name;
use crate::objects;
use crate::resource::{self, text};

/// The folder of the token in containers.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Prefix of the name of the token's volume.
const VOLUME: &str = "kube-api-access-";

/// Gives a pod its account and what the account brings.
pub(super) fn complete(call: &Call<'_>, pod: &mut Value) -> ApiResult<()> {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec.is_object()) else { return Ok(()) };
    let name = match text(spec, "/serviceAccountName") {
        "" => "default".to_owned(),
        name => name.to_owned(),
    };
    put(spec, &["serviceAccountName"], name.clone().into());
    put(spec, &["serviceAccount"], name.clone().into());
    let accounts = &resource::SERVICE_ACCOUNTS;
    let namespace = &call.target.namespace;
    let account = objects::get(&call.api.store, accounts, namespace, &name).map_err(|error| {
        let why = format!("error looking up service account {namespace}/{name}: {}", error.message);
        ApiError::forbidden(&call.target.resource, text(pod, "/metadata/name"), why)
    })?;
    let Some(spec) = pod.get_mut("spec") else { return Ok(()) };
    if wants_token(spec, &account.object) {
        mount_token(spec);
    }
    let secrets = account.object.get("imagePullSecrets").filter(|secrets| secrets.is_array());
    let has_own = spec.get("imagePullSecrets").and_then(Value::as_array).is_some_and(|own| !own.is_empty());
    if let Some(secrets) = secrets.filter(|_| !has_own) {
        put(spec, &["imagePullSecrets"], secrets.clone());
    }
    Ok(())
}

/// The pod's own value takes precedence over the account's.
fn wants_token(spec: &Value, account: &Value) -> bool {
    let said = |object: &Value| object.get("automountServiceAccountToken").and_then(Value::as_bool);
    said(spec).or_else(|| said(account)).unwrap_or(true)
}

fn mount_token(spec: &mut Value) {
    // A container that a webhook has added gets the token that the others have.
    let volumes = spec.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let mut own =
        volumes.filter(|volume| volume.get("projected").is_some()).map(|volume| text(volume, "/name"));
    let existing = own.find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let has_volume = existing.is_some();
    let name = existing.unwrap_or_else(|| random_name(VOLUME));
    let mut is_used = false;
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else { continue };
            if mounts.iter().all(|mount| text(mount, "/mountPath") != MOUNT_PATH) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH}));
                is_used = true;
            }
        }
    }
    if !is_used || has_volume {
        return;
    }
    let volume = json!({"name": name, "projected": {"sources": [
        {"serviceAccountToken": {"expirationSeconds": limits::TOKEN_OF_POD, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ], "defaultMode": 0o644}});
    let Some(spec) = spec.as_object_mut() else { return };
    if let Some(volumes) = spec.entry("volumes").or_insert_with(|| json!([])).as_array_mut() {
        volumes.push(volume);
    }
}
