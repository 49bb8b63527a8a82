//! LimitRanges: default requests and limits of containers, and the bounds of both.

use palisade_api::kind::limit_range;
use serde_json::Value;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::limits;
use crate::objects;
use crate::resource::{Admission, LIMIT_RANGES, text};

/// Gives a pod the default resources of its namespace's LimitRanges.
pub(super) fn complete(call: &Call<'_>, pod: &mut Value) -> ApiResult<()> {
    let mut before = None;
    each(call, |range| {
        before.get_or_insert_with(|| pod.clone());
        match limit_range::fill(&range, pod) {
            true => Ok(()),
            false => Err(ApiError::too_large(limits::OBJECT)),
        }
    })?;
    if before.is_some_and(|before| *pod != before) {
        // The quality of service follows the resources.
        call.target.resource.prepare(pod, None);
    }
    Ok(())
}

/// Refuses a pod or a claim that is outside of a LimitRange.
pub(super) fn check(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    each(call, |range| {
        let complaints = match call.target.resource.admission {
            Admission::Pod => limit_range::against_pod(&range, object),
            _ => limit_range::against_claim(&range, object),
        };
        let why = match complaints.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        Err(ApiError::forbidden(&call.target.resource, text(object, "/metadata/name"), why))
    })
}

/// Gives the ranges of the namespace to a function, one at a time: each may be large.
fn each(call: &Call<'_>, with: impl FnMut(Value) -> ApiResult<()>) -> ApiResult<()> {
    let namespace = Some(call.target.namespace.as_str());
    objects::page(&call.api.store, &LIMIT_RANGES, namespace, None, None, objects::SERVER, with).map(drop)
}
