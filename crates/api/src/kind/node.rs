//! Nodes.

use jiff::Timestamp;
use palisade_k8s::{FieldError, metadata};
use serde_json::Value;

use super::at::At;
use super::subresource::STATUS;
use super::{AGE, Admission, BASE, Resource, Row, age, column, text, wide};

/// Nodes.
pub static NODES: Resource = Resource::Row(&Row {
    plural: "nodes",
    singular: "node",
    kind: "Node",
    schema: "Node",
    namespaced: false,
    short_names: &["no"],
    subresources: &[STATUS],
    storage: "nodes",
    selectable: &["spec.unschedulable"],
    columns: &[
        column("Status"),
        column("Roles"),
        AGE,
        column("Version"),
        wide("Internal-IP"),
        wide("External-IP"),
        wide("OS-Image"),
        wide("Kernel-Version"),
        wide("Container-Runtime"),
    ],
    cells,
    validate,
    warnings: |node, _| {
        let spec = At::root(node, "spec");
        let old = [
            ("configSource", "the feature is removed"),
            ("externalID", "this field is deprecated, and is unused by Kubernetes"),
        ];
        let found = old.into_iter().filter(|(field, _)| spec.field(field).is_set());
        found.map(|(field, what)| format!("spec.{field}: {what}")).collect()
    },
    admission: Admission::Node,
    ..BASE
});

fn validate(node: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = At::root(node, "spec");
    for taint in spec.field("taints").items() {
        let (key, effect) = (taint.field("key"), taint.field("effect"));
        errors.extend(metadata::qualified_name(key.text()).into_iter().map(|why| key.invalid(why)));
        if !matches!(effect.text(), "NoExecute" | "NoSchedule" | "PreferNoSchedule") {
            let known = ["NoExecute", "NoSchedule", "PreferNoSchedule"];
            errors.push(FieldError::not_supported(effect.path(), effect.text(), &known));
        }
    }
    let ranges = spec.field("podCIDRs").items().chain(spec.set(&["podCIDR"]));
    errors
        .extend(ranges.filter(|range| !is_range(range.text())).map(|range| range.invalid("must be a CIDR")));
    errors
}

/// An address and its prefix length.
fn is_range(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return text.is_empty() };
    let most = match address.parse() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|ready| text(ready, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if node.pointer("/spec/unschedulable") == Some(&Value::Bool(true)) {
        status.push_str(",SchedulingDisabled");
    }
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let roles =
        labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
    let roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
    let address = |kind: &str| {
        let mut found = addresses.into_iter().flatten().filter(|address| text(address, "/type") == kind);
        found.next().map_or("<none>", |address| text(address, "/address")).to_owned()
    };
    let info = |field: &str| match text(node, &format!("/status/nodeInfo/{field}")) {
        "" => "<unknown>".to_owned(),
        text => text.to_owned(),
    };
    vec![
        status.into(),
        if roles.is_empty() { "<none>".into() } else { roles.join(",").into() },
        age(node, now),
        text(node, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        info("osImage").into(),
        info("kernelVersion").into(),
        info("containerRuntimeVersion").into(),
    ]
}
