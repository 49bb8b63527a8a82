//! The policy, kept in step with the store: an observer of all writes feeds it, so that code that writes does not
//! have to, and a client that was told of a write gets no decision from before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use palisade_admission::{Namespace, ObjectKey, PolicyCache, PolicyKind, PolicyObject};
use palisade_hooks::Webhooks;
use palisade_store::{Effect, Key, Observer, Store};
use serde_json::Value;

use crate::definitions::Definitions;
use crate::error::{ApiError, ApiResult};
use crate::members::{GROUPS, Members};
use crate::node::Placed;
use crate::{objects, resource};
use palisade_registry::services::Services;

/// Counts the writes that may end a user's rights: long requests, such as watches, are authenticated and authorized again
/// when it has changed.
#[derive(Debug)]
pub struct Epoch(AtomicU64);

impl Default for Epoch {
    /// Starts at 1: a request that has not looked yet has seen 0.
    fn default() -> Self {
        Self(AtomicU64::new(1))
    }
}

impl Epoch {
    /// Its present value.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn turn(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether a write may end a user's rights: one of an account or a role, or the deletion of a token, of a password, or
/// of what a token may be bound to.
fn ends_rights(storage: &str, is_gone: bool) -> bool {
    match storage {
        "serviceaccounts" | "user.openshift.io/users" | GROUPS => true,
        "pods" | "secrets" | crate::password::PASSWORDS | crate::token::TOKENS => is_gone,
        other => other.starts_with(palisade_k8s::rbac::GROUP),
    }
}

/// Feeds a policy with the writes of a store.
struct Feed {
    cache: Arc<PolicyCache>,
    epoch: Arc<Epoch>,
    /// The name of each kind in the store.
    kinds: Vec<(&'static str, PolicyKind)>,
    others: Others,
}

/// Other parts that follow the writes of a store.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// The groups of users.
    pub members: Arc<Members>,
    /// Admission webhooks.
    pub webhooks: Arc<Webhooks>,
    /// Custom resources.
    pub definitions: Arc<Definitions>,
    /// References of the pods on nodes.
    pub placed: Arc<Placed>,
    /// The addresses and ports of services.
    pub services: Arc<Services>,
}

impl Observer for Feed {
    fn prepare(&self, key: &Key, value: Option<&[u8]>) -> Option<Effect> {
        let change = self.change(key, value).or_else(|| self.change_of_webhooks(key, value));
        let change = change.or_else(|| self.change_of_definitions(key, value));
        let change = change.or_else(|| self.change_of_groups(key, value));
        let change = change.or_else(|| self.change_of_services(key, value));
        let change = change.or_else(|| self.change_of_pods(key, value));
        let epoch = ends_rights(&key.resource, value.is_none()).then(|| Arc::clone(&self.epoch));
        if change.is_none() && epoch.is_none() {
            return None;
        }
        Some(Box::new(move |_| {
            change.into_iter().for_each(|change| change());
            // After the change, so that a reader of the new epoch sees the new policy.
            epoch.iter().for_each(|epoch| epoch.turn());
        }))
    }
}

impl Feed {
    /// The change of the webhooks that a write makes, if any.
    fn change_of_webhooks(&self, key: &Key, value: Option<&[u8]>) -> Option<Box<dyn FnOnce() + Send>> {
        if !self.others.webhooks.are_in(&key.resource) {
            return None;
        }
        let object: Option<Value> = value.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let hooks = object.map(|object| Webhooks::parse(&key.name, &object));
        let (webhooks, key) = (Arc::clone(&self.others.webhooks), key.clone());
        Some(Box::new(move || webhooks.set(&key.resource, &key.name, hooks)))
    }

    /// The change of the resources that a write makes, if any.
    fn change_of_definitions(&self, key: &Key, value: Option<&[u8]>) -> Option<Box<dyn FnOnce() + Send>> {
        let definition = self.others.definitions.read(key, value)?;
        let (definitions, name) = (Arc::clone(&self.others.definitions), key.name.clone());
        Some(Box::new(move || definitions.set(&name, definition.as_ref())))
    }

    /// The change of users' groups that a write makes, if any.
    fn change_of_groups(&self, key: &Key, value: Option<&[u8]>) -> Option<Box<dyn FnOnce() + Send>> {
        if key.resource != GROUPS {
            return None;
        }
        let object: Option<Value> = value.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let (members, name) = (Arc::clone(&self.others.members), key.name.clone());
        Some(Box::new(move || members.set(&name, object.as_ref())))
    }

    /// The change of what services hold that a write makes, if any.
    fn change_of_services(&self, key: &Key, value: Option<&[u8]>) -> Option<Box<dyn FnOnce() + Send>> {
        if !Services::are_in(&key.resource) {
            return None;
        }
        let object: Option<Value> = value.and_then(|bytes| serde_json::from_slice(bytes).ok());
        let (services, key) = (Arc::clone(&self.others.services), key.clone());
        Some(Box::new(move || services.set(&key, object.as_ref())))
    }

    /// The change of what pods on nodes refer to that a write makes, if any.
    fn change_of_pods(&self, key: &Key, value: Option<&[u8]>) -> Option<Box<dyn FnOnce() + Send>> {
        if key.resource != resource::PODS.storage() {
            return None;
        }
        let found = value.and_then(|bytes| Placed::read(key, bytes));
        let (placed, cache, key) = (Arc::clone(&self.others.placed), Arc::clone(&self.cache), key.clone());
        // The owner is that of the namespace as it is then: a restore makes both in one write.
        Some(Box::new(move || placed.set(&key, found, || owner(&cache, &key.namespace))))
    }

    /// The change of the policy that a write makes, if any.
    fn change(&self, key: &Key, value: Option<&[u8]>) -> Option<Box<dyn FnOnce() + Send>> {
        let (_, kind) = self.kinds.iter().find(|(storage, _)| *storage == key.resource)?;
        let object = value.and_then(|bytes| read(*kind, key, bytes));
        let gone = ObjectKey { kind: *kind, namespace: key.namespace.clone(), name: key.name.clone() };
        let cache = Arc::clone(&self.cache);
        Some(Box::new(move || match object {
            Some(object) => cache.apply(object),
            None => cache.delete(&gone),
        }))
    }
}

/// An object as the policy takes it. One that it cannot use grants and admits nothing.
fn read(kind: PolicyKind, key: &Key, bytes: &[u8]) -> Option<PolicyObject> {
    let object = serde_json::from_slice(bytes).map_err(|error| error.to_string());
    let object = object.and_then(|object| PolicyObject::of(kind, &object).map_err(|error| error.to_string()));
    // The write that made it was checked, so this is not a client's error.
    object.inspect_err(|error| tracing::error!("{key} is not part of the policy: {error}")).ok()
}

impl Others {
    /// Takes what a store holds.
    fn load(&self, store: &Store) -> ApiResult<()> {
        for kind in [&resource::MUTATING_WEBHOOKS, &resource::VALIDATING_WEBHOOKS] {
            objects::each(store, kind, None, |object| {
                let name = resource::text(&object, "/metadata/name");
                let hooks = Webhooks::parse(name, &object);
                self.webhooks.set(kind.storage(), name, Some(hooks));
                Ok(())
            })?;
        }
        objects::each(store, &resource::SERVICES, None, |object| {
            let [namespace, name] =
                ["/metadata/namespace", "/metadata/name"].map(|field| resource::text(&object, field));
            self.services.set(&objects::key(&resource::SERVICES, namespace, name), Some(&object));
            Ok(())
        })?;
        if let Some(groups) = resource::of_storage(GROUPS) {
            objects::each(store, groups, None, |object| {
                self.members.set(resource::text(&object, "/metadata/name"), Some(&object));
                Ok(())
            })?;
        }
        self.definitions.load(store)
    }

    /// Takes the pods that a store holds, whose memory counts against those that a policy knows.
    fn load_pods(&self, store: &Store, cache: &PolicyCache) -> ApiResult<()> {
        objects::each(store, &resource::PODS, None, |object| {
            let [namespace, name] =
                ["/metadata/namespace", "/metadata/name"].map(|field| resource::text(&object, field));
            let key = objects::key(&resource::PODS, namespace, name);
            self.placed.set(&key, Placed::of(&key, &object), || owner(cache, namespace));
            Ok(())
        })
    }
}

/// The name of the bound that the memory of a namespace's objects counts in: that of the user who requested the namespace, else of
/// the namespace. A user and a namespace of the same name have different ones.
pub fn owner(cache: &PolicyCache, namespace: &str) -> Arc<str> {
    let policy = cache.snapshot();
    let requester = policy.namespace(namespace).and_then(Namespace::requester);
    requester.map_or_else(|| format!("namespace {namespace}"), |user| format!("user {user}")).into()
}

/// The policy of what a store holds, now and after each later write. No other code may write meanwhile.
pub fn follow(store: &Store, others: &Others) -> ApiResult<(Arc<PolicyCache>, Arc<Epoch>)> {
    others.load(store)?;
    let (cache, epoch) = (Arc::new(PolicyCache::default()), Arc::new(Epoch::default()));
    let (mut kinds, mut all) = (Vec::new(), Vec::new());
    for (group, plural, kind) in PolicyKind::RESOURCES {
        let resource = resource::find(group, plural).ok_or_else(ApiError::no_such_path)?;
        kinds.push((resource.storage(), kind));
        objects::each(store, resource, None, |object| {
            match PolicyObject::of(kind, &object) {
                Ok(object) => all.push(object),
                Err(error) => {
                    tracing::error!("a stored object of {plural} is not part of the policy: {error}")
                }
            }
            Ok(())
        })?;
    }
    cache.replace(all);
    others.load_pods(store, &cache)?;
    let feed = Feed { cache: Arc::clone(&cache), epoch: Arc::clone(&epoch), kinds, others: others.clone() };
    if store.observe(Arc::new(feed)) {
        Ok((cache, epoch))
    } else {
        Err(ApiError::internal("the store has an observer already"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_rbac::{Action, User};
    use serde_json::json;

    fn write(store: &Store, storage: &str, (namespace, name): (&str, &str), object: &Value) {
        let key = Key::new(storage, namespace, name);
        let bytes = object.to_string().into_bytes();
        match store.get(&key).unwrap() {
            Some(found) => store.update(&key, found.revision, &bytes).unwrap(),
            None => store.create(&key, &bytes).unwrap(),
        };
    }

    #[test]
    fn the_policy_follows_every_write_of_the_store() {
        let store = Store::ephemeral().unwrap();
        let role = |verb: &str| {
            json!({"metadata": {"name": "r", "namespace": "a"}, "rules": [
                {"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]})
        };
        let binding = json!({"metadata": {"name": "b", "namespace": "a"},
            "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "joe"}]});
        // Before the policy follows, and after.
        write(&store, "rbac.authorization.k8s.io/roles", ("a", "r"), &role("get"));
        let (policy, epoch) = follow(&store, &Others::default()).unwrap();
        let before = epoch.now();
        write(&store, "rbac.authorization.k8s.io/rolebindings", ("a", "b"), &binding);
        let may = |verb: &str| {
            let action = Action { verb, group: "", resource: "pods", name: "", namespace: "a" };
            policy.snapshot().rbac().authorize(&User { name: "joe", groups: &[] }, &action).is_some()
        };
        assert!(may("get") && !may("list"));
        write(&store, "rbac.authorization.k8s.io/roles", ("a", "r"), &role("list"));
        assert!(!may("get") && may("list"));
        write(&store, "rbac.authorization.k8s.io/roles", ("a", "r"), &json!({"rules": "all"}));
        assert!(!may("list"), "a role that cannot be read grants nothing");
        write(&store, "rbac.authorization.k8s.io/roles", ("a", "r"), &role("list"));
        store.delete(&Key::new("rbac.authorization.k8s.io/rolebindings", "a", "b"), None).unwrap();
        assert!(!may("list"));
        assert_eq!(epoch.now(), before + 5, "each of these writes may have ended somebody's rights");
        write(&store, "namespaces", ("", "a"), &json!({"metadata": {"name": "a"}}));
        assert!(policy.snapshot().namespace("a").is_some());
        assert_eq!(epoch.now(), before + 5);
        assert!(follow(&store, &Others::default()).is_err(), "one policy follows a store");
    }
}
