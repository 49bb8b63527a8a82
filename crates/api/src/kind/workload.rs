//! Workloads: objects that make pods from a template.
//!
//! Defaults are those of `k8s.io/kubernetes/pkg/apis/apps/v1/defaults.go` and `batch/v1/defaults.go`; columns are those of
//! `pkg/printers/internalversion/printers.go`.

mod batch;
mod status;

use jiff::Timestamp;
use palisade_k8s::workload::{claim_templates, name_of};
use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use super::at::At;
use super::pod::{complete_template, validate_template};
use super::portion;
use super::scale::{count, pairs, selector_text};
use super::selecting::{
    check_annotations, check_labels, check_selector as check_label_selector, check_subdomain,
};
use super::subresource::{SCALE, STATUS};
use super::{
    AGE, Admission, BASE, Column, Counted, Resource, Row, age, column, default, immutable, text, wide,
};
use crate::labels::Labels;

pub use batch::{CRON_JOBS, JOBS};

const GROUP: &str = "apps";
/// The columns and subresources that a Deployment, a ReplicaSet and similar kinds share.
const WORKLOAD: Row = Row {
    group: GROUP,
    categories: &["all"],
    counts_generations: true,
    admission: Admission::Workload,
    subresources: &[STATUS, SCALE],
    ..BASE
};

const fn number(name: &'static str) -> Column {
    Column { name, kind: "integer", priority: 0 }
}

/// Deployments.
pub static DEPLOYMENTS: Resource = Resource::Row(&Row {
    plural: "deployments",
    singular: "deployment",
    kind: "Deployment",
    schema: "Deployment",
    short_names: &["deploy"],
    storage: "apps/deployments",
    columns: &[
        column("Ready"),
        column("Up-to-date"),
        column("Available"),
        AGE,
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: |object, now| {
        let mut cells = vec![
            format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas")).into(),
            count(object, "/status/updatedReplicas").into(),
            count(object, "/status/availableReplicas").into(),
            age(object, now),
        ];
        cells.extend(wide_cells(object));
        cells
    },
    prepare: |object, old| {
        begin(object, old);
        with_spec(object, |spec| {
            default(spec, "replicas", 1);
            default(spec, "revisionHistoryLimit", 10);
            default(spec, "progressDeadlineSeconds", 600);
            let rolling = [("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))];
            complete_strategy(spec, "strategy", &rolling);
        });
    },
    validate: |object, old| {
        let mut errors = validate(object, old);
        errors.extend(status::check(object, old, &status::DEPLOYMENT));
        errors.extend(check_progress(&At::root(object, "spec")));
        let strategy = At::root(object, "spec").field("strategy");
        errors.extend(strategy.field("type").none_of(&["Recreate", "RollingUpdate"]));
        let rolling = strategy.field("rollingUpdate");
        if strategy.field("type").text() == "Recreate" && rolling.is_set() {
            errors.push(rolling.forbidden("may not be specified when strategy `type` is 'Recreate'"));
        }
        let (missing, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
        errors.extend(portion::errors_up_to_all(&missing));
        errors.extend(portion::errors(&surge));
        if portion::is_none(&missing) && portion::is_none(&surge) {
            errors.push(missing.invalid("may not be 0 when `maxSurge` is 0"));
        }
        errors
    },
    ..WORKLOAD
});

/// Replica sets.
pub static REPLICA_SETS: Resource = Resource::Row(&REPLICA_SET);

const REPLICA_SET: Row = Row {
    plural: "replicasets",
    singular: "replicaset",
    kind: "ReplicaSet",
    schema: "ReplicaSet",
    short_names: &["rs"],
    storage: "apps/replicasets",
    selectable: &["status.replicas"],
    columns: &[
        number("Desired"),
        number("Current"),
        number("Ready"),
        AGE,
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: replicated_cells,
    prepare: |object, old| {
        begin(object, old);
        with_spec(object, |spec| default(spec, "replicas", 1));
    },
    validate: |object, old| {
        let mut errors = validate(object, old);
        errors.extend(status::check(object, old, &status::REPLICA_SET));
        errors
    },
    ..WORKLOAD
};

/// Replication controllers.
pub(super) static REPLICATION_CONTROLLERS: Resource = Resource::Row(&Row {
    group: "",
    plural: "replicationcontrollers",
    singular: "replicationcontroller",
    kind: "ReplicationController",
    schema: "ReplicationController",
    short_names: &["rc"],
    storage: "replicationcontrollers",
    prepare: |object, old| {
        begin(object, old);
        let labels = object.pointer("/spec/template/metadata/labels").cloned();
        with_spec(object, |spec| {
            default(spec, "replicas", 1);
            if let Some(labels) = labels.clone() {
                default(spec, "selector", labels);
            }
        });
        let is_labelled =
            object.pointer("/metadata/labels").and_then(Value::as_object).is_some_and(|all| !all.is_empty());
        if let Some(labels) = labels.filter(|_| !is_labelled) {
            put(object, &["metadata", "labels"], labels);
        }
    },
    validate: |object, old| {
        let mut errors = validate_of(object, old, Selects::Labels);
        errors.extend(status::check(object, old, &status::REPLICA_SET));
        errors
    },
    counted: Counted::ByName,
    ..REPLICA_SET
});

/// Stateful sets.
pub(super) static STATEFUL_SETS: Resource = Resource::Row(&Row {
    plural: "statefulsets",
    singular: "statefulset",
    kind: "StatefulSet",
    schema: "StatefulSet",
    short_names: &["sts"],
    storage: "apps/statefulsets",
    columns: &[column("Ready"), AGE, wide("Containers"), wide("Images")],
    cells: |object, now| {
        let ready = format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas"));
        let mut cells = vec![ready.into(), age(object, now)];
        cells.extend(wide_cells(object).into_iter().take(2));
        cells
    },
    prepare: |object, old| {
        begin(object, old);
        with_spec(object, |spec| {
            default(spec, "replicas", 1);
            default(spec, "podManagementPolicy", "OrderedReady");
            default(spec, "revisionHistoryLimit", 10);
            complete_strategy(spec, "updateStrategy", &[("partition", json!(0))]);
            default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
            if let Some(policy) = spec.get_mut("persistentVolumeClaimRetentionPolicy") {
                default(policy, "whenDeleted", "Retain");
                default(policy, "whenScaled", "Retain");
            }
            let claims = spec.get_mut("volumeClaimTemplates").and_then(Value::as_array_mut);
            claims.into_iter().flatten().for_each(complete_claim);
        });
    },
    validate: |object, old| {
        let mut errors = validate(object, old);
        errors.extend(status::check(object, old, &status::STATEFUL_SET));
        errors.extend(check_stateful(object, old));
        let rolling = At::root(object, "spec").field("updateStrategy").field("rollingUpdate");
        let missing = rolling.field("maxUnavailable");
        errors.extend(rolling.field("partition").outside(0..=i64::MAX));
        errors.extend(portion::errors_up_to_all(&missing));
        errors.extend(portion::is_none(&missing).then(|| missing.invalid("cannot be 0")));
        errors
    },
    ..WORKLOAD
});

/// Daemon sets.
pub(super) static DAEMON_SETS: Resource = Resource::Row(&Row {
    plural: "daemonsets",
    singular: "daemonset",
    kind: "DaemonSet",
    schema: "DaemonSet",
    short_names: &["ds"],
    subresources: &[STATUS],
    storage: "apps/daemonsets",
    columns: &[
        number("Desired"),
        number("Current"),
        number("Ready"),
        number("Up-to-date"),
        number("Available"),
        column("Node Selector"),
        AGE,
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: |object, now| {
        let numbers = [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        ];
        let mut cells: Vec<Value> =
            numbers.iter().map(|field| count(object, &format!("/status/{field}")).into()).collect();
        cells.push(pairs(object.pointer("/spec/template/spec/nodeSelector")).into());
        cells.push(age(object, now));
        cells.extend(wide_cells(object));
        cells
    },
    prepare: |object, old| {
        begin(object, old);
        with_spec(object, |spec| {
            default(spec, "revisionHistoryLimit", 10);
            let rolling = [("maxUnavailable", json!(1)), ("maxSurge", json!(0))];
            complete_strategy(spec, "updateStrategy", &rolling);
        });
        count_templates(object, old);
    },
    validate: |object, old| {
        let mut errors = validate(object, old);
        errors.extend(status::check(object, old, &status::DAEMON_SET));
        let kind = At::root(object, "spec").field("updateStrategy").field("type");
        errors.extend(kind.none_of(&["OnDelete", "RollingUpdate"]));
        let rolling = At::root(object, "spec").field("updateStrategy").field("rollingUpdate");
        let (missing, surge) = (rolling.field("maxUnavailable"), rolling.field("maxSurge"));
        errors.extend([&missing, &surge].into_iter().flat_map(portion::errors_up_to_all));
        match [&missing, &surge].map(|field| field.is_set() && !portion::is_none(field)) {
            [true, true] => errors.push(surge.invalid("may not be set when maxUnavailable is non-zero")),
            [false, false] if rolling.is_set() => {
                errors.push(missing.required("cannot be 0 when maxSurge is 0"))
            }
            _ => {}
        }
        errors
    },
    ..WORKLOAD
});

/// The annotation that counts the templates a daemon set has had (`pkg/registry/apps/daemonset/strategy.go`).
const TEMPLATES: &str = "deprecated.daemonset.template.generation";

fn count_templates(object: &mut Value, old: Option<&Value>) {
    let of = |object: &Value| -> Option<i64> {
        object.pointer("/metadata/annotations")?.get(TEMPLATES)?.as_str()?.parse().ok()
    };
    let template = |object: &Value| object.pointer("/spec/template").cloned();
    let number = match old {
        None => of(object).unwrap_or_default().max(1),
        Some(old) => {
            of(old).unwrap_or_default().max(1).saturating_add((template(object) != template(old)).into())
        }
    };
    put(object, &["metadata", "annotations", TEMPLATES], number.to_string().into());
}

/// ControllerRevisions.
pub static CONTROLLER_REVISIONS: Resource = Resource::Row(&Row {
    group: GROUP,
    plural: "controllerrevisions",
    singular: "controllerrevision",
    kind: "ControllerRevision",
    schema: "ControllerRevision",
    storage: "apps/controllerrevisions",
    columns: &[column("Controller"), column("Revision"), AGE],
    cells: |object, now| {
        let owner = object.pointer("/metadata/ownerReferences/0");
        let owner = owner.map_or("<none>".to_owned(), |owner| {
            format!("{}/{}", text(owner, "/kind").to_lowercase(), text(owner, "/name"))
        });
        vec![owner.into(), count(object, "/revision").into(), age(object, now)]
    },
    prepare: |object, _| default(object, "revision", 0),
    validate: |object, old| {
        let mut errors = immutable(object, old, &["data"]);
        let data = At::root(object, "data");
        if !data.value().is_some_and(Value::is_object) {
            errors.push(data.required("data must be an object"));
        }
        errors.extend(At::root(object, "revision").outside(0..=i64::MAX));
        errors
    },
    ..BASE
});

/// Resets the status of a new workload, keeps that of a changed one, and completes the template.
fn begin(object: &mut Value, old: Option<&Value>) {
    object["status"] = old.and_then(|old| old.get("status")).cloned().unwrap_or_else(|| json!({}));
    default(object, "spec", json!({}));
    if let Some(template) = object.pointer_mut("/spec/template") {
        complete_template(template);
    }
}

/// Completes the parameters of a rolling update.
fn complete_strategy(spec: &mut Value, field: &str, rolling: &[(&str, Value)]) {
    default(spec, field, json!({}));
    let Some(strategy) = spec.get_mut(field) else { return };
    default(strategy, "type", "RollingUpdate");
    if text(strategy, "/type") == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
    }
    if let Some(found) = strategy.get_mut("rollingUpdate") {
        rolling.iter().for_each(|(field, value)| default(found, field, value.clone()));
    }
}

fn with_spec(object: &mut Value, change: impl FnOnce(&mut Value)) {
    if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
        change(spec);
    }
}

fn replicated_cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        count(object, "/spec/replicas").into(),
        count(object, "/status/replicas").into(),
        count(object, "/status/readyReplicas").into(),
        age(object, now),
    ];
    cells.extend(wide_cells(object));
    cells
}

/// Containers, images and selector.
fn wide_cells(object: &Value) -> Vec<Value> {
    let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
    let all = |field: &str| {
        let values = containers.into_iter().flatten().map(|container| text(container, field));
        Value::from(values.collect::<Vec<_>>().join(","))
    };
    vec![all("/name"), all("/image"), selector_text(object.pointer("/spec/selector")).into()]
}

/// The form of a workload's selector.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Selects {
    Selector,
    Labels,
}

fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    validate_of(object, old, Selects::Selector)
}

fn validate_of(object: &Value, old: Option<&Value>, selects: Selects) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = At::root(object, "spec");
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        errors.extend(spec.field(field).outside(0..=i64::MAX));
    }
    let selector = spec.field("selector");
    let before = errors.len();
    match selects {
        Selects::Selector => check_selector(&selector, &mut errors),
        Selects::Labels if selector.keys().next().is_none() => errors.push(selector.required("")),
        Selects::Labels => check_labels(&selector, &mut errors),
    }
    // An invalid selector selects nothing that could be compared.
    if errors.len() == before || !selector.is_set() {
        check_selected(object, selects, &mut errors);
    }
    // The rule for a StatefulSet covers its whole spec.
    if selects == Selects::Selector && text(object, "/kind") != "StatefulSet" {
        errors.extend(immutable(object, old, &["spec.selector"]));
    }
    check_template(object, old, "Always", &mut errors);
    errors
}

/// The progress deadline of a Deployment must exceed the time until its pods count as available.
fn check_progress(spec: &At<'_>) -> Option<FieldError> {
    let (deadline, ready) = (spec.field("progressDeadlineSeconds"), spec.field("minReadySeconds"));
    let is_late = deadline.number().is_some_and(|seconds| seconds <= ready.number().unwrap_or_default());
    (is_late && deadline.number() >= Some(0))
        .then(|| deadline.invalid("must be greater than minReadySeconds"))
}

/// Sets the defaults of a claim's template.
fn complete_claim(claim: &mut Value) {
    if !claim.is_object() {
        return;
    }
    default(claim, "apiVersion", "v1");
    default(claim, "kind", "PersistentVolumeClaim");
    default(claim, "spec", json!({}));
    if let Some(spec) = claim.get_mut("spec").filter(|spec| spec.is_object()) {
        default(spec, "volumeMode", "Filesystem");
    }
    claim["status"] = json!({"phase": "Pending"});
}

fn check_stateful(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = At::root(object, "spec");
    let mut errors = Vec::new();
    let name = text(object, "/metadata/name");
    if old.is_none() && !palisade_k8s::metadata::is_label(name) {
        let why = "must be a DNS label, as the names of its pods are made of it";
        errors.push(FieldError::invalid(FieldPath::of("metadata.name"), name, why));
    }
    check_subdomain(&spec.field("serviceName"), &mut errors);
    let policy = spec.field("podManagementPolicy");
    if !matches!(policy.text(), "OrderedReady" | "Parallel") {
        errors.push(policy.invalid("must be 'OrderedReady' or 'Parallel'"));
    }
    let strategy = spec.field("updateStrategy");
    match strategy.field("type").text() {
        "RollingUpdate" => {}
        "OnDelete" if strategy.field("rollingUpdate").is_set() => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.push(strategy.field("rollingUpdate").invalid(why));
        }
        "OnDelete" => {}
        _ => errors.push(strategy.invalid("must be 'RollingUpdate' or 'OnDelete'")),
    }
    errors.extend(spec.field("ordinals").field("start").outside(0..=i64::MAX));
    let retention = spec.field("persistentVolumeClaimRetentionPolicy");
    for when in ["whenDeleted", "whenScaled"] {
        errors.extend(retention.field(when).none_of(&["Delete", "Retain"]));
    }
    if old.is_none() {
        spec.field("volumeClaimTemplates").items().for_each(|claim| check_claim(&claim, &mut errors));
    }
    errors.extend(old.and_then(|old| check_kept(object, old)));
    errors
}

fn check_claim(claim: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = claim.field("spec");
    if spec.field("accessModes").items().next().is_none() {
        errors.push(spec.field("accessModes").required("at least 1 access mode is required"));
    }
    let storage = spec.field("resources").field("requests").key("storage");
    if !storage.is_set() {
        errors.push(FieldError::required(spec.field("resources").key("storage").path(), ""));
    }
}

/// Fields of a StatefulSet's spec that an update may change.
const CHANGEABLE: [&str; 8] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "volumeClaimTemplates",
];

fn check_kept(object: &Value, old: &Value) -> Option<FieldError> {
    let rest = |object: &Value| {
        let mut spec = object.get("spec").cloned().unwrap_or_default();
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|name, value| !CHANGEABLE.contains(&name.as_str()) && !value.is_null());
        }
        spec
    };
    let claims = |object: &Value| {
        let claims = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
        let claims = claims.into_iter().flatten();
        claims
            .map(|claim| (text(claim, "/metadata/name").to_owned(), claim.get("spec").cloned()))
            .collect::<Vec<_>>()
    };
    let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
               'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    (rest(object) != rest(old) || claims(object) != claims(old))
        .then(|| FieldError::forbidden(FieldPath::of("spec"), why))
}

/// A selector that selects everything would take other workloads' pods.
fn check_selector(selector: &At<'_>, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    check_label_selector(selector, errors);
    if !selector.is_set() {
        errors.push(selector.required(""));
    } else if errors.len() > before {
        errors.push(selector.invalid("invalid label selector"));
    } else if selector.field("matchLabels").keys().next().is_none()
        && selector.field("matchExpressions").items().next().is_none()
    {
        errors.push(selector.invalid("empty selector is invalid for deployment"));
    }
}

/// The selector must match the labels of the template.
fn check_selected(object: &Value, selects: Selects, errors: &mut Vec<FieldError>) {
    let wrapped;
    let absent = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": []}]});
    let selector = object.pointer("/spec/selector").filter(|selector| !selector.is_null()).unwrap_or(&absent);
    let selector = match selects {
        Selects::Selector => selector,
        Selects::Labels => {
            wrapped = json!({ "matchLabels": selector });
            &wrapped
        }
    };
    let template = object.pointer("/spec/template").cloned().unwrap_or_default();
    if !Labels::of_object(selector).matches(&template) {
        let labels = template.pointer("/metadata/labels").cloned().unwrap_or(Value::Null);
        let path = FieldPath::of("spec.template.metadata.labels");
        errors.push(FieldError::invalid(path, labels, "`selector` does not match template `labels`"));
    }
}

/// The template makes valid pods, with a restart policy that this kind of workload supports.
fn check_template(object: &Value, old: Option<&Value>, restart: &'static str, errors: &mut Vec<FieldError>) {
    let old = old.and_then(|old| old.pointer("/spec/template"));
    // A claim with an invalid name is refused when its pod is made, as in Kubernetes.
    let claims = claim_templates(object).map(name_of).filter(|name| palisade_k8s::metadata::is_label(name));
    let claims: Vec<&str> = claims.collect();
    check_template_at(&At::root(object, "spec").field("template"), old, restart, &claims, errors);
}

pub(super) fn check_template_at(
    template: &At<'_>,
    old: Option<&Value>,
    restart: &'static str,
    claims: &[&str],
    errors: &mut Vec<FieldError>,
) {
    let Some(value) = template.value() else {
        errors.push(template.required(""));
        return;
    };
    // Objects that were accepted under older rules may stay.
    if old == Some(value) {
        return;
    }
    check_labels(&template.field("metadata").field("labels"), errors);
    check_annotations(&template.field("metadata").field("annotations"), errors);
    let found = validate_template(value, claims).into_iter();
    errors.extend(found.map(|error| FieldError { path: template.path().join(&error.path), ..error }));
    if restart == "Always" {
        let deadline = template.field("spec").field("activeDeadlineSeconds");
        if deadline.is_set() {
            errors.push(
                deadline.forbidden("activeDeadlineSeconds in pods that are started again is not supported"),
            );
        }
        errors.extend(template.field("spec").field("restartPolicy").none_of(&[restart]));
    }
}

#[cfg(test)]
mod tests;
