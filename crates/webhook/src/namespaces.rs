//! Ranges of user IDs and SELinux levels for namespaces.
//!
//! Only the holder of the lease allocates them, so that no two replicas give one block to two namespaces: in the
//! request that creates a namespace if that replica answers it, else a moment later, as OpenShift's controller does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use palisade_admission::{Block, PolicyCache, PolicyKind, PolicyObject, Reservation, Reservations};
use palisade_k8s::patch::Patch as JsonPatch;
use palisade_k8s::review::AdmissionResponse;
use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::request::Request;
use crate::words::error_text;

/// Time for which a block that was given in an answer is reserved: until the watch has brought its namespace, or it is
/// certain that the namespace was refused later on.
const KEPT: Duration = Duration::from_secs(30);

/// Namespaces without ranges, as the watch has brought them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lacking(Arc<(Mutex<BTreeSet<String>>, Notify)>);

impl Lacking {
    /// Records an object of the watch.
    pub(crate) fn note(&self, namespace: &Value) {
        let Some(name) = namespace.pointer("/metadata/name").and_then(Value::as_str) else { return };
        let annotation = |key: &str| namespace.get("metadata")?.get("annotations")?.get(key)?.as_str();
        let lacks =
            [UID_RANGE, MCS, SUPPLEMENTAL_GROUPS].iter().any(|key| annotation(key).is_none_or(str::is_empty));
        if lacks {
            self.lock().insert(name.to_owned());
            self.0.1.notify_one();
        } else {
            self.forget(name);
        }
    }

    /// Records the deletion of a namespace.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Waits until a namespace lacks ranges.
    pub(crate) async fn changed(&self) {
        self.0.1.notified().await;
    }

    fn all(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Allocates ranges, while this replica holds the lease.
#[derive(Clone, Debug)]
pub(crate) struct Allocator {
    cache: Arc<PolicyCache>,
    reservations: Reservations,
    leading: Arc<AtomicBool>,
    kept: Duration,
}

impl Allocator {
    pub(crate) fn new(cache: Arc<PolicyCache>) -> Self {
        Self { cache, reservations: Reservations::default(), leading: Arc::default(), kept: KEPT }
    }

    /// Whether this replica holds the lease.
    pub(crate) fn leads(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.leading)
    }

    /// Sets whether this replica holds the lease.
    pub(crate) fn lead(&self, leading: bool) {
        self.leading.store(leading, Ordering::Release);
    }

    /// Answers the creation of a namespace. Nothing is reserved for a dry run, nor for a name that is taken: the API
    /// server will refuse that, or the watch will show a new namespace that lacks ranges.
    pub(crate) fn respond(&self, request: &Request<'_>) -> AdmissionResponse {
        let mut response =
            AdmissionResponse { uid: request.uid().to_owned(), allowed: true, ..Default::default() };
        let is_taken = || self.cache.snapshot().namespace(request.name()).is_some();
        if !self.leading.load(Ordering::Acquire) || is_taken() {
            return response;
        }
        // An object that is too heavy to be parsed gets its ranges later, like one that was created meanwhile.
        if palisade_api::weight::of_json(request.object().as_bytes()) > crate::memory::WEIGHT {
            return response;
        }
        let Ok(object) = serde_json::from_str::<Value>(request.object()) else { return response };
        let Some(reservation) = self.reservations.reserve(&self.cache) else { return response };
        let added = missing(&object, reservation.block());
        if let Some(patch) = json_patch(&object, &added) {
            response.patch_type = Some("JSONPatch");
            response.patch = Some(patch);
        }
        if !request.is_dry_run() {
            self.keep(reservation);
        }
        response
    }

    /// Gives ranges to all namespaces that lack them. A failed write is tried again with the next change.
    pub(crate) async fn repair(&self, client: &Client, lacking: &Lacking) {
        let api: Api<Namespace> = Api::all(client.clone());
        for name in lacking.all() {
            match self.give(&api, &name).await {
                Ok(()) => lacking.forget(&name),
                Err(error) => tracing::warn!("namespace {name} gets no ranges: {}", error_text(&error)),
            }
        }
    }

    async fn give(&self, api: &Api<Namespace>, name: &str) -> Result<(), kube::Error> {
        let Some(current) = api.get_opt(name).await? else { return Ok(()) };
        let Ok(object) = serde_json::to_value(&current) else { return Ok(()) };
        let Some(reservation) = self.reservations.reserve(&self.cache) else {
            tracing::error!("all blocks of user IDs are taken: namespace {name} stays without one");
            return Ok(());
        };
        let added = missing(&object, reservation.block());
        if added.is_empty() {
            return Ok(());
        }
        // With the resource version that was read, so that ranges written meanwhile are not overwritten.
        let patch =
            json!({"metadata": {"resourceVersion": current.metadata.resource_version, "annotations": added}});
        let written = api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        self.keep(reservation);
        if let Ok(Ok(object)) =
            serde_json::to_value(&written).map(|object| PolicyObject::of(PolicyKind::Namespace, &object))
        {
            self.cache.apply(object);
        }
        Ok(())
    }

    fn keep(&self, reservation: Reservation) {
        let kept = self.kept;
        tokio::spawn(async move {
            tokio::time::sleep(kept).await;
            drop(reservation);
        });
    }
}

/// The annotations of a block that a namespace lacks.
fn missing(namespace: &Value, block: Block) -> Map<String, Value> {
    let present =
        |key: &str| Some(namespace.get("metadata")?.get("annotations")?.get(key)?.as_str()?.to_owned());
    block.annotations(present).map(|(key, value)| (key.to_owned(), value.into())).collect()
}

/// The patch of an answer, in base64; `None` if nothing is added.
fn json_patch(namespace: &Value, added: &Map<String, Value>) -> Option<String> {
    use base64::Engine as _;
    let has_annotations = namespace.pointer("/metadata/annotations").is_some_and(Value::is_object);
    let mut patch = JsonPatch::default();
    if has_annotations {
        for (key, value) in added {
            patch.set(false, &["metadata", "annotations", key], &value.to_string());
        }
    } else {
        patch.set(false, &["metadata", "annotations"], &Value::Object(added.clone()).to_string());
    }
    patch.finish().map(|patch| base64::engine::general_purpose::STANDARD.encode(patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The patch for a new namespace.
    fn create(allocator: &Allocator, name: &str, dry_run: bool) -> Option<String> {
        let object = json!({"metadata": {"name": name}});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1", "name": name, "operation": "CREATE", "dryRun": dry_run, "object": object,
            "resource": {"group": "", "version": "v1", "resource": "namespaces"}}});
        let text = review.to_string();
        let response = allocator.respond(&Request::read(&text).unwrap());
        assert!(response.allowed);
        response.patch
    }

    #[tokio::test]
    async fn blocks_of_creations_that_are_refused_later_are_free_again() {
        let allocator = Allocator { kept: Duration::ZERO, ..Allocator::new(Arc::default()) };
        assert_eq!(create(&allocator, "a", false), None, "it does not hold the lease");
        allocator.lead(true);
        let first = create(&allocator, "a", true).unwrap();
        let given: HashSet<_> = (0..1000).filter_map(|_| create(&allocator, "a", false)).collect();
        assert_eq!(given.len(), 1000, "one block was given twice");
        assert_ne!(create(&allocator, "a", true).unwrap(), first);
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if create(&allocator, "a", true).unwrap() == first {
                return;
            }
        }
        panic!("the blocks are lost");
    }
}
