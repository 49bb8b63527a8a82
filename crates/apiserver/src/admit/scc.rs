//! SCC, decided by the same code as `palisade admit` and the webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_admission::{Decision, PodRequest, evaluate, refusal_message};
use palisade_k8s::{FieldError, FieldPath, Pod, SecurityContextConstraints};
use palisade_scc::Mutation;
use serde_json::{Value, json};

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::resource::{self, text};

/// Before the names of the audit log's annotations.
const AUDIT_PREFIX: &str = "securitycontextconstraints.admission.openshift.io/";

/// Decides on a pod, and completes it as the SCC that admits it says.
pub(super) fn pod(call: &Call<'_>, pod: &mut Value, old: Option<&Value>) -> ApiResult<()> {
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let review = review(call, operation, pod, old);
    let policy = call.api.policy.snapshot();
    let patch = answer(call, &policy, &review, text(pod, "/metadata/name"))?;
    if let Some(patch) = patch {
        let patch: json_patch::Patch = serde_json::from_slice(&patch)
            .map_err(|error| failure::internal("the patch of SCC cannot be read", &error))?;
        json_patch::patch(pod, &patch)
            .map_err(|error| failure::internal("the patch of SCC cannot be applied", &error))?;
    }
    Ok(())
}

/// Decides on a connection to a pod as it runs: exec, attach.
pub(crate) fn connect(call: &Call<'_>, pod: &Value) -> ApiResult<()> {
    let policy = call.api.policy.snapshot();
    let text = pod.to_string();
    let parsed: Pod<'_> =
        serde_json::from_str(&text).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let groups = call.who.groups();
    let namespace = call.target.namespace.as_str();
    let again = PodRequest {
        namespace,
        user: &call.who.name,
        groups: &groups,
        pod: &parsed,
        mutation: Mutation::Allowed,
    };
    match evaluate(&policy, &again) {
        Decision::Refused(refusal) => {
            let why = refusal_message(&policy, &again, &refusal);
            let said = format!(
                "{} operation is not allowed because the pod's security context exceeds your permissions: {why}",
                call.target.subresource_name()
            );
            Err(ApiError::forbidden(call.target.resource, &call.target.name, said))
        }
        Decision::Exempt(_) | Decision::Admitted(_) => Ok(()),
    }
}

fn review(call: &Call<'_>, operation: &str, object: &Value, old: Option<&Value>) -> String {
    let target = call.target;
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uuid::Uuid::new_v4().to_string(),
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "subResource": target.subresource_name(),
            "name": text(object, "/metadata/name"),
            "namespace": target.namespace, "operation": operation,
            "userInfo": call.who.to_json(), "object": object, "oldObject": old,
        }
    })
    .to_string()
}

fn answer(
    call: &Call<'_>,
    policy: &palisade_admission::Policy,
    review: &str,
    name: &str,
) -> ApiResult<Option<Vec<u8>>> {
    let response =
        palisade_admission::respond(policy, review).map_err(|error| ApiError::bad_request(error.message))?;
    call.notes.warn(response.warnings);
    for (key, value) in response.audit_annotations {
        call.notes.annotate(format!("{AUDIT_PREFIX}{key}"), value);
    }
    if response.allowed {
        let patch = response.patch.map(|patch| STANDARD.decode(patch)).transpose();
        return patch.map_err(|error| failure::internal("the patch of SCC cannot be read", &error));
    }
    let why = response.status.map(|status| status.message).unwrap_or_default();
    Err(ApiError::forbidden(call.target.resource, name, why))
}

/// Fills in what an SCC leaves out. One that does not fit its type is left for [`check`] to say.
pub(crate) fn complete(object: &mut Value) -> ApiResult<()> {
    let Ok(mut scc) = serde_json::from_value::<SecurityContextConstraints>(object.clone()) else {
        return Ok(());
    };
    palisade_scc::default(&mut scc);
    let Ok(Value::Object(completed)) = serde_json::to_value(&scc) else { return Ok(()) };
    let Some(map) = object.as_object_mut() else { return Ok(()) };
    for (field, value) in completed {
        if field != "metadata" {
            map.insert(field, value);
        }
    }
    Ok(())
}

/// Refuses an SCC that breaks its own rules.
pub(super) fn check(object: &Value) -> ApiResult<()> {
    let name = text(object, "/metadata/name");
    let resource = &resource::SCCS;
    let scc: SecurityContextConstraints = serde_json::from_value(object.clone()).map_err(|error| {
        let error = FieldError::invalid(FieldPath::root(), Value::Null, error.to_string());
        ApiError::invalid(resource, name, &[error])
    })?;
    match palisade_scc::validate(&scc).as_slice() {
        [] => Ok(()),
        errors => Err(ApiError::invalid(resource, name, errors)),
    }
}
