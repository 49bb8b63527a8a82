//! Volumes of a pod: their names, and the required fields of each source.

use std::collections::{HashMap, HashSet};

use palisade_k8s::FieldError;

use super::environment::{check_field, check_resource};
use super::{At, Errors, NATURAL, check_dots, check_inner_path, check_name, check_reference, is_name};

/// The required strings of a source.
const NEEDS: &[(&str, &[&str])] = &[
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &[]),
    ("cinder", &["volumeID"]),
    ("configMap", &["name"]),
    ("csi", &["driver"]),
    ("downwardAPI", &[]),
    ("emptyDir", &[]),
    ("ephemeral", &[]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("flocker", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("hostPath", &["path"]),
    ("image", &[]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("projected", &[]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("secret", &["secretName"]),
    ("storageos", &[]),
    ("vsphereVolume", &["volumePath"]),
];

/// Valid values of `hostPath.type`; the empty one skips the check.
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// Fields of the pod that a file can have.
const IN_FILES: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

/// The names of a pod's volumes, with whether each is a claim's.
#[derive(Debug, Default)]
pub(super) struct Volumes<'v>(HashMap<&'v str, bool>);

impl Volumes<'_> {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn is_claim(&self, name: &str) -> bool {
        self.0.get(name) == Some(&true)
    }
}

pub(super) fn check_volumes<'v>(spec: &At<'v>, errors: &mut Errors) -> Volumes<'v> {
    let (mut volumes, mut names) = (Volumes::default(), HashSet::new());
    for volume in spec.field("volumes").items() {
        let name = volume.field("name");
        check_name(&name, &mut names, errors);
        let is_claim = volume.set(&["persistentVolumeClaim", "ephemeral"]).next().is_some();
        volumes.0.insert(name.text(), is_claim);
        check_sources(&volume, errors);
    }
    volumes
}

fn check_sources(volume: &At<'_>, errors: &mut Errors) {
    let mut found =
        NEEDS.iter().map(|(name, needs)| (volume.field(name), needs)).filter(|(at, _)| at.is_set());
    match found.next() {
        Some((source, needs)) => {
            errors.extend(needs.iter().filter_map(|field| source.field(field).missing()));
            check_source(volume, errors);
        }
        None => errors.push(volume.required("must have a source")),
    }
    errors.extend(found.map(|(second, _)| second.forbidden("a volume has one source only")));
}

/// Rules beyond required fields.
fn check_source(volume: &At<'_>, errors: &mut Errors) {
    let host = volume.field("hostPath");
    check_dots(&host.field("path"), errors);
    errors.extend(host.field("type").none_of(&HOST_PATH_TYPES));
    check_size(&volume.field("emptyDir").field("sizeLimit"), errors);
    check_absolute(&volume.field("nfs").field("path"), errors);
    check_inner_path(&volume.field("gitRepo").field("directory"), errors);
    check_iscsi(&volume.field("iscsi"), errors);
    check_reference(&volume.field("persistentVolumeClaim").field("claimName"), errors);
    check_driver(&volume.field("csi").field("driver"), errors);
    for source in volume.set(&["secret", "configMap", "downwardAPI", "projected"]) {
        errors.extend(source.field("defaultMode").outside(MODES));
        check_files(&source, errors);
    }
    let image = volume.field("image").field("pullPolicy");
    errors.extend(image.none_of(&["Always", "IfNotPresent", "Never"]));
    for monitors in volume.set(&["rbd", "cephfs"]).map(|source| source.field("monitors")) {
        if monitors.items().next().is_none() {
            errors.push(monitors.required(""));
        }
    }
    let mut paths = HashSet::new();
    let projected = volume.field("projected").field("sources");
    for source in projected.items() {
        check_projection(&source, errors);
        for path in projected_paths(&source) {
            if !path.text().is_empty() && !paths.insert(path.text()) {
                errors.push(path.duplicate());
            }
        }
    }
}

/// The mode bits of a file.
const MODES: std::ops::RangeInclusive<i64> = 0..=0o777;

fn check_absolute(path: &At<'_>, errors: &mut Errors) {
    if !path.text().is_empty() && !path.text().starts_with('/') {
        errors.push(path.invalid("must be an absolute path"));
    }
}

fn check_size(limit: &At<'_>, errors: &mut Errors) {
    if limit.text().starts_with('-') || limit.number().is_some_and(|number| number < 0) {
        errors.push(limit.forbidden("must not be negative"));
    }
}

fn check_iscsi(source: &At<'_>, errors: &mut Errors) {
    let name = source.field("iqn");
    let is_known = ["iqn.", "eui.", "naa."].iter().any(|kind| name.text().starts_with(kind));
    if !name.text().is_empty() && !is_known {
        errors.push(name.invalid("must begin with iqn., eui. or naa."));
    }
    errors.extend(source.field("lun").outside(0..=255));
}

fn check_driver(driver: &At<'_>, errors: &mut Errors) {
    let name = driver.text().to_lowercase();
    if !name.is_empty() && (name.len() > 63 || !is_name(&name)) {
        errors.push(driver.invalid("must be a DNS subdomain of at most 63 characters"));
    }
}

/// The items of a source: keys of an object, or fields of the pod, and the paths of their files.
fn check_files(source: &At<'_>, errors: &mut Errors) {
    for item in source.field("items").items() {
        let path = item.field("path");
        errors.extend(path.missing());
        check_inner_path(&path, errors);
        errors.extend(item.field("mode").outside(MODES));
        let has_field = item.set(&["fieldRef", "resourceFieldRef"]).next().is_some();
        if has_field {
            errors.extend(item.not_one(&["fieldRef", "resourceFieldRef"], ""));
            check_field(&item.field("fieldRef"), &IN_FILES, errors);
            check_resource(&item.field("resourceFieldRef"), errors);
            let container = item.field("resourceFieldRef").field("containerName");
            errors.extend(container.missing().filter(|_| item.field("resourceFieldRef").is_set()));
        } else if !source.path().to_string().ends_with("downwardAPI") {
            errors.extend(item.field("key").missing());
        } else {
            errors.push(item.field("fieldRef").required("must name a field or an amount"));
        }
    }
}

const PROJECTIONS: [&str; 6] =
    ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];

fn check_projection(source: &At<'_>, errors: &mut Errors) {
    errors.extend(source.not_one(&PROJECTIONS, "must have a source"));
    for kind in source.set(&["secret", "configMap"]) {
        errors.extend(kind.field("name").missing());
        check_files(&kind, errors);
    }
    check_files(&source.field("downwardAPI"), errors);
    let token = source.field("serviceAccountToken");
    if token.is_set() {
        errors.extend(token.field("path").missing());
        check_inner_path(&token.field("path"), errors);
        let time = token.field("expirationSeconds");
        if let Some(seconds) = time.number().filter(|seconds| !(600..=1 << 32).contains(seconds)) {
            let why = "must be between 10 minutes and 2^32 seconds";
            errors.push(FieldError::invalid(time.path(), seconds, why));
        }
    }
    errors.extend(source.field("podCertificate").field("maxExpirationSeconds").outside(NATURAL));
}

/// The paths that a projection names for its files.
fn projected_paths<'v>(source: &At<'v>) -> Vec<At<'v>> {
    let kinds = source.set(&["secret", "configMap", "downwardAPI"]);
    let mut paths: Vec<At<'v>> = kinds
        .flat_map(|kind| kind.field("items").items().collect::<Vec<_>>())
        .map(|item| item.field("path"))
        .collect();
    paths.extend(source.set(&["serviceAccountToken"]).map(|token| token.field("path")));
    paths
}
