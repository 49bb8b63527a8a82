//! The wire: one `AdmissionReview` as text in, one response out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_k8s::Pod;
use palisade_k8s::patch::Patch;
use palisade_k8s::review::{
    API_VERSION, AdmissionRequest, AdmissionResponse, AdmissionReview, Operation, Status,
};
use palisade_k8s::scc::annotation::{REQUIRED_SCC, SUBJECT_TYPE, VALIDATED_SCC};
use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_scc::Mutation;
use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::Policy;
use crate::audit::{Annotations, PassedOver, reason};
use crate::decide::{
    Admission, Decision, Exemption, NotTried, PodRequest, Prepared, Refusal, decide, prepare,
};
use crate::{connect, object, update};

/// A review that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// The request's `uid`, if that much could be read.
    pub uid: String,
    /// Where in the text it stops making sense, in bytes from its start.
    pub offset: usize,
    /// What is wrong, without the place.
    pub message: String,
}

impl Unreadable {
    pub(crate) fn new(request: &AdmissionRequest<'_>, message: &str) -> Self {
        Self { uid: request.uid.to_string(), offset: 0, message: message.to_owned() }
    }

    fn whole(text: &str, error: &serde_json::Error) -> Self {
        Self { uid: String::new(), offset: offset_of(text, error), message: message_of(error) }
    }

    /// An error in a part of the text that was read on its own.
    pub(crate) fn nested(
        request: &AdmissionRequest<'_>,
        text: &str,
        part: &RawValue,
        error: &serde_json::Error,
    ) -> Self {
        let start = (part.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Self {
            uid: request.uid.to_string(),
            offset: start + offset_of(part.get(), error),
            message: message_of(error),
        }
    }
}

fn offset_of(text: &str, error: &serde_json::Error) -> usize {
    let line = error.line().saturating_sub(1);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    before + error.column().saturating_sub(1)
}

fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => text,
    }
}

/// Answers one `AdmissionReview`.
///
/// # Errors
///
/// The text is no `AdmissionReview` of `admission.k8s.io/v1`, or its object does not fit its type.
pub fn respond(policy: &Policy, text: &str) -> Result<AdmissionResponse, Unreadable> {
    let review: AdmissionReview<'_> =
        serde_json::from_str(text).map_err(|error| Unreadable::whole(text, &error))?;
    let bad = |message: String| Unreadable { uid: String::new(), offset: 0, message };
    if *review.api_version != *API_VERSION || *review.kind != *"AdmissionReview" {
        let (version, kind) = (&review.api_version, &review.kind);
        return Err(bad(format!(
            "apiVersion {version:?}, kind {kind:?} is no {API_VERSION} AdmissionReview"
        )));
    }
    let Some(request) = &review.request else { return Err(bad("request is missing".to_owned())) };
    let groups: SmallVec<[&str; 8]> = request.user_info.groups.iter().map(|group| &**group).collect();
    let resource = (&*request.resource.group, &*request.resource.resource, &*request.sub_resource);
    match (resource, request.operation) {
        (("", "pods", "exec" | "attach"), Operation::Connect) => {
            Ok(connect::respond(policy, request, &groups))
        }
        (("", "pods", "" | "ephemeralcontainers" | "resize"), Operation::Create | Operation::Update) => {
            pod(policy, request, &groups, text)
        }
        ((GROUP | "", RESOURCE, ""), Operation::Create | Operation::Update) => object::respond(request, text),
        (_, Operation::Unknown) => Err(Unreadable::new(request, "request.operation is missing or unknown")),
        (("", "", _), _) => Err(Unreadable::new(request, "request.resource.resource is missing")),
        _ => Ok(exempt(request, &Exemption::Resource)),
    }
}

fn exempt(request: &AdmissionRequest<'_>, why: &Exemption) -> AdmissionResponse {
    let reason = format!("not subject to SCC: {why}");
    AdmissionResponse {
        uid: request.uid.to_string(),
        allowed: true,
        audit_annotations: [("reason".to_owned(), reason)].into(),
        ..AdmissionResponse::default()
    }
}

fn pod(
    policy: &Policy,
    request: &AdmissionRequest<'_>,
    groups: &[&str],
    text: &str,
) -> Result<AdmissionResponse, Unreadable> {
    let Some(object) = request.object else {
        return Err(Unreadable::new(request, "request.object is missing"));
    };
    let parsed: Pod<'_> = serde_json::from_str(object.get())
        .map_err(|error| Unreadable::nested(request, text, object, &error))?;
    let mutation = match (request.operation, &*request.sub_resource) {
        (Operation::Create, _) => Mutation::Allowed,
        (_, "ephemeralcontainers") => Mutation::EphemeralOnly,
        _ => Mutation::Forbidden,
    };
    let pod_request = PodRequest {
        namespace: &request.namespace,
        user: &request.user_info.username,
        groups,
        pod: &parsed,
        mutation,
    };
    let prepared = prepare(policy, &pod_request);
    if let Err(NotTried::Exempt(why)) = &prepared {
        return Ok(exempt(request, why));
    }
    if request.operation == Operation::Update {
        match update_of(request, text, object, &parsed)? {
            Update::Relevant => {}
            Update::Irrelevant => return Ok(exempt(request, &Exemption::MetadataOnly)),
            Update::RequiredChanged => {
                return Ok(refuse(request, Refusal::RequiredChanged.to_string(), None));
            }
        }
    }
    Ok(match prepared {
        Err(NotTried::Refused(refusal)) => refuse(request, refusal.to_string(), None),
        Err(NotTried::Exempt(why)) => exempt(request, &why),
        Ok(prepared) => {
            let decision = decide(policy, &pod_request, &prepared);
            answer(policy, request, &pod_request, &prepared, decision)
        }
    })
}

enum Update {
    Irrelevant,
    RequiredChanged,
    Relevant,
}

fn update_of(
    request: &AdmissionRequest<'_>,
    text: &str,
    object: &RawValue,
    pod: &Pod<'_>,
) -> Result<Update, Unreadable> {
    let Some(old_object) = request.old_object else {
        return Err(Unreadable::new(request, "request.oldObject is missing"));
    };
    let read = |part: &RawValue| -> Result<Value, Unreadable> {
        serde_json::from_str(part.get()).map_err(|error| Unreadable::nested(request, text, part, &error))
    };
    let old: Pod<'_> = serde_json::from_str(old_object.get())
        .map_err(|error| Unreadable::nested(request, text, old_object, &error))?;
    if update::is_irrelevant(read(old_object)?, read(object)?) {
        return Ok(Update::Irrelevant);
    }
    let required = |pod: &Pod<'_>| pod.metadata.annotation(REQUIRED_SCC).unwrap_or_default().to_owned();
    Ok(if required(&old) == required(pod) { Update::Relevant } else { Update::RequiredChanged })
}

fn answer<'x>(
    policy: &'x Policy,
    request: &AdmissionRequest<'_>,
    pod_request: &PodRequest<'x>,
    prepared: &Prepared<'x>,
    decision: Decision<'_>,
) -> AdmissionResponse {
    match decision {
        Decision::Admitted(admission) => {
            let passed = PassedOver::collect(policy, pod_request, prepared, Some(admission.entry));
            let mut annotations = Annotations::new();
            annotations.insert("reason".to_owned(), reason(policy, pod_request, prepared, &admission));
            annotations.insert("chosen".to_owned(), admission.scc.to_owned());
            passed.annotate(&mut annotations);
            let response = AdmissionResponse {
                uid: request.uid.to_string(),
                allowed: true,
                audit_annotations: annotations,
                ..AdmissionResponse::default()
            };
            with_patch(response, admission.patch(pod_request.pod))
        }
        Decision::Refused(Refusal::NoneFits) => {
            let passed = PassedOver::collect(policy, pod_request, prepared, None);
            refuse(request, passed.message(), Some(&passed))
        }
        Decision::Refused(refusal) => refuse(request, refusal.to_string(), None),
        Decision::Exempt(why) => exempt(request, &why),
    }
}

impl Admission<'_> {
    /// The patch that makes `pod` as the SCC wants it, with the two annotations that say so.
    #[must_use]
    pub fn patch(&self, pod: &Pod<'_>) -> Patch {
        let mut patch = Patch::default();
        let said = [(VALIDATED_SCC, self.scc), (SUBJECT_TYPE, self.subject.as_str())];
        self.changes.write(pod, &said, &mut patch);
        patch
    }
}

fn refuse(
    request: &AdmissionRequest<'_>,
    message: String,
    passed: Option<&PassedOver<'_>>,
) -> AdmissionResponse {
    let mut annotations = Annotations::new();
    passed.iter().for_each(|passed| passed.annotate(&mut annotations));
    let reason = passed.map_or_else(|| message.clone(), PassedOver::reason);
    annotations.insert("reason".to_owned(), reason);
    AdmissionResponse {
        uid: request.uid.to_string(),
        status: Some(Status::forbidden(message)),
        audit_annotations: annotations,
        ..AdmissionResponse::default()
    }
}

/// The response with the patch in base64, if it changes anything.
pub(crate) fn with_patch(mut response: AdmissionResponse, patch: Patch) -> AdmissionResponse {
    if let Some(patch) = patch.finish() {
        response.patch_type = Some("JSONPatch");
        response.patch = Some(STANDARD.encode(patch));
    }
    response
}
