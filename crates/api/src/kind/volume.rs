//! Persistent volumes and claims to them.

use palisade_k8s::FieldError;
use serde_json::{Value, json};

use super::at::At;
use super::subresource::STATUS;
use super::{AGE, BASE, Resource, age, column, default, text, wide};
use palisade_k8s::quantity::billionths;

/// Persistent volume claims.
pub static CLAIMS: Resource = Resource {
    plural: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    kind: "PersistentVolumeClaim",
    schema: "PersistentVolumeClaim",
    short_names: &["pvc"],
    subresources: &[STATUS],
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
    cells: |claim, now| {
        vec![
            text(claim, "/status/phase").into(),
            text(claim, "/spec/volumeName").into(),
            text(claim, "/status/capacity/storage").into(),
            modes(claim, "/status/accessModes"),
            text(claim, "/spec/storageClassName").into(),
            age(claim, now),
            text(claim, "/spec/volumeMode").into(),
        ]
    },
    prepare: |claim, old| prepare(claim, old, "Pending"),
    validate: |new, old| {
        let spec = At::root(new, "spec");
        let mut errors = check_modes(&spec);
        errors.extend(check_size(&spec.field("resources").field("requests"), &spec.field("resources")));
        errors.extend(super::immutable(new, old, &["spec.accessModes", "spec.storageClassName"]));
        errors
    },
    ..BASE
};

/// Persistent volumes.
pub static VOLUMES: Resource = Resource {
    plural: "persistentvolumes",
    singular: "persistentvolume",
    kind: "PersistentVolume",
    schema: "PersistentVolume",
    namespaced: false,
    short_names: &["pv"],
    subresources: &[STATUS],
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
        wide("VolumeMode"),
    ],
    cells: |volume, now| {
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
            age(volume, now),
            text(volume, "/spec/volumeMode").into(),
        ]
    },
    prepare: |volume, old| {
        prepare(volume, old, "Available");
        if let Some(spec) = volume.get_mut("spec") {
            default(spec, "persistentVolumeReclaimPolicy", "Retain");
        }
    },
    validate: validate_volume,
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

/// The fields of a volume's sources.
const SOURCES: [&str; 22] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

fn validate_volume(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec = At::root(new, "spec");
    let mut errors = check_modes(&spec);
    let capacity = spec.field("capacity");
    if capacity.is_set() {
        errors.extend(check_size(&capacity, &capacity));
    } else {
        errors.push(capacity.required(""));
    }
    let mut sources = spec.set(&SOURCES);
    if sources.next().is_none() {
        errors.push(spec.required("must say what it is made of"));
    }
    errors.extend(sources.map(|second| second.forbidden("a volume is made of one thing only")));
    let policies = ["Delete", "Recycle", "Retain"];
    errors.extend(spec.field("persistentVolumeReclaimPolicy").none_of(&policies));
    let host = spec.field("hostPath");
    errors.extend(host.field("path").missing().filter(|_| host.is_set()));
    errors
}

fn check_modes(spec: &At<'_>) -> Vec<FieldError> {
    let modes = spec.field("accessModes");
    let known = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let mut errors: Vec<FieldError> = modes.items().filter_map(|mode| mode.none_of(&known)).collect();
    for error in &mut errors {
        error.path = modes.path();
    }
    if modes.items().next().is_none() {
        errors.push(modes.required("at least one"));
    }
    errors.extend(spec.field("volumeMode").none_of(&["Block", "Filesystem"]));
    errors
}

/// A size is there, and more than nothing.
fn check_size(list: &At<'_>, blamed: &At<'_>) -> Option<FieldError> {
    let size = list.field("storage");
    let path = || blamed.path().key("storage");
    if !size.is_set() {
        return Some(FieldError::required(path(), ""));
    }
    let amount =
        billionths(&size.number().map_or_else(|| size.text().to_owned(), |number| number.to_string()));
    let is_nothing = amount.is_some_and(|amount| amount <= 0);
    is_nothing.then(|| FieldError::invalid(path(), size.text(), "must be greater than zero"))
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
