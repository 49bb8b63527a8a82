//! The four kinds of patch: JSON patch, merge patch, strategic merge patch, server-side apply.

pub mod apply;
mod fieldset;
pub mod managed;
mod strategic;

use serde_json::Value;

use crate::error::{ApiError, ApiResult, Reason};
use crate::limits::{NESTING, PATCH_COPIES, PATCH_MOVES, PATCH_OPERATIONS};
use crate::shape::Shape;
use crate::weight::{self, nesting};

/// The kind of a patch, from its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
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
pub const MEDIA_TYPES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

impl PatchKind {
    /// The kind of patch of a media type.
    ///
    /// # Errors
    ///
    /// No patch has this media type.
    pub fn of(media_type: &str) -> ApiResult<Self> {
        Ok(match media_type {
            "application/json-patch+json" => Self::Json,
            "application/merge-patch+json" => Self::Merge,
            "application/strategic-merge-patch+json" => Self::Strategic,
            "application/apply-patch+yaml" => Self::Apply,
            other => return Err(ApiError::media_type(other, &MEDIA_TYPES)),
        })
    }
}

/// Applies a JSON patch operation by operation, so that copies of copies are stopped before they fill the memory.
fn operate(object: &mut Value, patch: &json_patch::Patch) -> ApiResult<()> {
    let (mut copied, mut moved) = (0, 0);
    for operation in &patch.0 {
        moved += moves(object, operation) + nest(object, operation)?;
        if moved > PATCH_MOVES {
            return Err(ApiError::too_large(PATCH_MOVES));
        }
        if let json_patch::PatchOperation::Copy(copy) = operation {
            copied += copy.from.resolve(&*object).map(weight::of).unwrap_or_default();
            if copied > PATCH_COPIES {
                return Err(ApiError::too_large(PATCH_COPIES));
            }
        }
        json_patch::patch(object, std::slice::from_ref(operation)).map_err(|error| {
            let mut refused = ApiError::bad_request(format!(
                "the server rejected our request due to an error in our request: {error}"
            ));
            refused.reason = Reason::Invalid;
            refused
        })?;
    }
    Ok(())
}

/// Refuses an operation that nests a value more deeply than permitted: a value that is copied into itself doubles its depth
/// each time. Returns the number of values looked at.
fn nest(object: &Value, operation: &json_patch::PatchOperation) -> ApiResult<usize> {
    use json_patch::PatchOperation::{Add, Copy, Move, Replace};
    let (path, value) = match operation {
        Add(add) => (&add.path, Some(&add.value)),
        Replace(replace) => (&replace.path, Some(&replace.value)),
        Copy(copy) => (&copy.path, copy.from.resolve(object).ok()),
        Move(shift) => (&shift.path, shift.from.resolve(object).ok()),
        _ => return Ok(0),
    };
    let (depth, count) = value.map(nesting).unwrap_or_default();
    if path.count() + depth > NESTING { Err(ApiError::too_deep()) } else { Ok(count) }
}

/// The maximum number of list elements that an operation moves: those behind the insertion or removal.
fn moves(object: &Value, operation: &json_patch::PatchOperation) -> usize {
    use json_patch::PatchOperation::{Add, Copy, Move, Remove};
    let behind = |path: &json_patch::jsonptr::Pointer| {
        let (holder, token) = path.split_back()?;
        let list = holder.resolve(object).ok()?.as_array()?;
        // `-`, the end, is not a number.
        let place = token.decoded().parse::<usize>().ok()?;
        Some(list.len().saturating_sub(place))
    };
    let behind = |path| behind(path).unwrap_or_default();
    match operation {
        Add(add) => behind(&add.path),
        Remove(remove) => behind(&remove.path),
        Copy(copy) => behind(&copy.path),
        Move(shift) => behind(&shift.from) + behind(&shift.path),
        _ => 0,
    }
}

/// The memory of what a patch may copy within an object, in bytes: known before it is parsed.
#[must_use]
pub fn copies(bytes: &[u8], media_type: &str) -> usize {
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    // The letters of a name may be escaped.
    let may = matches!(PatchKind::of(media_type), Ok(PatchKind::Json)) && (holds(b"copy") || holds(b"\\u"));
    if may { PATCH_COPIES } else { 0 }
}

/// Changes an object by a patch of a kind other than server-side apply.
pub fn change(object: &mut Value, kind: PatchKind, patch: &Value, shape: Shape<'_>) -> ApiResult<()> {
    match kind {
        PatchKind::Json => {
            let patch: json_patch::Patch = serde_json::from_value(patch.clone())
                .map_err(|error| ApiError::bad_request(format!("the JSON patch cannot be read: {error}")))?;
            if patch.0.len() > PATCH_OPERATIONS {
                return Err(ApiError::too_large(PATCH_OPERATIONS));
            }
            operate(object, &patch)
        }
        PatchKind::Merge => {
            if !patch.is_object() {
                return Err(ApiError::bad_request("a merge patch must be an object"));
            }
            json_patch::merge(object, patch);
            Ok(())
        }
        PatchKind::Strategic => match shape {
            Shape::Message(message) => {
                strategic::merge(object, patch, message).map_err(ApiError::bad_request)
            }
            // Custom resources do not define a strategic merge of their lists.
            Shape::Custom(_) => {
                let [json, merge, strategic, apply] = MEDIA_TYPES;
                Err(ApiError::media_type(strategic, &[json, merge, apply]))
            }
        },
        PatchKind::Apply => Err(ApiError::bad_request("server-side apply is not a plain patch")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::message;
    use serde_json::json;

    #[test]
    fn copies_of_copies_are_stopped() {
        let bomb: Vec<Value> = (0..60)
            .map(|step| json!({"op": "copy", "from": "/data", "path": format!("/data/{step}")}))
            .collect();
        let mut object = json!({"data": {"a": "b"}});
        let kind = message("ConfigMap").unwrap();
        let refused = change(&mut object, PatchKind::Json, &Value::Array(bomb), kind.into()).unwrap_err();
        assert_eq!(refused.reason, Reason::RequestEntityTooLarge);
    }

    #[test]
    fn copies_are_bounded_by_their_memory() {
        let kind = message("ConfigMap").unwrap();
        let run = |copies: usize| {
            let mut object = json!({"data": {"a": vec![json!({}); 1000]}});
            let copy = |at| json!({"op": "copy", "from": "/data/a", "path": format!("/data/c{at}")});
            let patch: Vec<Value> = (0..copies).map(copy).collect();
            change(&mut object, PatchKind::Json, &patch.into(), kind.into()).map(|()| weight::of(&object))
        };
        assert!(run(5).unwrap() < PATCH_COPIES);
        // Their text would be 300 kB.
        assert_eq!(run(100).unwrap_err().reason, Reason::RequestEntityTooLarge);
        for (body, expected) in [
            (r#"[{"op": "copy", "from": "/a", "path": "/b"}]"#, PATCH_COPIES),
            (r#"[{"op": "\u0063opy", "from": "/a", "path": "/b"}]"#, PATCH_COPIES),
            (r#"[{"op": "add", "value": 1, "path": "/b"}]"#, 0),
        ] {
            assert_eq!(copies(body.as_bytes(), "application/json-patch+json"), expected, "{body}");
            assert_eq!(copies(body.as_bytes(), "application/merge-patch+json"), 0, "{body}");
        }
    }

    #[test]
    fn no_operation_nests_a_value_too_deeply() {
        let kind = message("ConfigMap").unwrap();
        let run = |operations: Vec<Value>| {
            let mut object = json!({});
            change(&mut object, PatchKind::Json, &operations.into(), kind.into()).map(|()| nesting(&object).0)
        };
        // Copied into its own leaf, it doubles.
        let own = |times: usize| {
            let start = json!({"op": "add", "path": "/x", "value": {"a": {}}});
            let copies = (0..times).map(
                |n| json!({"op": "copy", "from": "/x/a", "path": format!("/x{}", "/a".repeat((1 << n) + 1))}),
            );
            std::iter::once(start).chain(copies).collect()
        };
        // Level by level.
        let path = |n: usize| format!("/x{}", "/a".repeat(n));
        let levels = |count: usize| -> Vec<Value> {
            (0..count).map(|n| json!({"op": "add", "path": path(n), "value": {}})).collect()
        };
        assert_eq!((run(own(5)).unwrap(), run(levels(100)).unwrap()), (34, 101));
        // Each of two values fits alone.
        let inner = (0..30).fold(json!(1), |inner, _| json!({ "a": inner }));
        let other = vec![json!({"op": "add", "path": "/y", "value": inner})];
        let moved = vec![json!({"op": "move", "from": "/y", "path": path(100)})];
        let replaced = vec![json!({"op": "replace", "path": path(99), "value": inner})];
        assert_eq!(run([levels(100), other.clone()].concat()).unwrap(), 101);
        for operations in [
            own(8),
            own(20),
            levels(130),
            [levels(100), other, moved].concat(),
            [levels(100), replaced].concat(),
        ] {
            let refused = run(operations).unwrap_err();
            assert!(refused.message.contains("levels deep"), "{}", refused.message);
        }
    }
}
