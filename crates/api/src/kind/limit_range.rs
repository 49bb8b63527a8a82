//! LimitRanges: the default resources of containers, and the bounds of requests and limits.
//!
//! The rules are those of `k8s.io/kubernetes/plugin/pkg/admission/limitranger` and `pkg/apis/core/v1/defaults.go`.

use std::collections::BTreeMap;

use palisade_k8s::put;
use serde_json::Value;

use super::text;
use crate::amount::{self, Amount, Amounts, List};
use crate::limits;

/// Annotation of a pod that lists its defaults.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Maximum number of errors about one object.
const COMPLAINTS: usize = 20;

fn items<'r>(range: &'r Value, kind: &'static str) -> impl Iterator<Item = &'r Value> {
    let all = range.pointer("/spec/limits").and_then(Value::as_array).into_iter().flatten();
    all.filter(move |item| text(item, "/type") == kind)
}

/// Completes the items of a range for containers: default limits fall back to the maximum, default requests to the
/// default limit and then to the minimum.
pub(crate) fn complete(range: &mut Value) {
    let all = range.pointer_mut("/spec/limits").and_then(Value::as_array_mut).into_iter().flatten();
    for item in all.filter(|item| text(item, "/type") == "Container") {
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let known = item.get(from).and_then(Value::as_object).cloned();
            for (name, value) in known.into_iter().flatten() {
                if item.get(to).and_then(|to| to.get(&name)).is_none() {
                    put(item, &[to, &name], value);
                }
            }
        }
    }
}

/// Sets the defaults of a pod's containers. Returns whether the pod can be stored: the defaults of each of very many
/// containers may be more than an object can hold.
#[must_use]
pub fn fill(range: &Value, pod: &mut Value) -> bool {
    let mut defaults: [BTreeMap<&str, &Value>; 2] = Default::default();
    for item in items(range, "Container") {
        for (defaults, field) in defaults.iter_mut().zip(["defaultRequest", "default"]) {
            let given = item.get(field).and_then(Value::as_object).into_iter().flatten();
            defaults.extend(given.map(|(name, value)| (name.as_str(), value)));
        }
    }
    let (mut said, mut given) = (Vec::new(), 0);
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            for (defaults, (field, kind)) in
                defaults.iter().zip([("requests", "request"), ("limits", "limit")])
            {
                let lacks = |name: &str| {
                    let own =
                        container.get("resources").and_then(|resources| resources.get(field)?.get(name));
                    own.is_none()
                };
                let missing: Vec<_> = defaults.iter().filter(|(name, _)| lacks(name)).collect();
                given += missing.len();
                if given > limits::DEFAULTS {
                    return false;
                }
                for (name, value) in &missing {
                    put(container, &["resources", field, name], (**value).clone());
                }
                if !missing.is_empty() {
                    let names: Vec<&str> = missing.iter().map(|(name, _)| **name).collect();
                    said.push(format!("{} {kind} for {what} {}", names.join(", "), text(container, "/name")));
                }
            }
        }
    }
    if !said.is_empty() {
        let said = format!("LimitRanger plugin set: {}", said.join("; "));
        put(pod, &["metadata", "annotations", ANNOTATION], said.into());
    }
    true
}

/// Violations of a range by a pod.
#[must_use]
pub fn against_pod(range: &Value, pod: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for item in items(range, "Container").map(Item::read) {
        let lists = ["/spec/containers", "/spec/initContainers"];
        let containers = lists.into_iter().filter_map(|list| pod.pointer(list)?.as_array()).flatten();
        for container in containers {
            // Each names what the item bounds, or is complained of.
            if complaints.len() == COMPLAINTS {
                return complaints;
            }
            let [requests, limits] =
                [List::Requests, List::Limits].map(|list| amount::read(list.of(container)));
            item.check(&requests, &limits, &mut complaints);
        }
    }
    for item in items(range, "Pod").map(Item::read) {
        let [requests, limits] = [List::Requests, List::Limits].map(|list| amount::of_pod(pod, list));
        item.check(&requests, &limits, &mut complaints);
    }
    complaints
}

/// Violations of a range by a claim.
#[must_use]
pub fn against_claim(range: &Value, claim: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    let requests = amount::read(claim.pointer("/spec/resources/requests"));
    for item in items(range, "PersistentVolumeClaim") {
        let bounds = Bounds { kind: "PersistentVolumeClaim", requests: &requests, limits: &Amounts::new() };
        let bound = |field: &str| amount::read(item.get(field)).into_iter();
        complaints.extend(bound("min").filter_map(|(name, least)| bounds.below(&name, least)));
        complaints.extend(bound("max").filter_map(|(name, most)| bounds.asks_above(&name, most)));
    }
    complaints.truncate(COMPLAINTS);
    complaints
}

/// The bounds of an item.
struct Item<'r> {
    kind: &'r str,
    min: Amounts,
    max: Amounts,
    ratio: Amounts,
}

impl<'r> Item<'r> {
    fn read(item: &'r Value) -> Self {
        let bound = |field: &str| amount::read(item.get(field));
        Self {
            kind: text(item, "/type"),
            min: bound("min"),
            max: bound("max"),
            ratio: bound("maxLimitRequestRatio"),
        }
    }

    fn check(&self, requests: &Amounts, limits: &Amounts, complaints: &mut Vec<String>) {
        let bounds = Bounds { kind: self.kind, requests, limits };
        let below = self.min.iter().filter_map(|(name, least)| bounds.below(name, *least));
        let above = self.max.iter().filter_map(|(name, most)| bounds.above(name, *most));
        let apart = self.ratio.iter().filter_map(|(name, most)| bounds.apart(name, *most));
        let left = COMPLAINTS.saturating_sub(complaints.len());
        complaints.extend(below.chain(above).chain(apart).take(left));
    }
}

/// The requested amount, and its field.
struct Bounds<'b> {
    kind: &'b str,
    requests: &'b Amounts,
    limits: &'b Amounts,
}

impl Bounds<'_> {
    fn below(&self, name: &str, least: Amount) -> Option<String> {
        let what = format!("minimum {name} usage per {} is {least}", self.kind);
        let is_less = |amount: &&Amount| amount.billionths() < least.billionths();
        let Some(request) = self.requests.get(name) else {
            return Some(format!("{what}.  No request is specified"));
        };
        if is_less(&request) {
            return Some(format!("{what}, but request is {request}"));
        }
        self.limits.get(name).filter(is_less).map(|limit| format!("{what}, but limit is {limit}"))
    }

    fn above(&self, name: &str, most: Amount) -> Option<String> {
        let what = format!("maximum {name} usage per {} is {most}", self.kind);
        let is_more = |amount: &&Amount| amount.billionths() > most.billionths();
        let Some(limit) = self.limits.get(name) else {
            return Some(format!("{what}.  No limit is specified"));
        };
        if is_more(&limit) {
            return Some(format!("{what}, but limit is {limit}"));
        }
        self.requests.get(name).filter(is_more).map(|request| format!("{what}, but request is {request}"))
    }

    fn asks_above(&self, name: &str, most: Amount) -> Option<String> {
        let what = format!("maximum {name} usage per {} is {most}", self.kind);
        let Some(request) = self.requests.get(name) else {
            return Some(format!("{what}.  No request is specified"));
        };
        (request.billionths() > most.billionths()).then(|| format!("{what}, but request is {request}"))
    }

    fn apart(&self, name: &str, most: Amount) -> Option<String> {
        let what = format!("{name} max limit to request ratio per {} is {most}", self.kind);
        let set = |amounts: &Amounts| amounts.get(name).copied().filter(|amount| !amount.is_zero());
        let Some(request) = set(self.requests) else {
            return Some(format!("{what}, but no request is specified or request is 0"));
        };
        let Some(limit) = set(self.limits) else {
            return Some(format!("{what}, but no limit is specified or limit is 0"));
        };
        let float = |amount: Amount| amount.billionths() as f64;
        let ratio = float(limit) / float(request);
        (ratio > float(most) / 1e9).then(|| format!("{what}, but provided ratio is {ratio:.6}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn range(kind: &str, item: Value) -> Value {
        let mut item = item;
        item["type"] = kind.into();
        let mut range = json!({"spec": {"limits": [item]}});
        complete(&mut range);
        range
    }

    fn pod(resources: Value) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": resources}]}})
    }

    #[test]
    fn containers_get_default_resources() {
        let range = range(
            "Container",
            json!({"max": {"memory": "1Gi"}, "min": {"cpu": "100m"}, "default": {"cpu": "1"}}),
        );
        let mut made = pod(json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}));
        assert!(fill(&range, &mut made));
        let resources = &made["spec"]["containers"][0]["resources"];
        assert_eq!(
            *resources,
            json!({"limits": {"memory": "64Mi", "cpu": "1"}, "requests": {"memory": "64Mi", "cpu": "1"}})
        );
        let said = &made["metadata"]["annotations"][ANNOTATION];
        assert_eq!(said, "LimitRanger plugin set: cpu request for container c; cpu limit for container c");
        let names: serde_json::Map<_, _> =
            (0..2000).map(|at| (format!("example.com/r{at}"), json!("1"))).collect();
        let huge = json!({"spec": {"limits": [{"type": "Container", "default": names}]}});
        let mut many = json!({"spec": {"containers": vec![json!({"name": "c"}); 1000]}});
        assert!(!fill(&huge, &mut many));
    }

    #[test]
    fn resources_out_of_range_are_refused() {
        let said = |kind: &str, item: Value, resources: Value| {
            let complaints = against_pod(
                &json!({"spec": {"limits": [{"type": kind, "min": item["min"], "max": item["max"],
                "maxLimitRequestRatio": item["ratio"]}]}}),
                &pod(resources),
            );
            complaints.join("; ")
        };
        let cases = [
            (
                json!({"min": {"cpu": "100m"}}),
                json!({}),
                "minimum cpu usage per Container is 100m.  No request is specified",
            ),
            (
                json!({"min": {"cpu": "100m"}}),
                json!({"requests": {"cpu": "50m"}}),
                "minimum cpu usage per Container is 100m, but request is 50m",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({"limits": {"cpu": "1500m"}}),
                "maximum cpu usage per Container is 1, but limit is 1500m",
            ),
            (
                json!({"max": {"cpu": "1"}}),
                json!({"requests": {"cpu": "1"}}),
                "maximum cpu usage per Container is 1.  No limit is specified",
            ),
            (
                json!({"ratio": {"cpu": "2"}}),
                json!({"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            ),
            (
                json!({"min": {"cpu": "1"}, "max": {"cpu": "1000m"}}),
                json!({"requests": {"cpu": "1000m"}, "limits": {"cpu": "1"}}),
                "",
            ),
        ];
        for (item, resources, expected) in cases {
            assert_eq!(said("Container", item, resources), expected);
        }
        let two = json!({"max": {"memory": "1Gi"}});
        assert_eq!(
            said("Pod", two, json!({"limits": {"memory": "2Gi"}})),
            "maximum memory usage per Pod is 1Gi, but limit is 2Gi"
        );
        let claim = json!({"spec": {"resources": {"requests": {"storage": "5Gi"}}}});
        let range = range("PersistentVolumeClaim", json!({"max": {"storage": "1Gi"}}));
        assert_eq!(
            against_claim(&range, &claim),
            ["maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 5Gi"]
        );
    }
}
