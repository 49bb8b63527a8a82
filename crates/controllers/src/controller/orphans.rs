//! Pods whose node is gone: nobody runs them, and nobody else would end them. As the pod garbage collector of
//! kube-controller-manager (`pkg/controller/podgc`), which waits for a node that comes back.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use palisade_k8s::put;
use palisade_store::Key;
use serde_json::{Value, json};

use super::errands::Aim;
use super::{Controller, delete_with};
use crate::error::{ApiResult, Reason};
use crate::resource::{NODES, PODS, text};
use crate::server::ApiServer;
use crate::{failure, objects, time};

/// Interval between two looks at the nodes.
const LOOK: Duration = Duration::from_secs(20);
/// Time for which a node is missing before its pods are deleted.
const QUARANTINE: Duration = Duration::from_secs(40);

/// The nodes that pods name.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    looked: Option<Instant>,
    /// Each with the time since which it is missing, if it is.
    nodes: HashMap<String, Option<Instant>>,
}

impl Orphans {
    /// Notes the node of a pod.
    pub(super) fn learn(&mut self, key: &Key, object: &Value) {
        let node = text(object, "/spec/nodeName");
        if key.resource == PODS.storage() && !node.is_empty() && !self.nodes.contains_key(node) {
            self.nodes.insert(node.to_owned(), None);
        }
    }

    /// The nodes that are missing for long enough, which are then forgotten.
    fn gone(&mut self, now: Instant, exists: impl Fn(&str) -> bool) -> HashSet<String> {
        if self.looked.is_some_and(|at| now - at < LOOK) {
            return HashSet::new();
        }
        self.looked = Some(now);
        for (node, missing) in &mut self.nodes {
            *missing = if exists(node) { None } else { missing.or(Some(now)) };
        }
        let is_gone = |missing: &Option<Instant>| missing.is_some_and(|since| now - since >= QUARANTINE);
        let gone = self.nodes.extract_if(|_, missing| is_gone(missing));
        gone.map(|(node, _)| node).collect()
    }
}

/// Deletes the pods of nodes that are gone.
pub(super) fn sweep(controller: &mut Controller<'_>) {
    let store = controller.api.store();
    // A store that cannot be read has no node less.
    let exists = |node: &str| !matches!(store.length(&objects::key(&NODES, "", node)), Ok(None));
    let gone = controller.orphans.gone(Instant::now(), exists);
    if gone.is_empty() {
        return;
    }
    let found = failure::guarded(|| {
        objects::each(store, &PODS, None, |pod| {
            if gone.contains(text(&pod, "/spec/nodeName")) {
                let key =
                    objects::key(&PODS, text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
                let uid = text(&pod, "/metadata/uid").to_owned();
                controller.errands.add(key.clone(), Aim::Lost, Box::new(move |run| end(run.api, &key, &uid)));
            }
            Ok(())
        })
    });
    if let Err(error) = found {
        tracing::warn!("the pods of nodes that are gone cannot be deleted: {}", error.message);
        // They are looked for again.
        controller.orphans.nodes.extend(gone.into_iter().map(|node| (node, None)));
    }
}

/// Marks a pod as failed, unless it has ended, and deletes it at once.
fn end(api: &dyn ApiServer, key: &Key, uid: &str) -> ApiResult<()> {
    let pod = match objects::get(api.store(), &PODS, &key.namespace, &key.name) {
        Err(error) if error.reason == Reason::NotFound => return Ok(()),
        found => found?.object,
    };
    if text(&pod, "/metadata/uid") == uid
        && let Some(failed) = failed(pod, &time::now())
    {
        // A write in between is the pod's own end, or another one's: the deletion comes all the same.
        objects::keep(api.store(), &PODS, failed)?;
    }
    delete_with(api, key, &json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}))
}

/// A pod that has not ended, as one that has failed because it was disrupted.
fn failed(mut pod: Value, now: &str) -> Option<Value> {
    if matches!(text(&pod, "/status/phase"), "Failed" | "Succeeded") {
        return None;
    }
    let disrupted = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists", "lastTransitionTime": now});
    put(&mut pod, &["status", "phase"], "Failed".into());
    match pod.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        Some(conditions) => {
            conditions.retain(|condition| text(condition, "/type") != "DisruptionTarget");
            conditions.push(disrupted);
        }
        None => put(&mut pod, &["status", "conditions"], json!([disrupted])),
    }
    Some(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_gone_that_are_missing_for_a_while() {
        let (mut orphans, start) = (Orphans::default(), Instant::now());
        for (storage, name, node) in [
            ("pods", "a", "here"),
            ("pods", "b", "gone"),
            ("pods", "c", "back"),
            ("pods", "d", ""),
            ("secrets", "e", "none"),
        ] {
            orphans.learn(&Key::new(storage, "shop", name), &json!({"spec": {"nodeName": node}}));
        }
        let mut look = |seconds: u64, there: &[&str]| -> Vec<String> {
            let gone = orphans.gone(start + Duration::from_secs(seconds), |node| there.contains(&node));
            gone.into_iter().collect()
        };
        for (seconds, there, gone) in [
            (0, &["here"][..], &[][..]),
            (20, &["here"], &[]),
            (30, &["here"], &[]),
            (39, &["here", "back"], &[]),
            (40, &["here", "back"], &["gone"]),
            (60, &["here"], &[]),
            (80, &["here"], &[]),
            (100, &["here"], &["back"]),
            (200, &[], &[]),
            (240, &[], &["here"]),
            (300, &[], &[]),
        ] {
            assert_eq!(look(seconds, there), gone, "after {seconds} s");
        }
    }

    #[test]
    fn pods_that_have_not_ended_fail() {
        let pod = |phase: &str| json!({"status": {"phase": phase, "conditions": [{"type": "Ready"}]}});
        for phase in ["Failed", "Succeeded"] {
            assert_eq!(failed(pod(phase), "now"), None);
        }
        let failed = failed(pod("Running"), "now").unwrap();
        assert_eq!(failed["status"]["phase"], "Failed");
        assert_eq!(failed["status"]["conditions"][1]["reason"], "DeletionByPodGC");
    }
}
