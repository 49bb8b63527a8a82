//! Which objects there are, and which name which owners.
//!
//! An owner is in the namespace of its dependents or in none, as in Kubernetes: whom an object names from elsewhere neither
//! takes it along nor waits for it.
//!
//! An object may name thousands of owners, and each costs two numbers here: UIDs and keys are kept as hashes, under a key
//! of this process that nobody knows. What is found by a hash is read again before it is changed.

use std::collections::{BTreeSet, HashMap};
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
}

/// An object that names owners.
#[derive(Debug)]
struct Dependent {
    key: Key,
    /// The number of its owners that exist where they can own it: the end of one costs no look at the others.
    living: usize,
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
        let hash = self.hash(key);
        for owner in of(object).map(|owner| self.hash(owner)).collect::<Vec<_>>() {
            if self.owned.insert((owner, hash)) {
                let is_alive = self.is_alive(owner, &key.namespace);
                let new = || Dependent { key: key.clone(), living: 0 };
                self.dependents.entry(hash).or_insert_with(new).living += usize::from(is_alive);
            }
        }
    }

    /// Notes that an object of a namespace is gone; gives those that have no owner left.
    pub(super) fn bury(&mut self, namespace: &str, uid: &str) -> Vec<Key> {
        let (uid, mut orphans) = (self.hash(uid), Vec::new());
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

    /// The objects that an owner of a namespace has.
    pub(super) fn dependents(&self, namespace: &str, uid: &str) -> Vec<Key> {
        let owner = self.hash(uid);
        let owned = self.owned.range((owner, 0)..=(owner, u64::MAX));
        let owned = owned.filter_map(|(_, dependent)| Some(&self.dependents.get(dependent)?.key));
        owned.filter(|key| owns(namespace, key)).cloned().collect()
    }

    /// Whether an object names owners, and none of them exists where it can own it.
    pub(super) fn is_orphan(&self, object: &Value) -> bool {
        let namespace = text(object, "/metadata/namespace");
        let mut owners = of(object).peekable();
        owners.peek().is_some() && !owners.any(|owner| self.is_alive(self.hash(owner), namespace))
    }
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
