//! HorizontalPodAutoscalers of `autoscaling/v1`, which have a target for CPU alone: all else is JSON in annotations, as
//! `pkg/apis/autoscaling/v1/conversion.go` has it.

use palisade_k8s::FieldError;
use serde_json::{Map, Value, json};

use super::super::subresource::{STATUS, Subresource, status};
use super::super::{Resource, Row, text};
use super::SECOND;
use crate::kind::Serves;
use crate::schema;
use crate::shape::Shape;

/// Autoscalers in their first version.
pub(in super::super) static FIRST_AUTOSCALERS: Resource = Resource::Row(&Row {
    version: "v1",
    schema: "v1/HorizontalPodAutoscaler",
    subresources: &[Subresource { serves: Serves::Part(take_status), ..STATUS }],
    is_view: true,
    convert: Some(into_first),
    prepare: |object, old| as_second(object, old, SECOND.prepare),
    validate,
    ..SECOND
});

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
/// Annotations that stand for fields of later versions in this one; the last two belonged to alpha versions.
const ANNOTATIONS: [&str; 6] = [
    METRICS,
    CURRENT_METRICS,
    CONDITIONS,
    BEHAVIOR,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];

/// Size of all annotations of an object, in bytes (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).
const ANNOTATIONS_SIZE: usize = 256 * 1024;
/// Percentage of CPU that is aimed at where nothing is said.
const CPU: i64 = 80;

/// Changes an object as the second version does.
fn as_second(object: &mut Value, old: Option<&Value>, change: fn(&mut Value, Option<&Value>)) {
    let old = old.map(second);
    into_second(object);
    change(object, old.as_ref());
    into_first(object);
}

fn second(object: &Value) -> Value {
    let mut object = object.clone();
    into_second(&mut object);
    object
}

fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    (SECOND.validate)(&second(object), old.map(second).as_ref())
}

/// A status is written apart from what its author wants, which annotations hold too.
fn take_status(new: &mut Value, old: &Value) {
    let old = second(old);
    into_second(new);
    status(new, &old);
    into_first(new);
}

/// A field that has a value.
fn there<'v>(object: &'v Value, pointer: &str) -> Option<&'v Value> {
    object.pointer(pointer).filter(|value| !value.is_null())
}

fn items<'v>(object: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    object.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn is_of_cpu(metric: &Value) -> bool {
    text(metric, "/type") == "Resource" && text(metric, "/resource/name") == "cpu"
}

fn is_target_of_cpu(metric: &Value) -> bool {
    is_of_cpu(metric) && there(metric, "/resource/target/averageUtilization").is_some()
}

/// Makes an object of the second version one of the first.
fn into_first(object: &mut Value) {
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| drop(said.insert(name.to_owned(), value.to_string().into()));
    let others: Vec<Value> = items(object, "/spec/metrics")
        .filter(|metric| !is_target_of_cpu(metric))
        .map(|metric| first_metric(metric, "target"))
        .collect();
    if !others.is_empty() {
        say(METRICS, others.into());
    }
    let current: Vec<Value> =
        items(object, "/status/currentMetrics").map(|metric| first_metric(metric, "current")).collect();
    if !current.is_empty() {
        say(CURRENT_METRICS, current.into());
    }
    if let Some(conditions) = there(object, "/status/conditions").filter(|all| **all != json!([])) {
        say(CONDITIONS, conditions.clone());
    }
    if let Some(behavior) = there(object, "/spec/behavior") {
        say(BEHAVIOR, in_go(behavior));
    }
    let target = items(object, "/spec/metrics").find(|metric| is_target_of_cpu(metric));
    let target = target.and_then(|metric| metric.pointer("/resource/target/averageUtilization")).cloned();
    let used = items(object, "/status/currentMetrics").filter(|metric| is_of_cpu(metric));
    let used =
        used.filter_map(|metric| there(metric, "/resource/current/averageUtilization")).last().cloned();
    replace(object, "spec", &["metrics", "behavior"], ("targetCPUUtilizationPercentage", target));
    replace(object, "status", &["currentMetrics", "conditions"], ("currentCPUUtilizationPercentage", used));
    if let Some(status) = object.get_mut("status").filter(|status| status.is_object()) {
        super::default(status, "currentReplicas", 0);
    }
    annotate(object, said);
}

/// Makes an object of the first version one of the second.
pub(super) fn into_second(object: &mut Value) {
    let annotations = object.pointer("/metadata/annotations");
    let texts = ANNOTATIONS.iter().filter_map(|name| annotations?.get(*name)?.as_str());
    // More is refused later; as values it may weigh a hundred times as much.
    let is_readable = texts.map(str::len).sum::<usize>() <= ANNOTATIONS_SIZE;
    let said = |name: &str| {
        let text = annotations?.get(name)?.as_str().filter(|_| is_readable)?;
        serde_json::from_str::<Value>(text).ok()
    };
    let mut metrics = read(said(METRICS), "MetricSpec", |metric| second_metric(metric, "target"));
    let target = there(object, "/spec/targetCPUUtilizationPercentage").cloned();
    if target.is_some() || metrics.as_ref().is_none_or(Vec::is_empty) {
        let percentage = target.unwrap_or_else(|| CPU.into());
        metrics.get_or_insert_default().push(json!({"type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percentage}}}));
    }
    let used = there(object, "/status/currentCPUUtilizationPercentage");
    let used = used.map(|used| {
        vec![
            json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}),
        ]
    });
    let current = read(said(CURRENT_METRICS), "MetricStatus", |metric| second_metric(metric, "current"));
    let current = current.or(used);
    let conditions = read(said(CONDITIONS), "HorizontalPodAutoscalerCondition", Clone::clone);
    let behavior = said(BEHAVIOR).map(|behavior| in_json(&behavior));
    let behavior = behavior.filter(|behavior| behavior.as_object().is_some_and(|map| !map.is_empty()));
    let behavior = behavior.and_then(|behavior| fitted(behavior, "HorizontalPodAutoscalerBehavior"));
    replace(object, "spec", &["targetCPUUtilizationPercentage"], ("metrics", metrics.map(Value::Array)));
    replace(object, "spec", &[], ("behavior", behavior));
    let current = current.map_or(Value::Null, Value::Array);
    replace(object, "status", &["currentCPUUtilizationPercentage"], ("currentMetrics", Some(current)));
    replace(object, "status", &[], ("conditions", conditions.map(Value::Array)));
    if is_readable {
        annotate(object, Map::new());
    }
}

/// Takes fields from a part of an object, and gives it another one.
fn replace(object: &mut Value, part: &str, gone: &[&str], (field, value): (&str, Option<Value>)) {
    let Some(map) = object.get_mut(part).and_then(Value::as_object_mut) else { return };
    for name in gone {
        map.shift_remove(*name);
    }
    if let Some(value) = value {
        map.insert(field.to_owned(), value);
    }
}

/// Replaces the annotations that are of the first version alone.
fn annotate(object: &mut Value, said: Map<String, Value>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let mut all = match metadata.get("annotations") {
        Some(Value::Object(annotations)) => annotations.clone(),
        _ if said.is_empty() => return,
        _ => Map::new(),
    };
    all.retain(|name, _| !ANNOTATIONS.contains(&name.as_str()));
    all.extend(said);
    match all.is_empty() {
        true => drop(metadata.shift_remove("annotations")),
        false => drop(metadata.insert("annotations".to_owned(), all.into())),
    }
}

/// A value that fits a type; none where it does not, as what cannot be read in an annotation counts as not said.
fn fitted(mut value: Value, kind: &str) -> Option<Value> {
    Shape::Message(schema::message(kind)?).fit(&mut value).ok()?;
    Some(value)
}

/// A list in an annotation, each of its elements of a type.
fn read(said: Option<Value>, kind: &str, item: impl Fn(&Value) -> Value) -> Option<Vec<Value>> {
    let Some(Value::Array(items)) = said else { return None };
    items.iter().map(|found| fitted(found.is_object().then(|| item(found))?, kind)).collect()
}

/// A kind of metrics, and the fields of the first version with where the second has them; `{}` stands for `target` or
/// `current`, in the first version with what follows in capitals.
type Source = (&'static str, &'static [(&'static str, &'static str)]);

/// The kinds of metrics, in the order of the first version.
const SOURCES: [Source; 5] = [
    (
        "object",
        &[
            ("target", "/describedObject"),
            ("metricName", "/metric/name"),
            ("{}Value", "/{}/value"),
            ("selector", "/metric/selector"),
            ("averageValue", "/{}/averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "/metric/name"),
            ("{}AverageValue", "/{}/averageValue"),
            ("selector", "/metric/selector"),
        ],
    ),
    (
        "resource",
        &[
            ("name", "/name"),
            ("{}AverageUtilization", "/{}/averageUtilization"),
            ("{}AverageValue", "/{}/averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "/name"),
            ("{}AverageUtilization", "/{}/averageUtilization"),
            ("{}AverageValue", "/{}/averageValue"),
            ("container", "/container"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "/metric/name"),
            ("metricSelector", "/metric/selector"),
            ("{}Value", "/{}/value"),
            ("{}AverageValue", "/{}/averageValue"),
        ],
    ),
];

/// Whether a quantity of the first version is written where there is none, as 0: its field has no form for absence.
fn is_always_written(source: &str, field: &str, side: &str) -> bool {
    let always: &[&str] = match (source, side) {
        ("object", _) => &["{}Value"],
        ("pods", _) | ("resource" | "containerResource", "current") => &["{}AverageValue"],
        ("external", "current") => &["{}Value"],
        _ => &[],
    };
    always.contains(&field)
}

/// A metric of the second version as the first has it; `side` is `target`, or `current` in a status.
fn first_metric(metric: &Value, side: &str) -> Value {
    let mut made = json!({"type": metric.get("type")});
    for (source, fields) in SOURCES {
        let Some(found) = there(metric, &format!("/{source}")) else { continue };
        let mut inner = Map::new();
        for (name, place) in fields {
            let value = there(found, &place.replace("{}", side)).cloned();
            let zero = || is_always_written(source, name, side).then(|| "0".into());
            if let Some(value) = value.or_else(zero) {
                inner.insert(name.replace("{}", side), value);
            }
        }
        palisade_k8s::put(&mut made, &[source], inner.into());
    }
    made
}

/// A metric of the first version as the second has it.
fn second_metric(metric: &Value, side: &str) -> Value {
    let mut made = json!({"type": metric.get("type")});
    for (source, fields) in SOURCES {
        let Some(found) = there(metric, &format!("/{source}")) else { continue };
        let mut inner = json!({});
        for (name, place) in fields {
            let Some(value) = there(found, &format!("/{}", name.replace("{}", side))) else { continue };
            let place = place.replace("{}", side);
            let place: Vec<&str> = place.split('/').skip(1).collect();
            palisade_k8s::put(&mut inner, &place, value.clone());
        }
        if side == "target" {
            aim(source, &mut inner);
        }
        palisade_k8s::put(&mut made, &[source], inner);
    }
    made
}

/// Says what kind of target one is, which the first version leaves to which field is there.
fn aim(source: &str, inner: &mut Value) {
    let has = |field: &str| there(inner, &format!("/target/{field}")).is_some();
    let kind = match source {
        "object" if !has("averageValue") => "Value",
        "external" if has("value") => "Value",
        "resource" | "containerResource" if has("averageUtilization") => "Utilization",
        _ => "AverageValue",
    };
    let is_zero = text(inner, "/target/value") == "0";
    palisade_k8s::put(inner, &["target", "type"], kind.into());
    if source == "object" && kind == "AverageValue" && is_zero {
        let target = inner.get_mut("target").and_then(Value::as_object_mut);
        target.map(|target| target.shift_remove("value"));
    }
}

/// The fields of a behavior as the annotation names them: by their names in Go, whose type it is.
const FIELDS: [&str; 9] = [
    "scaleUp",
    "scaleDown",
    "stabilizationWindowSeconds",
    "selectPolicy",
    "policies",
    "tolerance",
    "type",
    "value",
    "periodSeconds",
];

fn renamed(value: &Value, name: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(field, value)| (name(field), renamed(value, name)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(|item| renamed(item, name)).collect(),
        other => other.clone(),
    }
}

fn in_go(behavior: &Value) -> Value {
    renamed(behavior, &|field| {
        let mut letters = field.chars();
        letters.next().map_or_else(String::new, |letter| letter.to_uppercase().chain(letters).collect())
    })
}

fn in_json(behavior: &Value) -> Value {
    renamed(behavior, &|field| {
        let known = FIELDS.iter().find(|known| known.eq_ignore_ascii_case(field));
        known.map_or_else(|| field.to_owned(), |known| (*known).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaler(metrics: Value, more: Value) -> Value {
        let mut object = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2",
            "metadata": {"name": "web", "annotations": {"own": "1"}},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}, "minReplicas": 2,
                     "maxReplicas": 5, "metrics": metrics},
            "status": {"currentReplicas": 3, "desiredReplicas": 3, "currentMetrics": null}});
        for (field, value) in more.as_object().into_iter().flatten() {
            palisade_k8s::put(&mut object, &field.split('.').collect::<Vec<_>>(), value.clone());
        }
        object
    }

    /// Values of the annotations are those of `pkg/apis/autoscaling/v1/conversion_test.go` and of the types.
    #[test]
    fn versions_turn_into_one_another() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}});
        let cases = [
            (cpu.clone(), json!({}), Some(60), None, ""),
            (
                json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}}),
                json!({}),
                None,
                Some(METRICS),
                r#"[{"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}}]"#,
            ),
            (
                json!({"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"},
                    "metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "7"}}}),
                json!({}),
                None,
                Some(METRICS),
                r#"[{"type":"Object","object":{"target":{"kind":"Service","name":"s"},"metricName":"hits","targetValue":"0","averageValue":"7"}}]"#,
            ),
            (
                json!({"type": "External", "external": {"metric": {"name": "queue", "selector": {"matchLabels": {"a": "b"}}},
                    "target": {"type": "Value", "value": "30"}}}),
                json!({}),
                None,
                Some(METRICS),
                r#"[{"type":"External","external":{"metricName":"queue","metricSelector":{"matchLabels":{"a":"b"}},"targetValue":"30"}}]"#,
            ),
            (
                cpu.clone(),
                json!({"spec.behavior": {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}}}),
                Some(60),
                Some(BEHAVIOR),
                r#"{"ScaleDown":{"SelectPolicy":"Max","Policies":[{"Type":"Pods","Value":4,"PeriodSeconds":15}]}}"#,
            ),
            (
                cpu,
                json!({"status.conditions": [{"type": "AbleToScale", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
                Some(60),
                Some(CONDITIONS),
                r#"[{"type":"AbleToScale","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]"#,
            ),
        ];
        for (metric, more, percentage, annotation, said) in cases {
            let kept = scaler(json!([metric]), more);
            let shown = FIRST_AUTOSCALERS.show(kept.clone());
            let found = shown.pointer("/spec/targetCPUUtilizationPercentage").and_then(Value::as_i64);
            assert_eq!(found, percentage, "{shown:#}");
            if let Some(annotation) = annotation {
                assert_eq!(shown["metadata"]["annotations"][annotation], said, "{shown:#}");
            }
            assert_eq!(shown["metadata"]["annotations"]["own"], "1");
            let mut fitting = shown.clone();
            assert_eq!(FIRST_AUTOSCALERS.shape().fit(&mut fitting).unwrap(), Vec::<String>::new());
            assert_eq!(super::super::AUTOSCALERS.show(shown), kept);
        }
    }

    #[test]
    fn annotations_that_are_too_large_are_left_to_be_refused() {
        let large = format!("[{}0]", "0,".repeat(ANNOTATIONS_SIZE / 2));
        let mut object = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1",
            "metadata": {"name": "web", "annotations": {METRICS: large}}, "spec": {"maxReplicas": 3}});
        into_second(&mut object);
        assert_eq!(object["metadata"]["annotations"][METRICS], large);
    }

    #[test]
    fn unreadable_annotations_are_ignored() {
        for bad in ["", "{", "[1]", r#"[{"type":1}]"#, r#"{"scaleUp":[]}"#, &"[".repeat(20_000)] {
            let mut object = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v1", "metadata": {"name": "web",
                "annotations": {METRICS: bad, BEHAVIOR: bad, CONDITIONS: bad, CURRENT_METRICS: bad}}, "spec": {"maxReplicas": 3}});
            into_second(&mut object);
            let metrics = object["spec"]["metrics"].as_array().unwrap();
            assert_eq!(metrics.len(), 1, "{bad}");
            assert_eq!(metrics[0]["resource"]["target"]["averageUtilization"], CPU);
            assert!(
                object["spec"].get("behavior").is_none() && object["metadata"].get("annotations").is_none()
            );
        }
    }
}
