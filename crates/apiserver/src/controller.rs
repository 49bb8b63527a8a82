//! Controllers: the server empties namespaces that are deleted, deletes what has lost its owners, restores
//! what every cluster and every namespace has, marks nodes that are silent, and forgets old versions.

mod definitions;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use palisade_scc::BuiltinSet;
use palisade_store::{Change, Key, Revision};
use serde_json::Value;

use definitions::Ends;

use crate::api::Api;
use crate::call::Call;
use crate::error::{ApiResult, Reason};
use crate::hub::Event;
use crate::identity::Identity;
use crate::limits;
use crate::notes::Notes;
use crate::request::{Query, Target};
use crate::resource::{self, text};
use crate::{admit, aggregate, binder, bootstrap, lost, objects, verb};

/// Runs until it is told to stop.
pub(crate) fn start(api: &Arc<Api>, set: BuiltinSet, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (api, stop) = (Arc::clone(api), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut controller = Controller::new(&api, set);
        while !stop.load(Ordering::Relaxed) {
            controller.turn();
        }
    })
}

struct Controller<'a> {
    api: &'a Api,
    set: BuiltinSet,
    seen: Revision,
    /// By the owner's UID, what it owns.
    owned: HashMap<String, HashSet<Key>>,
    /// Objects by the UID that they have.
    alive: HashSet<String>,
    /// Namespaces on their way out.
    leaving: BTreeSet<String>,
    definitions: Ends,
    /// When old versions were last forgotten, and up to where to forget next.
    compacted: (Instant, Revision),
    heartbeats: lost::Heartbeats,
}

impl<'a> Controller<'a> {
    fn new(api: &'a Api, set: BuiltinSet) -> Self {
        let seen = api.store.revision();
        let mut controller = Self {
            api,
            set,
            seen,
            owned: HashMap::new(),
            alive: HashSet::new(),
            leaving: BTreeSet::new(),
            definitions: Ends::default(),
            compacted: (Instant::now(), seen),
            heartbeats: lost::Heartbeats::default(),
        };
        controller.look_around();
        if let Err(error) = binder::settle(api) {
            tracing::warn!("claims cannot be given volumes: {}", error.message);
        }
        controller.aggregate();
        controller
    }

    /// Learns what is there.
    fn look_around(&mut self) {
        self.seen = self.api.store.revision();
        for resource in &self.api.definitions.now().kept().collect::<Vec<_>>() {
            let listed = objects::each(&self.api.store, resource, None, |object| {
                let (namespace, name) =
                    (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
                self.learn(objects::key(resource, namespace, name), &object);
                Ok(())
            });
            if let Err(error) = listed {
                tracing::warn!("{} cannot be looked at: {}", resource.plural(), error.message);
            }
        }
    }

    fn learn(&mut self, key: Key, object: &Value) {
        self.alive.insert(text(object, "/metadata/uid").to_owned());
        self.definitions.learn(&key, object);
        for owner in owners(object) {
            self.owned.entry(owner.to_owned()).or_default().insert(key.clone());
        }
        let is_leaving = object.pointer("/metadata/deletionTimestamp").is_some();
        if key.resource == "namespaces" && is_leaving {
            self.leaving.insert(key.name);
        }
    }

    fn turn(&mut self) {
        let watch = self.api.store.watch_all(self.seen);
        let events = watch.and_then(|mut watch| {
            let events = watch.next(Duration::from_millis(500))?;
            Ok((events, watch.seen()))
        });
        let Ok((events, seen)) = events else {
            self.look_around();
            return;
        };
        self.seen = seen;
        let mut roles_moved = false;
        for event in events.into_iter().filter_map(Event::of) {
            roles_moved |= aggregate::is_moved_by(&event);
            // One that fails leaves the other its part.
            let done = [self.handle(&event), binder::happened(self.api, &event)];
            for error in done.into_iter().filter_map(Result::err) {
                tracing::warn!("{} {}/{}: {}", event.storage, event.namespace, event.name, error.message);
            }
        }
        if roles_moved {
            self.aggregate();
        }
        let leaving: Vec<String> = self.leaving.iter().cloned().collect();
        for namespace in leaving {
            if let Err(error) = self.empty(&namespace) {
                tracing::warn!("namespace {namespace} cannot be emptied: {}", error.message);
            }
        }
        if let Err(error) = self.heartbeats.look(self.api) {
            tracing::warn!("nodes cannot be looked at: {}", error.message);
        }
        definitions::sweep(self);
        self.compact();
    }

    fn aggregate(&self) {
        if let Err(error) = aggregate::settle(self.api) {
            tracing::warn!("roles that are made of others cannot be given rules: {}", error.message);
        }
    }

    fn handle(&mut self, event: &Event) -> ApiResult<()> {
        let key = Key::new(&event.storage, &event.namespace, &event.name);
        if event.change != Change::Deleted {
            self.learn(key, &event.object);
            if event.storage == "namespaces" {
                bootstrap::repair(self.api, event.object.clone())?;
            }
            return self.finish(event);
        }
        self.definitions.forget(self.api, event);
        let uid = text(&event.object, "/metadata/uid");
        self.alive.remove(uid);
        for owner in owners(&event.object) {
            if let Some(owned) = self.owned.get_mut(owner) {
                owned.remove(&key);
            }
        }
        if event.storage == "namespaces" {
            self.leaving.remove(&event.name);
        }
        self.restore(event)?;
        for dependent in self.owned.remove(uid).into_iter().flatten() {
            self.orphaned(&dependent)?;
        }
        Ok(())
    }

    /// Deletes what has no owner left.
    fn orphaned(&self, key: &Key) -> ApiResult<()> {
        let Some(resource) = self.api.definitions.now().of_storage(&key.resource) else { return Ok(()) };
        let Ok(found) = objects::get(&self.api.store, &resource, &key.namespace, &key.name) else {
            return Ok(());
        };
        let mut owners = owners(&found.object).peekable();
        if owners.peek().is_none() || owners.any(|owner| self.alive.contains(owner)) {
            return Ok(());
        }
        self.delete(key)
    }

    fn delete(&self, key: &Key) -> ApiResult<()> {
        self.with_call(key, |call| match verb::delete(call, b"", "") {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    fn with_call(&self, key: &Key, act: impl FnOnce(&Call<'_>) -> ApiResult<()>) -> ApiResult<()> {
        let Some(resource) = self.api.definitions.now().of_storage(&key.resource) else { return Ok(()) };
        let target =
            Target { resource, namespace: key.namespace.clone(), name: key.name.clone(), subresource: None };
        let (who, query, notes) = (Identity::system(), Query::default(), Notes::default());
        act(&Call {
            api: self.api,
            who: &who,
            target: &target,
            query: &query,
            agent: "palisade",
            notes: &notes,
        })
    }

    /// Does what an object that is deleted in the foreground, or without its dependents, waits for.
    fn finish(&self, event: &Event) -> ApiResult<()> {
        let object = &event.object;
        if object.pointer("/metadata/deletionTimestamp").is_none() {
            return Ok(());
        }
        let finalizers = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        let has = |name: &str| finalizers.is_some_and(|list| list.iter().any(|finalizer| finalizer == name));
        let dependents = self.owned.get(text(object, "/metadata/uid")).cloned().unwrap_or_default();
        let done = if has("orphan") {
            for dependent in &dependents {
                self.disown(dependent, text(object, "/metadata/uid"))?;
            }
            "orphan"
        } else if has("foregroundDeletion") {
            for dependent in &dependents {
                self.delete(dependent)?;
            }
            "foregroundDeletion"
        } else {
            return Ok(());
        };
        let key = Key::new(&event.storage, &event.namespace, &event.name);
        self.with_call(&key, |call| {
            verb::revise(call, |old| {
                let mut new = old.clone();
                if let Some(list) = new.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
                    list.retain(|finalizer| finalizer != done);
                }
                Ok(new)
            })
            .map(drop)
        })
    }

    fn disown(&self, key: &Key, owner: &str) -> ApiResult<()> {
        self.with_call(key, |call| {
            verb::revise(call, |old| {
                let mut new = old.clone();
                if let Some(list) = new.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut)
                {
                    list.retain(|reference| text(reference, "/uid") != owner);
                }
                Ok(new)
            })
            .map(drop)
        })
    }

    /// Brings back what was deleted and has to be there.
    fn restore(&self, event: &Event) -> ApiResult<()> {
        match event.storage.as_str() {
            "serviceaccounts" | "configmaps" => {
                let namespaces = &resource::NAMESPACES;
                let found = objects::get(&self.api.store, namespaces, "", &event.namespace);
                let is_kept =
                    found.is_ok_and(|found| found.object.pointer("/metadata/deletionTimestamp").is_none());
                if is_kept && matches!(event.name.as_str(), "default" | "kube-root-ca.crt") {
                    admit::furnish(self.api, &event.namespace)?;
                }
                Ok(())
            }
            storage if is_built_in(storage) => {
                let kind = text(&event.object, "/kind");
                for object in bootstrap::objects(self.api, self.set)? {
                    if text(&object, "/kind") == kind && text(&object, "/metadata/name") == event.name {
                        bootstrap::ensure(self.api, object)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Deletes everything in a namespace, then the namespace.
    fn empty(&mut self, namespace: &str) -> ApiResult<()> {
        let mut is_empty = true;
        for resource in &self.api.definitions.now().kept().filter(|r| r.namespaced).collect::<Vec<_>>() {
            objects::each(&self.api.store, resource, Some(namespace), |object| {
                is_empty = false;
                match object.pointer("/metadata/deletionTimestamp") {
                    None => self.delete(&objects::key(resource, namespace, text(&object, "/metadata/name"))),
                    Some(_) => Ok(()),
                }
            })?;
        }
        if !is_empty {
            return Ok(());
        }
        let namespaces = &resource::NAMESPACES;
        let found = match objects::get(&self.api.store, namespaces, "", namespace) {
            Err(error) if error.reason == Reason::NotFound => {
                self.leaving.remove(namespace);
                return Ok(());
            }
            found => found?,
        };
        let finalizers = found.object.pointer("/metadata/finalizers").and_then(Value::as_array);
        // Somebody else's finalizer holds the namespace until they take it off.
        if finalizers.is_none_or(Vec::is_empty) {
            crate::remove::remove(self.api, namespaces, "", namespace, Some(found.revision))?;
            self.leaving.remove(namespace);
        }
        Ok(())
    }

    fn compact(&mut self) {
        if let Err(error) = self.api.store.tidy() {
            tracing::warn!("old versions cannot be forgotten: {error}");
        }
        let (last, until) = self.compacted;
        if last.elapsed() < limits::HISTORY {
            return;
        }
        if let Err(error) = self.api.store.compact(until) {
            tracing::warn!("old versions cannot be forgotten: {error}");
        }
        if let Err(error) = crate::token::sweep(&self.api.store) {
            tracing::warn!("expired tokens cannot be forgotten: {error}");
        }
        self.compacted = (Instant::now(), self.api.store.revision());
    }
}

/// Whether objects of a kind come with the server.
fn is_built_in(storage: &str) -> bool {
    let groups = ["rbac", "scheduling.k8s.io", palisade_k8s::scc::GROUP];
    groups.iter().any(|group| storage.starts_with(group))
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references.into_iter().flatten().map(|reference| text(reference, "/uid"))
}
