//! Kinds that limit other objects: disruption budgets, autoscalers, quotas, ranges of limits, and classes of pods and storage.

use std::collections::HashSet;

use palisade_k8s::{FieldError, FieldPath, metadata, quantity};
use serde_json::{Value, json};

use super::at::At;
use super::pod::complete_template;
use super::scale::pairs;
use super::selecting::{check_labels, check_selector};
use super::subresource::STATUS;
use super::workload::check_template_at;
use super::{
    AGE, Admission, BASE, Column, Counted, Resource, Row, age, column, default, immutable, keep_status,
    limit_range, portion, quota, text,
};

/// Budgets for the disruption of pods.
pub static POD_DISRUPTION_BUDGETS: Resource = Resource::Row(&Row {
    group: "policy",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    kind: "PodDisruptionBudget",
    schema: "PodDisruptionBudget",
    short_names: &["pdb"],
    counts_generations: true,
    subresources: &[STATUS],
    storage: "policy/poddisruptionbudgets",
    columns: &[
        column("Min Available"),
        column("Max Unavailable"),
        Column { name: "Allowed Disruptions", kind: "integer", priority: 0 },
        AGE,
    ],
    cells: |object, now| {
        let said = |field: &str| match object.pointer(&format!("/spec/{field}")) {
            Some(Value::String(text)) => text.clone(),
            Some(number) => number.to_string(),
            None => "N/A".to_owned(),
        };
        let allowed =
            object.pointer("/status/disruptionsAllowed").and_then(Value::as_i64).unwrap_or_default();
        vec![said("minAvailable").into(), said("maxUnavailable").into(), allowed.into(), age(object, now)]
    },
    prepare: |object, old| {
        let none =
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        keep_status(object, old, none);
    },
    needs_version: true,
    validate: |object, old| {
        let spec = At::root(object, "spec");
        let both = spec.field("minAvailable").is_set() && spec.field("maxUnavailable").is_set();
        let why = "minAvailable and maxUnavailable cannot be both set";
        let mut errors: Vec<FieldError> = both.then(|| spec.invalid_whole(why)).into_iter().collect();
        errors.extend(portion::errors_up_to_all(&spec.field("minAvailable")));
        errors.extend(portion::errors_up_to_all(&spec.field("maxUnavailable")));
        errors.extend(spec.field("unhealthyPodEvictionPolicy").none_of(&["AlwaysAllow", "IfHealthyBudget"]));
        check_selector(&spec.field("selector"), &mut errors);
        if old.is_some_and(|old| old.get("status") != object.get("status")) {
            let status = At::root(object, "status");
            let numbers = ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"];
            errors.extend(numbers.iter().filter_map(|name| status.field(name).outside(0..=i64::MAX)));
        }
        errors
    },
    ..BASE
});

/// Quotas of namespaces.
pub static RESOURCE_QUOTAS: Resource = Resource::Row(&Row {
    plural: "resourcequotas",
    singular: "resourcequota",
    kind: "ResourceQuota",
    schema: "ResourceQuota",
    short_names: &["quota"],
    subresources: &[STATUS],
    storage: "resourcequotas",
    columns: &[column("Request"), column("Limit"), AGE],
    cells: |object, now| {
        let hard = object.pointer("/spec/hard").and_then(Value::as_object).into_iter().flatten();
        let (limits, requests): (Vec<_>, Vec<_>) = hard.partition(|(name, _)| name.starts_with("limits."));
        let used = |name: &str| {
            let used = object.pointer("/status/used").and_then(|used| used.get(name)).and_then(Value::as_str);
            used.unwrap_or("0").to_owned()
        };
        let all = |items: Vec<(&String, &Value)>| {
            let texts = items.iter().map(|(name, value)| {
                format!("{name}: {}/{}", used(name), value.as_str().unwrap_or_default())
            });
            Value::from(texts.collect::<Vec<_>>().join(", "))
        };
        vec![all(requests), all(limits), age(object, now)]
    },
    prepare: |object, old| keep_status(object, old, json!({})),
    validate: quota::validate,
    counted: Counted::ByName,
    ..BASE
});

/// Ranges of limits of namespaces.
pub static LIMIT_RANGES: Resource = Resource::Row(&Row {
    plural: "limitranges",
    singular: "limitrange",
    kind: "LimitRange",
    schema: "LimitRange",
    short_names: &["limits"],
    storage: "limitranges",
    columns: &[Column { name: "Created At", kind: "date", priority: 0 }],
    cells: |object, _| vec![text(object, "/metadata/creationTimestamp").into()],
    prepare: |object, _| limit_range::complete(object),
    validate: |object, _| check_range(object),
    is_made_by_put: true,
    ..BASE
});

/// Classes of pods by their importance.
pub static PRIORITY_CLASSES: Resource = Resource::Row(&Row {
    group: "scheduling.k8s.io",
    plural: "priorityclasses",
    singular: "priorityclass",
    kind: "PriorityClass",
    schema: "PriorityClass",
    namespaced: false,
    short_names: &["pc"],
    storage: "scheduling.k8s.io/priorityclasses",
    columns: &[
        Column { name: "Value", kind: "integer", priority: 0 },
        Column { name: "Global-Default", kind: "boolean", priority: 0 },
        AGE,
        column("PreemptionPolicy"),
    ],
    cells: |object, now| {
        vec![
            object.get("value").cloned().unwrap_or_else(|| 0.into()),
            (object.get("globalDefault") == Some(&Value::Bool(true))).to_string().into(),
            age(object, now),
            text(object, "/preemptionPolicy").into(),
        ]
    },
    counts_generations: true,
    spec: "value",
    prepare: |object, _| {
        default(object, "value", 0);
        default(object, "preemptionPolicy", "PreemptLowerPriority");
    },
    validate: |object, old| {
        const MOST: i64 = 1_000_000_000;
        let mut errors = immutable(object, old, &["value", "preemptionPolicy"]);
        let value = object.get("value").and_then(Value::as_i64).unwrap_or_default();
        let name = text(object, "/metadata/name");
        if name.starts_with("system-") {
            errors.extend(check_system_class(name, value, object));
        } else if value > MOST {
            let why = format!("maximum allowed value of a user defined priority is {MOST}");
            errors.push(FieldError::forbidden(FieldPath::of("value"), why));
        }
        errors.extend(At::root(object, "preemptionPolicy").none_of(&["Never", "PreemptLowerPriority"]));
        errors
    },
    admission: Admission::PriorityClass,
    ..BASE
});

/// The classes of pods that the cluster itself needs, and their values.
const SYSTEM_CLASSES: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn check_system_class(name: &str, value: i64, class: &Value) -> Option<FieldError> {
    let is_default = class.get("globalDefault") == Some(&Value::Bool(true));
    let why = match SYSTEM_CLASSES.iter().find(|(known, _)| *known == name) {
        None => format!("{name} is not a known system priority class"),
        Some((_, known)) if *known != value => format!("value of {name} PriorityClass must be {known}"),
        Some(_) if is_default => format!("globalDefault of {name} PriorityClass must be false"),
        Some(_) => return None,
    };
    let why =
        format!("priority class names with 'system-' prefix are reserved for system use only. error: {why}");
    Some(FieldError::forbidden(FieldPath::of("metadata.name"), why))
}

/// Runtime classes.
pub static RUNTIME_CLASSES: Resource = Resource::Row(&Row {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    kind: "RuntimeClass",
    schema: "RuntimeClass",
    namespaced: false,
    storage: "node.k8s.io/runtimeclasses",
    needs_version: true,
    columns: &[column("Handler"), AGE],
    cells: |object, now| vec![text(object, "/handler").into(), age(object, now)],
    validate: |object, old| {
        let mut errors = immutable(object, old, &["handler"]);
        let handler = At::root(object, "handler");
        errors.extend(handler.missing());
        if !handler.text().is_empty() && !metadata::is_label(handler.text()) {
            errors.push(handler.invalid("must be a DNS label: letters, digits and '-', at most 63"));
        }
        check_overhead(&At::root(object, "overhead").field("podFixed"), &mut errors);
        check_placement(&At::root(object, "scheduling"), &mut errors);
        errors
    },
    is_made_by_put: true,
    ..BASE
});

fn check_overhead(amounts: &At<'_>, errors: &mut Vec<FieldError>) {
    for name in amounts.keys() {
        let amount = amounts.key(name);
        if !name.contains('/')
            && !matches!(name, "cpu" | "memory" | "ephemeral-storage")
            && !name.starts_with("hugepages-")
        {
            errors.push(FieldError::invalid(
                amount.path(),
                name,
                "must be a standard resource for containers",
            ));
        }
        if quantity::billionths(amount.text()).is_some_and(|found| found < 0) {
            errors.push(amount.invalid("must be greater than or equal to 0"));
        }
    }
}

/// The nodes for pods of a class.
fn check_placement(placement: &At<'_>, errors: &mut Vec<FieldError>) {
    check_labels(&placement.field("nodeSelector"), errors);
    let mut seen = HashSet::new();
    for toleration in placement.field("tolerations").items() {
        errors.extend(toleration.field("operator").none_of(&["Equal", "Exists", "Gt", "Lt"]));
        if toleration.value().is_some_and(|value| !seen.insert(value)) {
            errors.push(toleration.duplicate());
        }
    }
}

/// Classes of storage.
pub static STORAGE_CLASSES: Resource = Resource::Row(&Row {
    group: "storage.k8s.io",
    plural: "storageclasses",
    singular: "storageclass",
    kind: "StorageClass",
    schema: "StorageClass",
    namespaced: false,
    short_names: &["sc"],
    storage: "storage.k8s.io/storageclasses",
    columns: &[
        column("Provisioner"),
        column("ReclaimPolicy"),
        column("VolumeBindingMode"),
        column("AllowVolumeExpansion"),
        AGE,
    ],
    cells: |object, now| {
        let expands = object.get("allowVolumeExpansion") == Some(&Value::Bool(true));
        vec![
            text(object, "/provisioner").into(),
            text(object, "/reclaimPolicy").into(),
            text(object, "/volumeBindingMode").into(),
            expands.to_string().into(),
            age(object, now),
        ]
    },
    prepare: |object, _| {
        default(object, "reclaimPolicy", "Delete");
        default(object, "volumeBindingMode", "Immediate");
    },
    validate: |object, old| {
        let mut errors =
            immutable(object, old, &["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"]);
        let provisioner = At::root(object, "provisioner");
        errors.extend(provisioner.missing());
        if !provisioner.text().is_empty() {
            let why = metadata::qualified_name(&provisioner.text().to_ascii_lowercase());
            errors.extend(why.into_iter().map(|why| provisioner.invalid(why)));
        }
        if At::root(object, "parameters").keys().any(str::is_empty) {
            errors.push(At::root(object, "parameters").invalid_whole("field must not be empty"));
        }
        for term in At::root(object, "allowedTopologies").items() {
            for values in term.field("matchLabelExpressions").items().map(|label| label.field("values")) {
                if values.items().next().is_none() {
                    errors.push(values.required(""));
                }
            }
        }
        errors.extend(At::root(object, "reclaimPolicy").none_of(&["Delete", "Retain"]));
        errors.extend(At::root(object, "volumeBindingMode").none_of(&["Immediate", "WaitForFirstConsumer"]));
        errors
    },
    ..BASE
});

/// Templates of pods.
pub(super) static POD_TEMPLATES: Resource = Resource::Row(&Row {
    plural: "podtemplates",
    singular: "podtemplate",
    kind: "PodTemplate",
    schema: "PodTemplate",
    storage: "podtemplates",
    counts_generations: true,
    spec: "template",
    columns: &[column("Containers"), column("Images"), column("Pod Labels")],
    cells: |object, _| {
        let containers = object.pointer("/template/spec/containers").and_then(Value::as_array);
        let all = |field: &str| {
            let texts = containers.into_iter().flatten().map(|container| text(container, field));
            Value::from(texts.collect::<Vec<_>>().join(","))
        };
        vec![all("/name"), all("/image"), pairs(object.pointer("/template/metadata/labels")).into()]
    },
    prepare: |object, _| {
        if let Some(template) = object.get_mut("template") {
            complete_template(template);
        }
    },
    validate: |object, old| {
        let mut errors = Vec::new();
        let old = old.and_then(|old| old.get("template"));
        check_template_at(&At::root(object, "template"), old, "", &[], &mut errors);
        errors
    },
    ..BASE
});

/// The items of a range have different types, and their bounds are consistent.
fn check_range(range: &Value) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for item in At::root(range, "spec").field("limits").items() {
        let kind = item.field("type");
        if !seen.insert(kind.text()) {
            errors.push(kind.duplicate());
        }
        let is_own = || kind.text().contains('/') && metadata::qualified_name(kind.text()).is_empty();
        if !matches!(kind.text(), "Pod" | "Container" | "PersistentVolumeClaim") && !is_own() {
            errors.push(kind.invalid("must be a standard limit type or fully qualified"));
        }
        if kind.text() == "Pod" {
            let why = "may not be specified when `type` is 'Pod'";
            let given = item.set(&["default", "defaultRequest"]);
            errors.extend(
                given.filter(|given| given.keys().next().is_some()).map(|given| given.forbidden(why)),
            );
        }
        let storage = |field| item.field(field).key("storage").is_set();
        if kind.text() == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            errors.push(item.field("limits").required(why));
        }
        check_bounds(&item, &mut errors);
    }
    errors
}

/// The pairs of bounds of which the first may not exceed the second, and which of them the error is about.
const ORDER: [(&str, &str, &str); 6] = [
    ("min", "max", "min"),
    ("min", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest"),
    ("min", "default", "default"),
    ("default", "max", "default"),
];

fn check_bounds(item: &At<'_>, errors: &mut Vec<FieldError>) {
    let words = |field: &'static str| match field {
        "default" => "default limit",
        "defaultRequest" => "default request",
        field => field,
    };
    let amount = |at: &At<'_>| quantity::billionths(at.text());
    for (less, more, blamed) in ORDER {
        for name in item.field(less).keys() {
            let (first, second) = (item.field(less).key(name), item.field(more).key(name));
            if second.is_set() && amount(&first) > amount(&second) {
                let why = format!(
                    "{} value {} is greater than {} value {}",
                    words(less),
                    first.text(),
                    words(more),
                    second.text()
                );
                let path = item.field(blamed).key(name);
                errors.push(FieldError::invalid(path.path(), path.text(), why));
            }
        }
    }
    let ratios = item.field("maxLimitRequestRatio");
    for ratio in ratios.keys().map(|name| ratios.key(name)) {
        if amount(&ratio).is_some_and(|ratio| ratio < 1_000_000_000) {
            let why = format!("ratio {} is less than 1", ratio.text());
            errors.push(FieldError::invalid(ratio.path(), ratio.text(), why));
        }
    }
}
