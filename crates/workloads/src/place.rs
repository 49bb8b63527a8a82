//! Nodes that a pod may be on, by its selector, affinity and tolerations (`k8s.io/component-helpers/scheduling/corev1`).

use palisade_api::kind::text;
use serde_json::{Value, json};

/// Whether pods of a DaemonSet may come to a node, and whether those that are there may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) may_come: bool,
    pub(crate) may_stay: bool,
}

/// What pods of DaemonSets tolerate besides what their template says.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NO_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// The specification of a DaemonSet's template with what its pods tolerate.
pub(crate) fn tolerant(mut spec: Value) -> Value {
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    let more = TOLERATED.into_iter().chain(on_host.then_some(NO_NETWORK));
    let more = more.map(|(key, effect)| json!({"key": key, "operator": "Exists", "effect": effect}));
    let mut all = items(&spec, "/tolerations").to_vec();
    for toleration in more {
        all.retain(|other| *other != toleration);
        all.push(toleration);
    }
    palisade_k8s::put(&mut spec, &["tolerations"], all.into());
    spec
}

/// What a node is to a pod of such a specification.
pub(crate) fn of(spec: &Value, node: &Value) -> Place {
    let fits = fits_name(spec, node) && fits_selector(spec, node) && fits_affinity(spec, node);
    let tolerates = |effects: &[&str]| {
        let mut taints = items(node, "/spec/taints").iter();
        taints.all(|taint| !effects.contains(&text(taint, "/effect")) || is_tolerated(spec, taint))
    };
    Place {
        may_come: fits && tolerates(&["NoSchedule", "NoExecute"]),
        may_stay: fits && tolerates(&["NoExecute"]),
    }
}

fn items<'v>(object: &'v Value, pointer: &str) -> &'v [Value] {
    object.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn fits_name(spec: &Value, node: &Value) -> bool {
    matches!(text(spec, "/nodeName"), name if name.is_empty() || name == text(node, "/metadata/name"))
}

fn fits_selector(spec: &Value, node: &Value) -> bool {
    let mut wanted = spec.get("nodeSelector").and_then(Value::as_object).into_iter().flatten();
    wanted.all(|(key, value)| label(node, key) == value.as_str())
}

fn label<'v>(node: &'v Value, key: &str) -> Option<&'v str> {
    node.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// Of the terms one is enough; one without requirements fits nothing.
fn fits_affinity(spec: &Value, node: &Value) -> bool {
    let required = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    if spec.pointer(required).is_none() {
        return true;
    }
    items(spec, required).iter().any(|term| {
        let (labels, fields) = (items(term, "/matchExpressions"), items(term, "/matchFields"));
        let name = Some(text(node, "/metadata/name"));
        labels.len() + fields.len() > 0
            && labels.iter().all(|wanted| meets(wanted, label(node, text(wanted, "/key"))))
            && fields.iter().all(|wanted| text(wanted, "/key") == "metadata.name" && meets(wanted, name))
    })
}

/// Whether a value meets a requirement.
fn meets(wanted: &Value, found: Option<&str>) -> bool {
    let values = items(wanted, "/values");
    let is_among = || found.is_some_and(|found| values.iter().any(|value| value == found));
    let compared = || {
        let bound: i64 = values.first()?.as_str()?.parse().ok()?;
        Some(found?.parse::<i64>().ok()?.cmp(&bound))
    };
    match text(wanted, "/operator") {
        "In" => is_among(),
        "NotIn" => !is_among(),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compared().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

fn is_tolerated(spec: &Value, taint: &Value) -> bool {
    items(spec, "/tolerations").iter().any(|toleration| {
        let [key, effect, value] = ["/key", "/effect", "/value"].map(|field| text(toleration, field));
        let is_any = text(toleration, "/operator") == "Exists";
        (effect.is_empty() || effect == text(taint, "/effect"))
            && (key.is_empty() && is_any || key == text(taint, "/key"))
            && (is_any || value == text(taint, "/value"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_for_what_fits_it() {
        let node = json!({"metadata": {"name": "a", "labels": {"disk": "ssd", "size": "7"}},
            "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                                {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}});
        let gpu = |operator: &str, value: &str| json!([{"key": "gpu", "operator": operator, "value": value}]);
        let affine = |terms: Value| json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
        let term = |key: &str, operator: &str, values: Value| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
        let cases = [
            (json!({}), false, true),
            (json!({"tolerations": gpu("Equal", "yes")}), true, true),
            (json!({"tolerations": gpu("Equal", "no")}), false, true),
            (json!({"tolerations": gpu("Exists", "")}), true, true),
            (json!({"tolerations": [{"operator": "Exists"}]}), true, true),
            (json!({"tolerations": gpu("Exists", ""), "nodeSelector": {"disk": "hdd"}}), false, false),
            (json!({"tolerations": gpu("Exists", ""), "nodeName": "b"}), false, false),
            (
                json!({"tolerations": gpu("Exists", ""), "affinity": affine(term("size", "Gt", json!(["6"])))}),
                true,
                true,
            ),
            (
                json!({"tolerations": gpu("Exists", ""), "affinity": affine(term("size", "Lt", json!(["6"])))}),
                false,
                false,
            ),
            (
                json!({"tolerations": gpu("Exists", ""), "affinity": affine(term("disk", "NotIn", json!(["ssd"])))}),
                false,
                false,
            ),
            (
                json!({"tolerations": gpu("Exists", ""), "affinity": affine(term("none", "DoesNotExist", json!([])))}),
                true,
                true,
            ),
            (json!({"tolerations": gpu("Exists", ""), "affinity": affine(json!([]))}), false, false),
        ];
        for (spec, may_come, may_stay) in cases {
            assert_eq!(of(&tolerant(spec.clone()), &node), Place { may_come, may_stay }, "{spec}");
        }
    }
}
