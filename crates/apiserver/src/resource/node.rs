//! Nodes.

use serde_json::Value;

use super::{AGE, BASE, Resource, age, column, text, wide};

pub(super) const NODES: Resource = Resource {
    plural: "nodes",
    singular: "node",
    kind: "Node",
    schema: "Node",
    namespaced: false,
    short_names: &["no"],
    subresources: &["status"],
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
    ..BASE
};

fn cells(node: &Value) -> Vec<Value> {
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
        age(node),
        text(node, "/status/nodeInfo/kubeletVersion").into(),
        address("InternalIP").into(),
        address("ExternalIP").into(),
        info("osImage").into(),
        info("kernelVersion").into(),
        info("containerRuntimeVersion").into(),
    ]
}
