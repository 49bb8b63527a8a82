//! Nodes whose agent is silent: they are marked, and so are their pods, as Kubernetes' node lifecycle controller does it
//! (`pkg/controller/nodelifecycle`). Nothing is evicted.
//!
//! A node is alive while its lease, or its own heartbeat, changes. The time is that of this server, and begins with the
//! first look: neither a wrong clock of a node nor a server that was off makes a node lost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use palisade_access::node::LEASES;
use palisade_k8s::put;
use palisade_store::Store;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, Reason};
use crate::objects;
use crate::resource::{self, text};
use crate::time;

/// Interval between two checks of the nodes.
const LOOK: Duration = Duration::from_secs(5);
/// Time without a sign of life after which a node is lost.
const GRACE: Duration = Duration::from_secs(40);
/// The taints of a silent node, and of a node that reports that it is not ready.
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The last signs of life of every node.
#[derive(Debug, Default)]
pub(crate) struct Heartbeats {
    looked: Option<Instant>,
    seen: HashMap<String, (String, Instant)>,
}

impl Heartbeats {
    /// Marks the nodes that have become silent, and those that have returned; does so at most once in an interval,
    /// however often it is called.
    pub(crate) fn look(&mut self, store: &Store) -> ApiResult<()> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let nodes = objects::list(store, &resource::NODES, None, None, None)?.items;
        let mut before = std::mem::take(&mut self.seen);
        for node in nodes {
            let name = text(&node, "/metadata/name").to_owned();
            let Some(sign) = sign_of_life(store, &node)? else { continue };
            let since = match before.remove(&name) {
                Some((last, since)) if last == sign => since,
                _ => Instant::now(),
            };
            self.seen.insert(name, (sign, since));
            judge(store, node, since.elapsed() > GRACE)?;
        }
        Ok(())
    }
}

/// The last heartbeat times of a node; `None` if it has never had an agent.
fn sign_of_life(store: &Store, node: &Value) -> ApiResult<Option<String>> {
    let leases = resource::find("coordination.k8s.io", "leases").ok_or_else(ApiError::no_such_path)?;
    let lease = match objects::get(store, leases, LEASES, text(node, "/metadata/name")) {
        Ok(found) => text(&found.object, "/spec/renewTime").to_owned(),
        Err(error) if error.reason == Reason::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let beat = ready(node).map_or("", |ready| text(ready, "/lastHeartbeatTime"));
    Ok((!lease.is_empty() || !beat.is_empty()).then(|| format!("{lease} {beat}")))
}

fn ready(object: &Value) -> Option<&Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| text(condition, "/type") == "Ready")
}

/// Writes the state of a node, unless it is written already.
fn judge(store: &Store, mut node: Value, is_silent: bool) -> ApiResult<()> {
    let said = ready(&node).map_or("", |ready| text(ready, "/status")).to_owned();
    let taint = match (is_silent, said.as_str()) {
        (true, _) | (_, "Unknown") => Some(UNREACHABLE),
        (false, "False") => Some(NOT_READY),
        (false, _) => None,
    };
    let is_news = is_silent && said != "Unknown";
    if is_news {
        let now = time::now();
        set_ready(
            &mut node,
            json!({"status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": now,
                "message": "the node's agent has stopped saying that it lives"}),
        );
    }
    let is_tainted = set_taints(&mut node, taint);
    if !is_news && !is_tainted {
        return Ok(());
    }
    let name = text(&node, "/metadata/name").to_owned();
    if objects::keep(store, &resource::NODES, node)? && is_news {
        tracing::warn!("node {name} is lost: its agent has been silent for {} s", GRACE.as_secs());
        unready_pods(store, &name)?;
    }
    Ok(())
}

/// Marks a node, and its pods, whose agent has ended and is about to start: what it last reported may be long past.
pub fn await_agent(store: &Store, name: &str) -> ApiResult<()> {
    let mut node = match objects::get(store, &resource::NODES, "", name) {
        Ok(found) => found.object,
        Err(error) if error.reason == Reason::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if ready(&node).is_none_or(|ready| text(ready, "/status") == "Unknown") {
        return Ok(());
    }
    set_ready(
        &mut node,
        json!({"status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": time::now(),
            "message": "the node's agent is starting"}),
    );
    objects::keep(store, &resource::NODES, node)?;
    unready_pods(store, name)
}

/// Changes fields of the condition `Ready`; returns whether it changed.
fn set_ready(object: &mut Value, fields: Value) -> bool {
    let mut changed = false;
    let conditions = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
    let all = conditions.into_iter().flatten();
    for condition in all.filter(|condition| text(condition, "/type") == "Ready") {
        for (name, value) in fields.as_object().into_iter().flatten() {
            changed |= condition.get(name) != Some(value);
            put(condition, &[name], value.clone());
        }
    }
    changed
}

/// Sets one of this module's taints, or none, on a node; returns whether it changed.
fn set_taints(node: &mut Value, key: Option<&str>) -> bool {
    let old: Vec<Value> = node.pointer("/spec/taints").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_own = |taint: &Value| matches!(text(taint, "/key"), UNREACHABLE | NOT_READY);
    let has =
        |effect: &str| old.iter().any(|one| Some(text(one, "/key")) == key && text(one, "/effect") == effect);
    let missing = key.map_or(0, |_| ["NoSchedule", "NoExecute"].iter().filter(|effect| !has(effect)).count());
    let strange = old.iter().filter(|one| is_own(one) && Some(text(one, "/key")) != key).count();
    if missing + strange == 0 {
        return false;
    }
    let now = time::now();
    let own = key.into_iter().flat_map(|key| {
        ["NoSchedule", "NoExecute"].map(|effect| json!({"key": key, "effect": effect, "timeAdded": now}))
    });
    let taints: Vec<Value> = old.into_iter().filter(|one| !is_own(one)).chain(own).collect();
    put(node, &["spec", "taints"], taints.into());
    true
}

/// Marks the pods of a node as not ready.
fn unready_pods(store: &Store, node: &str) -> ApiResult<()> {
    let pods = &resource::PODS;
    let mut lost = Vec::new();
    objects::each(store, pods, None, |mut pod| {
        let is_there = text(&pod, "/spec/nodeName") == node && ready(&pod).is_some();
        if is_there && set_ready(&mut pod, json!({"status": "False", "reason": "NodeLost"})) {
            set_ready(&mut pod, json!({"lastTransitionTime": time::now()}));
            lost.push(pod);
        }
        Ok(())
    })?;
    lost.into_iter().try_for_each(|pod| objects::keep(store, pods, pod).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_follow_the_state_and_leave_others() {
        let mut node = json!({"spec": {"taints": [{"key": "own", "effect": "NoSchedule"}]}});
        let keys = |node: &Value| -> Vec<String> {
            let taints = node["spec"]["taints"].as_array().unwrap();
            taints.iter().map(|one| format!("{}:{}", text(one, "/key"), text(one, "/effect"))).collect()
        };
        assert!(!set_taints(&mut node, None));
        assert!(set_taints(&mut node, Some(UNREACHABLE)));
        assert!(!set_taints(&mut node, Some(UNREACHABLE)), "unchanged");
        let both = [format!("{UNREACHABLE}:NoSchedule"), format!("{UNREACHABLE}:NoExecute")];
        assert_eq!(keys(&node), [&["own:NoSchedule".to_owned()], both.as_slice()].concat());
        assert!(set_taints(&mut node, Some(NOT_READY)));
        assert_eq!(keys(&node).len(), 3);
        assert!(set_taints(&mut node, None));
        assert_eq!(keys(&node), ["own:NoSchedule"]);
    }

    #[test]
    fn only_the_condition_ready_changes() {
        let mut pod = json!({"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "Ready", "status": "True"}]}});
        assert!(set_ready(&mut pod, json!({"status": "False"})));
        assert!(!set_ready(&mut pod, json!({"status": "False"})));
        assert_eq!(pod["status"]["conditions"][0]["status"], "True");
        assert_eq!(text(ready(&pod).unwrap(), "/status"), "False");
    }
}
