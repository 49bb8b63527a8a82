//! Security contexts, and the annotations that came before them.

use std::collections::HashSet;

use palisade_k8s::pod::SeccompProfile;
use palisade_k8s::{FieldError, FieldPath, seccomp};
use serde_json::Value;

use super::{At, CONTAINER_LISTS, Errors};

/// The valid user and group IDs.
const IDS: std::ops::RangeInclusive<i64> = 0..=2_147_483_647;

/// Annotation of a mirror pod: the node runs it from a file.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Checks the security settings of the pod as a whole.
pub(super) fn check_pod(spec: &At<'_>, errors: &mut Errors) {
    let security = spec.field("securityContext");
    check_context(&security, errors);
    errors.extend(security.field("fsGroupChangePolicy").none_of(&["Always", "OnRootMismatch"]));
    errors.extend(security.field("supplementalGroupsPolicy").none_of(&["Merge", "Strict"]));
    errors.extend(security.field("seLinuxChangePolicy").none_of(&["MountOption", "Recursive"]));
    check_sysctls(&security, errors);
    let shared = spec.field("shareProcessNamespace");
    if spec.field("hostPID").is(true) && shared.is(true) {
        errors.push(shared.invalid("shareProcessNamespace and hostPID cannot both be enabled"));
    }
    if spec.field("hostUsers").is(false) {
        let shared = ["hostNetwork", "hostPID", "hostIPC"].map(|field| spec.field(field));
        let shared = shared.iter().filter(|field| field.is(true));
        errors.extend(shared.map(|field| field.forbidden("when `hostUsers` is false")));
        // The IDs of a device are those of the node.
        let devices = CONTAINER_LISTS.iter().flat_map(|list| spec.field(list).items());
        let devices = devices.map(|container| container.field("volumeDevices"));
        let devices = devices.filter(|devices| devices.items().next().is_some());
        errors.extend(devices.map(|devices| devices.forbidden("when `hostUsers` is false")));
    }
}

/// The security context of a pod or a container.
pub(super) fn check_context(security: &At<'_>, errors: &mut Errors) {
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        errors.extend(security.field(field).outside(IDS));
    }
    for group in security.field("supplementalGroups").items() {
        errors.extend(group.outside(IDS));
    }
    let stays_low = security.field("allowPrivilegeEscalation").is(false);
    if stays_low && security.field("privileged").is(true) {
        errors.push(
            security.invalid("cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
        );
    }
    let mut added = security.field("capabilities").field("add").items();
    if stays_low && added.any(|capability| capability.text() == "CAP_SYS_ADMIN") {
        let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(security.invalid(why));
    }
    errors.extend(security.field("procMount").none_of(&["Default", "Unmasked"]));
    check_profile(&security.field("seccompProfile"), errors);
    check_profile(&security.field("appArmorProfile"), errors);
    super::os::check_options(&security.field("windowsOptions"), errors);
}

/// An unmasked /proc is permitted only in a user namespace, in which root is not root on the node.
pub(super) fn check_proc(security: &At<'_>, spec: &At<'_>, errors: &mut Errors) {
    let mount = security.field("procMount");
    if mount.text() == "Unmasked" && !spec.field("hostUsers").is(false) {
        errors.push(mount.invalid("`hostUsers` must be false to use `Unmasked`"));
    }
}

/// A seccomp profile is a file under the node's folder; an AppArmor profile has a name, which is not a path.
fn check_profile(profile: &At<'_>, errors: &mut Errors) {
    if !profile.is_set() {
        return;
    }
    let (kind, file) = (profile.field("type"), profile.field("localhostProfile"));
    match kind.text() {
        "" => errors.push(kind.required("")),
        "Localhost" if file.text().is_empty() => errors.push(file.required("must be set for type Localhost")),
        "Localhost" if !is_inner(file.text()) => {
            errors.push(file.invalid("must be a relative path without '..'"));
        }
        "Localhost" => {}
        "RuntimeDefault" | "Unconfined" if file.is_set() => {
            errors.push(file.invalid("can only be set for type Localhost"));
        }
        _ => errors.extend(kind.none_of(&["Localhost", "RuntimeDefault", "Unconfined"])),
    }
}

fn is_inner(path: &str) -> bool {
    !path.starts_with('/') && path.split('/').all(|part| part != "..")
}

fn check_sysctls(security: &At<'_>, errors: &mut Errors) {
    let mut names = HashSet::new();
    for name in security.field("sysctls").items().map(|sysctl| sysctl.field("name")) {
        if name.text().is_empty() {
            errors.push(name.required(""));
        } else if !is_sysctl(name.text()) {
            errors.push(name.invalid("must be lower-case names with '.' or '/' between, at most 253"));
        } else if !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
    }
}

/// Parts of letters, digits, `-` and `_`, as sysctl.d(5) has them but in lower case.
fn is_sysctl(name: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_part = |part: &str| {
        is_end(part.bytes().next())
            && is_end(part.bytes().next_back())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
    };
    name.len() <= 253 && name.split(['.', '/']).all(is_part)
}

pub(super) const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations that name profiles.
pub(super) fn check_annotations(pod: &Value, spec: &At<'_>, errors: &mut Errors) {
    let annotations = pod.pointer("/metadata/annotations").and_then(Value::as_object);
    let containers = CONTAINER_LISTS.iter().flat_map(|list| spec.field(list).items());
    let containers: HashSet<&str> = containers.map(|container| container.field("name").text()).collect();
    for (key, value) in annotations.into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let path = || FieldPath::of("metadata.annotations");
        if seccomp::is_annotation(key) && !is_seccomp_profile(value) {
            errors.push(FieldError::invalid(path().name(key), value, "must be a profile of seccomp"));
        }
        if key == MIRROR && spec.field("nodeName").text().is_empty() {
            let why = "must set spec.nodeName if mirror pod annotation is set";
            errors.push(FieldError::invalid(path().key(key), value, why));
        }
        let Some(container) = key.strip_prefix(APPARMOR) else { continue };
        if !containers.contains(container) {
            errors.push(FieldError::invalid(path().key(key), container, "is not a container of the pod"));
        }
        if !matches!(value, "runtime/default" | "unconfined") && !value.starts_with("localhost/") {
            errors.push(FieldError::invalid(path().key(key), value, "must be a profile of AppArmor"));
        }
    }
}

/// Whether a value is known, including `localhost/` without a path, which is valid and refers to nothing.
fn is_seccomp_profile(value: &str) -> bool {
    let field = SeccompProfile::of_annotation(value);
    field.map_or(value == "localhost/", |field| field.localhost_profile.is_none_or(|file| is_inner(&file)))
}
