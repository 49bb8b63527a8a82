//! Which objects there are, and which name which owners.
//!
//! An owner is in the namespace of its dependents or in none, as in Kubernetes: whom an object names from elsewhere neither
//! takes it along nor waits for it.
//!
//! An object may name thousands of owners, and each costs two numbers here: UIDs and keys are kept as hashes, under a key
//! of this process that nobody knows. What is found by a hash is read again before it is changed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use palisade_store::Key;
use serde_json::Value;

use crate::resource::text;

/// Owners and dependents, by UID.
#[derive(Debug, Default)]
pub(super) struct Owners {
    hasher: RandomState,
    /// The UIDs of all objects, with their namespaces.
    alive: HashMap<u64, u64>,
    /// Each owner's UID with each of its dependents.
    owned: BTreeSet<(u64, u64)>,
    /// The objects that name owners.
    dependents: HashMap<u64, Dependent>,
    /// The UIDs of objects that are being deleted and leave their dependents behind.
    leaving_orphans: HashSet<u64>,
}

/// An object that names owners.
#[derive(Debug)]
struct Dependent {
    key: Key,
    /// The number of its owners that exist where they can own it: the end of one costs no look at the others.
    living: usize,
    /// Whether it is being deleted: the end of its owners changes nothing for it.
    is_leaving: bool,
}

impl Owners {
    fn hash(&self, of: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(of)
    }

    /// Whether an owner, by its UID, exists where it can own an object of a namespace.
    fn is_alive(&self, owner: u64, namespace: &str) -> bool {
        let place = self.alive.get(&owner);
        place.is_some_and(|place| [self.hash(""), self.hash(namespace)].contains(place))
    }

    /// Notes an object and its owners.
    pub(super) fn learn(&mut self, key: &Key, object: &Value) {
        let uid = self.hash(text(object, "/metadata/uid"));
        if self.alive.insert(uid, self.hash(&key.namespace)).is_none() {
            self.each_owned(&key.namespace, uid, |dependent| dependent.living += 1);
        }
        let is_leaving = object.pointer("/metadata/deletionTimestamp").is_some();
        match is_leaving && has_finalizer(object, ORPHAN) {
            true => self.leaving_orphans.insert(uid),
            false => self.leaving_orphans.remove(&uid),
        };
        let hash = self.hash(key);
        for owner in of(object).map(|owner| self.hash(owner)).collect::<Vec<_>>() {
            if self.owned.insert((owner, hash)) {
                let is_alive = self.is_alive(owner, &key.namespace);
                let new = || Dependent { key: key.clone(), living: 0, is_leaving };
                self.dependents.entry(hash).or_insert_with(new).living += usize::from(is_alive);
            }
        }
        self.dependents.entry(hash).and_modify(|dependent| dependent.is_leaving = is_leaving);
    }

    /// Notes that an object of a namespace is gone; gives those that have no owner left.
    pub(super) fn bury(&mut self, namespace: &str, uid: &str) -> Vec<Key> {
        let (uid, mut orphans) = (self.hash(uid), Vec::new());
        self.leaving_orphans.remove(&uid);
        if self.alive.remove(&uid).is_some() {
            self.each_owned(namespace, uid, |dependent| {
                dependent.living = dependent.living.saturating_sub(1);
                if dependent.living == 0 {
                    orphans.push(dependent.key.clone());
                }
            });
        }
        orphans
    }

    /// Gives the objects that an owner of a namespace has to a function.
    fn each_owned(&mut self, namespace: &str, owner: u64, mut with: impl FnMut(&mut Dependent)) {
        for (_, dependent) in self.owned.range((owner, 0)..=(owner, u64::MAX)) {
            let dependent = self.dependents.get_mut(dependent);
            dependent.filter(|dependent| owns(namespace, &dependent.key)).map(&mut with);
        }
    }

    /// Forgets the owners of an object: its author may name owners that never existed, others each time.
    pub(super) fn disclaim(&mut self, key: &Key, object: &Value) {
        let dependent = self.hash(key);
        let mut names_any = false;
        for owner in of(object) {
            self.owned.remove(&(self.hash(owner), dependent));
            names_any = true;
        }
        if names_any {
            self.dependents.remove(&dependent);
        }
    }

    /// Notes that an object no longer names owners: its event may be read much later.
    pub(super) fn release(&mut self, key: &Key, owners: &[String]) {
        let hash = self.hash(key);
        for owner in owners.iter().map(|owner| self.hash(owner)).collect::<Vec<_>>() {
            let is_alive = self.is_alive(owner, &key.namespace);
            if self.owned.remove(&(owner, hash)) && is_alive {
                let lose = |dependent: &mut Dependent| dependent.living = dependent.living.saturating_sub(1);
                self.dependents.entry(hash).and_modify(lose);
            }
        }
    }

    /// Notes that the deletion of an object was asked for.
    pub(super) fn leaves(&mut self, key: &Key) {
        let hash = self.hash(key);
        self.dependents.entry(hash).and_modify(|dependent| dependent.is_leaving = true);
    }

    /// Whether an owner of an object of a namespace leaves it behind.
    pub(super) fn leaves_behind(&self, namespace: &str, owner: &str) -> bool {
        let owner = self.hash(owner);
        self.leaving_orphans.contains(&owner) && self.is_alive(owner, namespace)
    }

    /// The objects that an owner of a namespace has, but those that are being deleted: where many objects own each other, the
    /// deletion of all of them looks at each once.
    pub(super) fn dependents(&self, namespace: &str, uid: &str) -> Vec<Key> {
        let owner = self.hash(uid);
        let owned = self.owned.range((owner, 0)..=(owner, u64::MAX));
        let owned = owned.filter_map(|(_, dependent)| self.dependents.get(dependent));
        let owned = owned.filter(|dependent| owns(namespace, &dependent.key) && !dependent.is_leaving);
        owned.map(|dependent| dependent.key.clone()).collect()
    }

    /// The objects whose owners are all gone, but those that are being deleted.
    pub(super) fn orphans(&self) -> Vec<Key> {
        let orphans = self.dependents.values().filter(|one| one.living == 0 && !one.is_leaving);
        orphans.map(|one| one.key.clone()).collect()
    }

    /// Whether an object names owners, and none of them exists where it can own it.
    pub(super) fn is_orphan(&self, object: &Value) -> bool {
        let namespace = text(object, "/metadata/namespace");
        let mut owners = of(object).peekable();
        owners.peek().is_some() && !owners.any(|owner| self.is_alive(self.hash(owner), namespace))
    }
}

/// The finalizer of an object that leaves its dependents behind.
pub(super) const ORPHAN: &str = "orphan";

/// Whether an object has a finalizer.
pub(super) fn has_finalizer(object: &Value, name: &str) -> bool {
    let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    finalizers.is_some_and(|list| list.iter().any(|finalizer| finalizer == name))
}

/// Whether an owner of a namespace can own an object.
fn owns(namespace: &str, dependent: &Key) -> bool {
    namespace.is_empty() || dependent.namespace == namespace
}

/// The UIDs of the owners that an object names.
pub(super) fn of(object: &Value) -> impl Iterator<Item = &str> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references.into_iter().flatten().map(|reference| text(reference, "/uid"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, owners: &[&str]) -> Value {
        let owners: Vec<Value> = owners.iter().map(|owner| json!({"uid": owner})).collect();
        json!({"metadata": {"uid": uid, "namespace": "a", "ownerReferences": owners}})
    }

    #[test]
    fn dependents_are_known_until_they_disclaim_their_owners() {
        let mut owners = Owners::default();
        let key = |name: &str| Key::new("pods", "a", name);
        owners.learn(&key("set"), &object("1", &[]));
        owners.learn(&key("pod"), &object("2", &["1", "9"]));
        owners.learn(&key("other"), &object("3", &["9"]));
        assert_eq!(owners.dependents("a", "1"), [key("pod")]);
        assert_eq!(owners.dependents("a", "9").len(), 2);
        assert!(owners.dependents("a", "2").is_empty());
        // A change: the old owners go, the new ones come.
        owners.disclaim(&key("pod"), &object("2", &["1", "9"]));
        owners.learn(&key("pod"), &object("2", &["1"]));
        assert_eq!(
            (owners.dependents("a", "1"), owners.dependents("a", "9")),
            (vec![key("pod")], vec![key("other")])
        );
        owners.disclaim(&key("pod"), &object("2", &["1"]));
        owners.disclaim(&key("other"), &object("3", &["9"]));
        assert!(owners.owned.is_empty() && owners.dependents.is_empty());
    }

    #[test]
    fn an_orphan_names_owners_of_which_none_exists() {
        let mut owners = Owners::default();
        owners.learn(&Key::new("pods", "a", "set"), &object("1", &[]));
        for (named, is_orphan) in [(&[][..], false), (&["1"], false), (&["9"], true), (&["9", "1"], false)] {
            assert_eq!(owners.is_orphan(&object("2", named)), is_orphan, "{named:?}");
        }
        assert!(owners.bury("a", "1").is_empty(), "it has no dependents");
        assert!(owners.orphans().is_empty());
        let (pod, key) = (object("5", &["1", "9"]), Key::new("pods", "a", "pod"));
        owners.learn(&key, &pod);
        assert_eq!(owners.orphans(), [key]);
        assert!(owners.is_orphan(&object("2", &["1"])));
    }

    #[test]
    fn the_last_owner_that_goes_leaves_orphans() {
        let (mut owners, pod) = (Owners::default(), Key::new("pods", "a", "pod"));
        let owner = |name: &str| Key::new("configmaps", "a", name);
        // The dependent is known before one of its owners, and names one twice.
        owners.learn(&owner("1"), &object("1", &[]));
        owners.learn(&pod, &object("9", &["1", "2", "2", "7"]));
        owners.learn(&owner("2"), &object("2", &[]));
        // It is read again.
        owners.learn(&owner("2"), &object("2", &[]));
        owners.learn(&pod, &object("9", &["1", "2", "2", "7"]));
        assert_eq!((owners.bury("a", "2"), owners.bury("a", "2")), (vec![], vec![]));
        assert_eq!(owners.bury("a", "1"), std::slice::from_ref(&pod));
        owners.learn(&Key::new("nodes", "", "3"), &object("3", &[]));
        owners.learn(&Key::new("configmaps", "b", "4"), &object("4", &[]));
        owners.disclaim(&pod, &object("9", &["1", "2", "2", "7"]));
        owners.learn(&pod, &object("9", &["3", "4"]));
        assert_eq!(owners.bury("", "3"), [pod], "the other is in another namespace");
    }

    #[test]
    fn objects_that_own_each_other_are_looked_at_once() {
        let uids: Vec<String> = (0..30).map(|at| at.to_string()).collect();
        let all: Vec<&str> = uids.iter().map(String::as_str).collect();
        let key = |uid: &str| Key::new("configmaps", "a", uid);
        let learn = |owners: &mut Owners, uid: &str, named: &[&str], is_leaving: bool| {
            let mut new = object(uid, named);
            if is_leaving {
                new["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                new["metadata"]["finalizers"] = json!([ORPHAN]);
            }
            owners.disclaim(&key(uid), &object(uid, named));
            owners.learn(&key(uid), &new);
        };
        // All are being deleted, or all that own others, which are not.
        for (owned, looks) in [(&all[..], 0), (&all[15..], 15)] {
            let mut owners = Owners::default();
            let named = |uid: &str| if owned.contains(&uid) { &all[..15] } else { &[] };
            all.iter().for_each(|uid| learn(&mut owners, uid, named(uid), false));
            assert_eq!(owners.dependents("a", "3").len(), owned.len());
            let leaving = if looks == 0 { &all[..] } else { &all[..15] };
            leaving.iter().for_each(|uid| learn(&mut owners, uid, named(uid), true));
            let mut looked = 0;
            for owner in &all[..15] {
                for dependent in owners.dependents("a", owner) {
                    looked += 1;
                    let left = uids.iter().filter(|owner| owners.leaves_behind("a", owner));
                    owners.release(&dependent, &left.cloned().collect::<Vec<_>>());
                }
            }
            assert_eq!(looked, looks);
            // The events come later, and what is read again is as it was written.
            for uid in owned {
                owners.disclaim(&key(uid), &object(uid, named(uid)));
                learn(&mut owners, uid, &[], false);
            }
            all.iter().for_each(|uid| assert!(owners.bury("a", uid).is_empty(), "{uid}"));
            assert!(
                owners.owned.is_empty() && owners.dependents.is_empty() && owners.leaving_orphans.is_empty()
            );
        }
        let mut owners = Owners::default();
        learn(&mut owners, "1", &[], false);
        learn(&mut owners, "2", &["1"], false);
        owners.leaves(&key("2"));
        assert!(owners.dependents("a", "1").is_empty(), "its deletion was asked for");
    }

    #[test]
    fn an_owner_is_in_the_namespace_of_its_dependents_or_in_none() {
        let (mut owners, key) = (Owners::default(), |namespace| Key::new("secrets", namespace, "s"));
        owners.learn(&key("a"), &object("2", &["1"]));
        owners.learn(&Key::new("namespaces", "", "a"), &object("3", &["1"]));
        for (namespace, owned) in
            [("a", vec![key("a")]), ("b", vec![]), ("", vec![key("a"), Key::new("namespaces", "", "a")])]
        {
            let mut found = owners.dependents(namespace, "1");
            found.sort_by(|one, other| other.cmp(one));
            assert_eq!(found, owned, "an owner in {namespace:?}");
            owners.learn(&Key::new("configmaps", namespace, "o"), &object("1", &[]));
            assert_eq!(owners.is_orphan(&object("2", &["1"])), namespace == "b");
        }
    }
}
