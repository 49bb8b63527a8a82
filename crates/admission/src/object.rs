//! Requests for SCC objects themselves: the patch completes them, a refusal lists what is wrong.

use palisade_k8s::patch::Patch;
use palisade_k8s::review::{AdmissionRequest, AdmissionResponse, Status};
use palisade_k8s::scc::{GROUP, KIND};
use palisade_k8s::{FieldError, SecurityContextConstraints};
use serde_json::{Map, Value};

use crate::respond::{Unreadable, with_patch};

/// Defaults and validates the SCC of a CREATE or UPDATE.
pub(crate) fn respond(request: &AdmissionRequest<'_>, text: &str) -> Result<AdmissionResponse, Unreadable> {
    let Some(object) = request.object else {
        return Err(Unreadable::new(request, "request.object is missing"));
    };
    let unreadable = |error: &serde_json::Error| Unreadable::nested(request, text, object, error);
    let raw: Map<String, Value> = serde_json::from_str(object.get()).map_err(|error| unreadable(&error))?;
    let written: SecurityContextConstraints =
        serde_json::from_str(object.get()).map_err(|error| unreadable(&error))?;
    let mut scc = written.clone();
    if scc.metadata.name.is_empty() {
        // A CREATE may leave the name to the server, which generates it from a prefix.
        scc.metadata.name = generated_name(&raw);
    }
    palisade_scc::default(&mut scc);
    let errors = palisade_scc::validate(&scc);
    if !errors.is_empty() {
        return Ok(refuse(request, &scc, &errors));
    }
    let warnings = palisade_scc::lint(&scc, Some(&raw)).iter().map(ToString::to_string).collect();
    let response = AdmissionResponse {
        uid: request.uid.to_string(),
        allowed: true,
        warnings,
        ..AdmissionResponse::default()
    };
    Ok(with_patch(response, defaulting_patch(&raw, &scc)))
}

fn generated_name(raw: &Map<String, Value>) -> String {
    let prefix = raw.get("metadata").and_then(|metadata| metadata.get("generateName"));
    prefix.and_then(Value::as_str).map(|prefix| format!("{prefix}x")).unwrap_or_default()
}

fn refuse(
    request: &AdmissionRequest<'_>,
    scc: &SecurityContextConstraints,
    errors: &[FieldError],
) -> AdmissionResponse {
    let status = Status::invalid(GROUP, KIND, &scc.metadata.name, errors);
    AdmissionResponse { uid: request.uid.to_string(), status: Some(status), ..Default::default() }
}

/// Sets what defaulting filled in, down to the strategies' `type`, and nothing else.
fn defaulting_patch(raw: &Map<String, Value>, scc: &SecurityContextConstraints) -> Patch {
    let mut patch = Patch::default();
    let Ok(Value::Object(defaulted)) = serde_json::to_value(scc) else { return patch };
    for (field, value) in defaulted.iter().filter(|(field, _)| *field != "metadata") {
        match (raw.get(field), value) {
            (Some(Value::Object(before)), Value::Object(after)) => {
                for (inner, value) in after.iter().filter(|(inner, value)| before.get(*inner) != Some(value))
                {
                    patch.set(before.contains_key(inner), &[field, inner], &value.to_string());
                }
            }
            (Some(before), after) if before == after => {}
            (before, after) => patch.set(before.is_some(), &[field], &after.to_string()),
        }
    }
    patch
}
