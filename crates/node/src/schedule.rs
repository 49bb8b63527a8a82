//! Scheduling: a pod without a node gets the first one that is ready and that it fits.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use kube_runtime::watcher::{self, Event};
use serde_json::json;

use crate::event::{Level, Recorder};
use crate::slot::{names, slots};

/// Time before a pod that did not fit is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Binds pods to nodes, until it is dropped.
pub async fn schedule(client: Client) {
    let recorder = Recorder::new(client.clone(), "default-scheduler", "");
    let pods: Api<Pod> = Api::all(client.clone());
    let watch = watcher::watcher(pods, watcher::Config::default().fields("spec.nodeName="));
    let mut watch = std::pin::pin!(watch);
    let mut waiting: BTreeMap<String, Pod> = BTreeMap::new();
    let mut again = tokio::time::interval(AGAIN);
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                    if !consider(&client, &recorder, &pod).await {
                        waiting.insert(names(&pod).uid.to_owned(), pod);
                    }
                }
                Some(Ok(Event::Delete(pod))) => { waiting.remove(names(&pod).uid); }
                Some(Ok(Event::Init)) => waiting.clear(),
                Some(Ok(Event::InitDone)) => {}
                Some(Err(error)) => {
                    tracing::debug!("pods cannot be watched: {error}");
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                None => return,
            },
            _ = again.tick() => {
                let mut left = BTreeMap::new();
                for (uid, pod) in std::mem::take(&mut waiting) {
                    if !consider(&client, &recorder, &pod).await {
                        left.insert(uid, pod);
                    }
                }
                waiting = left;
            }
        }
    }
}

/// The same, from when the first agent of a node registers by its lease: without nodes, pods are left alone.
pub async fn schedule_once_there_are_nodes(client: Client) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let watch = watcher::watcher(leases, watcher::Config::default());
    let mut watch = std::pin::pin!(watch);
    loop {
        match watch.next().await {
            Some(Ok(Event::Apply(_) | Event::InitApply(_))) => break,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!("leases cannot be watched: {error}");
                tokio::time::sleep(AGAIN).await;
            }
            None => return,
        }
    }
    schedule(client).await;
}

/// Binds a pod if it fits a node; returns whether it is done.
async fn consider(client: &Client, recorder: &Recorder, pod: &Pod) -> bool {
    let spec = pod.spec.as_ref();
    let scheduler = spec.and_then(|spec| spec.scheduler_name.as_deref()).unwrap_or("default-scheduler");
    let is_held =
        spec.is_some_and(|spec| spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()));
    if scheduler != "default-scheduler" || is_held || pod.metadata.deletion_timestamp.is_some() {
        return true;
    }
    let placed = match place(client, pod).await {
        Ok(placed) => placed,
        Err(error) => {
            tracing::debug!("a pod cannot be placed: {error}");
            return false;
        }
    };
    let name = match placed {
        Ok(name) => name,
        Err(misfits) => {
            let message = match misfits.as_slice() {
                [] => "no nodes available to schedule pods".to_owned(),
                some => format!("0/{} nodes are available: {}", some.len(), some.join(" ")),
            };
            recorder.say(pod, None, Level::Warning, "FailedScheduling", &message).await;
            return false;
        }
    };
    match bind(client, &name, pod).await {
        Ok(()) => {
            let message =
                format!("Successfully assigned {}/{} to {name}", names(pod).namespace, names(pod).name);
            recorder.say(pod, None, Level::Normal, "Scheduled", &message).await;
            true
        }
        // Deleted, or bound already.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => true,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            recorder.say(pod, None, Level::Warning, "FailedScheduling", &status.message).await;
            false
        }
        Err(error) => {
            tracing::debug!("a pod cannot be bound: {error}");
            false
        }
    }
}

/// The node for a pod, or the reasons why none fits.
async fn place(client: &Client, pod: &Pod) -> kube::Result<Result<String, Vec<String>>> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut misfits = Vec::new();
    for node in nodes.list(&ListParams::default()).await? {
        match misfit(client, &node, pod).await? {
            None => return Ok(Ok(node.metadata.name.unwrap_or_default())),
            Some(why) => misfits.push(why),
        }
    }
    Ok(Err(misfits))
}

/// The reason why a node does not accept pods.
fn unready(node: &Node) -> Option<String> {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    match conditions.into_iter().find(|condition| condition.type_ == "Ready") {
        Some(ready) if ready.status == "True" => None,
        Some(ready) => {
            Some(format!("1 node(s) were not ready: {}.", ready.message.clone().unwrap_or_default()))
        }
        None => Some("1 node(s) were not ready.".to_owned()),
    }
}

/// The reason why a pod does not fit a node.
async fn misfit(client: &Client, node: &Node, pod: &Pod) -> kube::Result<Option<String>> {
    let (Some(spec), of_node) = (pod.spec.as_ref(), node.spec.as_ref()) else { return Ok(None) };
    if let Some(why) = unready(node) {
        return Ok(Some(why));
    }
    if of_node.and_then(|node| node.unschedulable) == Some(true) {
        return Ok(Some("1 node(s) were unschedulable.".to_owned()));
    }
    let empty = BTreeMap::new();
    let os = node.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    if spec.os.as_ref().is_some_and(|wanted| os.is_none_or(|os| *os != wanted.name)) {
        return Ok(Some("1 node(s) didn't match the operating system of the pod.".to_owned()));
    }
    let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
    let wanted = spec.node_selector.iter().flatten();
    if wanted.clone().any(|(key, value)| labels.get(key) != Some(value)) {
        return Ok(Some("1 node(s) didn't match Pod's node affinity/selector.".to_owned()));
    }
    let taints = of_node.iter().flat_map(|node| node.taints.iter().flatten());
    for taint in taints.filter(|taint| taint.effect != "PreferNoSchedule") {
        let is_tolerated = spec.tolerations.iter().flatten().any(|it| {
            let key = it.key.as_deref().unwrap_or_default();
            let fits_key = key.is_empty() || key == taint.key;
            let fits_value = it.operator.as_deref() == Some("Exists") || it.value == taint.value;
            let fits_effect =
                it.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
            fits_key && fits_value && fits_effect
        });
        if !is_tolerated {
            return Ok(Some(format!("1 node(s) had untolerated taint {{{}}}.", taint.key)));
        }
    }
    if ports(pod).is_empty() {
        return Ok(None);
    }
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let pods: Api<Pod> = Api::all(client.clone());
    let there = pods.list(&ListParams::default().fields(&format!("spec.nodeName={name}"))).await?;
    let runs = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    let taken: Vec<_> = there.iter().filter(runs).flat_map(ports).collect();
    let clash = ports(pod).iter().any(|port| taken.contains(port));
    Ok(clash.then(|| "1 node(s) didn't have free ports for the requested pod ports.".to_owned()))
}

/// The host ports of a pod.
fn ports(pod: &Pod) -> Vec<(String, i32)> {
    let slots = slots(pod);
    let ports = slots.iter().flat_map(|slot| slot.container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number != 0)?;
            Some((port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number))
        })
        .collect()
}

async fn bind(client: &Client, node: &str, pod: &Pod) -> kube::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), names(pod).namespace);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": names(pod).name, "namespace": names(pod).namespace, "uid": names(pod).uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let _: serde_json::Value =
        pods.create_subresource("binding", names(pod).name, &PostParams::default(), &binding).await?;
    Ok(())
}
