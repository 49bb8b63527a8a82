//! The wire format: one `AdmissionReview` as text in, one response out.

mod scc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_k8s::Pod;
use palisade_k8s::patch::Patch;
use palisade_k8s::review::{
    API_VERSION, AdmissionRequest, AdmissionResponse, AdmissionReview, Operation, Status,
};
use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_rbac::Scopes;
use palisade_scc::Mutation;
use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::Policy;
use crate::connect;
use crate::decide::{Exemption, PodRequest};
use crate::grants::Identity;
use crate::pod::{PodAnswer, Verdict, admit_with};
use crate::update::Update;

/// A review that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// The request's `uid`, if that much could be parsed.
    pub uid: String,
    /// The position of the error in the text, in bytes from its start.
    pub offset: usize,
    /// The problem, without the position.
    pub message: String,
}

impl Unreadable {
    fn new(request: &AdmissionRequest<'_>, message: &str) -> Self {
        Self { uid: request.uid.to_string(), offset: 0, message: message.to_owned() }
    }

    fn whole(text: &str, error: &serde_json::Error) -> Self {
        Self { uid: String::new(), offset: offset_of(text, error), message: message_of(error) }
    }

    /// An error in a part of the text that was parsed separately.
    fn nested(
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

/// A review that has been read, to be answered under one policy or several.
#[derive(Debug)]
pub struct Review<'t> {
    text: &'t str,
    request: AdmissionRequest<'t>,
}

impl<'t> Review<'t> {
    /// Reads a review.
    ///
    /// # Errors
    ///
    /// The text is not an `AdmissionReview` of `admission.k8s.io/v1`, or has no request.
    pub fn read(text: &'t str) -> Result<Self, Unreadable> {
        let review: AdmissionReview<'_> =
            serde_json::from_str(text).map_err(|error| Unreadable::whole(text, &error))?;
        let bad = |message: String| Unreadable { uid: String::new(), offset: 0, message };
        if *review.api_version != *API_VERSION || *review.kind != *"AdmissionReview" {
            let (version, kind) = (&review.api_version, &review.kind);
            return Err(bad(format!(
                "apiVersion {version:?}, kind {kind:?} is not an {API_VERSION} AdmissionReview"
            )));
        }
        let request = review.request.ok_or_else(|| bad("request is missing".to_owned()))?;
        Ok(Self { text, request })
    }

    /// Its request.
    #[must_use]
    pub fn request(&self) -> &AdmissionRequest<'t> {
        &self.request
    }

    /// Answers it as [`respond`] does.
    ///
    /// # Errors
    ///
    /// The object does not fit its type.
    pub fn respond(&self, policy: &Policy) -> Result<AdmissionResponse, Unreadable> {
        answer(policy, self, Phase::Mutate)
    }

    /// Answers it as [`validate`] does.
    ///
    /// # Errors
    ///
    /// The object does not fit its type.
    pub fn validate(&self, policy: &Policy) -> Result<AdmissionResponse, Unreadable> {
        let response = answer(policy, self, Phase::Validate)?;
        Ok(AdmissionResponse { patch: None, patch_type: None, ..response })
    }
}

/// Answers one `AdmissionReview`.
///
/// # Errors
///
/// The text is not an `AdmissionReview` of `admission.k8s.io/v1`, or its object does not fit its type.
pub fn respond(policy: &Policy, text: &str) -> Result<AdmissionResponse, Unreadable> {
    Review::read(text)?.respond(policy)
}

/// Answers one `AdmissionReview` after all mutation: a pod must fit an SCC as it is, whoever changed it since
/// [`respond`] did, and an SCC object must be valid. The response has no patch.
///
/// # Errors
///
/// As [`respond`].
pub fn validate(policy: &Policy, text: &str) -> Result<AdmissionResponse, Unreadable> {
    Review::read(text)?.validate(policy)
}

/// The two webhook calls that an API server makes for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Mutate,
    Validate,
}

fn answer(policy: &Policy, review: &Review<'_>, phase: Phase) -> Result<AdmissionResponse, Unreadable> {
    let Review { text, request } = review;
    let info = &request.user_info;
    let groups: SmallVec<[&str; 8]> = info.groups.iter().map(|group| &**group).collect();
    let scopes: SmallVec<[&str; 2]> = info.extra.scopes().iter().map(|scope| &**scope).collect();
    let user = Identity { name: &info.username, groups: &groups, scopes: Scopes(&scopes) };
    let resource = (&*request.resource.group, &*request.resource.resource, &*request.sub_resource);
    match (resource, request.operation) {
        (("", "pods", "exec" | "attach"), Operation::Connect) => Ok(connect::respond(policy, request, &user)),
        (("", "pods", "" | "ephemeralcontainers" | "resize"), Operation::Create | Operation::Update) => {
            pod(policy, request, &user, text, phase)
        }
        ((GROUP | "", RESOURCE, ""), Operation::Create | Operation::Update) => scc::respond(request, text),
        (_, Operation::Unknown) => Err(Unreadable::new(request, "request.operation is missing or unknown")),
        (("", "", _), _) => Err(Unreadable::new(request, "request.resource.resource is missing")),
        _ => Ok(response_of(request, PodAnswer::exempt(Exemption::Resource), &Pod::default())),
    }
}

fn pod(
    policy: &Policy,
    request: &AdmissionRequest<'_>,
    user: &Identity<'_>,
    text: &str,
    phase: Phase,
) -> Result<AdmissionResponse, Unreadable> {
    let Some(object) = request.object else {
        return Err(Unreadable::new(request, "request.object is missing"));
    };
    let parsed: Pod<'_> = serde_json::from_str(object.get())
        .map_err(|error| Unreadable::nested(request, text, object, &error))?;
    let mutation = match (request.operation, &*request.sub_resource) {
        _ if phase == Phase::Validate => Mutation::Forbidden,
        (Operation::Create, _) => Mutation::Allowed,
        (_, "ephemeralcontainers") => Mutation::EphemeralOnly,
        _ => Mutation::Forbidden,
    };
    let pod_request = PodRequest {
        namespace: &request.namespace,
        user: user.name,
        groups: user.groups,
        scopes: user.scopes,
        pod: &parsed,
        mutation,
    };
    let update = || match request.operation {
        Operation::Update => update_of(request, text, object),
        _ => Ok(Update::Relevant),
    };
    let answer = admit_with(policy, &pod_request, update)?;
    Ok(response_of(request, answer, &parsed))
}

fn update_of(request: &AdmissionRequest<'_>, text: &str, object: &RawValue) -> Result<Update, Unreadable> {
    let Some(old_object) = request.old_object else {
        return Err(Unreadable::new(request, "request.oldObject is missing"));
    };
    let unreadable =
        |part: &RawValue, error: &serde_json::Error| Unreadable::nested(request, text, part, error);
    let read = |part: &RawValue| -> Result<Value, Unreadable> {
        serde_json::from_str(part.get()).map_err(|error| unreadable(part, &error))
    };
    let _: Pod<'_> =
        serde_json::from_str(old_object.get()).map_err(|error| unreadable(old_object, &error))?;
    Ok(Update::between(read(old_object)?, read(object)?))
}

fn response_of(request: &AdmissionRequest<'_>, answer: PodAnswer<'_>, pod: &Pod<'_>) -> AdmissionResponse {
    let response = AdmissionResponse {
        uid: request.uid.to_string(),
        audit_annotations: answer.audit,
        ..AdmissionResponse::default()
    };
    match answer.verdict {
        Verdict::Exempt(_) => AdmissionResponse { allowed: true, ..response },
        Verdict::Admitted(admission) => {
            with_patch(AdmissionResponse { allowed: true, ..response }, admission.patch(pod))
        }
        Verdict::Refused(message) => {
            AdmissionResponse { status: Some(Status::forbidden(message)), ..response }
        }
    }
}

/// The response with the patch in base64, if it changes anything.
fn with_patch(mut response: AdmissionResponse, patch: Patch) -> AdmissionResponse {
    if let Some(patch) = patch.finish() {
        response.patch_type = Some("JSONPatch");
        response.patch = Some(STANDARD.encode(patch));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyBuilder;
    use palisade_scc::BuiltinSet;
    use serde_json::json;

    fn policy() -> Policy {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("dev");
        builder.build()
    }

    fn text(request: Value) -> String {
        let mut all = json!({"uid": "u1", "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "dev", "name": "web", "operation": "CREATE",
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app"}]}}});
        for (field, value) in request.as_object().unwrap() {
            all[field] = value.clone();
        }
        json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "request": all}).to_string()
    }

    #[test]
    fn requests_are_decided_by_their_resource() {
        let policy = policy();
        let resource = |group: &str, name: &str| json!({"group": group, "version": "v1", "resource": name});
        let host = json!({"spec": {"hostNetwork": true, "containers": [{"name": "app"}]}});
        // The request, whether it is allowed, and whether it is changed.
        for (request, allowed, changed) in [
            (json!({}), true, true),
            (json!({"object": host}), false, false),
            (json!({"resource": resource("", "services"), "object": null}), true, false),
            (json!({"subResource": "status", "operation": "UPDATE"}), true, false),
            (json!({"operation": "DELETE", "object": null}), true, false),
            (json!({"namespace": "kube-system", "object": host}), true, false),
            (json!({"subResource": "exec", "operation": "CONNECT", "namespace": "lost"}), false, false),
        ] {
            let response = respond(&policy, &text(request.clone())).unwrap();
            assert_eq!((response.allowed, response.patch.is_some()), (allowed, changed), "{request}");
            assert_eq!(response.uid, "u1");
            let says_why = response.status.is_some_and(|status| !status.message.is_empty());
            assert_eq!(says_why, !allowed, "{request}");
        }
    }

    #[test]
    fn validation_changes_nothing() {
        let policy = policy();
        let review = text(json!({}));
        assert!(respond(&policy, &review).unwrap().patch.is_some());
        let validated = validate(&policy, &review).unwrap();
        assert!(!validated.allowed && validated.patch.is_none(), "the pod lacks what an SCC would give it");
    }

    #[test]
    fn unreadable_reviews_are_refused_with_their_position() {
        let policy = policy();
        let bad_pod = text(json!({"object": {"spec": {"containers": 7}}}));
        let seven = bad_pod.find('7').unwrap();
        for (text, uid, offset, message) in [
            ("{\"apiVersion\": 3".to_owned(), "", None, "invalid type"),
            ("{}".to_owned(), "", None, "is not an admission.k8s.io/v1 AdmissionReview"),
            (
                json!({"apiVersion": API_VERSION, "kind": "AdmissionReview"}).to_string(),
                "",
                None,
                "request is missing",
            ),
            (text(json!({"object": null})), "u1", None, "request.object is missing"),
            (text(json!({"operation": "UPDATE"})), "u1", None, "request.oldObject is missing"),
            (text(json!({"operation": "PATCH"})), "u1", None, "request.operation is missing or unknown"),
            (text(json!({"resource": {}})), "u1", None, "request.resource.resource is missing"),
            (bad_pod, "u1", Some(seven), "invalid type: integer `7`"),
        ] {
            let error = respond(&policy, &text).unwrap_err();
            assert_eq!(error.uid, uid, "{text}");
            assert!(error.message.contains(message), "{text}: {error}");
            assert!(offset.is_none_or(|offset| error.offset == offset), "{text}: {error:?}");
        }
    }
}
