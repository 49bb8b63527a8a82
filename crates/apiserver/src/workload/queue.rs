//! The queue of workloads: for which controller, in which order, and not before the effects of the last run are known.
//!
//! Namespaces take turns, so that none keeps the workloads of others waiting. One workload at a time is run in a
//! namespace, and the next one only when the events of the last one's changes have been seen: a controller that does
//! not see existing pods would create them again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use palisade_store::{Key, Revision};
use palisade_workloads::{Controller, controller_of};
use serde_json::Value;

use crate::resource::text;
use crate::{limits, turns};

/// The place of DaemonSets in the store: a change of a node affects all of them.
const DAEMONS: &str = "apps/daemonsets";

/// The queue of workloads.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By namespace and UID of their controller: pods, replica sets and jobs.
    owned: HashMap<(String, String), BTreeSet<Key>>,
    daemons: BTreeSet<Key>,
    due: BTreeMap<String, BTreeSet<Key>>,
    /// Time of the next run; second, the number of failures.
    later: BTreeMap<Key, (Instant, u32)>,
    /// Namespaces with a running workload, or whose events up to a revision must be seen first.
    busy: BTreeMap<String, Option<Revision>>,
    /// The namespace that had its turn last.
    last: String,
    /// The revision up to which events have been read.
    seen: Option<Revision>,
}

/// A workload whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) key: Key,
    /// The number of failures so far.
    pub(super) failures: u32,
}

impl Queue {
    /// Forgets the owners of objects, before all are read again.
    pub(super) fn forget(&mut self) {
        self.owned.clear();
        self.daemons.clear();
    }

    /// Records the owner of an object, and queues the workloads that it affects.
    pub(super) fn learn(&mut self, key: &Key, object: &Value, is_gone: bool) {
        if Controller::of_storage(&key.resource).is_some() {
            self.is_due(key.clone());
        }
        match key.resource.as_str() {
            DAEMONS if is_gone => drop(self.daemons.remove(key)),
            DAEMONS => drop(self.daemons.insert(key.clone())),
            "nodes" => self.daemons.clone().into_iter().for_each(|daemon| self.is_due(daemon)),
            "pods" | "apps/replicasets" | "batch/jobs" => self.learn_owner(key, object, is_gone),
            _ => {}
        }
    }

    fn learn_owner(&mut self, key: &Key, object: &Value, is_gone: bool) {
        let Some(owner) = controller_of(object) else { return };
        let Some(controller) = Controller::of_kind(text(owner, "/kind")) else { return };
        let of = (key.namespace.clone(), text(owner, "/uid").to_owned());
        let owned = self.owned.entry(of.clone()).or_default();
        if is_gone {
            owned.remove(key);
            if owned.is_empty() {
                self.owned.remove(&of);
            }
        } else {
            owned.insert(key.clone());
        }
        self.is_due(Key::new(controller.storage, &key.namespace, text(owner, "/name")));
    }

    fn is_due(&mut self, key: Key) {
        self.due.entry(key.namespace.clone()).or_default().insert(key);
    }

    /// Objects of a place in the store that a workload of a namespace controls.
    pub(super) fn owned(&self, namespace: &str, uid: &str, storage: &str) -> Vec<Key> {
        let owned = self.owned.get(&(namespace.to_owned(), uid.to_owned())).into_iter().flatten();
        owned.filter(|key| key.resource == storage).cloned().collect()
    }

    /// A right or an SCC has changed: refused workloads are tried again soon.
    pub(super) fn hurry(&mut self) {
        let soon = Instant::now() + limits::WORKLOAD_WAIT;
        for (at, _) in self.later.values_mut().filter(|(_, failures)| *failures > 0) {
            *at = soon.min(*at);
        }
    }

    /// Events up to a revision have been read, and time has passed. Returns the time until something is due.
    pub(super) fn advance(&mut self, seen: Revision) -> Duration {
        self.seen = Some(seen);
        self.busy.retain(|_, until| until.is_none_or(|until| until > seen));
        let now = Instant::now();
        let ripe: Vec<Key> =
            self.later.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| key.clone()).collect();
        ripe.into_iter().for_each(|key| self.is_due(key));
        let next = self.later.values().map(|(at, _)| *at).filter(|at| *at > now).min();
        next.map_or(limits::WORKLOAD_WAIT, |at| at - now).min(limits::WORKLOAD_WAIT)
    }

    /// The next workload: of the namespace after the one that had its turn last.
    pub(super) fn take(&mut self) -> Option<Turn> {
        let namespace = turns::next(&self.due, |name| !self.busy.contains_key(name), &self.last)?;
        let keys = self.due.get_mut(&namespace)?;
        let key = keys.pop_first()?;
        if keys.is_empty() {
            self.due.remove(&namespace);
        }
        self.busy.insert(namespace.clone(), None);
        self.last = namespace;
        let failures = self.later.remove(&key).map_or(0, |(_, failures)| failures);
        Some(Turn { key, failures })
    }

    /// A workload has been run; its namespace has its next turn when events up to a revision have been seen.
    pub(super) fn done(&mut self, turn: Turn, again: Option<(Duration, u32)>, until: Revision) {
        match self.seen.is_some_and(|seen| seen >= until) {
            true => drop(self.busy.remove(&turn.key.namespace)),
            false => drop(self.busy.insert(turn.key.namespace.clone(), Some(until))),
        }
        if let Some((wait, failures)) = again {
            let at = Instant::now() + wait.min(limits::WORKLOAD_LONGEST);
            self.later.insert(turn.key, (at, failures));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(number: u64) -> Revision {
        Revision::new(number).unwrap()
    }

    fn set(namespace: &str, name: &str) -> Key {
        Key::new("apps/replicasets", namespace, name)
    }

    fn pod_of(uid: &str) -> Value {
        json!({"metadata": {"ownerReferences": [
            {"controller": true, "kind": "ReplicaSet", "name": "web", "uid": uid}]}})
    }

    #[test]
    fn namespaces_take_turns_and_wait_for_their_own_events() {
        let mut queue = Queue::default();
        for key in [set("a", "1"), set("a", "2"), set("a", "3"), set("b", "1"), set("c", "1")] {
            queue.learn(&key, &json!({}), false);
        }
        let mut taken = Vec::new();
        while let Some(turn) = queue.take() {
            taken.push(turn);
        }
        let names: Vec<String> = taken.iter().map(|turn| turn.key.namespace.clone()).collect();
        assert_eq!(names, ["a", "b", "c"], "one of each at a time");
        let first = taken.remove(0);
        queue.done(first, None, revision(7));
        queue.advance(revision(6));
        assert!(queue.take().is_none(), "the events of the last run are not seen yet");
        queue.advance(revision(7));
        assert_eq!(queue.take().unwrap().key, set("a", "2"));
    }

    #[test]
    fn what_is_of_another_namespace_is_nobodys() {
        let mut queue = Queue::default();
        queue.learn(&Key::new("pods", "a", "own"), &pod_of("u"), false);
        queue.learn(&Key::new("pods", "evil", "database"), &pod_of("u"), false);
        assert_eq!(queue.owned("a", "u", "pods"), [Key::new("pods", "a", "own")]);
        queue.learn(&Key::new("pods", "a", "own"), &pod_of("u"), true);
        assert!(queue.owned("a", "u", "pods").is_empty());
    }

    #[test]
    fn no_wait_is_too_long_and_failures_are_counted() {
        let mut queue = Queue::default();
        queue.learn(&set("a", "1"), &json!({}), false);
        let turn = queue.take().unwrap();
        queue.done(turn, Some((Duration::MAX, 3)), revision(1));
        queue.hurry();
        let (at, failures) = queue.later.values().next().copied().unwrap();
        assert!(failures == 3 && at <= Instant::now() + limits::WORKLOAD_WAIT);
    }
}
