//! The options of a write request, as Kubernetes' meta types define them.

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

use crate::body::media_type;
use crate::error::{ApiError, ApiResult};
use crate::kind::text;
use crate::limits;
use crate::request::Query;

/// Refuses invalid options: unknown stages of a dry run, unprintable names of managers.
pub fn check(method: &str, content_type: &str, query: &Query) -> ApiResult<()> {
    let kind = match method {
        "POST" => "CreateOptions",
        "PUT" => "UpdateOptions",
        "PATCH" => "PatchOptions",
        "DELETE" => "DeleteOptions",
        _ => return Ok(()),
    };
    let mut errors: Vec<FieldError> =
        query.all("dryRun").filter_map(|stage| unknown("dryRun", stage, &["All"])).collect();
    let validation = query.all("fieldValidation").filter(|text| method != "DELETE" && !text.is_empty());
    errors.extend(
        validation.filter_map(|text| unknown("fieldValidation", text, &["Ignore", "Strict", "Warn"])),
    );
    let manager = query.get("fieldManager").unwrap_or_default();
    let path = || FieldPath::of("fieldManager");
    if manager.len() > limits::MANAGER {
        errors.push(FieldError::too_long(path(), limits::MANAGER));
    }
    let is_apply = media_type(content_type) == "application/apply-patch+yaml";
    if is_apply && manager.is_empty() {
        errors.push(FieldError::required(path(), "required for apply requests"));
    }
    if !is_apply && method == "PATCH" && query.get("force").is_some() {
        errors.push(FieldError::forbidden(FieldPath::of("force"), "is for server-side apply only"));
    }
    if manager.chars().any(char::is_control) {
        errors.push(FieldError::invalid(path(), manager, "must be printable"));
    }
    ApiError::of_options(kind, &errors)
}

/// Refuses contradictory options of a deletion.
pub fn check_delete(options: &Value) -> ApiResult<()> {
    let policy = text(options, "/propagationPolicy");
    let mut errors = Vec::new();
    if !policy.is_empty() {
        errors.extend(unknown("propagationPolicy", policy, &["Background", "Foreground", "Orphan"]));
    }
    if !policy.is_empty() && options.get("orphanDependents").is_some_and(|orphan| !orphan.is_null()) {
        let path = FieldPath::of("propagationPolicy");
        errors.push(FieldError::invalid(path, policy, "may not be set beside orphanDependents"));
    }
    let stages = options.get("dryRun").and_then(Value::as_array).into_iter().flatten();
    errors.extend(stages.filter_map(|stage| unknown("dryRun", stage.as_str().unwrap_or_default(), &["All"])));
    ApiError::of_options("DeleteOptions", &errors)
}

fn unknown(field: &'static str, found: &str, known: &[&str]) -> Option<FieldError> {
    (!known.contains(&found)).then(|| FieldError::not_supported(FieldPath::of(field), found, known))
}
