//! Kinds that limit other objects: disruption budgets, autoscalers, quotas, ranges of limits, and classes of pods and storage.

use palisade_k8s::{FieldError, FieldPath};
use serde_json::{Value, json};

use super::at::At;
use super::subresource::STATUS;
use super::{AGE, BASE, Column, Resource, Row, age, column, count, default, immutable, keep_status, text};

/// Budgets for the disruption of pods.
pub(super) static POD_DISRUPTION_BUDGETS: Resource = Resource::Row(&Row {
    group: "policy",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    kind: "PodDisruptionBudget",
    schema: "PodDisruptionBudget",
    short_names: &["pdb"],
    counts_generations: true,
    subresources: &[STATUS],
    storage: "policy/poddisruptionbudgets",
    columns: &[column("Min Available"), column("Max Unavailable"), column("Allowed Disruptions"), AGE],
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
    validate: |object, _| {
        let spec = At::root(object, "spec");
        let both = spec.field("minAvailable").is_set() && spec.field("maxUnavailable").is_set();
        let why = "minAvailable and maxUnavailable cannot be both set";
        let mut errors: Vec<FieldError> = both.then(|| spec.invalid_whole(why)).into_iter().collect();
        errors.extend(spec.field("unhealthyPodEvictionPolicy").none_of(&["AlwaysAllow", "IfHealthyBudget"]));
        errors
    },
    ..BASE
});

/// Autoscalers.
pub(super) static AUTOSCALERS: Resource = Resource::Row(&Row {
    group: "autoscaling",
    version: "v2",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    kind: "HorizontalPodAutoscaler",
    schema: "HorizontalPodAutoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    subresources: &[STATUS],
    storage: "autoscaling/horizontalpodautoscalers",
    columns: &[
        column("Reference"),
        column("Targets"),
        column("MinPods"),
        column("MaxPods"),
        column("Replicas"),
        AGE,
    ],
    cells: |object, now| {
        let number = |pointer: &str| object.pointer(pointer).map_or("<unset>".to_owned(), Value::to_string);
        vec![
            format!(
                "{}/{}",
                text(object, "/spec/scaleTargetRef/kind"),
                text(object, "/spec/scaleTargetRef/name")
            )
            .into(),
            "<unknown>".into(),
            number("/spec/minReplicas").into(),
            number("/spec/maxReplicas").into(),
            object.pointer("/status/currentReplicas").cloned().unwrap_or_else(|| 0.into()),
            age(object, now),
        ]
    },
    prepare: |object, old| {
        keep_status(object, old, json!({"desiredReplicas": 0, "currentMetrics": null}));
        if let Some(spec) = object.get_mut("spec") {
            default(spec, "minReplicas", 1);
            let cpu = json!([{"type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]);
            default(spec, "metrics", cpu);
        }
    },
    validate: |object, _| {
        let spec = At::root(object, "spec");
        let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
        let mut errors: Vec<FieldError> = most.outside(1..=i64::MAX).into_iter().collect();
        errors.extend(least.outside(1..=i64::MAX));
        if !most.is_set() {
            errors.push(most.required(""));
        } else if most.number() < least.number() {
            errors.push(most.invalid("must be greater than or equal to `minReplicas`"));
        }
        for field in ["kind", "name"] {
            errors.extend(spec.field("scaleTargetRef").field(field).missing());
        }
        errors
    },
    ..BASE
});

/// Quotas of namespaces. They are kept and shown; nothing is counted against them.
pub(super) static RESOURCE_QUOTAS: Resource = Resource::Row(&Row {
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
    ..BASE
});

/// Ranges of limits of namespaces. They are kept and shown; no pod is given limits by them.
pub(super) static LIMIT_RANGES: Resource = Resource::Row(&Row {
    plural: "limitranges",
    singular: "limitrange",
    kind: "LimitRange",
    schema: "LimitRange",
    short_names: &["limits"],
    storage: "limitranges",
    columns: &[column("Created At")],
    cells: |object, _| vec![text(object, "/metadata/creationTimestamp").into()],
    ..BASE
});

/// Classes of pods by their importance.
pub(super) static PRIORITY_CLASSES: Resource = Resource::Row(&Row {
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
        column("Global-Default"),
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
    prepare: |object, _| default(object, "preemptionPolicy", "PreemptLowerPriority"),
    validate: |object, old| {
        const MOST: i64 = 1_000_000_000;
        let mut errors = immutable(object, old, &["value", "preemptionPolicy"]);
        let value = object.get("value").and_then(Value::as_i64).unwrap_or_default();
        if value > MOST {
            let why = format!("maximum allowed value of a user defined priority is {MOST}");
            errors.push(FieldError::forbidden(FieldPath::of("value"), why));
        }
        errors.extend(At::root(object, "preemptionPolicy").none_of(&["Never", "PreemptLowerPriority"]));
        errors
    },
    ..BASE
});

/// Classes of pods by what runs them.
pub(super) static RUNTIME_CLASSES: Resource = Resource::Row(&Row {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    singular: "runtimeclass",
    kind: "RuntimeClass",
    schema: "RuntimeClass",
    namespaced: false,
    storage: "node.k8s.io/runtimeclasses",
    columns: &[column("Handler"), AGE],
    cells: |object, now| vec![text(object, "/handler").into(), age(object, now)],
    validate: |object, old| {
        let mut errors = immutable(object, old, &["handler"]);
        errors.extend(At::root(object, "handler").missing());
        errors
    },
    ..BASE
});

/// Classes of storage.
pub(super) static STORAGE_CLASSES: Resource = Resource::Row(&Row {
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
        errors.extend(At::root(object, "provisioner").missing());
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
    columns: &[column("Containers"), AGE],
    cells: |object, now| {
        let spec = object.pointer("/template/spec").cloned().unwrap_or_default();
        vec![count(&spec, "containers").into(), age(object, now)]
    },
    ..BASE
});
