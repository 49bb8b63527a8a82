//! Controllers of workloads, as kube-controller-manager has them (`pkg/controller`): they make the pods that Deployments,
//! ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs ask for, keep what autoscalers scale within its bounds, and say in
//! their status what has become of them.
//!
//! A [`Controller`] looks at one workload at a time, by a [`Cluster`], which knows the time and does what it is told under
//! the controller's service account. A pod that is refused is said in a condition and in an event of its workload.
//!
//! ```
//! use std::cell::RefCell;
//!
//! use jiff::Timestamp;
//! use palisade_api::error::{ApiError, ApiResult};
//! use palisade_api::kind::Resource;
//! use palisade_workloads::{Author, Cluster, Controller, Next};
//! use serde_json::{Value, json};
//!
//! /// A cluster that keeps what it is told.
//! #[derive(Debug, Default)]
//! struct Told(RefCell<Vec<Value>>);
//!
//! impl Cluster for Told {
//!     fn now(&self) -> Timestamp {
//!         Timestamp::UNIX_EPOCH
//!     }
//!     fn owned(&self, _: &str, _: &str, _: &str, _: &mut dyn FnMut(Value)) -> ApiResult<()> {
//!         Ok(())
//!     }
//!     fn nodes(&self) -> ApiResult<Vec<Value>> {
//!         Ok(Vec::new())
//!     }
//!     fn resource(&self, _: &str, _: &str) -> Option<Resource> {
//!         None
//!     }
//!     fn get(&self, resource: &Resource, _: &str, name: &str) -> ApiResult<Value> {
//!         Err(ApiError::not_found(resource, name))
//!     }
//!     fn create(&self, _: Author<'_>, _: &Resource, object: Value) -> ApiResult<Value> {
//!         self.0.borrow_mut().push(object.clone());
//!         Ok(object)
//!     }
//!     fn delete(&self, _: Author<'_>, _: &Resource, _: (&str, &str)) -> ApiResult<()> {
//!         Ok(())
//!     }
//!     fn change(
//!         &self,
//!         _: Author<'_>,
//!         _: (&Resource, &str, &str),
//!         change: &dyn Fn(&Value) -> Value,
//!     ) -> ApiResult<Value> {
//!         Ok(change(&json!({})))
//!     }
//! }
//!
//! let replica_set = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "1"},
//!     "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web"}]}}}});
//! let (told, controller) = (Told::default(), Controller::of_storage("apps/replicasets").unwrap());
//! assert_eq!(controller.sync(&told, replica_set).unwrap(), Next::Nothing);
//! let pods = told.0.into_inner().into_iter().filter(|object| object["kind"] == "Pod");
//! assert_eq!(pods.count(), 2);
//! ```

mod autoscaler;
mod cluster;
mod cron;
mod daemon;
mod deployment;
#[cfg(test)]
mod fake;
mod history;
mod job;
mod past;
mod place;
mod pods;
mod replica;
mod stateful;
mod work;

use std::time::Duration;

use palisade_api::error::ApiResult;
use palisade_api::kind;
use serde_json::Value;

pub use cluster::{Author, Cluster};
use work::Work;

/// The next step for a workload that has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing until something changes.
    Nothing,
    /// It is looked at again after a while.
    After(Duration),
}

/// The controller of one kind of workloads.
#[derive(Clone, Copy, Debug)]
pub struct Controller {
    /// The kind.
    pub kind: &'static str,
    /// The place of its objects, as of [`Resource::storage`](kind::Resource::storage).
    pub storage: &'static str,
    account: &'static str,
    sync: fn(&Work<'_>) -> ApiResult<Next>,
}

/// All controllers.
pub const CONTROLLERS: [Controller; 8] = [
    of("Deployment", "apps/deployments", "deployment-controller", deployment::sync),
    of("ReplicaSet", "apps/replicasets", "replicaset-controller", replica::sync),
    of("ReplicationController", "replicationcontrollers", "replication-controller", replica::sync),
    of("StatefulSet", "apps/statefulsets", "statefulset-controller", stateful::sync),
    of("DaemonSet", "apps/daemonsets", "daemon-set-controller", daemon::sync),
    of("Job", "batch/jobs", "job-controller", job::sync),
    of("CronJob", "batch/cronjobs", "cronjob-controller", cron::sync),
    of(
        "HorizontalPodAutoscaler",
        "autoscaling/horizontalpodautoscalers",
        "horizontal-pod-autoscaler",
        autoscaler::sync,
    ),
];

const fn of(
    kind: &'static str,
    storage: &'static str,
    account: &'static str,
    sync: fn(&Work<'_>) -> ApiResult<Next>,
) -> Controller {
    Controller { kind, storage, account, sync }
}

impl Controller {
    /// The controller of the objects of a place.
    #[must_use]
    pub fn of_storage(storage: &str) -> Option<&'static Self> {
        CONTROLLERS.iter().find(|controller| controller.storage == storage)
    }

    /// The controller of a kind.
    #[must_use]
    pub fn of_kind(kind: &str) -> Option<&'static Self> {
        CONTROLLERS.iter().find(|controller| controller.kind == kind)
    }

    /// Whether a user is the account of a controller.
    #[must_use]
    pub fn is_account(user: &str) -> bool {
        let account = user.strip_prefix("system:serviceaccount:kube-system:");
        account.is_some_and(|name| CONTROLLERS.iter().any(|controller| controller.account == name))
    }

    /// Looks at a workload: makes and deletes what is missing and too much, and writes its status.
    ///
    /// # Errors
    ///
    /// A change of it is refused; it is to be looked at again later.
    pub fn sync(&self, cluster: &dyn Cluster, workload: Value) -> ApiResult<Next> {
        let Some(resource) = kind::of_storage(self.storage) else { return Ok(Next::Nothing) };
        (self.sync)(&Work { cluster, resource, account: self.account, object: workload })
    }
}

/// The reference to the controller of an object.
#[must_use]
pub fn controller_of(object: &Value) -> Option<&Value> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}
