//! Roles and bindings.

use jiff::Timestamp;
use palisade_k8s::{FieldError, FieldPath, metadata, put};
use serde_json::Value;

use super::at::At;
use super::selecting::check_selector;
use super::{AGE, Admission, BASE, Column, Names, Resource, Row, age, column, text, wide};

const GROUP: &str = palisade_k8s::rbac::GROUP;

/// Cluster roles.
pub static CLUSTER_ROLES: Resource = Resource::Row(&CLUSTER_ROLE);

const CLUSTER_ROLE: Row = Row {
    group: GROUP,
    plural: "clusterroles",
    singular: "clusterrole",
    kind: "ClusterRole",
    schema: "ClusterRole",
    namespaced: false,
    storage: "rbac.authorization.k8s.io/clusterroles",
    names: Names::Segment,
    admission: Admission::Role,
    columns: &[Column { name: "Created At", kind: "date", priority: 0 }],
    cells: |role, _| vec![text(role, "/metadata/creationTimestamp").into()],
    prepare: prepare_role,
    validate: |role, _| {
        let mut errors = validate_rules(role, true);
        check_aggregation(role, &mut errors);
        errors
    },
    is_made_by_put: true,
    ..BASE
};

/// Roles.
pub static ROLES: Resource = Resource::Row(&Row {
    plural: "roles",
    singular: "role",
    kind: "Role",
    schema: "Role",
    namespaced: true,
    storage: "rbac.authorization.k8s.io/roles",
    validate: |role, _| validate_rules(role, false),
    ..CLUSTER_ROLE
});

/// Cluster role bindings.
pub static CLUSTER_ROLE_BINDINGS: Resource = Resource::Row(&CLUSTER_ROLE_BINDING);

const CLUSTER_ROLE_BINDING: Row = Row {
    group: GROUP,
    plural: "clusterrolebindings",
    singular: "clusterrolebinding",
    kind: "ClusterRoleBinding",
    schema: "ClusterRoleBinding",
    namespaced: false,
    storage: "rbac.authorization.k8s.io/clusterrolebindings",
    names: Names::Segment,
    admission: Admission::Binding,
    columns: &[column("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")],
    cells: binding_cells,
    prepare: prepare_binding,
    validate: validate_binding,
    is_made_by_put: true,
    ..BASE
};

/// Role bindings.
pub static ROLE_BINDINGS: Resource = Resource::Row(&Row {
    plural: "rolebindings",
    singular: "rolebinding",
    kind: "RoleBinding",
    schema: "RoleBinding",
    namespaced: true,
    storage: "rbac.authorization.k8s.io/rolebindings",
    ..CLUSTER_ROLE_BINDING
});

/// Roles are written with their rules, even if empty.
fn prepare_role(role: &mut Value, _old: Option<&Value>) {
    super::default(role, "rules", Value::Null);
}

fn validate_rules(role: &Value, cluster: bool) -> Vec<FieldError> {
    let rules = role.get("rules").and_then(Value::as_array).into_iter().flatten();
    let mut errors = Vec::new();
    for (index, rule) in rules.enumerate() {
        let path = || FieldPath::of("rules").index(index);
        let is_empty = |field: &str| super::count(rule, field) == 0;
        if is_empty("verbs") {
            errors.push(FieldError::required(path().field("verbs"), "verbs must contain at least one value"));
        }
        if !is_empty("nonResourceURLs") {
            if !cluster {
                let why = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(path().field("nonResourceURLs"), Value::Null, why));
            }
            if !is_empty("apiGroups") || !is_empty("resources") || !is_empty("resourceNames") {
                let why = "a rule is about resources or about paths, not both";
                errors.push(FieldError::invalid(path().field("nonResourceURLs"), Value::Null, why));
            }
            continue;
        }
        if is_empty("apiGroups") {
            let why = "resource rules must supply at least one api group";
            errors.push(FieldError::required(path().field("apiGroups"), why));
        }
        if is_empty("resources") {
            let why = "resource rules must supply at least one resource";
            errors.push(FieldError::required(path().field("resources"), why));
        }
    }
    errors
}

/// An aggregated role has valid selectors.
fn check_aggregation(role: &Value, errors: &mut Vec<FieldError>) {
    let aggregation = At::root(role, "aggregationRule");
    let selectors = aggregation.field("clusterRoleSelectors");
    if aggregation.is_set() && selectors.items().next().is_none() {
        errors.push(selectors.required("at least one"));
    }
    selectors.items().for_each(|selector| check_selector(&selector, errors));
}

fn prepare_binding(binding: &mut Value, _old: Option<&Value>) {
    if let Some(reference) = binding.get_mut("roleRef") {
        super::default(reference, "apiGroup", GROUP);
        if text(reference, "/apiGroup").is_empty() {
            put(reference, &["apiGroup"], GROUP.into());
        }
    }
    let subjects = binding.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if matches!(text(subject, "/kind"), "User" | "Group") && text(subject, "/apiGroup").is_empty() {
            put(subject, &["apiGroup"], GROUP.into());
        }
    }
}

fn validate_binding(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let namespaced = text(new, "/kind") == "RoleBinding";
    let group = At::root(new, "roleRef").field("apiGroup");
    errors.extend(group.none_of(&[GROUP]));
    let kind = text(new, "/roleRef/kind");
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported(FieldPath::of("roleRef.kind"), kind, kinds));
    }
    if text(new, "/roleRef/name").is_empty() {
        errors.push(FieldError::required(FieldPath::of("roleRef.name"), ""));
    }
    if old.is_some_and(|old| old.get("roleRef") != new.get("roleRef")) {
        let value = new.get("roleRef").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(FieldPath::of("roleRef"), value, "cannot change roleRef"));
    }
    for subject in At::root(new, "subjects").items() {
        check_subject(&subject, namespaced, &mut errors);
    }
    errors
}

fn check_subject(subject: &At<'_>, namespaced: bool, errors: &mut Vec<FieldError>) {
    let [kind, name, group, namespace] =
        ["kind", "name", "apiGroup", "namespace"].map(|field| subject.field(field));
    errors.extend(name.missing());
    match kind.text() {
        "ServiceAccount" => {
            if !name.text().is_empty() && !metadata::is_subdomain(name.text()) {
                errors.push(name.invalid("must be a DNS subdomain"));
            }
            if !group.text().is_empty() {
                errors.extend(group.none_of(&[""]));
            }
            errors.extend(namespace.missing().filter(|_| !namespaced));
        }
        "User" | "Group" => errors.extend(group.none_of(&[GROUP])),
        unknown => {
            let kinds = ["Group", "ServiceAccount", "User"];
            errors.push(FieldError::not_supported(kind.path(), unknown, &kinds));
        }
    }
}

fn binding_cells(binding: &Value, now: Timestamp) -> Vec<Value> {
    let subjects: Vec<&Value> =
        binding.get("subjects").and_then(Value::as_array).into_iter().flatten().collect();
    let named = |kind: &str| -> Value {
        let found = subjects.iter().filter(|subject| text(subject, "/kind") == kind);
        let names = found.map(|subject| match text(subject, "/namespace") {
            "" => text(subject, "/name").to_owned(),
            namespace => format!("{namespace}/{}", text(subject, "/name")),
        });
        names.collect::<Vec<_>>().join(", ").into()
    };
    let role = format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    vec![role.into(), age(binding, now), named("User"), named("Group"), named("ServiceAccount")]
}
