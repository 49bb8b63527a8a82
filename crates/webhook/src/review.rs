//! Reviews: one AdmissionReview in, one answer out, by the policy that the watches have brought.
//!
//! The decision is `palisade-admission`'s. Added here is the data that a decision needs from the live cluster: the pod
//! of a connection, and, before a refusal, objects that the watches have not brought yet. Both are overlays on a
//! snapshot, so that no other decision changes by them.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use palisade_admission::{Policy, PolicyCache, Review, Unreadable};
use palisade_https::Body;
use palisade_k8s::review::{AdmissionResponse, ReviewResponse, Status};
use palisade_scc::Mutation;
use prometheus_client::encoding::EncodeLabelSet;

use crate::finding::Finding;
use crate::lookup::{self, Live};
use crate::mode::{Mode, Modes};
use crate::namespaces::Allocator;
use crate::recorder::Recorder;
use crate::request::Request;
use crate::unready::Unready;
use crate::workloads;

/// Maximum time of lookups in the live cluster, all in all: well below the API server's timeout.
pub(crate) const LOOKUP_TIME: Duration = Duration::from_millis(300);

/// The size of most answers without their patches, in bytes.
const BESIDE_PATCH: usize = 1_024;

/// The kind of review, by the path of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    MutatePods,
    MutateSccs,
    MutateNamespaces,
    ValidatePods,
    ValidateConnections,
    ValidateSccs,
    ValidateWorkloads,
}

impl Endpoint {
    const ALL: [(&'static str, Self); 7] = [
        ("/mutate/pods", Self::MutatePods),
        ("/mutate/sccs", Self::MutateSccs),
        ("/mutate/namespaces", Self::MutateNamespaces),
        ("/validate/pods", Self::ValidatePods),
        ("/validate/connect", Self::ValidateConnections),
        ("/validate/sccs", Self::ValidateSccs),
        ("/validate/workloads", Self::ValidateWorkloads),
    ];

    pub(crate) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == path).map(|(_, endpoint)| *endpoint)
    }

    pub(crate) fn labels(self) -> Labels {
        let path = Self::ALL.iter().find(|(_, endpoint)| *endpoint == self).map_or("", |(path, _)| *path);
        Labels { webhook: path }
    }
}

/// The labels of a review in the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    webhook: &'static str,
}

/// Answers reviews.
pub(crate) struct Reviewer {
    cache: Arc<PolicyCache>,
    allocator: Allocator,
    modes: Modes,
    recorder: Recorder,
    unready: Unready,
    live: Live,
}

impl Reviewer {
    pub(crate) fn new(
        cache: Arc<PolicyCache>,
        allocator: Allocator,
        modes: Modes,
        recorder: Recorder,
        unready: Unready,
        live: Live,
    ) -> Self {
        Self { cache, allocator, modes, recorder, unready, live }
    }

    pub(crate) async fn answer(&self, endpoint: Endpoint, body: &[u8]) -> Response<Body> {
        let Ok(text) = std::str::from_utf8(body) else {
            return Body::text(400, "the review is not UTF-8\n");
        };
        let request = match Request::read(text) {
            Ok(request) => request,
            Err(error) => return Body::text(400, format!("the AdmissionReview cannot be read: {error}\n")),
        };
        let mode = self.modes.of(request.namespace());
        let response = match endpoint {
            Endpoint::MutatePods => {
                let response = self.pods(&request, |review, policy| review.respond(policy)).await;
                Finding::of(&request, mode, &response)
                    .into_iter()
                    .for_each(|finding| self.recorder.note(finding));
                let is_new = response.allowed && request.mutation() == Mutation::Allowed;
                let response = if is_new { self.unready.steer(&request, response) } else { response };
                mode.soften(response)
            }
            // If SCC is not enforced, unchanged pods do not fit: the warning came when they were created.
            Endpoint::ValidatePods if mode != Mode::Enforce => self.unenforced(&request, mode).await,
            Endpoint::ValidatePods => {
                self.last(&request, self.pods(&request, |review, policy| review.validate(policy)).await).await
            }
            Endpoint::ValidateConnections => mode.soften(self.connection(&request).await),
            Endpoint::MutateSccs => decide(&self.cache, &request, |review, policy| review.respond(policy)),
            Endpoint::ValidateSccs => decide(&self.cache, &request, |review, policy| review.validate(policy)),
            Endpoint::MutateNamespaces => self.allocator.respond(&request),
            Endpoint::ValidateWorkloads => {
                let mut response = workloads::respond(&self.cache.snapshot(), &request);
                if let Some(pod) = workloads::template(&request) {
                    response.warnings.extend(self.unready.warning(request.namespace(), &pod).await);
                }
                response
            }
        };
        let patch = response.patch.as_ref().map_or(0, String::len);
        let mut bytes = Vec::with_capacity(patch + BESIDE_PATCH);
        match serde_json::to_writer(&mut bytes, &ReviewResponse::new(&response)) {
            Ok(()) => Body::bytes(200, "application/json", bytes),
            Err(error) => Body::text(500, format!("{error}\n")),
        }
    }

    /// A pod as it will be stored, which SCC has answered. For a new one it is checked whether a node has its seccomp
    /// profiles.
    async fn last(&self, request: &Request<'_>, response: AdmissionResponse) -> AdmissionResponse {
        if response.allowed && request.mutation() == Mutation::Allowed {
            return self.unready.judge(request, response).await;
        }
        response
    }

    /// A pod where SCC is not enforced: nothing is refused.
    async fn unenforced(&self, request: &Request<'_>, mode: Mode) -> AdmissionResponse {
        let mut response = allowed(request);
        if mode == Mode::Warn && request.mutation() == Mutation::Allowed {
            response.warnings.extend(self.unready.warning(request.namespace(), request.object()).await);
        }
        response
    }

    /// A pod. A refusal that might be due to a namespace or a grant unknown to the watches is looked up once.
    async fn pods(&self, request: &Request<'_>, decision: Decision) -> AdmissionResponse {
        let response = decide(&self.cache, request, decision);
        if response.allowed {
            return response;
        }
        let looked_up = self.live.fresher(&self.cache, request);
        match tokio::time::timeout(LOOKUP_TIME, looked_up).await {
            Ok(Some(overlay)) => decide(&overlay, request, decision),
            Ok(None) | Err(_) => response,
        }
    }

    /// exec and attach: the request holds the options only, so the pod is read.
    async fn connection(&self, request: &Request<'_>) -> AdmissionResponse {
        let pod = self.live.pod(request.namespace(), request.name());
        match tokio::time::timeout(LOOKUP_TIME * 3, pod).await {
            Ok(Ok(pod)) => {
                decide(&lookup::overlay(&self.cache, [pod]), request, |review, policy| review.respond(policy))
            }
            Ok(Err(error)) => unavailable(request, &format!("the pod cannot be read: {error}")),
            Err(_) => unavailable(request, "the API server did not give the pod in time"),
        }
    }
}

/// [`Review::respond`] or [`Review::validate`].
type Decision = fn(&Review<'_>, &Policy) -> Result<AdmissionResponse, Unreadable>;

/// Decides by the present policy. An object that cannot be parsed is refused, as the API server would refuse it.
fn decide(cache: &PolicyCache, request: &Request<'_>, decision: Decision) -> AdmissionResponse {
    decision(request.review(), &cache.snapshot()).unwrap_or_else(|unreadable| AdmissionResponse {
        uid: unreadable.uid.clone(),
        status: Some(Status::bad_request(unreadable.to_string())),
        ..AdmissionResponse::default()
    })
}

/// An admission without a reason.
fn allowed(request: &Request<'_>) -> AdmissionResponse {
    AdmissionResponse { uid: request.uid().to_owned(), allowed: true, ..AdmissionResponse::default() }
}

/// A refusal because no decision was possible.
fn unavailable(request: &Request<'_>, why: &str) -> AdmissionResponse {
    AdmissionResponse {
        uid: request.uid().to_owned(),
        status: Some(Status::forbidden(format!("SCC cannot decide: {why}"))),
        ..AdmissionResponse::default()
    }
}
