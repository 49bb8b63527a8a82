//! Controllers of workloads: they make the pods that Deployments, ReplicaSets, StatefulSets, DaemonSets and Jobs ask for, and the Jobs of CronJobs,
//! and say in their status what has become of them.
//!
//! They run on a thread of their own, as what they create goes through admission webhooks, which may take their time. They
//! act as Kubernetes' controllers do, under the names of their service accounts: SCC decides on a pod by the pod's own
//! service account. A pod that is refused is said in a condition and an event of its owner.

mod autoscaler;
mod cron;
mod daemon;
mod deployment;
mod job;
mod pods;
mod replica;
mod stateful;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use palisade_store::{Change, Key, Revision};
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

/// Where workloads are kept, by their kinds, and the accounts of their controllers.
const KINDS: [(&str, &str, &str); 8] = [
    ("Deployment", "apps/deployments", "deployment-controller"),
    ("ReplicaSet", "apps/replicasets", "replicaset-controller"),
    ("ReplicationController", "replicationcontrollers", "replication-controller"),
    ("StatefulSet", "apps/statefulsets", "statefulset-controller"),
    ("DaemonSet", "apps/daemonsets", "daemon-set-controller"),
    ("Job", "batch/jobs", "job-controller"),
    ("CronJob", "batch/cronjobs", "cronjob-controller"),
    ("HorizontalPodAutoscaler", "autoscaling/horizontalpodautoscalers", "horizontal-pod-autoscaler"),
];

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
struct Workloads<'a> {
    api: &'a Api,
    seen: Revision,
    /// By the UID of what controls them, pods, replica sets and jobs.
    owned: HashMap<String, BTreeSet<Key>>,
    due: BTreeSet<Key>,
    /// Looked at again at this time; second, how often that has failed.
    later: BTreeMap<Key, (Instant, u32)>,
}

/// The next step for a workload that has been looked at.
enum Next {
    /// Nothing until something changes.
    Nothing,
    /// It is looked at again after a while.
    After(Duration),
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
        let storages = KINDS.iter().map(|(_, storage, _)| *storage).chain(["pods"]);
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
        if KINDS.iter().any(|(_, storage, _)| *storage == key.resource) {
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
        let kind = KINDS.iter().find(|(kind, _, _)| *kind == text(owner, "/kind"));
        if let Some((_, storage, _)) = kind {
            self.due.insert(Key::new(*storage, &key.namespace, text(owner, "/name")));
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
        let Some((kind, _, account)) = KINDS.iter().find(|(_, storage, _)| *storage == key.resource) else {
            return Ok(Next::Nothing);
        };
        let Some(resource) = resource::of_storage(&key.resource) else { return Ok(Next::Nothing) };
        let object = match objects::get(&self.api.store, resource, &key.namespace, &key.name) {
            Err(error) if error.reason == Reason::NotFound => return Ok(Next::Nothing),
            found => found?.object,
        };
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            return Ok(Next::Nothing);
        }
        let work = Work { workloads: self, resource, account, object };
        match *kind {
            "Deployment" => deployment::sync(&work),
            "StatefulSet" => stateful::sync(&work),
            "DaemonSet" => daemon::sync(&work),
            "Job" => job::sync(&work),
            "CronJob" => cron::sync(&work),
            "HorizontalPodAutoscaler" => autoscaler::sync(&work),
            _ => replica::sync(&work),
        }
    }
}

/// The controller of an object.
fn controller_of(object: &Value) -> Option<&Value> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}

/// A workload that is looked at.
struct Work<'w> {
    workloads: &'w Workloads<'w>,
    resource: &'static Resource,
    account: &'static str,
    object: Value,
}

impl Work<'_> {
    fn api(&self) -> &Api {
        self.workloads.api
    }

    fn text(&self, pointer: &str) -> &str {
        text(&self.object, pointer)
    }

    fn number(&self, pointer: &str) -> i64 {
        self.object.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    /// Objects that it controls, by name.
    fn owned(&self, storage: &str) -> ApiResult<Vec<Value>> {
        let Some(resource) = resource::of_storage(storage) else { return Ok(Vec::new()) };
        let keys = self.workloads.owned.get(self.text("/metadata/uid")).into_iter().flatten();
        let mut found = Vec::new();
        for key in keys.filter(|key| key.resource == storage) {
            match objects::get(&self.api().store, resource, &key.namespace, &key.name) {
                Ok(stored) => found.push(stored.object),
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Acts on an object of its namespace as its controller.
    fn act<T>(
        &self,
        resource: &Resource,
        name: &str,
        part: &str,
        act: impl FnOnce(&Call<'_>) -> ApiResult<T>,
    ) -> ApiResult<T> {
        let target = Target {
            resource: resource.clone(),
            namespace: self.namespace().to_owned(),
            name: name.to_owned(),
            subresource: resource.subresource(part),
        };
        let who = Identity::service_account("kube-system", self.account, "");
        let (query, notes) = (Query::default(), Notes::default());
        act(&Call {
            api: self.api(),
            who: &who,
            target: &target,
            query: &query,
            agent: "kube-controller-manager",
            notes: &notes,
        })
    }

    fn create(&self, resource: &'static Resource, object: Value) -> ApiResult<Value> {
        self.act(resource, "", "", |call| verb::create_object(call, object))
    }

    fn delete(&self, resource: &'static Resource, object: &Value) -> ApiResult<()> {
        self.act(resource, text(object, "/metadata/name"), "", |call| match verb::delete(call, b"", "") {
            Err(error) if error.reason != Reason::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    /// Changes an object; `part` is the subresource that is written.
    fn change(
        &self,
        resource: &Resource,
        name: &str,
        part: &str,
        change: impl Fn(&Value) -> Value,
    ) -> ApiResult<Value> {
        self.act(resource, name, part, |call| verb::revise(call, |old| Ok(change(old))))
    }

    /// Writes its status, if that is another than it has.
    fn say(&self, status: &Value) -> ApiResult<()> {
        if self.object.get("status") == Some(status) {
            return Ok(());
        }
        let change = |old: &Value| {
            let mut new = old.clone();
            palisade_k8s::put(&mut new, &["status"], status.clone());
            new
        };
        self.change(self.resource, self.name(), "status", change).map(drop)
    }
}
