//! The queue of workloads: for which controller, in which order, and not before the effects of the last run are known.
//!
//! Users and namespaces take [turns](crate::turns), so that none keeps the workloads of others waiting. In a namespace the
//! workload that is due longest comes first. None is run again before the events of its last run's changes have been seen:
//! a controller that does not see existing pods would create them again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use palisade_admission::PolicyCache;
use palisade_store::{Key, Revision};
use palisade_workloads::{Controller, controller_of};
use serde_json::Value;

use super::later::Later;
use crate::limits::{self, Bounds};
use crate::objects;
use crate::resource::text;
use crate::turns::{Turns, Work};

/// The place of DaemonSets in the store: a change of a node affects all of them.
const DAEMONS: &str = "apps/daemonsets";

/// The place of claims in the store.
const CLAIMS: &str = "persistentvolumeclaims";

/// A kind and a namespace.
type Place = (&'static str, String);

/// The queue of workloads.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By namespace and UID of their controller: pods, replica sets, revisions and jobs.
    owned: HashMap<(String, String), BTreeSet<Key>>,
    daemons: BTreeSet<Key>,
    /// Workloads that are due, none of them busy.
    turns: Turns<Line>,
    later: Later,
    /// Workloads that run, or the events of whose last run have not been seen; with whether they are due again.
    busy: HashMap<Key, bool>,
    /// Workloads that have run, by the revision up to which events must be seen.
    unseen: BTreeSet<(Revision, Key)>,
    /// The revision up to which events have been read.
    seen: Option<Revision>,
    /// By kind and namespace, pods of workloads that wait for a node, and claims that wait for a volume.
    waiting: HashMap<Place, Waiting>,
    /// Those that were made and whose events have not been seen, with their places and sizes.
    made: BTreeMap<Revision, (Place, usize)>,
}

/// Workloads in the order in which they became due.
#[derive(Debug, Default)]
struct Line {
    order: VecDeque<Key>,
    known: HashSet<Key>,
}

impl Line {
    fn push(&mut self, key: Key) {
        if self.known.insert(key.clone()) {
            self.order.push_back(key);
        }
    }
}

impl Work for Line {
    type Piece = Key;

    const BOUNDS: Bounds = limits::WORKLOAD_THREADS;

    fn pop(&mut self) -> Option<Key> {
        let key = self.order.pop_front()?;
        self.known.remove(&key);
        Some(key)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// Objects of one kind and namespace that wait: those that are known, with their stored sizes, and those that were made and
/// whose events are not all read.
#[derive(Debug, Default)]
struct Waiting {
    known: HashMap<String, usize>,
    size: usize,
    made: (usize, usize),
}

impl Waiting {
    fn set(&mut self, name: &str, size: Option<usize>) {
        let before = match size {
            Some(size) => self.known.insert(name.to_owned(), size),
            None => self.known.remove(name),
        };
        self.size = self.size + size.unwrap_or_default() - before.unwrap_or_default();
    }

    /// The number of pods, and their size in bytes.
    fn sum(&self) -> (usize, usize) {
        (self.known.len() + self.made.0, self.size + self.made.1)
    }

    fn are_enough(&self) -> bool {
        let (count, size) = self.sum();
        count >= limits::WAITING.0 || size >= limits::WAITING.1
    }
}

/// Whether an object waits: a pod of a workload for a node, a claim for a volume. A claim does not name the workload that it was
/// made for.
fn waits(storage: &str, object: &Value) -> bool {
    match storage {
        CLAIMS => is_unbound(CLAIMS, object),
        _ => pod_waits(object),
    }
}

/// Whether a new object, by the field that its kind is bound by, waits.
fn is_unbound(storage: &str, object: &Value) -> bool {
    let bound = if storage == CLAIMS { "/spec/volumeName" } else { "/spec/nodeName" };
    text(object, bound).is_empty()
}

/// The place of objects whose number is bounded.
fn place(storage: &str, namespace: &str) -> Option<Place> {
    let kind = ["pods", CLAIMS].into_iter().find(|kind| *kind == storage)?;
    Some((kind, namespace.to_owned()))
}

fn pod_waits(pod: &Value) -> bool {
    let is_over = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let owner = controller_of(pod).and_then(|owner| Controller::of_kind(text(owner, "/kind")));
    owner.is_some() && !is_over && is_unbound("pods", pod)
}

/// A workload whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) key: Key,
    /// The number of failures so far.
    pub(super) failures: u32,
    number: u64,
}

impl Queue {
    /// A queue for the requesters that a policy knows.
    pub(super) fn new(policy: Arc<PolicyCache>) -> Self {
        Self { turns: Turns::new(policy), ..Self::default() }
    }

    /// Forgets the owners of objects, before all are read again.
    pub(super) fn forget(&mut self) {
        self.owned.clear();
        self.daemons.clear();
        self.waiting.clear();
        self.made.clear();
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
            "pods" => {
                self.learn_waiting("pods", key, object, is_gone);
                self.learn_owner(key, object, is_gone);
            }
            CLAIMS => self.learn_waiting(CLAIMS, key, object, is_gone),
            "apps/replicasets" | "apps/controllerrevisions" | "batch/jobs" => {
                self.learn_owner(key, object, is_gone);
            }
            _ => {}
        }
    }

    fn learn_owner(&mut self, key: &Key, object: &Value, is_gone: bool) {
        let Some(owner) = controller_of(object) else { return };
        let Some(controller) = Controller::of_kind(text(owner, "/kind")) else { return };
        if is_gone {
            self.disclaim(key, object);
        } else {
            let of = (key.namespace.clone(), text(owner, "/uid").to_owned());
            self.owned.entry(of).or_default().insert(key.clone());
        }
        self.is_due(Key::new(controller.storage, &key.namespace, text(owner, "/name")));
    }

    /// Forgets whose an object was.
    pub(super) fn disclaim(&mut self, key: &Key, object: &Value) {
        let Some(owner) = controller_of(object) else { return };
        let of = (key.namespace.clone(), text(owner, "/uid").to_owned());
        if let Some(owned) = self.owned.get_mut(&of) {
            owned.remove(key);
            if owned.is_empty() {
                self.owned.remove(&of);
            }
        }
    }

    /// Notes whether an object waits. Where there is room again, workloads that were refused theirs are looked at.
    fn learn_waiting(&mut self, storage: &'static str, key: &Key, object: &Value, is_gone: bool) {
        let size = (!is_gone && waits(storage, object)).then(|| objects::size(object));
        let place = (storage, key.namespace.clone());
        let waiting = self.waiting.entry(place.clone()).or_default();
        let were_enough = waiting.are_enough();
        waiting.set(&key.name, size);
        let has_room = were_enough && !waiting.are_enough();
        if waiting.sum() == (0, 0) {
            self.waiting.remove(&place);
        }
        if has_room {
            self.hurry_those(|later| later.namespace == key.namespace);
        }
    }

    /// Why no further pods or claims of a namespace's workloads are made, if so.
    pub(super) fn are_enough(&self, storage: &str, namespace: &str) -> Option<String> {
        let place = place(storage, namespace)?;
        let waiting = self.waiting.get(&place).filter(|waiting| waiting.are_enough())?;
        let (count, size) = waiting.sum();
        let (what, goal) = match place.0 {
            CLAIMS => ("claims", "a volume"),
            _ => ("pods of workloads", "a node"),
        };
        Some(format!(
            "{count} {what} of this namespace, which take {} MiB, wait for {goal}; further ones are made when these have one",
            size >> 20
        ))
    }

    /// An object has been made, whose event is read later or has been read just now.
    pub(super) fn made(&mut self, storage: &str, namespace: &str, object: &Value) {
        let Some(place) = place(storage, namespace).filter(|_| is_unbound(storage, object)) else { return };
        let revision = text(object, "/metadata/resourceVersion").parse().ok().and_then(Revision::new);
        let revision = revision.filter(|revision| self.seen.is_none_or(|seen| *revision > seen));
        if let Some(revision) = revision {
            let size = objects::size(object);
            let made = &mut self.waiting.entry(place.clone()).or_default().made;
            *made = (made.0 + 1, made.1 + size);
            self.made.insert(revision, (place, size));
        }
    }

    /// The events of what was made up to a revision have been read.
    fn forget_made(&mut self, seen: Revision) {
        while let Some(first) = self.made.first_entry().filter(|first| *first.key() <= seen) {
            let (place, size) = first.remove();
            let Some(waiting) = self.waiting.get_mut(&place) else { continue };
            waiting.made = (waiting.made.0.saturating_sub(1), waiting.made.1.saturating_sub(size));
            if waiting.sum() == (0, 0) {
                self.waiting.remove(&place);
            }
        }
    }

    fn is_due(&mut self, key: Key) {
        match self.busy.get_mut(&key) {
            Some(is_due) => *is_due = true,
            None => self.turns.due(&key.namespace.clone()).push(key),
        }
    }

    /// The events of a workload's last run have been seen.
    fn is_free(&mut self, key: Key) {
        if self.busy.remove(&key) == Some(true) {
            self.is_due(key);
        }
    }

    /// Objects of a place in the store that a workload of a namespace controls.
    pub(super) fn owned(&self, namespace: &str, uid: &str, storage: &str) -> Vec<Key> {
        let owned = self.owned.get(&(namespace.to_owned(), uid.to_owned())).into_iter().flatten();
        owned.filter(|key| key.resource == storage).cloned().collect()
    }

    /// A right or an SCC has changed: refused workloads are tried again soon.
    pub(super) fn hurry(&mut self) {
        self.hurry_those(|_| true);
    }

    fn hurry_those(&mut self, are_meant: impl Fn(&Key) -> bool) {
        let soon = Instant::now() + limits::WORKLOAD_WAIT;
        self.later.hurry(soon, are_meant);
    }

    /// Events up to a revision have been read, and time has passed. Returns the time until something is due.
    pub(super) fn advance(&mut self, seen: Revision) -> Duration {
        self.seen = Some(seen);
        self.forget_made(seen);
        while self.unseen.first().is_some_and(|(until, _)| *until <= seen) {
            self.unseen.pop_first().into_iter().for_each(|(_, key)| self.is_free(key));
        }
        let now = Instant::now();
        self.later.ripe(now).into_iter().for_each(|key| self.is_due(key));
        self.later.next().map_or(limits::WORKLOAD_WAIT, |at| at - now).min(limits::WORKLOAD_WAIT)
    }

    /// The next workload.
    pub(super) fn take(&mut self) -> Option<Turn> {
        let (number, key) = self.turns.take(Instant::now())?;
        self.busy.insert(key.clone(), false);
        let failures = self.later.remove(&key);
        Some(Turn { key, failures, number })
    }

    /// The number of threads to start in the place of those whose workloads take long.
    pub(super) fn reinforce(&mut self) -> usize {
        self.turns.reinforce(Instant::now())
    }

    /// One of those threads ends.
    pub(super) fn dismiss(&mut self) {
        self.turns.dismiss();
    }

    /// A workload has been run; it has its next turn when events up to a revision have been seen.
    pub(super) fn done(&mut self, turn: Turn, again: Option<(Duration, u32)>, until: Revision) {
        self.turns.end(turn.number, Instant::now());
        match self.seen.is_some_and(|seen| seen >= until) {
            true => self.is_free(turn.key.clone()),
            false => drop(self.unseen.insert((until, turn.key.clone()))),
        }
        if let Some((wait, failures)) = again {
            let at = Instant::now() + wait.min(limits::WORKLOAD_LONGEST);
            self.later.insert(turn.key, at, failures);
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
    fn namespaces_take_turns_and_workloads_wait_for_their_own_events() {
        let mut queue = Queue::default();
        for namespace in ["a", "b", "c"] {
            queue.learn(&set(namespace, "0"), &json!({}), false);
            let turn = queue.take().unwrap();
            queue.done(turn, None, revision(1));
        }
        // One more than a namespace's share, the second one first.
        let share = limits::WORKLOAD_THREADS.namespace;
        let of_a: Vec<String> = [2, 1].into_iter().chain(3..=share + 1).map(|at| at.to_string()).collect();
        let keys = of_a.iter().map(|name| set("a", name));
        for key in keys.chain([set("b", "1"), set("c", "1")]) {
            queue.learn(&key, &json!({}), false);
        }
        let mut taken = Vec::new();
        while let Some(turn) = queue.take() {
            taken.push(turn);
        }
        let names: Vec<_> = taken.iter().map(|turn| (&*turn.key.namespace, &*turn.key.name)).collect();
        let (last, rest) = of_a.split_last().unwrap();
        let rest = rest.iter().skip(1).map(|name| ("a", name.as_str()));
        let expected: Vec<_> = [("a", "2"), ("b", "1"), ("c", "1")].into_iter().chain(rest).collect();
        assert_eq!(names, expected, "a few of each at a time");
        // It has changed while it ran.
        queue.learn(&set("a", "2"), &json!({}), false);
        let first = taken.remove(0);
        queue.done(first, None, revision(7));
        queue.advance(revision(6));
        assert_eq!(queue.take().unwrap().key, set("a", last));
        queue.done(taken.remove(2), None, revision(7));
        assert!(queue.take().is_none(), "the events of the last runs are not seen yet");
        queue.advance(revision(7));
        assert_eq!(queue.take().unwrap().key, set("a", "2"));
        assert!(queue.take().is_none(), "the other has not changed");
    }

    #[test]
    fn pods_that_wait_for_a_node_are_bounded() {
        let mut queue = Queue::default();
        let key = |at: usize| Key::new("pods", "a", format!("p{at}"));
        // Several times the size of a pod with its defaults.
        let mut large = pod_of("u");
        large["metadata"]["annotations"] = json!({"x": "x".repeat(20 << 10)});
        for at in 0..limits::WAITING.0 {
            assert!(queue.are_enough("pods", "a").is_none(), "{at}");
            queue.learn(&key(at), &large, false);
        }
        assert!(queue.are_enough("pods", "a").unwrap().starts_with(&format!("{} pods", limits::WAITING.0)));
        assert!(queue.are_enough("pods", "b").is_none(), "another namespace has its own");
        // Refused workloads are looked at again as soon as a pod has a node, has ended or is gone.
        queue.take();
        queue.later.insert(set("a", "x"), Instant::now() + Duration::from_secs(60), 7);
        let mut bound = pod_of("u");
        bound["spec"] = json!({"nodeName": "n"});
        let mut over = pod_of("u");
        over["status"] = json!({"phase": "Failed"});
        for (at, pod, is_gone) in [(0, bound, false), (1, over, false), (2, pod_of("u"), true)] {
            queue.learn(&key(at), &pod, is_gone);
            assert!(queue.are_enough("pods", "a").is_none());
            queue.learn(&key(at), &pod_of("u"), false);
            assert!(queue.are_enough("pods", "a").is_some());
        }
        assert!(queue.later.next().unwrap() < Instant::now() + Duration::from_secs(5));
    }

    #[test]
    fn claims_that_wait_for_a_volume_are_bounded() {
        let (mut queue, claim) = (Queue::default(), json!({"spec": {"resources": {}}}));
        let key = |at: usize| Key::new(CLAIMS, "a", format!("c{at}"));
        for at in 0..limits::WAITING.0 {
            assert!(queue.are_enough(CLAIMS, "a").is_none(), "{at}");
            queue.learn(&key(at), &claim, false);
        }
        let why = queue.are_enough(CLAIMS, "a").unwrap();
        assert!(
            why.starts_with(&format!("{} claims", limits::WAITING.0)) && why.contains("a volume"),
            "{why}"
        );
        assert!(queue.are_enough("pods", "a").is_none() && queue.are_enough(CLAIMS, "b").is_none());
        queue.learn(&key(7), &json!({"spec": {"volumeName": "v"}}), false);
        assert!(queue.are_enough(CLAIMS, "a").is_none());
        queue.made(CLAIMS, "a", &json!({"metadata": {"resourceVersion": "2"}}));
        assert!(queue.are_enough(CLAIMS, "a").is_some(), "one was made");
    }

    #[test]
    fn new_pods_count_before_their_events_are_seen() {
        let mut queue = Queue::default();
        queue.learn(&set("a", "1"), &json!({}), false);
        let turn = queue.take().unwrap();
        let heavy = json!({"metadata": {"resourceVersion": "2", "annotations": {"x": "x".repeat(limits::WAITING.1)}}});
        queue.made("pods", "a", &heavy);
        assert!(queue.are_enough("pods", "a").is_some());
        queue.done(turn, None, revision(3));
        queue.advance(revision(1));
        assert!(queue.are_enough("pods", "a").is_some());
        queue.advance(revision(3));
        assert!(queue.are_enough("pods", "a").is_none() && queue.waiting.is_empty());
        queue.made("pods", "a", &heavy);
        assert!(queue.waiting.is_empty(), "its event has been read");
    }

    #[test]
    fn objects_of_another_namespace_are_not_owned() {
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
        assert!(queue.later.next().unwrap() <= Instant::now() + limits::WORKLOAD_WAIT);
        assert_eq!(queue.later.remove(&set("a", "1")), 3);
    }
}
