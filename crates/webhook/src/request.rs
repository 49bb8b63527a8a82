//! The parts of a review that the webhook itself reads.

use palisade_admission::{Review, Unreadable};
use palisade_k8s::review::{AdmissionRequest, GroupVersionKind, Operation};
use palisade_scc::Mutation;

/// One request.
#[derive(Debug)]
pub(crate) struct Request<'t> {
    review: Review<'t>,
}

impl<'t> Request<'t> {
    pub(crate) fn read(text: &'t str) -> Result<Self, Unreadable> {
        Ok(Self { review: Review::read(text)? })
    }

    /// The review, to be answered.
    pub(crate) fn review(&self) -> &Review<'t> {
        &self.review
    }

    fn inner(&self) -> &AdmissionRequest<'t> {
        self.review.request()
    }

    pub(crate) fn uid(&self) -> &str {
        &self.inner().uid
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.inner().namespace
    }

    pub(crate) fn name(&self) -> &str {
        &self.inner().name
    }

    /// The object's JSON text; empty if there is none, as on DELETE.
    pub(crate) fn object(&self) -> &'t str {
        self.inner().object.map_or("", serde_json::value::RawValue::get)
    }

    pub(crate) fn user(&self) -> &palisade_k8s::review::UserInfo<'t> {
        &self.inner().user_info
    }

    /// The part of the pod that SCC may change.
    pub(crate) fn mutation(&self) -> Mutation {
        match (self.inner().operation, &*self.inner().sub_resource) {
            (Operation::Create, _) => Mutation::Allowed,
            (_, "ephemeralcontainers") => Mutation::EphemeralOnly,
            _ => Mutation::Forbidden,
        }
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.inner().dry_run == Some(true)
    }

    /// The object's `apiVersion`, and its kind.
    pub(crate) fn kind(&self) -> (String, &str) {
        let GroupVersionKind { group, version, kind } = &self.inner().kind;
        let api_version = if group.is_empty() { version.to_string() } else { format!("{group}/{version}") };
        (api_version, kind)
    }
}
