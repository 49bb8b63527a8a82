//! The workloads of this server: which are to be looked at, and what their controllers ([`palisade_workloads`]) do to it.
//!
//! They run on a thread of their own, as what they create goes through admission webhooks, which may take their time. They
//! act under the names of Kubernetes' service accounts: SCC decides on a pod by the pod's own service account.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use palisade_store::{Change, Key, Revision};
use palisade_workloads::{Author, CONTROLLERS, Cluster, Controller, Next, controller_of};
use serde_json::Value;

use crate::api::Api;
use crate::call::Call;
use crate::error::{ApiResult, Reason};
use crate::hub::Event;
use crate::identity::Identity;
use crate::limits;
use crate::notes::Notes;
use crate::request::{Query, Target};
use crate::resource::{self, Resource, text};
use crate::{objects, verb};

/// Runs until it is told to stop.
pub(crate) fn start(api: &Arc<Api>, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (api, stop) = (Arc::clone(api), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut workloads = Workloads::new(&api);
        while !stop.load(Ordering::Relaxed) {
            workloads.turn(&stop);
        }
    })
}

/// The workloads that there are, and those to be looked at.
#[derive(Debug)]
struct Workloads<'a> {
    api: &'a Api,
    seen: Revision,
    /// By the UID of what controls them, pods, replica sets and jobs.
    owned: HashMap<String, BTreeSet<Key>>,
    due: BTreeSet<Key>,
    /// Looked at again at this time; second, how often that has failed.
    later: BTreeMap<Key, (Instant, u32)>,
}

impl<'a> Workloads<'a> {
    fn new(api: &'a Api) -> Self {
        let mut workloads = Self {
            api,
            seen: api.store.revision(),
            owned: HashMap::new(),
            due: BTreeSet::new(),
            later: BTreeMap::new(),
        };
        workloads.look_around();
        workloads
    }

    fn look_around(&mut self) {
        self.seen = self.api.store.revision();
        self.owned.clear();
        let storages = CONTROLLERS.iter().map(|controller| controller.storage).chain(["pods"]);
        for resource in storages.filter_map(resource::of_storage) {
            let listed = objects::each(&self.api.store, resource, None, |object| {
                let (namespace, name) =
                    (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
                let key = objects::key(resource, namespace, name);
                self.learn(&key, &object, false);
                Ok(())
            });
            if let Err(error) = listed {
                tracing::warn!("{} cannot be looked at: {}", resource.plural(), error.message);
            }
        }
    }

    fn turn(&mut self, stop: &AtomicBool) {
        let wait = self.later.values().map(|(at, _)| at.saturating_duration_since(Instant::now())).min();
        let wait = wait.unwrap_or(limits::WORKLOAD_WAIT).min(limits::WORKLOAD_WAIT);
        let wait = if self.due.is_empty() { wait } else { Duration::ZERO };
        let watch = self.api.store.watch_all(self.seen);
        let events = watch.and_then(|mut watch| {
            let events = watch.next(wait)?;
            Ok((events, watch.seen()))
        });
        match events {
            Ok((events, seen)) => {
                self.seen = seen;
                for event in events.into_iter().filter_map(Event::of) {
                    self.hurry(&event.storage);
                    let key = Key::new(&event.storage, &event.namespace, &event.name);
                    self.learn(&key, &event.object, event.change == Change::Deleted);
                }
            }
            Err(_) => self.look_around(),
        }
        let now = Instant::now();
        self.due.extend(self.later.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| key.clone()));
        for _ in 0..limits::WORKLOADS {
            let Some(key) = self.due.pop_first() else { return };
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.look_at(&key);
        }
    }

    /// A right or an SCC has changed: what was refused is tried again soon.
    fn hurry(&mut self, storage: &str) {
        let is_right =
            storage.starts_with(palisade_k8s::rbac::GROUP) || storage.starts_with(palisade_k8s::scc::GROUP);
        if !is_right && storage != "serviceaccounts" {
            return;
        }
        let soon = Instant::now() + limits::WORKLOAD_WAIT;
        for (at, _) in self.later.values_mut().filter(|(_, failures)| *failures > 0) {
            *at = soon.min(*at);
        }
    }

    /// Notes whose an object is, and what is to be looked at because of it.
    fn learn(&mut self, key: &Key, object: &Value, is_gone: bool) {
        if Controller::of_storage(&key.resource).is_some() {
            self.due.insert(key.clone());
        }
        if key.resource == "nodes" {
            self.all_daemons();
        }
        if !matches!(key.resource.as_str(), "pods" | "apps/replicasets" | "batch/jobs") {
            return;
        }
        let Some(owner) = controller_of(object) else { return };
        let owned = self.owned.entry(text(owner, "/uid").to_owned()).or_default();
        if is_gone {
            owned.remove(key);
            if owned.is_empty() {
                self.owned.remove(text(owner, "/uid"));
            }
        } else {
            owned.insert(key.clone());
        }
        if let Some(controller) = Controller::of_kind(text(owner, "/kind")) {
            self.due.insert(Key::new(controller.storage, &key.namespace, text(owner, "/name")));
        }
    }

    fn all_daemons(&mut self) {
        let Some(resource) = resource::of_storage("apps/daemonsets") else { return };
        let mut found = Vec::new();
        let _ = objects::each(&self.api.store, resource, None, |object| {
            found.push(objects::key(
                resource,
                text(&object, "/metadata/namespace"),
                text(&object, "/metadata/name"),
            ));
            Ok(())
        });
        self.due.extend(found);
    }

    fn look_at(&mut self, key: &Key) {
        let failures = self.later.remove(key).map_or(0, |(_, failures)| failures);
        let again = match self.sync(key) {
            Ok(Next::Nothing) => return,
            Ok(Next::After(wait)) => (wait, 0),
            // Somebody else wrote meanwhile, and that brings it here again; a little later for sure.
            Err(error) if error.reason == Reason::Conflict => (limits::WORKLOAD_WAIT, failures),
            Err(error) => {
                tracing::debug!("{key}: {}", error.message);
                let wait = limits::WORKLOAD_WAIT * 2_u32.saturating_pow(failures.min(8));
                (wait.min(limits::WORKLOAD_BACKOFF), failures + 1)
            }
        };
        self.later.insert(key.clone(), (Instant::now() + again.0, again.1));
    }

    fn sync(&self, key: &Key) -> ApiResult<Next> {
        let Some(controller) = Controller::of_storage(&key.resource) else { return Ok(Next::Nothing) };
        let Some(resource) = resource::of_storage(&key.resource) else { return Ok(Next::Nothing) };
        let object = match objects::get(&self.api.store, resource, &key.namespace, &key.name) {
            Err(error) if error.reason == Reason::NotFound => return Ok(Next::Nothing),
            found => found?.object,
        };
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(Next::Nothing);
        }
        controller.sync(self, object)
    }

    /// Acts on an object, or on the objects of a resource, as a controller.
    fn act<T>(
        &self,
        author: Author<'_>,
        (resource, name, part): (&Resource, &str, &str),
        act: impl FnOnce(&Call<'_>) -> ApiResult<T>,
    ) -> ApiResult<T> {
        let target = Target {
            resource: resource.clone(),
            namespace: author.namespace.to_owned(),
            name: name.to_owned(),
            subresource: resource.subresource(part),
        };
        let who = Identity::service_account("kube-system", author.account, "");
        let (query, notes) = (Query::default(), Notes::default());
        act(&Call {
            api: self.api,
            who: &who,
            target: &target,
            query: &query,
            agent: "kube-controller-manager",
            notes: &notes,
        })
    }
}

impl Cluster for Workloads<'_> {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn owned(&self, uid: &str, storage: &str) -> ApiResult<Vec<Value>> {
        let Some(resource) = resource::of_storage(storage) else { return Ok(Vec::new()) };
        let keys = self.owned.get(uid).into_iter().flatten();
        let mut found = Vec::new();
        for key in keys.filter(|key| key.resource == storage) {
            match objects::get(&self.api.store, resource, &key.namespace, &key.name) {
                Ok(stored) => found.push(stored.object),
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn nodes(&self) -> ApiResult<Vec<Value>> {
        let mut nodes = Vec::new();
        if let Some(resource) = resource::find("", "nodes") {
            objects::each(&self.api.store, resource, None, |node| {
                nodes.push(node);
                Ok(())
            })?;
        }
        Ok(nodes)
    }

    fn resource(&self, group: &str, kind: &str) -> Option<Resource> {
        let definitions = self.api.definitions.now();
        definitions.kept().find(|resource| resource.group() == group && resource.kind() == kind)
    }

    fn get(&self, resource: &Resource, namespace: &str, name: &str) -> ApiResult<Value> {
        Ok(objects::get(&self.api.store, resource, namespace, name)?.object)
    }

    fn create(&self, author: Author<'_>, resource: &Resource, object: Value) -> ApiResult<Value> {
        self.act(author, (resource, "", ""), |call| verb::create_object(call, object))
    }

    fn delete(&self, author: Author<'_>, resource: &Resource, name: &str) -> ApiResult<()> {
        self.act(author, (resource, name, ""), |call| match verb::delete(call, b"", "") {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    fn change(
        &self,
        author: Author<'_>,
        object: (&Resource, &str, &str),
        change: &dyn Fn(&Value) -> Value,
    ) -> ApiResult<Value> {
        self.act(author, object, |call| verb::revise(call, |old| Ok(change(old))))
    }
}
