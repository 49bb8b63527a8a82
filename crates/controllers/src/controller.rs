//! Controllers: the server empties namespaces that are deleted, garbage-collects dependents of deleted owners, restores
//! the objects that every cluster and every namespace has, marks silent nodes, deletes the pods of those that are gone, and
//! compacts old versions.

mod definitions;
mod endings;
mod errands;
mod expiry;
mod orphans;
mod owners;

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use palisade_registry::follower::Follower;
use palisade_scc::BuiltinSet;
use palisade_store::{Change, Key, Revision};
use serde_json::{Value, json};

use definitions::Ends;
use endings::Endings;
use errands::{Aim, Errands, Run};
use expiry::Expiry;
use orphans::Orphans;
use owners::Owners;

use crate::error::{ApiResult, Reason};
use crate::hub::Event;
use crate::kubernetes::Front;
use crate::limits;
use crate::request::Target;
use crate::resource::{self, RESOURCES, Resource, text};
use crate::server::{ApiServer, Author};
use crate::{aggregate, binder, failure, lost, objects};

/// Runs until shutdown.
pub(crate) fn start(
    api: &Arc<dyn ApiServer>,
    set: BuiltinSet,
    front: Front,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let (api, stop) = (Arc::clone(api), Arc::clone(stop));
    std::thread::spawn(move || {
        let errands = Errands::new(Arc::clone(api.policy()));
        std::thread::scope(|threads| {
            errands.start(threads, &*api, &stop);
            let mut controller = Controller::new(&*api, set, front, &errands, &stop);
            while !stop.load(Ordering::Relaxed) {
                controller.turn();
                errands.reinforce(threads, &*api, &stop);
            }
        });
    })
}

struct Controller<'a> {
    api: &'a dyn ApiServer,
    set: BuiltinSet,
    front: Front,
    events: Follower,
    owners: Arc<Mutex<Owners>>,
    endings: Endings,
    definitions: Ends,
    expiry: Expiry,
    orphans: Orphans,
    /// The revision of the store when all objects had been listed, until the events up to it are handled.
    unseen: Option<Revision>,
    errands: &'a Errands,
    /// The kinds and names of the objects that come with the server.
    built_in: HashSet<(String, String)>,
    stop: &'a AtomicBool,
    /// Time of the last compaction, and the revision for the next one.
    compacted: (Instant, Revision),
    heartbeats: lost::Heartbeats,
}

impl<'a> Controller<'a> {
    fn new(
        api: &'a dyn ApiServer,
        set: BuiltinSet,
        front: Front,
        errands: &'a Errands,
        stop: &'a AtomicBool,
    ) -> Self {
        let seen = api.store().revision();
        let built_in = names(api, set).unwrap_or_else(|error| {
            tracing::warn!("built-in objects cannot be read: {}", error.message);
            HashSet::new()
        });
        let mut controller = Self {
            api,
            set,
            front,
            events: api.follow(seen),
            owners: Arc::default(),
            endings: Endings::default(),
            definitions: Ends::default(),
            expiry: Expiry::default(),
            orphans: Orphans::default(),
            unseen: None,
            errands,
            built_in,
            stop,
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

    /// Reads the existing objects.
    fn look_around(&mut self) {
        self.events.jump(self.api.store().revision());
        self.front.settle(self.api);
        let (mut leaving, mut is_complete) = (Vec::new(), true);
        for resource in &self.api.definitions().now().kept().collect::<Vec<_>>() {
            let listed = objects::each(self.api.store(), resource, None, |object| {
                let (namespace, name) =
                    (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
                let key = objects::key(resource, namespace, name);
                self.learn(key.clone(), &object);
                self.expiry.find(&key, &object, Instant::now(), jiff::Timestamp::now());
                leaving.extend(Leaving::of(&key, &object));
                Ok(())
            });
            if let Err(error) = listed {
                tracing::warn!("{} cannot be looked at: {}", resource.plural(), error.message);
                is_complete = false;
            }
        }
        // A deletion that was begun before goes on, now that all owners and dependents are known.
        if !is_complete {
            return;
        }
        leaving.into_iter().for_each(|leaving| self.finish(leaving));
        self.unseen = Some(self.api.store().revision());
    }

    /// Deletes what has no owner left, once all owners are known: what was listed may name one that was created after its kind
    /// was listed.
    fn delete_orphans(&mut self) {
        if self.unseen.is_none_or(|until| self.events.seen() < until) {
            return;
        }
        self.unseen = None;
        let orphans = lock(&self.owners).orphans();
        orphans.into_iter().for_each(|orphan| self.orphaned(orphan));
    }

    fn learn(&mut self, key: Key, object: &Value) {
        lock(&self.owners).learn(&key, object);
        self.definitions.learn(&key, object);
        self.expiry.learn(&key, Instant::now());
        self.orphans.learn(&key, object);
        self.endings.learn(&key, object, Instant::now());
    }

    fn turn(&mut self) {
        let Ok(events) = self.events.next(Duration::from_millis(500)) else {
            self.look_around();
            return;
        };
        let mut roles_moved = false;
        for event in &events {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            roles_moved |= aggregate::is_moved_by(event);
            // If one fails, the others still do their part.
            let done = [
                failure::guarded(|| self.handle(event)),
                failure::guarded(|| binder::happened(self.api, event)),
            ];
            for error in done.into_iter().filter_map(Result::err) {
                tracing::warn!("{} {}/{}: {}", event.storage, event.namespace, event.name, error.message);
            }
        }
        self.delete_orphans();
        if roles_moved {
            self.aggregate();
        }
        self.endings.sweep(self.errands);
        if let Err(error) = failure::guarded(|| self.heartbeats.look(self.api.store())) {
            tracing::warn!("nodes cannot be looked at: {}", error.message);
        }
        definitions::sweep(self);
        expiry::sweep(self);
        orphans::sweep(self);
        self.compact();
    }

    fn aggregate(&self) {
        if let Err(error) = aggregate::settle(self.api) {
            tracing::warn!("roles that are made of others cannot be given rules: {}", error.message);
        }
    }

    fn handle(&mut self, event: &Event) -> ApiResult<()> {
        if Front::is_in(event) {
            self.front.settle(self.api);
        }
        let key = Key::new(&event.storage, &event.namespace, &event.name);
        if event.change != Change::Deleted {
            if let Some(previous) = &event.previous {
                lock(&self.owners).disclaim(&key, previous);
            }
            self.learn(key.clone(), &event.object);
            Leaving::of(&key, &event.object).into_iter().for_each(|leaving| self.finish(leaving));
            if event.storage == "namespaces" {
                self.api.repair(event.object.clone())?;
            }
            return Ok(());
        }
        self.definitions.forget(self.api, event);
        self.expiry.forget(&key);
        let uid = text(&event.object, "/metadata/uid");
        lock(&self.owners).disclaim(&key, &event.object);
        let orphans = lock(&self.owners).bury(&event.namespace, uid);
        orphans.into_iter().for_each(|orphan| self.orphaned(orphan));
        self.endings.forget(&key, Instant::now());
        self.restore(event)
    }

    /// Queues the deletion of what has no owner left. It is read only then, and may have been given another owner.
    fn orphaned(&self, key: Key) {
        let owners = Arc::clone(&self.owners);
        let errand = {
            let key = key.clone();
            move |run: &Run<'_>| {
                let is_orphan = |object: &Value| lock(&owners).is_orphan(object);
                delete_if(run.api, &key, |object| is_orphan(object) && has_known_owners(run.api, object))
            }
        };
        self.errands.add(key, Aim::Orphan, Box::new(errand));
    }

    /// Continues a deletion that waits for dependents: in the foreground, or orphaning them.
    fn finish(&self, Leaving { key, uid, finalizer }: Leaving) {
        let (of, owners) = (key.clone(), Arc::clone(&self.owners));
        let errand = move |run: &Run<'_>| {
            let dependents = lock(&owners).dependents(&of.namespace, &uid);
            for dependent in &dependents {
                run.goes_on()?;
                if finalizer == owners::ORPHAN {
                    disown(run.api, &owners, dependent, &uid)?;
                } else {
                    delete_if(run.api, dependent, |object| owners::of(object).any(|owner| owner == uid))?;
                    lock(&owners).leaves(dependent);
                }
            }
            change_list(run.api, &of, "/metadata/finalizers", &|entry| entry != finalizer)
        };
        self.errands.add(key, Aim::Finish, Box::new(errand));
    }

    /// Restores deleted objects that must exist.
    fn restore(&self, event: &Event) -> ApiResult<()> {
        match event.storage.as_str() {
            "serviceaccounts" | "configmaps" => {
                let namespaces = &resource::NAMESPACES;
                let found = objects::get(self.api.store(), namespaces, "", &event.namespace);
                let is_kept =
                    found.is_ok_and(|found| found.object.pointer("/metadata/deletionTimestamp").is_none());
                if is_kept && matches!(event.name.as_str(), "default" | "kube-root-ca.crt") {
                    self.api.furnish(&event.namespace)?;
                }
                Ok(())
            }
            storage if is_built_in(storage) && is_one_of(&self.built_in, event) => {
                let kind = text(&event.object, "/kind");
                for object in self.api.initial(self.set)? {
                    if text(&object, "/kind") == kind && text(&object, "/metadata/name") == event.name {
                        self.api.ensure(object)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn compact(&mut self) {
        if let Err(error) = self.api.store().tidy() {
            tracing::warn!("old versions cannot be forgotten: {error}");
        }
        let (last, until) = self.compacted;
        if last.elapsed() < limits::HISTORY {
            return;
        }
        if let Err(error) = self.api.store().compact(until) {
            tracing::warn!("old versions cannot be forgotten: {error}");
        }
        if let Err(error) = palisade_access::token::sweep(self.api.store()) {
            tracing::warn!("expired tokens cannot be forgotten: {error}");
        }
        self.compacted = (Instant::now(), self.api.store().revision());
    }
}

/// An object whose deletion waits for its dependents.
struct Leaving {
    key: Key,
    uid: String,
    finalizer: &'static str,
}

impl Leaving {
    fn of(key: &Key, object: &Value) -> Option<Self> {
        object.pointer("/metadata/deletionTimestamp")?;
        let mut finalizers = [owners::ORPHAN, "foregroundDeletion"].into_iter();
        let finalizer = finalizers.find(|name| owners::has_finalizer(object, name))?;
        Some(Self { key: key.clone(), uid: text(object, "/metadata/uid").to_owned(), finalizer })
    }
}

/// Whether all kinds of the owners that an object names are served: of others it is not known whether they exist.
fn has_known_owners(api: &dyn ApiServer, object: &Value) -> bool {
    let registry = api.definitions().now();
    let is_known = |reference: &Value| {
        let group = text(reference, "/apiVersion").split_once('/').map_or("", |(group, _)| group);
        let is_one =
            |resource: &Resource| (resource.group(), resource.kind()) == (group, text(reference, "/kind"));
        RESOURCES.iter().any(|resource| is_one(resource)) || registry.kept().any(|resource| is_one(&resource))
    };
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references.into_iter().flatten().all(is_known)
}

fn lock(owners: &Mutex<Owners>) -> MutexGuard<'_, Owners> {
    owners.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes an object, if something is still true of it.
fn delete_if(api: &dyn ApiServer, key: &Key, is_due: impl Fn(&Value) -> bool) -> ApiResult<()> {
    let Some(resource) = api.definitions().now().of_storage(&key.resource) else { return Ok(()) };
    match objects::get(api.store(), &resource, &key.namespace, &key.name) {
        Ok(found) if is_due(&found.object) => delete(api, key, text(&found.object, "/metadata/uid")),
        Err(error) if error.reason != Reason::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Deletes an object of a UID; an object that does not exist counts as deleted.
fn delete(api: &dyn ApiServer, key: &Key, uid: &str) -> ApiResult<()> {
    delete_with(api, key, &json!({"preconditions": {"uid": uid}}))
}

/// Deletes an object by options; an object that does not exist, or is another one, counts as deleted.
fn delete_with(api: &dyn ApiServer, key: &Key, options: &Value) -> ApiResult<()> {
    let Some(target) = target(api, key) else { return Ok(()) };
    match api.delete(&Author::server(), &target, options) {
        Err(error) if !matches!(error.reason, Reason::NotFound | Reason::Conflict) => Err(error),
        _ => Ok(()),
    }
}

/// Removes an owner from an object, and with it all others that leave it behind.
fn disown(api: &dyn ApiServer, owners: &Mutex<Owners>, key: &Key, owner: &str) -> ApiResult<()> {
    let released = RefCell::new(Vec::new());
    change_list(api, key, "/metadata/ownerReferences", &|reference| {
        let uid = text(reference, "/uid");
        let stays = uid != owner && !lock(owners).leaves_behind(&key.namespace, uid);
        if !stays {
            released.borrow_mut().push(uid.to_owned());
        }
        stays
    })?;
    lock(owners).release(key, &released.into_inner());
    Ok(())
}

/// Filters a list in an object.
fn change_list(api: &dyn ApiServer, key: &Key, list: &str, keep: &dyn Fn(&Value) -> bool) -> ApiResult<()> {
    let change = |old: &Value| {
        let mut new = old.clone();
        if let Some(list) = new.pointer_mut(list).and_then(Value::as_array_mut) {
            list.retain(keep);
        }
        Ok(new)
    };
    revise(api, key, &change)
}

/// Changes an object as the server itself; one that does not exist is left alone.
fn revise(api: &dyn ApiServer, key: &Key, change: &dyn Fn(&Value) -> ApiResult<Value>) -> ApiResult<()> {
    let Some(target) = target(api, key) else { return Ok(()) };
    match api.revise(&Author::server(), &target, change) {
        Err(error) if error.reason != Reason::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// An object as the target of requests, if its resource is served.
fn target(api: &dyn ApiServer, key: &Key) -> Option<Target> {
    let resource = api.definitions().now().of_storage(&key.resource)?;
    Some(Target { resource, namespace: key.namespace.clone(), name: key.name.clone(), subresource: None })
}

/// The kinds and names of the objects that every cluster has.
fn names(api: &dyn ApiServer, set: BuiltinSet) -> ApiResult<HashSet<(String, String)>> {
    let all = api.initial(set)?;
    let name = |object| (text(object, "/kind").to_owned(), text(object, "/metadata/name").to_owned());
    Ok(all.iter().map(name).collect())
}

/// Whether objects of a kind come with the server.
fn is_built_in(storage: &str) -> bool {
    let groups = ["rbac", "scheduling.k8s.io", palisade_k8s::scc::GROUP];
    groups.iter().any(|group| storage.starts_with(group))
}

/// Whether an event is about one of the objects that come with the server, none of which is in a namespace.
fn is_one_of(built_in: &HashSet<(String, String)>, event: &Event) -> bool {
    let at = (text(&event.object, "/kind").to_owned(), event.name.clone());
    event.namespace.is_empty() && built_in.contains(&at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_that_come_with_the_server_are_restored() {
        let built_in = HashSet::from([("ClusterRole".to_owned(), "view".to_owned())]);
        for (kind, namespace, name, is_one) in [
            ("ClusterRole", "", "view", true),
            ("ClusterRole", "", "mine", false),
            ("ClusterRoleBinding", "", "view", false),
            ("RoleBinding", "shop", "view", false),
            ("ClusterRole", "shop", "view", false),
        ] {
            let event = Event {
                revision: Revision::default(),
                change: Change::Deleted,
                storage: format!("rbac.authorization.k8s.io/{}s", kind.to_lowercase()),
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                object: json!({"kind": kind, "metadata": {"name": name}}),
                previous: None,
            };
            assert_eq!(is_one_of(&built_in, &event), is_one, "{kind} {namespace}/{name}");
        }
    }
}
