//! Kubernetes' rules for the fields of a pod that SCC or a node reads.

use std::collections::HashSet;

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

use super::{CONTAINER_LISTS, text};

/// What an ID may be.
const IDS: std::ops::RangeInclusive<i64> = 0..=2_147_483_647;

pub(super) fn validate(pod: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(spec) = pod.get("spec").filter(|spec| spec.is_object()) else {
        return vec![FieldError::required(FieldPath::of("spec.containers"), "")];
    };
    if super::super::count(spec, "containers") == 0 {
        errors.push(FieldError::required(FieldPath::of("spec.containers"), ""));
    }
    let volumes = check_volumes(spec, &mut errors);
    check_containers(spec, &volumes, &mut errors);
    check_spec(spec, &mut errors);
    if let Some(old) = old {
        check_change(pod, old, &mut errors);
    }
    errors
}

fn list<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = (usize, &'v Value)> {
    value.get(field).and_then(Value::as_array).into_iter().flatten().enumerate()
}

/// Letters, digits and `-`, at most 63.
fn is_label(name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";

fn check_name(name: &str, path: FieldPath, seen: &mut HashSet<String>, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !is_label(name) {
        errors.push(FieldError::invalid(path, name, LABEL_RULE));
    } else if !seen.insert(name.to_owned()) {
        errors.push(FieldError::invalid(path, name, "must be unique"));
    }
}

fn check_volumes(spec: &Value, errors: &mut Vec<FieldError>) -> HashSet<String> {
    let mut names = HashSet::new();
    for (index, volume) in list(spec, "volumes") {
        let path = || FieldPath::of("spec.volumes").index(index);
        check_name(text(volume, "/name"), path().field("name"), &mut names, errors);
        let sources = volume.as_object().map_or(0, |map| map.keys().filter(|key| *key != "name").count());
        if sources > 1 {
            errors.push(FieldError::forbidden(path(), "may not specify more than 1 volume type"));
        }
        let host = text(volume, "/hostPath/path");
        if volume.get("hostPath").is_some() && host.is_empty() {
            errors.push(FieldError::required(path().field("hostPath.path"), ""));
        }
        if host.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(path().field("hostPath.path"), host, "must not contain '..'"));
        }
    }
    names
}

fn check_containers(spec: &Value, volumes: &HashSet<String>, errors: &mut Vec<FieldError>) {
    let mut names = HashSet::new();
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for lists in CONTAINER_LISTS {
        for (index, container) in list(spec, lists) {
            let path = || FieldPath::of("spec").name(lists).index(index);
            check_name(text(container, "/name"), path().field("name"), &mut names, errors);
            match text(container, "/image") {
                "" => errors.push(FieldError::required(path().field("image"), "")),
                image if image.trim() != image => {
                    let why = "must not have leading or trailing whitespace";
                    errors.push(FieldError::invalid(path().field("image"), image, why));
                }
                _ => {}
            }
            choice(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], &path, errors);
            choice(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], &path, errors);
            check_mounts(container, volumes, &path, errors);
            check_ports(container, on_host, &path, errors);
            if let Some(security) = container.get("securityContext") {
                check_security(security, &|| path().field("securityContext"), errors);
            }
        }
    }
}

fn choice(
    value: &Value,
    field: &'static str,
    supported: &[&str],
    path: &dyn Fn() -> FieldPath,
    errors: &mut Vec<FieldError>,
) {
    if let Some(found) = value.get(field).and_then(Value::as_str)
        && !supported.contains(&found)
    {
        errors.push(FieldError::not_supported(path().field(field), found, supported));
    }
}

fn check_mounts(
    container: &Value,
    volumes: &HashSet<String>,
    path: &dyn Fn() -> FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let mut places = HashSet::new();
    for (index, mount) in list(container, "volumeMounts") {
        let path = || path().field("volumeMounts").index(index);
        let (name, place) = (text(mount, "/name"), text(mount, "/mountPath"));
        if !volumes.contains(name) {
            let mut error =
                FieldError::invalid(path().field("name"), name, "not found among the pod's volumes");
            if name.is_empty() {
                error = FieldError::required(path().field("name"), "");
            }
            errors.push(error);
        }
        if place.is_empty() {
            errors.push(FieldError::required(path().field("mountPath"), ""));
        } else if !places.insert(place.to_owned()) {
            errors.push(FieldError::invalid(path().field("mountPath"), place, "must be unique"));
        }
        let sub = text(mount, "/subPath");
        if sub.starts_with('/') || sub.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(
                path().field("subPath"),
                sub,
                "must be a relative path without '..'",
            ));
        }
    }
}

fn check_ports(container: &Value, on_host: bool, path: &dyn Fn() -> FieldPath, errors: &mut Vec<FieldError>) {
    for (index, port) in list(container, "ports") {
        let path = || path().field("ports").index(index);
        let number = |field: &str| port.get(field).and_then(Value::as_i64);
        let mut bounded = |field: &'static str, least: i64| {
            if let Some(found) = number(field)
                && !(least..=65_535).contains(&found)
            {
                errors.push(FieldError::invalid(
                    path().field(field),
                    found,
                    "must be between 1 and 65535, inclusive",
                ));
            }
        };
        bounded("containerPort", 1);
        bounded("hostPort", 0);
        if number("containerPort").is_none() {
            errors.push(FieldError::required(path().field("containerPort"), ""));
        }
        if on_host && number("hostPort") != number("containerPort") {
            let why = "must match `containerPort` when `hostNetwork` is true";
            let found = port.get("containerPort").cloned().unwrap_or_default();
            errors.push(FieldError::invalid(path().field("containerPort"), found, why));
        }
        choice(port, "protocol", &["SCTP", "TCP", "UDP"], &path, errors);
    }
}

/// A security context, of a pod or a container.
fn check_security(security: &Value, path: &dyn Fn() -> FieldPath, errors: &mut Vec<FieldError>) {
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        if let Some(id) = security.get(field).and_then(Value::as_i64)
            && !IDS.contains(&id)
        {
            let why = "must be between 0 and 2147483647, inclusive";
            errors.push(FieldError::invalid(path().field(field), id, why));
        }
    }
    for (index, id) in list(security, "supplementalGroups") {
        if id.as_i64().is_some_and(|id| !IDS.contains(&id)) {
            let path = path().field("supplementalGroups").index(index);
            errors.push(FieldError::invalid(path, id.clone(), "must be between 0 and 2147483647, inclusive"));
        }
    }
    let yes = |field: &str| security.get(field) == Some(&Value::Bool(true));
    let no = |field: &str| security.get(field) == Some(&Value::Bool(false));
    if yes("privileged") && no("allowPrivilegeEscalation") {
        let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(path(), Value::Null, why));
    }
    let adds = security.pointer("/capabilities/add").and_then(Value::as_array);
    let adds_admin = adds.into_iter().flatten().any(|c| matches!(c.as_str(), Some("CAP_SYS_ADMIN")));
    if adds_admin && no("allowPrivilegeEscalation") {
        let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(FieldError::invalid(path(), Value::Null, why));
    }
    check_profile(security.get("seccompProfile"), &|| path().field("seccompProfile"), errors);
    choice(security, "procMount", &["Default", "Unmasked"], path, errors);
    choice(security, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], path, errors);
}

fn check_profile(profile: Option<&Value>, path: &dyn Fn() -> FieldPath, errors: &mut Vec<FieldError>) {
    let Some(profile) = profile else { return };
    let (kind, file) = (text(profile, "/type"), text(profile, "/localhostProfile"));
    match kind {
        "" => errors
            .push(FieldError::required(path().field("type"), "type is required when seccompProfile is set")),
        "Localhost" if file.is_empty() => {
            let why = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(path().field("localhostProfile"), why));
        }
        "Localhost" if file.starts_with('/') || file.split('/').any(|part| part == "..") => {
            let why = "must be a relative path without '..'";
            errors.push(FieldError::invalid(path().field("localhostProfile"), file, why));
        }
        "Localhost" => {}
        "RuntimeDefault" | "Unconfined" => {
            if profile.get("localhostProfile").is_some() {
                let why = "can only be set when seccomp type is Localhost";
                errors.push(FieldError::invalid(path().field("localhostProfile"), file, why));
            }
        }
        kind => {
            let kinds = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(FieldError::not_supported(path().field("type"), kind, &kinds));
        }
    }
}

fn check_spec(spec: &Value, errors: &mut Vec<FieldError>) {
    let path = || FieldPath::of("spec");
    choice(spec, "restartPolicy", &["Always", "OnFailure", "Never"], &path, errors);
    let dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    choice(spec, "dnsPolicy", &dns, &path, errors);
    if let Some(security) = spec.get("securityContext") {
        check_security(security, &|| path().field("securityContext"), errors);
    }
    let yes = |field: &str| spec.get(field) == Some(&Value::Bool(true));
    if yes("hostPID") && yes("shareProcessNamespace") {
        let why = "shareProcessNamespace and hostPID cannot both be enabled";
        errors.push(FieldError::invalid(path().field("shareProcessNamespace"), true, why));
    }
    if spec.get("hostUsers") == Some(&Value::Bool(false)) {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if yes(field) {
                errors.push(FieldError::forbidden(path().field(field), "when `hostUsers` is false"));
            }
        }
    }
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|time| time < 0) {
        let found = spec.get("terminationGracePeriodSeconds").cloned().unwrap_or_default();
        let why = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path().field("terminationGracePeriodSeconds"), found, why));
    }
}

/// A pod's spec stays as it is, but for images, deadlines and new tolerations.
fn check_change(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let fixed = |pod: &Value| {
        let mut spec = pod.get("spec").cloned().unwrap_or_default();
        for lists in ["containers", "initContainers"] {
            for container in spec.get_mut(lists).and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(map) = container.as_object_mut() {
                    map.shift_remove("image");
                    map.shift_remove("resources");
                }
            }
        }
        if let Some(map) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "ephemeralContainers",
                "nodeName",
                "terminationGracePeriodSeconds",
                "schedulingGates",
            ] {
                map.shift_remove(field);
            }
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden(FieldPath::of("spec"), why));
    }
    let node = |pod: &Value| text(pod, "/spec/nodeName").to_owned();
    if !node(old).is_empty() && node(new) != node(old) {
        errors.push(FieldError::forbidden(FieldPath::of("spec.nodeName"), "a pod stays on its node"));
    }
}
