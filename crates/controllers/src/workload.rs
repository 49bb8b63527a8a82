//! The workloads of this server: which are due ([`queue`]), and the changes of their controllers
//! ([`palisade_workloads`]) to the server.
//!
//! One thread reads events; a few others run controllers, as the objects that they create go through admission
//! webhooks, which may be slow. They act under the names of Kubernetes' service accounts: SCC decides on a pod by the
//! pod's own service account.

mod later;
mod queue;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use jiff::Timestamp;
use palisade_k8s::put;
use palisade_store::{Change, Key, Revision};
use palisade_workloads::{Author, CONTROLLERS, Cluster, Controller, Next};
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::hub::Event;
use crate::limits;
use crate::objects;
use crate::request::Target;
use crate::resource::{self, Resource, text};
use crate::server::{self, ApiServer};
use queue::{Queue, Turn};

/// Runs until shutdown.
pub(crate) fn start(api: &Arc<dyn ApiServer>, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let workloads = Workloads {
        api: Arc::clone(api),
        queue: Mutex::new(Queue::new(Arc::clone(api.policy()))),
        is_due: Condvar::new(),
        stop: Arc::clone(stop),
    };
    std::thread::spawn(move || {
        std::thread::scope(|threads| {
            for _ in 0..limits::WORKLOAD_THREADS.threads {
                threads.spawn(|| workloads.work(true));
            }
            workloads.follow(threads);
        });
    })
}

/// The workloads.
#[derive(Debug)]
struct Workloads {
    api: Arc<dyn ApiServer>,
    queue: Mutex<Queue>,
    /// Notified when a workload may have become due.
    is_due: Condvar,
    stop: Arc<AtomicBool>,
}

impl Workloads {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads events.
    fn follow<'s>(&'s self, threads: &'s Scope<'s, '_>) {
        let mut events = self.api.follow(self.look_around());
        while !self.is_over() {
            let wait = self.queue().advance(events.seen());
            self.is_due.notify_all();
            self.reinforce(threads);
            match events.next(wait) {
                Ok(events) => events.iter().for_each(|event| self.learn(event)),
                Err(_) => events.jump(self.look_around()),
            }
        }
        self.is_due.notify_all();
    }

    /// Starts threads in the place of those whose workloads take long.
    fn reinforce<'s>(&'s self, threads: &'s Scope<'s, '_>) {
        let more = self.queue().reinforce();
        for _ in 0..more {
            if std::thread::Builder::new().spawn_scoped(threads, || self.work(false)).is_err() {
                self.queue().dismiss();
            }
        }
    }

    fn learn(&self, event: &Event) {
        let is_of = |group: &str| event.storage.starts_with(group);
        let mut queue = self.queue();
        if is_of(palisade_k8s::rbac::GROUP) || is_of(palisade_k8s::scc::GROUP) || is_of("serviceaccounts") {
            queue.hurry();
        }
        let key = Key::new(&event.storage, &event.namespace, &event.name);
        if let Some(previous) = &event.previous {
            queue.disclaim(&key, previous);
        }
        queue.learn(&key, &event.object, event.change == Change::Deleted);
    }

    /// Reads the existing objects; returns the revision from which events continue.
    fn look_around(&self) -> Revision {
        let seen = self.api.store().revision();
        self.queue().forget();
        let storages = CONTROLLERS.iter().map(|controller| controller.storage);
        let storages =
            storages.chain(["pods", "persistentvolumeclaims", resource::CONTROLLER_REVISIONS.storage()]);
        for resource in storages.filter_map(resource::of_storage) {
            let listed = objects::each(self.api.store(), resource, None, |object| {
                let (namespace, name) =
                    (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
                self.queue().learn(&objects::key(resource, namespace, name), &object, false);
                Ok(())
            });
            if let Err(error) = listed {
                tracing::warn!("{} cannot be looked at: {}", resource.plural(), error.message);
            }
        }
        seen
    }

    /// Runs controllers on workloads until shutdown, or until none is due.
    fn work(&self, stays: bool) {
        // Requests take precedence. If the priority cannot be lowered, the work continues at normal priority.
        let _ = rustix::process::nice(limits::WORKLOAD_NICE);
        while !self.is_over() {
            let mut queue = self.queue();
            match queue.take() {
                Some(turn) => {
                    drop(queue);
                    self.look_at(turn);
                }
                None if !stays => return queue.dismiss(),
                None => {
                    let waited = self.is_due.wait_timeout(queue, limits::WORKLOAD_WAIT);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
    }

    fn look_at(&self, turn: Turn) {
        let failures = turn.failures;
        let again = match failure::guarded(|| self.sync(&turn.key)) {
            Ok(Next::Nothing) => None,
            Ok(Next::After(wait)) => Some((wait, 0)),
            // A conflicting write brings it here again; it is also tried again a little later.
            Err(error) if error.reason == Reason::Conflict => Some((limits::WORKLOAD_WAIT, failures)),
            Err(error) => {
                tracing::debug!("{}: {}", turn.key, error.message);
                let wait = limits::WORKLOAD_WAIT * 2_u32.saturating_pow(failures.min(8));
                Some((wait.min(limits::WORKLOAD_BACKOFF), failures.saturating_add(1)))
            }
        };
        let until = self.api.store().revision();
        self.queue().done(turn, again, until);
        self.is_due.notify_one();
    }

    fn sync(&self, key: &Key) -> ApiResult<Next> {
        let Some(controller) = Controller::of_storage(&key.resource) else { return Ok(Next::Nothing) };
        let Some(resource) = resource::of_storage(&key.resource) else { return Ok(Next::Nothing) };
        let object = match objects::get(self.api.store(), resource, &key.namespace, &key.name) {
            Err(error) if error.reason == Reason::NotFound => return Ok(Next::Nothing),
            found => found?.object,
        };
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(Next::Nothing);
        }
        controller.sync(self, object)
    }

    /// What a controller acts on, and in whose name.
    fn request(
        &self,
        author: Author<'_>,
        (resource, name, part): (&Resource, &str, &str),
    ) -> ApiResult<(server::Author, Target)> {
        // A run may have thousands of actions left.
        if self.is_over() {
            return Err(ApiError::unavailable("the server is stopping"));
        }
        let target = Target {
            resource: resource.clone(),
            namespace: author.namespace.to_owned(),
            name: name.to_owned(),
            subresource: resource.subresource(part),
        };
        Ok((server::Author::account(author.account), target))
    }
}

impl Cluster for Workloads {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn owned(&self, namespace: &str, uid: &str, storage: &str, with: &mut dyn FnMut(Value)) -> ApiResult<()> {
        let Some(resource) = resource::of_storage(storage) else { return Ok(()) };
        let keys = self.queue().owned(namespace, uid, storage);
        for key in keys {
            match objects::get(self.api.store(), resource, &key.namespace, &key.name) {
                Ok(stored) => with(stored.object),
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn nodes(&self) -> ApiResult<Vec<Value>> {
        let mut nodes = Vec::new();
        if let Some(resource) = resource::find("", "nodes") {
            objects::each(self.api.store(), resource, None, |node| {
                nodes.push(node);
                Ok(())
            })?;
        }
        Ok(nodes)
    }

    fn resource(&self, group: &str, kind: &str) -> Option<Resource> {
        let definitions = self.api.definitions().now();
        definitions.kept().find(|resource| resource.group() == group && resource.kind() == kind)
    }

    fn get(&self, resource: &Resource, namespace: &str, name: &str) -> ApiResult<Value> {
        Ok(objects::get(self.api.store(), resource, namespace, name)?.object)
    }

    fn create(&self, author: Author<'_>, resource: &Resource, object: Value) -> ApiResult<Value> {
        // A daemon's pod has its node.
        let waits = text(&object, "/spec/nodeName").is_empty();
        if waits && let Some(why) = self.queue().are_enough(resource.storage(), author.namespace) {
            return Err(ApiError::forbidden(resource, text(&object, "/metadata/generateName"), why));
        }
        let (identity, target) = self.request(author, (resource, "", ""))?;
        let created = self.api.create(&identity, &target, object)?;
        self.queue().made(resource.storage(), author.namespace, &created);
        Ok(created)
    }

    fn delete(&self, author: Author<'_>, resource: &Resource, (name, uid): (&str, &str)) -> ApiResult<()> {
        // Another object of the same name is not the requested one.
        let mut options = json!({});
        put(&mut options, &["preconditions", "uid"], uid.into());
        let (identity, target) = self.request(author, (resource, name, ""))?;
        match self.api.delete(&identity, &target, &options) {
            Err(error) if !matches!(error.reason, Reason::NotFound | Reason::Conflict) => Err(error),
            _ => Ok(()),
        }
    }

    fn change(
        &self,
        author: Author<'_>,
        object: (&Resource, &str, &str),
        change: &dyn Fn(&Value) -> Value,
    ) -> ApiResult<Value> {
        let (identity, target) = self.request(author, object)?;
        self.api.revise(&identity, &target, &|old| Ok(change(old)))
    }
}
