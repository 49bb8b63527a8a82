//! Controllers: what an API server does by itself, as kube-controller-manager does it for a kube-apiserver.
//!
//! They read the events of all writes and act on the server by the trait [`ApiServer`], so that what they write is admitted like
//! any other request. `controller` empties namespaces that are deleted, deletes objects whose owners are gone, and restores what
//! every cluster has; `workload` runs the controllers of [`palisade_workloads`]; `binder` gives volumes to claims, `aggregate`
//! rules to aggregated roles; [`lost`] marks silent nodes, [`budget`] counts the pods that may be evicted; `kubernetes` is the
//! service by which pods find the server.
//!
//! The work of one user delays that of others little: where it may wait for admission webhooks, requesters of namespaces take
//! turns at a few threads (`turns`); where it counts many objects, namespaces pause for longer than their work took ([`paced`]).
//!
//! ```
//! use palisade_api::kind::{POD_DISRUPTION_BUDGETS, PODS};
//! use palisade_controllers::budget;
//! use palisade_registry::objects;
//! use palisade_store::Store;
//! use serde_json::json;
//!
//! let store = Store::ephemeral()?;
//! let budget = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"minAvailable": 1, "selector": {}}});
//! objects::create(&store, &POD_DISRUPTION_BUDGETS, "shop", budget)?;
//! let pod = json!({"metadata": {"name": "web-0", "namespace": "shop"},
//!     "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
//! let pod = objects::create(&store, &PODS, "shop", pod)?;
//! let refusal = budget::check(&store, "shop", &pod).expect_err("it is the last healthy pod");
//! assert_eq!(refusal.message, "Cannot evict pod as it would violate the pod's disruption budget.");
//! # Ok::<(), palisade_store::StoreError>(())
//! ```

mod aggregate;
mod binder;
pub mod budget;
mod controller;
mod kubernetes;
mod limits;
pub mod lost;
pub mod paced;
mod server;
mod turns;
mod workload;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use palisade_api::{error, kind as resource, request, selector};
use palisade_registry::{failure, hub, objects, time};
use palisade_scc::BuiltinSet;

pub use kubernetes::Front;
pub use server::{ApiServer, Author};

/// Starts all controllers, and further tasks, on threads of their own. They end soon after `stop` is set.
#[must_use]
pub fn start(
    server: &Arc<dyn ApiServer>,
    (set, front): (BuiltinSet, Front),
    further: Vec<paced::Task>,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<()>> {
    let tasks = std::iter::once(budget::recounted(server.store())).chain(further);
    let tasks = tasks.map(|task| paced::start(server, stop, task));
    [controller::start(server, set, front, stop), workload::start(server, stop)]
        .into_iter()
        .chain(tasks)
        .collect()
}
