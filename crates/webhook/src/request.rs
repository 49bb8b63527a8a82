//! The parts of a review that the webhook itself reads.

use palisade_k8s::review::{AdmissionRequest, AdmissionReview, Operation};
use palisade_scc::Mutation;
use serde::Deserialize;

/// An error in a request, before any decision.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// It is not JSON, or not a review.
    #[error("the AdmissionReview cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has no request.
    #[error("the AdmissionReview has no request")]
    Missing,
}

/// The parts of a review that `palisade-k8s` does not read.
#[derive(Debug, Default, Deserialize)]
struct Extra {
    #[serde(default)]
    request: ExtraRequest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExtraRequest {
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    kind: Kind,
}

/// The group, version and kind of the object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'t> {
    inner: AdmissionRequest<'t>,
    extra: ExtraRequest,
}

impl<'t> Request<'t> {
    pub(crate) fn read(text: &'t str) -> Result<Self, RequestError> {
        let review: AdmissionReview<'t> = serde_json::from_str(text)?;
        let inner = review.request.ok_or(RequestError::Missing)?;
        let Extra { request: extra } = serde_json::from_str(text)?;
        Ok(Self { inner, extra })
    }

    pub(crate) fn uid(&self) -> &str {
        &self.inner.uid
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.inner.namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner.name
    }

    /// The object's JSON text; empty if there is none, as on DELETE.
    pub(crate) fn object(&self) -> &'t str {
        self.inner.object.map_or("", serde_json::value::RawValue::get)
    }

    pub(crate) fn user(&self) -> &palisade_k8s::review::UserInfo<'t> {
        &self.inner.user_info
    }

    /// The part of the pod that SCC may change.
    pub(crate) fn mutation(&self) -> Mutation {
        match (self.inner.operation, &*self.inner.sub_resource) {
            (Operation::Create, _) => Mutation::Allowed,
            (_, "ephemeralcontainers") => Mutation::EphemeralOnly,
            _ => Mutation::Forbidden,
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.extra.dry_run == Some(true)
    }

    /// The object's `apiVersion`, and its kind.
    pub(crate) fn kind(&self) -> (String, &str) {
        let Kind { group, version, kind } = &self.extra.kind;
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        (api_version, kind)
    }
}
