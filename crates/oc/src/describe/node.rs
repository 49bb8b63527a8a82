//! `describe node`: the node, its lease, its pods and what they request.

use palisade_k8s::quantity::{billionths, written};
use serde_json::Value;

use super::events;
use super::sheet::{Sheet, ago, items, time, word};
use crate::value::text;
use palisade_client::Session;
use palisade_client::encode;

pub(super) async fn describe(session: &Session, node: &Value) -> String {
    let mut sheet = Sheet::default();
    head(node, &mut sheet);
    lease(session, node, &mut sheet).await;
    conditions(node, &mut sheet);
    let addresses = items(node, "/status/addresses");
    sheet.line(0, "Addresses:");
    addresses.iter().for_each(|address| sheet.pair(1, text(address, "/type"), text(address, "/address")));
    for (name, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        amounts(name, node.pointer(&format!("/status/{field}")), &mut sheet);
    }
    system(node, &mut sheet);
    sheet.some(0, "PodCIDR", text(node, "/spec/podCIDR"));
    pods(session, node, &mut sheet).await;
    events::describe(session, node, &mut sheet).await;
    sheet.finish()
}

fn head(node: &Value, sheet: &mut Sheet) {
    sheet.pair(0, "Name", text(node, "/metadata/name"));
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let roles = labels.filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/"));
    let roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
    sheet.pair(0, "Roles", if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") });
    sheet.map("Labels", node.pointer("/metadata/labels"));
    sheet.annotations(node);
    sheet.pair(0, "CreationTimestamp", time(text(node, "/metadata/creationTimestamp")));
    let taints = items(node, "/spec/taints").iter().map(|taint| {
        let value = match text(taint, "/value") {
            "" => String::new(),
            value => format!("={value}"),
        };
        format!("{}{value}:{}", text(taint, "/key"), text(taint, "/effect"))
    });
    sheet.list("Taints", taints);
    let is_closed = node.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
    sheet.pair(0, "Unschedulable", is_closed.to_string());
}

async fn lease(session: &Session, node: &Value, sheet: &mut Sheet) {
    let name = encode(text(node, "/metadata/name"));
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    match session.get(&path).await {
        Ok(lease) => {
            sheet.line(0, "Lease:");
            sheet.pair(1, "HolderIdentity", text(&lease, "/spec/holderIdentity"));
            sheet.pair(1, "AcquireTime", "<unset>");
            sheet.pair(1, "RenewTime", time(text(&lease, "/spec/renewTime")));
        }
        Err(error) => sheet.pair(0, "Lease", format!("Failed to get lease: {}", reason(&error))),
    }
}

/// A refusal by its message alone, as in kubectl.
fn reason(error: &palisade_client::Error) -> String {
    error.status().map_or_else(|| error.to_string(), |status| status.message.clone())
}

fn conditions(node: &Value, sheet: &mut Sheet) {
    let conditions = items(node, "/status/conditions");
    if conditions.is_empty() {
        return;
    }
    sheet.line(0, "Conditions:");
    sheet.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage");
    sheet.line(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for condition in conditions {
        let row = [
            text(condition, "/type").to_owned(),
            text(condition, "/status").to_owned(),
            time(text(condition, "/lastHeartbeatTime")),
            time(text(condition, "/lastTransitionTime")),
            text(condition, "/reason").to_owned(),
            text(condition, "/message").to_owned(),
        ];
        sheet.line(1, row.join(" \t").trim_end());
    }
}

fn amounts(name: &str, list: Option<&Value>, sheet: &mut Sheet) {
    let Some(list) = list.and_then(Value::as_object).filter(|list| !list.is_empty()) else { return };
    sheet.line(0, format!("{name}:"));
    let mut names: Vec<_> = list.iter().collect();
    names.sort_by_key(|(name, _)| name.as_str());
    names.into_iter().for_each(|(name, amount)| sheet.pair(1, name, word(amount)));
}

fn system(node: &Value, sheet: &mut Sheet) {
    sheet.line(0, "System Info:");
    for (name, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
        ("Kube-Proxy Version", "kubeProxyVersion"),
    ] {
        sheet.pair(1, name, text(node, &format!("/status/nodeInfo/{field}")));
    }
}

/// The columns of the pods: a resource, and its requests or limits.
const COLUMNS: [(&str, &str); 4] =
    [("cpu", "requests"), ("cpu", "limits"), ("memory", "requests"), ("memory", "limits")];

async fn pods(session: &Session, node: &Value, sheet: &mut Sheet) {
    let selector = encode(&format!(
        "spec.nodeName={},status.phase!=Failed,status.phase!=Succeeded",
        text(node, "/metadata/name")
    ));
    let list = session.get(&format!("/api/v1/pods?fieldSelector={selector}")).await.unwrap_or_default();
    let pods = items(&list, "/items");
    sheet.pair(0, "Non-terminated Pods", format!("({} in total)", pods.len()));
    sheet.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge");
    sheet.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    for pod in pods {
        let amounts = COLUMNS.map(|(name, list)| share(node, name, effective(pod, name, list)));
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        let age = ago(text(pod, "/metadata/creationTimestamp"));
        sheet.line(1, format!("{namespace}\t{name}\t\t{}\t{age}", amounts.join("\t")));
    }
    sheet.line(0, "Allocated resources:");
    sheet.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)");
    sheet.line(1, "Resource\tRequests\tLimits");
    sheet.line(1, "--------\t--------\t------");
    for name in ["cpu", "memory", "ephemeral-storage"] {
        let total = |list: &str| -> i128 { pods.iter().map(|pod| effective(pod, name, list)).sum() };
        let [requests, limits] = ["requests", "limits"].map(|list| share(node, name, total(list)));
        sheet.line(1, format!("{name}\t{requests}\t{limits}"));
    }
}

/// The effective amount of a pod in billionths: the sum of its containers, or its largest init container if that is more.
fn effective(pod: &Value, name: &str, list: &str) -> i128 {
    let of = |container: &Value| {
        let amount = container.pointer(&format!("/resources/{list}/{name}"));
        amount.and_then(|amount| billionths(&word(amount))).unwrap_or_default()
    };
    let together: i128 = items(pod, "/spec/containers").iter().map(of).sum();
    items(pod, "/spec/initContainers").iter().map(of).fold(together, i128::max)
}

/// An amount, and its percentage of the node's.
fn share(node: &Value, name: &str, amount: i128) -> String {
    let all = node.pointer(&format!("/status/allocatable/{name}")).map(word);
    let all = all.and_then(|all| billionths(&all)).filter(|all| *all > 0);
    let percent = all.map_or(0, |all| amount * 100 / all);
    let like = if name == "cpu" { "m" } else { "Mi" };
    format!("{} ({percent}%)", written(amount, like))
}
