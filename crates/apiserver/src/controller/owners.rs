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
    dependents: HashMap<u64, Key>,
}

impl Owners {
    fn hash(&self, of: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(of)
    }

    /// Notes an object and its owners.
    pub(super) fn learn(&mut self, key: &Key, object: &Value) {
        self.alive.insert(self.hash(text(object, "/metadata/uid")), self.hash(&key.namespace));
        let dependent = self.hash(key);
        let before = self.owned.len();
        for owner in of(object) {
            self.owned.insert((self.hash(owner), dependent));
        }
        if self.owned.len() > before {
            self.dependents.insert(dependent, key.clone());
        }
    }

    /// Notes that an object is gone.
    pub(super) fn bury(&mut self, uid: &str) {
        self.alive.remove(&self.hash(uid));
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
        let owned = owned.filter_map(|(_, dependent)| self.dependents.get(dependent));
        owned.filter(|key| namespace.is_empty() || key.namespace == namespace).cloned().collect()
    }

    /// Whether an object names owners, and none of them exists where it can own it.
    pub(super) fn is_orphan(&self, object: &Value) -> bool {
        let places = ["", text(object, "/metadata/namespace")].map(|namespace| self.hash(namespace));
        let is_alive =
            |owner| self.alive.get(&self.hash(owner)).is_some_and(|namespace| places.contains(namespace));
        let mut owners = of(object).peekable();
        owners.peek().is_some() && !owners.any(is_alive)
    }
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
        owners.bury("1");
        assert!(owners.is_orphan(&object("2", &["1"])));
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
