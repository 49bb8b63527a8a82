//! `describe pod`.

use serde_json::Value;

use super::sheet::{Sheet, items, time};
use super::{container, events, volume};
use crate::value::text;
use palisade_client::Session;

pub(super) async fn describe(session: &Session, pod: &Value) -> String {
    let mut sheet = Sheet::default();
    head(pod, &mut sheet);
    for (name, list, statuses) in [
        ("Init Containers", "/spec/initContainers", "/status/initContainerStatuses"),
        ("Containers", "/spec/containers", "/status/containerStatuses"),
        ("Ephemeral Containers", "/spec/ephemeralContainers", "/status/ephemeralContainerStatuses"),
    ] {
        container::describe(name, pod, items(pod, list), items(pod, statuses), &mut sheet);
    }
    conditions(pod, &mut sheet);
    volume::describe(items(pod, "/spec/volumes"), &mut sheet);
    sheet.some(0, "QoS Class", text(pod, "/status/qosClass"));
    sheet.map("Node-Selectors", pod.pointer("/spec/nodeSelector"));
    tolerations(pod, &mut sheet);
    events::describe(session, pod, &mut sheet).await;
    sheet.finish()
}

fn head(pod: &Value, sheet: &mut Sheet) {
    sheet.pair(0, "Name", text(pod, "/metadata/name"));
    sheet.pair(0, "Namespace", text(pod, "/metadata/namespace"));
    if let Some(priority) = pod.pointer("/spec/priority") {
        sheet.pair(0, "Priority", priority.to_string());
    }
    sheet.some(0, "Priority Class Name", text(pod, "/spec/priorityClassName"));
    sheet.some(0, "Runtime Class Name", text(pod, "/spec/runtimeClassName"));
    sheet.some(0, "Service Account", text(pod, "/spec/serviceAccountName"));
    sheet.pair(0, "Node", node(pod));
    sheet.some(0, "Start Time", &time(text(pod, "/status/startTime")));
    sheet.map("Labels", pod.pointer("/metadata/labels"));
    sheet.annotations(pod);
    match text(pod, "/metadata/deletionTimestamp") {
        "" => sheet.pair(0, "Status", text(pod, "/status/phase")),
        since => {
            sheet.pair(0, "Status", format!("Terminating (lasts {})", super::sheet::ago(since)));
            let grace = pod.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
            sheet.pair(0, "Termination Grace Period", format!("{}s", grace.unwrap_or_default()));
        }
    }
    sheet.some(0, "Reason", text(pod, "/status/reason"));
    sheet.some(0, "Message", text(pod, "/status/message"));
    container::profile(pod.pointer("/spec/securityContext"), 0, sheet);
    sheet.pair(0, "IP", text(pod, "/status/podIP"));
    match items(pod, "/status/podIPs") {
        [] => sheet.pair(0, "IPs", "<none>"),
        addresses => {
            sheet.line(0, "IPs:");
            addresses.iter().for_each(|address| sheet.pair(1, "IP", text(address, "/ip")));
        }
    }
    let mut owners = items(pod, "/metadata/ownerReferences").iter();
    if let Some(owner) = owners.find(|owner| owner.get("controller") == Some(&Value::Bool(true))) {
        sheet.pair(0, "Controlled By", format!("{}/{}", text(owner, "/kind"), text(owner, "/name")));
    }
    sheet.some(0, "NominatedNodeName", text(pod, "/status/nominatedNodeName"));
}

fn node(pod: &Value) -> String {
    match (text(pod, "/spec/nodeName"), text(pod, "/status/hostIP")) {
        ("", _) => "<none>".to_owned(),
        (name, address) => format!("{name}/{address}"),
    }
}

fn conditions(pod: &Value, sheet: &mut Sheet) {
    let gates = items(pod, "/spec/readinessGates");
    let conditions = items(pod, "/status/conditions");
    let status = |kind: &str| {
        let found = conditions.iter().find(|condition| text(condition, "/type") == kind);
        found.map_or("<none>", |condition| text(condition, "/status"))
    };
    if !gates.is_empty() {
        sheet.line(0, "Readiness Gates:");
        sheet.line(1, "Type\tStatus");
        for gate in gates.iter().map(|gate| text(gate, "/conditionType")) {
            sheet.line(1, format!("{gate} \t{} ", status(gate)));
        }
    }
    if conditions.is_empty() {
        return;
    }
    sheet.line(0, "Conditions:");
    sheet.line(1, "Type\tStatus");
    for condition in conditions {
        sheet.line(1, format!("{} \t{} ", text(condition, "/type"), text(condition, "/status")));
    }
}

fn tolerations(pod: &Value, sheet: &mut Sheet) {
    let mut tolerations: Vec<&Value> = items(pod, "/spec/tolerations").iter().collect();
    tolerations.sort_by_key(|toleration| text(toleration, "/key"));
    sheet.list("Tolerations", tolerations.into_iter().map(toleration));
}

fn toleration(toleration: &Value) -> String {
    let mut said = text(toleration, "/key").to_owned();
    for (sign, pointer) in [('=', "/value"), (':', "/effect")] {
        if !text(toleration, pointer).is_empty() {
            said.push(sign);
            said.push_str(text(toleration, pointer));
        }
    }
    if text(toleration, "/operator") == "Exists" && text(toleration, "/value").is_empty() {
        said.push_str(if said.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if let Some(seconds) = toleration.get("tolerationSeconds").and_then(Value::as_i64) {
        said.push_str(&format!(" for {seconds}s"));
    }
    said
}
