//! Validation of the metadata that objects of every kind have.

use std::collections::HashSet;

use palisade_k8s::{FieldError, FieldPath, metadata};
use serde_json::Value;

use crate::kind::{Names, Resource, text};

/// Validates metadata by the rules for every object; the second argument is the old object, if it is an update.
pub fn check(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    errors.extend(name_error(resource, text(new, "/metadata/name")));
    errors.extend(generate_error(resource, text(new, "/metadata/generateName")));
    let map = |pointer: &str| {
        let map = new.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    metadata::labels(&map("/metadata/labels"), &mut errors);
    metadata::annotations(&map("/metadata/annotations"), &mut errors);
    check_owners(new, &mut errors);
    check_finalizers(new, old, &mut errors);
    errors
}

const LONG_LABEL: &str = "must be no more than 63 bytes";

fn name_error(resource: &Resource, name: &str) -> Option<FieldError> {
    let path = || FieldPath::of("metadata.name");
    if name.is_empty() {
        return Some(FieldError::required(path(), "name or generateName is required"));
    }
    broken_rule(resource, name).map(|rule| FieldError::invalid(path(), name, rule))
}

fn broken_rule(resource: &Resource, name: &str) -> Option<&'static str> {
    match resource.names {
        Names::Label if name.len() > 63 => Some(LONG_LABEL),
        _ if name.len() > 253 => Some("must be no more than 253 bytes"),
        Names::Subdomain if !metadata::is_subdomain(name) => Some(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        ),
        Names::Label if !metadata::is_label(name) => Some(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
        ),
        Names::Segment if matches!(name, "." | "..") || name.contains(['/', '%']) => {
            Some("may not be '.' or '..' and may not contain '/' or '%'")
        }
        _ => None,
    }
}

/// The base of a generated name may end with a character that is only valid inside of a name.
fn generate_error(resource: &Resource, base: &str) -> Option<FieldError> {
    let whole = format!("{}a", base.strip_suffix('-').unwrap_or(base));
    let rule = broken_rule(resource, &whole).filter(|_| !base.is_empty())?;
    Some(FieldError::invalid(FieldPath::of("metadata.generateName"), base, rule))
}

fn list<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An owner reference is complete, and at most one of them is the controller's.
fn check_owners(object: &Value, errors: &mut Vec<FieldError>) {
    let owners = list(object, "/metadata/ownerReferences");
    let path = || FieldPath::of("metadata.ownerReferences");
    for owner in owners {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(field).and_then(Value::as_str).unwrap_or_default().is_empty() {
                errors.push(FieldError::invalid(path().name(field), "", "must not be empty"));
            }
        }
    }
    let in_charge = owners.iter().filter(|owner| owner.get("controller") == Some(&Value::Bool(true)));
    if in_charge.count() > 1 {
        errors.push(FieldError::invalid(path(), Value::Null, "only one owner can be the controller"));
    }
}

/// Finalizers are qualified names, or Kubernetes' own; an object that is being deleted gets no further ones.
fn check_finalizers(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    const OWN: [&str; 3] = ["foregroundDeletion", "orphan", "kubernetes"];
    let path = || FieldPath::of("metadata.finalizers");
    for (index, finalizer) in list(new, "/metadata/finalizers").iter().enumerate() {
        let name = finalizer.as_str().unwrap_or_default();
        let is_own = OWN.contains(&name);
        for rule in metadata::qualified_name(name) {
            errors.push(FieldError::invalid(path(), name, rule));
        }
        if !is_own && !name.contains('/') {
            let why = "must be a qualified name with a domain, as example.com/cleanup";
            errors.push(FieldError::invalid(path().index(index), name, why));
        }
    }
    let Some(old) = old.filter(|old| old.pointer("/metadata/deletionTimestamp").is_some()) else { return };
    let before: HashSet<_> = list(old, "/metadata/finalizers").iter().map(Value::as_str).collect();
    if list(new, "/metadata/finalizers").iter().any(|finalizer| !before.contains(&finalizer.as_str())) {
        errors.push(FieldError::forbidden(path(), "an object that is being deleted gets no new ones"));
    }
}
