//! DaemonSets: one pod on each node that its template is for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::deployment::share;
use crate::history::{History, Naming};
use crate::place::{self, Place};
use crate::pods::{
    self, create, has_condition, hash_of, is_available, is_leaving, is_over, is_ready, made_of, named_after,
};
use crate::work::Work;
use palisade_api::error::ApiResult;
use palisade_api::kind::{PODS, text};

const REVISION: &str = "controller-revision-hash";
/// The annotation that counts the templates that there have been.
const TEMPLATES: &str = "deprecated.daemonset.template.generation";
const NAMING: Naming = Naming { label: REVISION, hash: hash_of };

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let all = work.pods()?;
    let history = History::record(work, NAMING)?;
    let set = Set::new(work, &history, &all)?;
    let (missing, surplus) = set.manage();
    let is_settled = missing.is_empty() && surplus.is_empty();
    let (missing, surplus) = if is_settled { set.roll() } else { (missing, surplus) };
    let mut created = BTreeSet::new();
    let refused = set.act(&missing, &surplus, &mut created);
    set.say(&created)?;
    set.trim()?;
    refused?;
    let waits = all.iter().any(|pod| is_ready(pod) && !set.is_available(pod));
    history.refused.map_or(Ok(()), Err)?;
    Ok(if waits { Next::After(Duration::from_secs(1)) } else { Next::Nothing })
}

/// Nodes that are to get a pod, and pods that are to go.
type Plan<'s> = (Vec<&'s str>, Vec<&'s Value>);

/// A set that is looked at, with what nodes are to it, and its pods by their node, the oldest first.
struct Set<'s> {
    work: &'s Work<'s>,
    history: &'s History,
    hash: &'s str,
    template: Value,
    nodes: BTreeMap<String, Place>,
    pods: BTreeMap<&'s str, Vec<&'s Value>>,
}

fn label(object: &Value) -> &str {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(REVISION)?.as_str()).unwrap_or_default()
}

impl<'s> Set<'s> {
    fn new(work: &'s Work<'s>, history: &'s History, all: &'s [Value]) -> ApiResult<Self> {
        let mut template = history.template.clone();
        let spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
        put(&mut template, &["spec"], place::tolerant(spec));
        let spec = template.get("spec").unwrap_or(&Value::Null);
        let nodes = work.cluster.nodes()?;
        let nodes = nodes
            .iter()
            .filter(|node| !is_leaving(node))
            .map(|node| (text(node, "/metadata/name").to_owned(), place::of(spec, node)))
            .collect();
        let mut pods: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for pod in all.iter().filter(|pod| !(is_over(pod) && is_leaving(pod))) {
            pods.entry(text(pod, "/spec/nodeName")).or_default().push(pod);
        }
        for pods in pods.values_mut() {
            pods.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
        }
        Ok(Self { work, history, hash: label(&history.newest), template, nodes, pods })
    }

    fn is_available(&self, pod: &Value) -> bool {
        is_available(self.work, pod, self.work.number("/spec/minReadySeconds"))
    }

    fn of(&self, node: &str) -> &[&'s Value] {
        self.pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }

    fn is_new(&self, pod: &Value) -> bool {
        label(pod) == self.hash
    }

    fn desired(&self) -> i64 {
        self.nodes.values().filter(|place| place.may_come).count() as i64
    }

    /// More pods than there are nodes while they are renewed, and nodes that may be without: at least one of them is
    /// more than none.
    fn portions(&self) -> (i64, i64) {
        let rolling = |field: &str| {
            let portion = self.work.object.pointer(&format!("/spec/updateStrategy/rollingUpdate/{field}"));
            share(portion, self.desired(), true)
        };
        match (rolling("maxSurge"), rolling("maxUnavailable")) {
            (0, 0) => (0, 1),
            portions => portions,
        }
    }

    /// Plans one pod for each eligible node, and the deletion of pods elsewhere and of those that are over.
    fn manage(&self) -> Plan<'_> {
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        let may_surge = self.portions().0 > 0;
        for (node, place) in &self.nodes {
            let pods = self.of(node);
            let active = || pods.iter().copied().filter(|pod| !is_leaving(pod));
            if place.may_come && pods.is_empty() {
                missing.push(node.as_str());
            } else if !place.may_stay {
                surplus.extend(active());
            } else {
                surplus.extend(active().filter(|pod| is_over(pod)));
                let running: Vec<&Value> = active().filter(|pod| !is_over(pod)).collect();
                match may_surge {
                    true if running.is_empty() && place.may_come => missing.push(node.as_str()),
                    true => surplus.extend(self.beside(&running)),
                    false => surplus.extend(running.into_iter().skip(1)),
                }
            }
        }
        let is_nowhere = |node: &&str| !self.nodes.contains_key(*node);
        let nowhere = self.pods.iter().filter(|(node, _)| is_nowhere(node)).flat_map(|(_, pods)| pods);
        surplus.extend(nowhere.copied().filter(|pod| !is_leaving(pod)));
        (missing, surplus)
    }

    /// Surplus pods of a node during an update that permits an old pod beside a new one until that is available.
    fn beside<'p>(&self, running: &[&'p Value]) -> Vec<&'p Value> {
        let mut oldest: [Option<&Value>; 2] = [None, None];
        let mut surplus = Vec::new();
        for pod in running {
            let [old, new] = &mut oldest;
            match if self.is_new(pod) { new } else { old } {
                place @ None => *place = Some(pod),
                Some(_) => surplus.push(*pod),
            }
        }
        if let [Some(old), Some(new)] = oldest
            && (!has_condition(old, "Ready") || self.is_available(new))
        {
            surplus.push(old);
        }
        surplus
    }

    /// Renews old pods, as far as the strategy permits at once.
    fn roll(&self) -> Plan<'_> {
        if self.work.text("/spec/updateStrategy/type") == "OnDelete" {
            return (Vec::new(), Vec::new());
        }
        match self.portions() {
            (0, missing) => (Vec::new(), self.replaced(missing)),
            (surge, _) => (self.surged(surge), Vec::new()),
        }
    }

    /// The new and the old pod of each node, where there is one of each at most.
    fn pairs(&self) -> impl Iterator<Item = (&str, Option<&'s Value>, Option<&'s Value>)> {
        self.pods.iter().map(|(node, pods)| {
            let active = || pods.iter().copied().filter(|pod| !is_leaving(pod));
            (*node, active().find(|pod| self.is_new(pod)), active().find(|pod| !self.is_new(pod)))
        })
    }

    /// Old pods that go: those that are not available, and of the others as many as may be missing.
    fn replaced(&self, missing: i64) -> Vec<&'s Value> {
        let (mut gone, mut candidates, mut broken) = (Vec::new(), Vec::new(), 0);
        for (_, new, old) in self.pairs() {
            match (new, old) {
                (Some(new), None) => broken += i64::from(!self.is_available(new)),
                (None, Some(old)) if !self.is_available(old) => {
                    gone.push(old);
                    broken += 1;
                }
                (None, Some(old)) => candidates.push(old),
                _ => broken += 1,
            }
        }
        let room = usize::try_from(missing - broken).unwrap_or_default();
        gone.extend(candidates.into_iter().take(room));
        gone
    }

    /// Nodes that get a new pod beside the old one.
    fn surged(&self, surge: i64) -> Vec<&str> {
        let (mut at_once, mut candidates, mut surging) = (Vec::new(), Vec::new(), 0);
        for (node, new, old) in self.pairs() {
            let may_come = self.nodes.get(node).is_some_and(|place| place.may_come);
            match (new, old) {
                (None, Some(old)) if may_come && !self.is_available(old) => at_once.push(node),
                (None, Some(_)) if may_come => candidates.push(node),
                (Some(new), Some(_)) => surging += i64::from(!self.is_available(new)),
                _ => {}
            }
        }
        let room = usize::try_from(surge - surging).unwrap_or_default();
        at_once.extend(candidates.into_iter().take(room));
        at_once
    }

    fn act<'n>(
        &'n self,
        missing: &[&'n str],
        surplus: &[&Value],
        created: &mut BTreeSet<&'n str>,
    ) -> ApiResult<()> {
        for pod in surplus {
            let name = text(pod, "/metadata/name");
            if is_over(pod) {
                let phase = text(pod, "/status/phase").to_lowercase();
                let (kind, reason, end) = match phase.as_str() {
                    "failed" => ("Warning", "FailedDaemonPod", "kill"),
                    _ => ("Normal", "SucceededDaemonPod", "delete"),
                };
                let (namespace, node) = (self.work.namespace(), text(pod, "/spec/nodeName"));
                let said = format!(
                    "Found {phase} daemon pod {namespace}/{name} on node {node}, will try to {end} it"
                );
                pods::tell(self.work, kind, reason, &said);
            }
            self.work.delete(&PODS, pod)?;
            pods::tell(self.work, "Normal", "SuccessfulDelete", &format!("Deleted pod: {name}"));
        }
        for node in missing {
            let mut pod = named_after(self.work, made_of(self.work, &self.template));
            put(&mut pod, &["metadata", "labels", REVISION], self.hash.into());
            if let Some(count) =
                self.work.object.pointer("/metadata/annotations").and_then(|all| all.get(TEMPLATES))
            {
                put(&mut pod, &["metadata", "labels", "pod-template-generation"], count.clone());
            }
            put(&mut pod, &["spec", "nodeName"], (*node).into());
            create(self.work, pod)?;
            created.insert(node);
        }
        Ok(())
    }

    fn say(&self, created: &BTreeSet<&str>) -> ApiResult<()> {
        let [mut scheduled, mut misplaced, mut ready, mut updated, mut available] = [0_i64; 5];
        for (node, place) in &self.nodes {
            let oldest = self.of(node).first();
            match (place.may_come, oldest) {
                (true, Some(pod)) => {
                    scheduled += 1;
                    ready += i64::from(has_condition(pod, "Ready"));
                    available += i64::from(self.is_available(pod));
                    updated += i64::from(self.is_new(pod));
                }
                (true, None) if created.contains(node.as_str()) => {
                    scheduled += 1;
                    updated += 1;
                }
                (false, Some(_)) => misplaced += 1,
                _ => {}
            }
        }
        let desired = self.desired();
        let mut status = json!({
            "currentNumberScheduled": scheduled, "numberMisscheduled": misplaced, "desiredNumberScheduled": desired,
            "numberReady": ready,
        });
        let numbers = [
            ("observedGeneration", self.work.number("/metadata/generation")),
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
            ("collisionCount", self.history.collisions),
        ];
        for (field, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
            put(&mut status, &[field], number.into());
        }
        self.work.say(&status)
    }

    /// Deletes the oldest revisions without pods beyond the history.
    fn trim(&self) -> ApiResult<()> {
        let live: BTreeSet<&str> = self.pods.values().flatten().map(|pod| label(pod)).collect();
        self.history.trim(self.work, |revision| !live.contains(label(revision)), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, workload};

    #[test]
    fn each_node_that_is_selected_has_a_pod() {
        let node = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let nodes = vec![
            node("a", json!({"disk": "ssd"})),
            node("b", json!({"disk": "hdd"})),
            node("c", json!(null)),
        ];
        for (selector, made) in [(json!(null), 3), (json!({"disk": "ssd"}), 1), (json!({"disk": "none"}), 0)]
        {
            let cluster = Fake { nodes: nodes.clone(), ..Fake::with(&[]) };
            let set = workload("DaemonSet", &json!({"template": {"spec": {"nodeSelector": selector}}}));
            let (next, created, _, status) = cluster.sync(&set);
            assert!(next.is_ok());
            assert_eq!((created, &status["desiredNumberScheduled"]), (made, &made.into()), "{selector}");
        }
    }
}
