//! The four ways to change a part of an object.

pub(crate) mod apply;
pub(crate) mod fieldset;
pub(crate) mod managed;
mod strategic;

use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::schema::Message;

/// How a patch is written: by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, which merges lists by keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

/// The media types of patches.
pub(crate) const MEDIA_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// A patch of more operations than this is refused: each walks the object.
const MAX_OPERATIONS: usize = 10_000;

impl PatchKind {
    pub(crate) fn of(media_type: &str) -> ApiResult<Self> {
        Ok(match media_type {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            other => return Err(ApiError::media_type(other, &MEDIA_TYPES)),
        })
    }
}

/// Changes an object by a patch that is none of server-side apply.
pub(crate) fn change(
    object: &mut Value,
    kind: PatchKind,
    patch: &Value,
    message: &'static Message,
) -> ApiResult<()> {
    match kind {
        PatchKind::Json => {
            let patch: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|error| ApiError::bad_request(format!("the JSON patch cannot be read: {error}")))?;
            if patch.0.len() > MAX_OPERATIONS {
                return Err(ApiError::too_large(MAX_OPERATIONS));
            }
            json_patch::patch(object, &patch).map_err(|error| {
                let mut refused = ApiError::bad_request(format!(
                    "the server rejected our request due to an error in our request: {error}"
                ));
                refused.code = 422;
                refused.reason = "Invalid";
                refused
            })
        }
        PatchKind::Merge => {
            if !patch.is_object() {
                return Err(ApiError::bad_request("a merge patch must be an object"));
            }
            json_patch::merge(object, patch);
            Ok(())
        }
        PatchKind::Strategic => strategic::merge(object, patch, message).map_err(ApiError::bad_request),
        PatchKind::Apply => Err(ApiError::bad_request("server-side apply is no plain patch")),
    }
}
