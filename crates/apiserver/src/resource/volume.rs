//! Persistent volumes and claims to them.

use palisade_k8s::{FieldError, FieldPath};
use serde_json::{Value, json};

use super::{AGE, BASE, Resource, age, column, default, text, wide};

pub(super) const CLAIMS: Resource = Resource {
    plural: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    kind: "PersistentVolumeClaim",
    schema: "PersistentVolumeClaim",
    short_names: &["pvc"],
    subresources: &["status"],
    storage: "persistentvolumeclaims",
    columns: &[
        column("Status"),
        column("Volume"),
        column("Capacity"),
        column("Access Modes"),
        column("StorageClass"),
        AGE,
        wide("VolumeMode"),
    ],
    cells: |claim| {
        vec![
            text(claim, "/status/phase").into(),
            text(claim, "/spec/volumeName").into(),
            text(claim, "/status/capacity/storage").into(),
            modes(claim, "/status/accessModes"),
            text(claim, "/spec/storageClassName").into(),
            age(claim),
            text(claim, "/spec/volumeMode").into(),
        ]
    },
    prepare: |claim, old| prepare(claim, old, "Pending"),
    validate: |new, old| {
        let mut errors = require(new, &["accessModes", "resources"]);
        errors.extend(super::immutable(new, old, &["spec.accessModes", "spec.storageClassName"]));
        errors
    },
    ..BASE
};

pub(super) const VOLUMES: Resource = Resource {
    plural: "persistentvolumes",
    singular: "persistentvolume",
    kind: "PersistentVolume",
    schema: "PersistentVolume",
    namespaced: false,
    short_names: &["pv"],
    subresources: &["status"],
    storage: "persistentvolumes",
    columns: &[
        column("Capacity"),
        column("Access Modes"),
        column("Reclaim Policy"),
        column("Status"),
        column("Claim"),
        column("StorageClass"),
        column("Reason"),
        AGE,
    ],
    cells: |volume| {
        let claim = match text(volume, "/spec/claimRef/name") {
            "" => String::new(),
            name => format!("{}/{name}", text(volume, "/spec/claimRef/namespace")),
        };
        vec![
            text(volume, "/spec/capacity/storage").into(),
            modes(volume, "/spec/accessModes"),
            text(volume, "/spec/persistentVolumeReclaimPolicy").into(),
            text(volume, "/status/phase").into(),
            claim.into(),
            text(volume, "/spec/storageClassName").into(),
            text(volume, "/status/reason").into(),
            age(volume),
        ]
    },
    prepare: |volume, old| {
        prepare(volume, old, "Available");
        if let Some(spec) = volume.get_mut("spec") {
            default(spec, "persistentVolumeReclaimPolicy", "Retain");
        }
    },
    validate: |new, _| require(new, &["accessModes", "capacity"]),
    ..BASE
};

fn prepare(object: &mut Value, old: Option<&Value>, phase: &str) {
    match old {
        None => object["status"] = json!({"phase": phase}),
        Some(old) => object["status"] = old.get("status").cloned().unwrap_or_else(|| json!({})),
    }
    default(object, "spec", json!({}));
    if let Some(spec) = object.get_mut("spec") {
        default(spec, "volumeMode", "Filesystem");
    }
}

fn require(object: &Value, fields: &[&'static str]) -> Vec<FieldError> {
    let absent = fields.iter().filter(|field| object.pointer(&format!("/spec/{field}")).is_none());
    absent.map(|field| FieldError::required(FieldPath::of("spec").field(field), "")).collect()
}

/// Access modes as kubectl shortens them.
fn modes(object: &Value, pointer: &str) -> Value {
    let modes = object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let short = modes.filter_map(Value::as_str).map(|mode| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    short.collect::<Vec<_>>().join(",").into()
}
