//! The seccomp profiles of nodes, as their agents tell in `NodeSeccompProfiles`: which nodes have one, and why others do
//! not.
//!
//! A profile is kept once with a bit for each node, and a node with a bit for each profile that it tells of, so that
//! memory hardly grows with nodes that all have the same, and a change of a node touches its own profiles alone. The
//! number of nodes, profiles, reasons and the length of texts are bounded, whatever an agent writes.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};

use kube::core::Object;
use palisade_profiles::Digest;
use palisade_profiles::report::COPIED;
use serde::Deserialize;

use crate::feed::Fold;
use crate::fit::Fit;
use crate::slots::Slots;

/// Twice the nodes that Kubernetes supports in a cluster.
const MOST_NODES: usize = 10_000;
/// Eight times the profiles that an agent makes.
const MOST_PROFILES: usize = 4096;
/// Most entries of a node's object that are read: more than an agent writes.
const MOST_ENTRIES: usize = 2048;
/// Most reasons of a profile that are kept; further nodes count under the last.
const REASONS: usize = 4;
/// The longest kept text, in characters.
const TEXT: usize = 200;
/// Most names that a [`Names`] holds.
const NAMES: usize = 64;
/// Most nodes that a reason names.
const NAMED: usize = 3;

/// The status of a node's object, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    profiles: Vec<Entry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    digest: String,
    state: String,
    names: Vec<String>,
    message: String,
}

/// The `spec`, which these objects do not have.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NoSpec {}

/// A node's object.
pub(crate) type NodeObject = Object<Option<NoSpec>, Status>;

/// Some names of nodes, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    first: Vec<String>,
    count: usize,
}

impl Names {
    pub(crate) fn of(names: impl Iterator<Item = String>) -> Self {
        let mut found = Self::default();
        for name in names {
            found.count += 1;
            if found.first.len() < NAMES {
                found.first.push(name);
            }
        }
        found
    }

    /// All names, if they are at most so many.
    pub(crate) fn all(&self, most: usize) -> Option<&[String]> {
        (self.count <= most && self.count == self.first.len()).then_some(&self.first)
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first: Vec<&str> = self.first.iter().take(NAMED).map(String::as_str).collect();
        f.write_str(&first.join(", "))?;
        match self.count.saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What nodes tell of the profiles of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Every node that fits the pod and tells of profiles has them.
    Everywhere,
    /// Some have, and some lack one.
    Somewhere {
        /// Nodes that have all of them.
        having: Names,
        /// Nodes that fit the pod, and lack one.
        lacking: Names,
    },
    /// No node that fits the pod has them: the profile that is at fault, if it is one, and why.
    Nowhere {
        /// The profile.
        digest: Option<Digest>,
        /// The name of its SeccompProfile, if a node tells of it.
        name: Option<String>,
        /// The reason.
        why: String,
    },
}

struct Node {
    name: Box<str>,
    /// Those of [`COPIED`].
    labels: Vec<(&'static str, Box<str>)>,
    /// The places of the profiles that it tells of.
    told: Slots,
    /// The list, or the watch after it, in which it was seen.
    round: u64,
}

impl Node {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| *known == key).map(|(_, value)| &**value)
    }
}

/// A profile, as nodes tell of it.
struct Told {
    digest: Digest,
    /// The first name that a node tells.
    name: Box<str>,
    ready: Slots,
    failed: Vec<(Box<str>, Slots)>,
}

impl Told {
    fn new(digest: Digest) -> Self {
        Self { digest, name: Box::default(), ready: Slots::default(), failed: Vec::new() }
    }

    fn forget(&mut self, slot: usize) {
        self.ready.remove(slot);
        self.failed.iter_mut().for_each(|(_, slots)| slots.remove(slot));
        self.failed.retain(|(_, slots)| !slots.is_empty());
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.failed.is_empty()
    }

    fn fail(&mut self, slot: usize, why: &str) {
        let why = plain(why);
        let is_full = self.failed.len() >= REASONS;
        match self.failed.iter_mut().find(|(known, _)| *known == why) {
            Some((_, slots)) => slots.insert(slot),
            None if is_full => {
                self.failed.iter_mut().last().into_iter().for_each(|(_, slots)| slots.insert(slot))
            }
            None => self.failed.push((why, Slots::of(slot))),
        }
    }
}

/// A text that agents wrote, short and without control characters.
fn plain(text: &str) -> Box<str> {
    text.chars().take(TEXT).map(|char| if char.is_control() { ' ' } else { char }).collect::<String>().into()
}

#[derive(Default)]
struct Index {
    nodes: Places<Node>,
    /// The places in `nodes`, by name.
    places: HashMap<Box<str>, usize>,
    profiles: Places<Told>,
    /// The places in `profiles`.
    digests: HashMap<Digest, usize>,
    round: u64,
}

/// Things that keep their places, which are used again.
struct Places<T> {
    all: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { all: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    fn get(&self, place: usize) -> Option<&T> {
        self.all.get(place)?.as_ref()
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.all.get_mut(place)?.as_mut()
    }

    /// The place of a new one; `None` if there would be more than `most`.
    fn add(&mut self, one: T, most: usize) -> Option<usize> {
        if let Some(place) = self.free.pop() {
            *self.all.get_mut(place)? = Some(one);
            return Some(place);
        }
        let place = self.all.len();
        (place < most).then(|| self.all.push(Some(one)))?;
        Some(place)
    }

    fn take(&mut self, place: usize) -> Option<T> {
        let one = self.all.get_mut(place)?.take()?;
        self.free.push(place);
        Some(one)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.all.iter().enumerate().filter_map(|(place, one)| Some((place, one.as_ref()?)))
    }
}

impl Index {
    /// The place of a node, with nothing told of it; `None` if there are too many.
    fn place(&mut self, node: Node) -> Option<usize> {
        self.remove(&node.name);
        let name = node.name.clone();
        let place = self.nodes.add(node, MOST_NODES)?;
        self.places.insert(name, place);
        Some(place)
    }

    fn told(&self, digest: &Digest) -> Option<&Told> {
        self.profiles.get(*self.digests.get(digest)?)
    }

    /// The place of a profile; `None` if there are too many.
    fn profile(&mut self, digest: Digest) -> Option<usize> {
        if let Some(place) = self.digests.get(&digest) {
            return Some(*place);
        }
        let place = self.profiles.add(Told::new(digest), MOST_PROFILES)?;
        self.digests.insert(digest, place);
        Some(place)
    }

    fn put(&mut self, object: NodeObject) {
        let own = object.metadata.labels.unwrap_or_default();
        let labels = COPIED.iter().filter_map(|key| Some((*key, own.get(*key)?.as_str().into())));
        let name = object.metadata.name.unwrap_or_default();
        let node = Node {
            name: name.as_str().into(),
            labels: labels.collect(),
            told: Slots::default(),
            round: self.round,
        };
        let Some(place) = self.place(node) else {
            return tracing::warn!("node {name}: profiles of more than {MOST_NODES} nodes are not kept");
        };
        for entry in object.status.unwrap_or_default().profiles.into_iter().take(MOST_ENTRIES) {
            self.tell(place, &entry);
        }
    }

    fn tell(&mut self, place: usize, entry: &Entry) {
        let Some(profile) = entry.digest.parse().ok().and_then(|digest| self.profile(digest)) else { return };
        self.nodes.get_mut(place).into_iter().for_each(|node| node.told.insert(profile));
        let Some(told) = self.profiles.get_mut(profile) else { return };
        if told.name.is_empty() {
            told.name = plain(entry.names.first().map_or("", String::as_str));
        }
        match entry.state.as_str() {
            "Ready" | "Kept" => told.ready.insert(place),
            _ => told.fail(place, &entry.message),
        }
    }

    fn remove(&mut self, name: &str) {
        let Some(place) = self.places.remove(name) else { return };
        let Some(node) = self.nodes.take(place) else { return };
        for profile in node.told.iter() {
            let Some(told) = self.profiles.get_mut(profile) else { continue };
            told.forget(place);
            if told.is_empty() {
                self.digests.remove(&told.digest);
                self.profiles.take(profile);
            }
        }
    }

    fn retain_round(&mut self) {
        let old = self.nodes.iter().map(|(_, node)| node).filter(|node| node.round != self.round);
        let old: Vec<Box<str>> = old.map(|node| node.name.clone()).collect();
        old.iter().for_each(|name| self.remove(name));
    }

    fn names(&self, slots: &Slots) -> Names {
        let named = self.nodes.iter().filter(|(place, _)| slots.contains(*place));
        Names::of(named.map(|(_, node)| node.name.to_string()))
    }

    fn standing(&self, fit: &Fit<'_>, digests: &[Digest]) -> Standing {
        let mut fitting = Slots::default();
        for (place, node) in self.nodes.iter() {
            if fit.fits(&node.name, |key| node.label(key)) {
                fitting.insert(place);
            }
        }
        let mut having = fitting.clone();
        for digest in digests {
            having = self.told(digest).map(|told| having.and(&told.ready)).unwrap_or_default();
        }
        if having.is_empty() {
            return self.nowhere(&fitting, digests);
        }
        let lacking = fitting.without(&having);
        if lacking.is_empty() {
            return Standing::Everywhere;
        }
        Standing::Somewhere { having: self.names(&having), lacking: self.names(&lacking) }
    }

    fn nowhere(&self, fitting: &Slots, digests: &[Digest]) -> Standing {
        let is_missing =
            |digest: &&Digest| self.told(digest).is_none_or(|told| fitting.and(&told.ready).is_empty());
        let digest = digests.iter().find(is_missing).copied();
        let told = digest.and_then(|digest| self.told(&digest));
        let why = match (told, digest) {
            _ if self.places.is_empty() => "no node tells of profiles".to_owned(),
            _ if fitting.is_empty() => "no node that fits the pod tells of profiles".to_owned(),
            (_, None) => "no node that fits the pod has all of its profiles".to_owned(),
            (None, _) => "no node that fits the pod has it: there is no such SeccompProfile, or no node has resolved it yet".to_owned(),
            (Some(told), _) => self.reasons(fitting, told),
        };
        let name = told.map(|told| told.name.to_string()).filter(|name| !name.is_empty());
        Standing::Nowhere { digest, name, why }
    }

    /// The reasons why none of these nodes has a profile.
    fn reasons(&self, fitting: &Slots, told: &Told) -> String {
        let mut text = "no node that fits the pod has it".to_owned();
        let mut waiting = fitting.clone();
        // Writing to a string cannot fail.
        for (why, slots) in &told.failed {
            let slots = fitting.and(slots);
            if !slots.is_empty() {
                let _ = write!(text, "; it failed on {}: {why}", self.names(&slots));
                waiting = waiting.without(&slots);
            }
        }
        if !waiting.is_empty() && waiting != *fitting {
            let _ = write!(text, "; {} have not told of it yet", self.names(&waiting));
        }
        if !told.ready.is_empty() {
            let _ = write!(text, "; other nodes have it: {}", self.names(&told.ready));
        }
        text
    }
}

/// The seccomp profiles of nodes, shared by the watch and the reviews.
#[derive(Clone, Default)]
pub(crate) struct NodeProfiles(Arc<RwLock<Index>>);

impl NodeProfiles {
    /// What nodes tell of these profiles.
    pub(crate) fn standing(&self, fit: &Fit<'_>, digests: &[Digest]) -> Standing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).standing(fit, digests)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fold for NodeProfiles {
    type Object = NodeObject;
    // An object of a node may be as large as an API server stores.
    const PAGE: u32 = 10;
    const OPTIONAL: bool = true;

    fn begin(&mut self) {
        self.write().round += 1;
    }

    fn put(&mut self, object: NodeObject) {
        self.write().put(object);
    }

    fn remove(&mut self, object: &NodeObject) {
        self.write().remove(object.metadata.name.as_deref().unwrap_or_default());
    }

    fn complete(&mut self) {
        self.write().retain_round();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    fn digest(n: usize) -> Digest {
        format!("{n:064x}").parse().unwrap()
    }

    fn object(name: &str, arch: &str, profiles: &[(usize, &str, &str)]) -> NodeObject {
        let entry = |(n, state, message): &(usize, &str, &str)| {
            json!({"digest": digest(*n).to_string(), "state": state,
            "names": [format!("profile-{n}")], "message": message})
        };
        let profiles: Vec<Value> = profiles.iter().map(entry).collect();
        serde_json::from_value(json!({"apiVersion": "x/v1", "kind": "X", "metadata": {"name": name,
            "labels": {"kubernetes.io/arch": arch, "other": "x"}}, "status": {"profiles": profiles}}))
        .unwrap()
    }

    fn standing(profiles: &NodeProfiles, selector: &Value, wanted: &[usize]) -> Standing {
        let pod = json!({"spec": {"containers": [], "nodeSelector": selector}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let digests: Vec<Digest> = wanted.iter().copied().map(digest).collect();
        profiles.standing(&Fit::of(&pod), &digests)
    }

    fn why(profiles: &NodeProfiles, selector: &Value, wanted: &[usize]) -> String {
        match standing(profiles, selector, wanted) {
            Standing::Nowhere { name, why, .. } => format!("{}: {why}", name.unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reasons_name_nodes_and_what_failed_there() {
        let mut profiles = NodeProfiles::default();
        let any = json!({});
        assert_eq!(why(&profiles, &any, &[1]), ": no node tells of profiles");
        profiles.put(object("a", "amd64", &[(1, "Ready", ""), (2, "Failed", "too\nlong"), (3, "Kept", "")]));
        profiles.put(object("b", "amd64", &[(1, "Ready", ""), (2, "Failed", "no space")]));
        profiles.put(object("c", "arm64", &[]));
        let amd = json!({"kubernetes.io/arch": "amd64"});
        let names = |names: &[&str]| Names::of(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(standing(&profiles, &amd, &[1]), Standing::Everywhere);
        assert_eq!(
            standing(&profiles, &any, &[1]),
            Standing::Somewhere { having: names(&["a", "b"]), lacking: names(&["c"]) }
        );
        assert_eq!(
            standing(&profiles, &amd, &[1, 3]),
            Standing::Somewhere { having: names(&["a"]), lacking: names(&["b"]) }
        );
        for (selector, wanted, expected) in [
            (
                &amd,
                &[2][..],
                "profile-2: no node that fits the pod has it; it failed on a: too long; it failed on b: no space",
            ),
            (
                &any,
                &[1, 2],
                "profile-2: no node that fits the pod has it; it failed on a: too long; it failed on b: no space; c have not told of it yet",
            ),
            (
                &json!({"kubernetes.io/arch": "arm64"}),
                &[1],
                "profile-1: no node that fits the pod has it; other nodes have it: a, b",
            ),
            (
                &json!({"kubernetes.io/arch": "riscv64"}),
                &[1],
                "profile-1: no node that fits the pod tells of profiles",
            ),
            (
                &any,
                &[9],
                ": no node that fits the pod has it: there is no such SeccompProfile, or no node has resolved it yet",
            ),
        ] {
            assert_eq!(why(&profiles, selector, wanted), expected);
        }
        profiles.remove(&object("a", "", &[]));
        profiles.put(object("c", "arm64", &[(3, "Ready", "")]));
        assert_eq!(why(&profiles, &any, &[1, 3]), ": no node that fits the pod has all of its profiles");
    }

    #[test]
    fn a_list_takes_away_what_it_does_not_have() {
        let mut profiles = NodeProfiles::default();
        profiles.put(object("a", "amd64", &[(1, "Ready", "")]));
        profiles.put(object("b", "amd64", &[(2, "Ready", "")]));
        profiles.begin();
        profiles.put(object("b", "amd64", &[(3, "Ready", "")]));
        profiles.complete();
        assert_eq!(standing(&profiles, &json!({}), &[3]), Standing::Everywhere);
        let index = profiles.0.read().unwrap();
        assert_eq!((index.places.len(), index.digests.len(), index.profiles.iter().count()), (1, 1, 1));
    }

    /// Agents may write what they like: it is bounded, and the places of nodes that have gone are used again.
    #[test]
    fn memory_is_bounded() {
        let mut profiles = NodeProfiles::default();
        for round in 0..3 {
            for node in 0..8 {
                let own: Vec<_> = (0..3000).map(|n| (n + node * 3000 + round, "Failed", "x")).collect();
                profiles.put(object(&format!("n{round}-{node}"), "amd64", &own));
            }
            {
                let index = profiles.0.read().unwrap();
                assert_eq!(index.digests.len(), MOST_PROFILES);
                assert_eq!((index.profiles.all.len(), index.nodes.all.len()), (MOST_PROFILES, 8));
            }
            profiles.begin();
            profiles.complete();
        }
        for node in 0..10 {
            let why = format!("{node}{}", "é".repeat(1000));
            profiles.put(object(&format!("n{node}"), "amd64", &[(1, "Failed", &why)]));
        }
        assert!(why(&profiles, &json!({}), &[1]).chars().count() < REASONS * (TEXT + 100));
        assert!(profiles.0.read().unwrap().profiles.iter().all(|(_, told)| told.failed.len() <= REASONS));
    }

    /// After any changes it is what it would be if the nodes of the end had told it alone.
    #[test]
    fn nodes_leave_nothing_behind() {
        let mut profiles = NodeProfiles::default();
        let mut last: std::collections::BTreeMap<usize, Vec<(usize, &str, &str)>> = Default::default();
        let mut state = 11_usize;
        for _ in 0..3000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let node = (state >> 33) % 12;
            if state >> 62 == 0 {
                profiles.remove(&object(&format!("n{node}"), "amd64", &[]));
                last.remove(&node);
                continue;
            }
            let entry =
                |n: usize| (n, ["Ready", "Failed"][(state >> (40 + n)) % 2], ["x", "y"][(state >> n) % 2]);
            let told: Vec<_> = (0..10).filter(|n| (state >> (36 + n)).is_multiple_of(3)).map(entry).collect();
            profiles.put(object(&format!("n{node}"), "amd64", &told));
            last.insert(node, told);
        }
        let mut fresh = NodeProfiles::default();
        last.iter().for_each(|(node, told)| fresh.put(object(&format!("n{node}"), "amd64", told)));
        let sorted = |profiles: &NodeProfiles, n: usize| {
            let index = profiles.0.read().unwrap();
            let told = index.told(&digest(n))?;
            let names = |slots: &Slots| {
                let mut names = index.names(slots).first;
                names.sort();
                names
            };
            let mut failed: Vec<_> =
                told.failed.iter().map(|(why, slots)| (why.clone(), names(slots))).collect();
            failed.sort();
            Some((names(&told.ready), failed))
        };
        for n in 0..10 {
            assert_eq!(sorted(&profiles, n), sorted(&fresh, n), "{n}");
        }
        last.keys().for_each(|node| profiles.remove(&object(&format!("n{node}"), "amd64", &[])));
        let index = profiles.0.read().unwrap();
        assert_eq!(
            (index.digests.len(), index.profiles.iter().count(), index.nodes.iter().count()),
            (0, 0, 0)
        );
    }
}
