//! Reviews of SCC objects.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::patch::Patch;
use palisade_k8s::review::{AdmissionRequest, AdmissionResponse, Status};
use palisade_k8s::scc::{GROUP, KIND};
use serde_json::{Map, Value};

use super::{Unreadable, with_patch};
use crate::scc::SccWrite;

/// Answers a review of a CREATE or UPDATE.
pub(super) fn respond(request: &AdmissionRequest<'_>, text: &str) -> Result<AdmissionResponse, Unreadable> {
    let Some(object) = request.object else {
        return Err(Unreadable::new(request, "request.object is missing"));
    };
    let unreadable = |error: &serde_json::Error| Unreadable::nested(request, text, object, error);
    let raw: Map<String, Value> = serde_json::from_str(object.get()).map_err(|error| unreadable(&error))?;
    // Parsed from the text first, since only then an error has a position in it.
    let _: SecurityContextConstraints =
        serde_json::from_str(object.get()).map_err(|error| unreadable(&error))?;
    let scc = SccWrite::read(&raw).map_err(|error| unreadable(&error))?;
    let response = AdmissionResponse { uid: request.uid.to_string(), ..AdmissionResponse::default() };
    match scc.errors().as_slice() {
        [] => {
            let mut patch = Patch::default();
            scc.write(&mut patch);
            let allowed = AdmissionResponse { allowed: true, warnings: scc.warnings(), ..response };
            Ok(with_patch(allowed, patch))
        }
        errors => {
            let status = Status::invalid(GROUP, KIND, scc.name(), errors);
            Ok(AdmissionResponse { status: Some(status), ..response })
        }
    }
}
