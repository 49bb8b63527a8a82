//! The environment of a container, and its sources in the pod and other objects.

use super::{At, Errors, check_reference};
use crate::kind::{CONFIG_KEY, is_config_key};

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

/// Fields of a pod that the downward API offers, as Kubernetes lists them.
const POD_FIELDS: [&str; 13] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Those of them that an environment variable can have.
const IN_ENVIRONMENT: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn check_environment(container: &At<'_>, errors: &mut Errors) {
    for variable in container.field("env").items() {
        let name = variable.field("name");
        if name.text().is_empty() {
            errors.push(name.required(""));
        } else if !is_variable(name.text()) {
            errors.push(name.invalid(VARIABLE));
        }
        check_source(&variable, errors);
    }
    for source in container.field("envFrom").items() {
        let prefix = source.field("prefix");
        if !prefix.text().is_empty() && !is_variable(prefix.text()) {
            errors.push(prefix.invalid(VARIABLE));
        }
        errors.extend(source.not_one(&["configMapRef", "secretRef"], "must name a ConfigMap or a Secret"));
        for name in source.set(&["configMapRef", "secretRef"]).map(|source| source.field("name")) {
            errors.extend(name.missing());
            check_reference(&name, errors);
        }
    }
}

const VARIABLE: &str = "must be printable ASCII characters other than '='";

/// Whether a name of an environment variable is valid since Kubernetes 1.30: printable ASCII without `=`.
fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

fn check_source(variable: &At<'_>, errors: &mut Errors) {
    let from = variable.field("valueFrom");
    if !from.is_set() {
        return;
    }
    if !variable.field("value").text().is_empty() {
        errors.push(from.invalid("may not be set beside a value"));
        return;
    }
    if from.set(&SOURCES).count() != 1 {
        errors.push(from.invalid("must have one source"));
    }
    check_field(&from.field("fieldRef"), &IN_ENVIRONMENT, errors);
    check_resource(&from.field("resourceFieldRef"), errors);
    for reference in from.set(&["configMapKeyRef", "secretKeyRef"]) {
        let (name, key) = (reference.field("name"), reference.field("key"));
        errors.extend(name.missing());
        check_reference(&name, errors);
        errors.extend(key.missing());
        if !key.text().is_empty() && !is_config_key(key.text()) {
            errors.push(key.invalid(CONFIG_KEY));
        }
    }
}

/// A field of the pod, which must be in the list; labels and annotations also by key.
pub(super) fn check_field(reference: &At<'_>, allowed: &[&str], errors: &mut Errors) {
    if !reference.is_set() {
        return;
    }
    let path = reference.field("fieldPath");
    let field = path.text();
    let is_entry = ["metadata.annotations['", "metadata.labels['"]
        .iter()
        .any(|map| field.strip_prefix(map).and_then(|key| key.strip_suffix("']")).is_some());
    if field.is_empty() {
        errors.push(path.required(""));
    } else if !is_entry && !POD_FIELDS.contains(&field) {
        errors.push(path.invalid("is not a field of a pod that can be read into it"));
    } else if !is_entry {
        errors.extend(path.none_of(allowed));
    }
}

/// An amount of the container's resources.
pub(super) fn check_resource(reference: &At<'_>, errors: &mut Errors) {
    if !reference.is_set() {
        return;
    }
    let resource = reference.field("resource");
    let amount =
        resource.text().strip_prefix("limits.").or_else(|| resource.text().strip_prefix("requests."));
    let is_known = amount.is_some_and(|name| {
        matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
    });
    if resource.text().is_empty() {
        errors.push(resource.required(""));
    } else if !is_known {
        let known = ["limits.cpu", "limits.ephemeral-storage", "limits.memory"];
        let requests = ["requests.cpu", "requests.ephemeral-storage", "requests.memory"];
        errors.extend(resource.none_of(&[known, requests].concat()));
    }
}
