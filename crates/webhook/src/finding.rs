//! A pod that SCC has refused, or would have refused.

use palisade_k8s::review::AdmissionResponse;
use serde::Deserialize;

use crate::mode::Mode;
use crate::request::Request;
use crate::warning::shortened;

/// The subject of a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Empty for a pod, which does not exist.
    pub(crate) uid: String,
}

/// A pod that was refused, or would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) namespace: String,
    pub(crate) mode: Mode,
    pub(crate) subject: Subject,
    pub(crate) message: String,
}

impl Finding {
    /// The finding of a review, if there is one: a dry run has none.
    pub(crate) fn of(request: &Request<'_>, mode: Mode, response: &AdmissionResponse) -> Option<Self> {
        let status = response.status.as_ref().filter(|_| !response.allowed && !request.is_dry_run())?;
        let subject = serde_json::from_str::<Owned>(request.object()).ok()?.subject();
        let message = shortened(&status.message);
        Some(Self { namespace: request.namespace().to_owned(), mode, subject, message })
    }

    /// The reason, as one word for an event.
    pub(crate) fn reason(&self) -> &'static str {
        match self.mode {
            Mode::Enforce => "SccRefused",
            Mode::Warn | Mode::Audit => "SccWouldRefuse",
        }
    }
}

#[derive(Deserialize)]
struct Owned {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    generate_name: String,
    owner_references: Vec<Reference>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reference {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    controller: bool,
}

impl Owned {
    /// The controller of the pod, else the pod.
    fn subject(self) -> Subject {
        let Metadata { name, generate_name, owner_references } = self.metadata;
        match owner_references.into_iter().find(|reference| reference.controller) {
            Some(Reference { api_version, kind, name, uid, .. }) => Subject { api_version, kind, name, uid },
            None => Subject {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: if name.is_empty() { generate_name } else { name },
                uid: String::new(),
            },
        }
    }
}
