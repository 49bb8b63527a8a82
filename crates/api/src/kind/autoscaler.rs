//! HorizontalPodAutoscalers, as `pkg/apis/autoscaling/v2/defaults.go` and `pkg/apis/autoscaling/validation` have them.

mod first;

use palisade_k8s::{FieldError, quantity};
use serde_json::{Value, json};

use super::at::At;
use super::subresource::STATUS;
use super::{AGE, BASE, Resource, Row, age, column, default, keep_status, text};

pub(super) use first::FIRST_AUTOSCALERS;

/// Autoscalers.
pub(super) static AUTOSCALERS: Resource = Resource::Row(&SECOND);

static SECOND: Row = Row {
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
            if let Some(behavior) = spec.get_mut("behavior").filter(|behavior| behavior.is_object()) {
                complete_behavior(behavior);
            }
        }
    },
    validate,
    convert: Some(first::into_second),
    ..BASE
};

/// How fast the number of pods may grow and shrink, if it is specified.
fn complete_behavior(behavior: &mut Value) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (direction, policies) in [("scaleUp", json!([pods, percent])), ("scaleDown", json!([percent]))] {
        default(behavior, direction, json!({}));
        let Some(rules) = behavior.get_mut(direction).filter(|rules| rules.is_object()) else { continue };
        default(rules, "selectPolicy", "Max");
        if direction == "scaleUp" {
            default(rules, "stabilizationWindowSeconds", 0);
        }
        default(rules, "policies", policies);
    }
}

fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = At::root(object, "spec");
    let (least, most) = (spec.field("minReplicas"), spec.field("maxReplicas"));
    let mut errors: Vec<FieldError> = most.outside(1..=i64::MAX).into_iter().collect();
    errors.extend(least.outside(1..=i64::MAX));
    if !most.is_set() {
        errors.push(most.required(""));
    } else if most.number() < least.number() {
        errors.push(most.invalid("must be greater than or equal to `minReplicas`"));
    }
    check_reference(&spec.field("scaleTargetRef"), &mut errors);
    spec.field("metrics").items().for_each(|metric| check_metric(&metric, &mut errors));
    for direction in ["scaleUp", "scaleDown"] {
        check_rules(&spec.field("behavior").field(direction), &mut errors);
    }
    if old.is_some_and(|old| old.get("status") != object.get("status")) {
        let status = At::root(object, "status");
        let numbers = ["currentReplicas", "desiredReplicas"];
        errors.extend(numbers.iter().filter_map(|name| status.field(name).outside(0..=i64::MAX)));
    }
    errors
}

/// An object, by kind and name, each a segment of a path.
fn check_reference(reference: &At<'_>, errors: &mut Vec<FieldError>) {
    for part in ["kind", "name"].map(|part| reference.field(part)) {
        errors.extend(part.missing());
        if part.text().contains(['/', '%']) || matches!(part.text(), "." | "..") {
            errors.push(part.invalid("must be a segment of a path: not '.' or '..', without '/' and '%'"));
        }
    }
}

/// The kinds of metrics, and the field in which each is.
const METRICS: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

fn check_metric(metric: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = metric.field("type");
    errors.extend(kind.missing());
    errors.extend(kind.none_of(&METRICS.map(|(kind, _)| kind)));
    let Some((_, field)) = METRICS.iter().find(|(known, _)| *known == kind.text()) else { return };
    let source = metric.field(field);
    if !source.is_set() {
        errors.push(source.required("must populate information for the given metric source"));
        return;
    }
    let target = source.field("target");
    match kind.text() {
        "Resource" | "ContainerResource" => errors.extend(source.field("name").missing()),
        "Object" => check_reference(&source.field("describedObject"), errors),
        _ => {}
    }
    if kind.text() == "ContainerResource" {
        errors.extend(source.field("container").missing());
    }
    if matches!(kind.text(), "Pods" | "Object" | "External") {
        let name = source.field("metric").field("name");
        errors.extend(name.missing());
        if name.text().contains(['/', '%']) {
            errors.push(name.invalid("must be a segment of a path, without '/' and '%'"));
        }
    }
    check_target(&target, errors);
}

fn check_target(target: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = target.field("type");
    errors.extend(kind.missing());
    if !matches!(kind.text(), "" | "Utilization" | "Value" | "AverageValue") {
        errors.push(kind.invalid("must be either Utilization, Value, or AverageValue"));
    }
    errors.extend(target.field("averageUtilization").outside(1..=i64::MAX));
    for amount in ["value", "averageValue"].map(|field| target.field(field)) {
        if quantity::billionths(amount.text()).is_some_and(|found| found <= 0) {
            errors.push(amount.invalid("must be positive"));
        }
    }
}

/// Maximum stabilization window, in seconds.
const WINDOW: i64 = 3_600;
/// Maximum period of a policy, in seconds.
const PERIOD: i64 = 1_800;

fn check_rules(rules: &At<'_>, errors: &mut Vec<FieldError>) {
    if !rules.is_set() {
        return;
    }
    errors.extend(rules.field("stabilizationWindowSeconds").outside(0..=WINDOW));
    errors.extend(rules.field("selectPolicy").none_of(&["Disabled", "Max", "Min"]));
    let policies = rules.field("policies");
    if policies.items().next().is_none() {
        errors.push(policies.required("must specify at least one Policy"));
    }
    for policy in policies.items() {
        errors.extend(policy.field("type").none_of(&["Percent", "Pods"]));
        for (field, most) in [("value", i64::MAX), ("periodSeconds", PERIOD)] {
            errors.extend(policy.field(field).outside(1..=most));
        }
    }
}
