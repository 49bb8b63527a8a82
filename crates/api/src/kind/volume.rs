//! Persistent volumes and claims to them.

use palisade_k8s::FieldError;
use serde_json::{Value, json};

use super::at::At;
use super::subresource::STATUS;
use super::warning::{claim_bytes, old_keys};
use super::{AGE, Admission, BASE, Counted, Resource, Row, age, column, default, text, wide};
use palisade_k8s::quantity::billionths;

/// Persistent volume claims.
pub static CLAIMS: Resource = Resource::Row(&Row {
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
    warnings: |new, _| {
        let mut warnings = check_annotations(new, &OLD_ANNOTATIONS[..1]);
        warnings.extend(claim_bytes(&At::root(new, "spec")));
        warnings
    },
    admission: Admission::Claim,
    counted: Counted::Claims,
    ..BASE
});

/// Persistent volumes.
pub static VOLUMES: Resource = Resource::Row(&Row {
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
    warnings: |new, _| warn_of_volume(new),
    ..BASE
});

/// Annotations that fields have replaced.
const OLD_ANNOTATIONS: [(&str, &str); 2] = [
    (
        "volume.beta.kubernetes.io/storage-class",
        "deprecated since v1.8; use \"storageClassName\" attribute instead",
    ),
    (
        "volume.beta.kubernetes.io/mount-options",
        "deprecated since v1.31; use \"mountOptions\" attribute instead",
    ),
];

fn check_annotations(object: &Value, old: &[(&str, &str)]) -> Vec<String> {
    let annotations = At::root(object, "metadata").field("annotations");
    let found = old.iter().map(|(key, what)| (annotations.key(key), what)).filter(|(at, _)| at.is_set());
    found.map(|(at, what)| format!("{}: {what}", at.path())).collect()
}

/// Sources of volumes whose drivers were removed (`pkg/api/persistentvolume/util.go` of Kubernetes).
const OLD_SOURCES: [(&str, &str, &str); 6] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

fn warn_of_volume(volume: &Value) -> Vec<String> {
    let mut warnings = check_annotations(volume, &OLD_ANNOTATIONS);
    let spec = At::root(volume, "spec");
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if policy.text() == "Recycle" {
        let what = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        warnings.push(format!("{}: {what}", policy.path()));
    }
    let terms = spec.field("nodeAffinity").field("required").field("nodeSelectorTerms").items();
    warnings.extend(terms.flat_map(|term| old_keys(&term)));
    let sources = OLD_SOURCES.into_iter().filter(|(field, ..)| spec.field(field).is_set());
    warnings.extend(sources.map(|(_, name, what)| format!("spec.{name}: {what}")));
    warnings
}

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
        errors.push(spec.required("must specify a volume type"));
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

/// A size is required, and positive.
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

/// Access modes in kubectl's abbreviations.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deprecated_volumes_are_warned_of() {
        let claim = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "fast"}},
                           "spec": {"resources": {"requests": {"storage": "1.5"}, "limits": {"storage": "1Gi"}}}});
        assert_eq!(
            CLAIMS.warnings(&claim, None),
            [
                "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead",
                "spec.resources.requests[storage]: fractional byte value \"1500m\" is invalid, must be an integer",
            ]
        );
        let volume = json!({"metadata": {"annotations": {"volume.beta.kubernetes.io/mount-options": "ro"}},
            "spec": {"persistentVolumeReclaimPolicy": "Recycle", "storageos": {},
                     "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "beta.kubernetes.io/os"}]}]}}}});
        assert_eq!(
            VOLUMES.warnings(&volume, None),
            [
                "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" attribute instead",
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
                "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: beta.kubernetes.io/os is deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
            ]
        );
        assert!(VOLUMES.warnings(&json!({"spec": {"hostPath": {"path": "/a"}}}), None).is_empty());
    }
}
