//! AdmissionReviews: the request to a webhook, and its answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_k8s::put;
use serde_json::{Value, json};

use palisade_api::error::ApiError;
use palisade_api::limits::WEIGHT;
use palisade_api::weight;

/// The answer of a webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    /// Operations of a JSON patch; empty for none.
    pub(crate) patch: Vec<Value>,
    pub(crate) warnings: Vec<String>,
    pub(crate) annotations: Vec<(String, String)>,
    pub(crate) status: Option<Value>,
}

/// The body of a review.
pub(crate) fn write(version: &str, request: &Value) -> String {
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request}).to_string()
}

/// Operations of a patch at most: who needs more replaces a list as a whole.
const OPERATIONS: usize = palisade_api::limits::PATCH_OPERATIONS;

/// Refuses JSON whose values would take more memory than an object may: a few bytes of text can be hundreds in memory.
pub(crate) fn check_weight(bytes: &[u8], most: usize) -> Result<(), &'static str> {
    if weight::of_json(bytes) > most { Err("holds too many values") } else { Ok(()) }
}

/// Reads what a webhook answers, as `VerifyAdmissionResponse` does.
pub(crate) fn read(version: &str, uid: &str, is_mutating: bool, bytes: &[u8]) -> Result<Answer, String> {
    check_weight(bytes, WEIGHT).map_err(|why| format!("the answer {why}"))?;
    let review: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("the answer cannot be read: {error}"))?;
    let said = |field: &str| review.get(field).and_then(Value::as_str).unwrap_or_default();
    let wanted = format!("admission.k8s.io/{version}");
    if version == "v1" && (said("kind") != "AdmissionReview" || said("apiVersion") != wanted) {
        return Err(format!(
            "expected webhook response of {wanted}, Kind=AdmissionReview, got {}, Kind={}",
            said("apiVersion"),
            said("kind")
        ));
    }
    let response = review.get("response").filter(|response| response.is_object());
    let response = response.ok_or("webhook response was absent")?;
    let text = |field: &str| response.get(field).and_then(Value::as_str).unwrap_or_default();
    if version == "v1" && text("uid") != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", text("uid")));
    }
    let patch = if is_mutating { patch(response, version)? } else { Vec::new() };
    let pairs = response.get("auditAnnotations").and_then(Value::as_object).into_iter().flatten();
    let warnings = response.get("warnings").and_then(Value::as_array).into_iter().flatten();
    Ok(Answer {
        allowed: response.get("allowed") == Some(&Value::Bool(true)),
        patch,
        warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(),
        annotations: pairs
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
        status: response.get("status").filter(|status| status.is_object()).cloned(),
    })
}

fn patch(response: &Value, version: &str) -> Result<Vec<Value>, String> {
    let encoded = response.get("patch").and_then(Value::as_str).unwrap_or_default();
    let kind = response.get("patchType").and_then(Value::as_str);
    if encoded.is_empty() {
        return match kind {
            Some(_) if version == "v1" => {
                Err("webhook returned response.patchType but not response.patch".to_owned())
            }
            _ => Ok(Vec::new()),
        };
    }
    match kind {
        None if version == "v1" => {
            return Err("webhook returned response.patch but not response.patchType".to_owned());
        }
        None | Some("JSONPatch") => {}
        Some(other) => {
            return Err(format!(
                "invalid value of response.patchType: {other:?}, the only supported type is JSONPatch"
            ));
        }
    }
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("response.patch is not base64: {error}"))?;
    check_weight(&bytes, WEIGHT).map_err(|why| format!("response.patch {why}"))?;
    let operations: Vec<Value> = serde_json::from_slice(&bytes)
        .map_err(|error| format!("response.patch is no JSON patch: {error}"))?;
    if operations.len() > OPERATIONS {
        return Err(format!("response.patch has {} operations, more than {OPERATIONS}", operations.len()));
    }
    Ok(operations)
}

/// The refusal that a webhook's answer is.
pub(crate) fn refusal(webhook: &str, status: Option<&Value>) -> Box<ApiError> {
    let mut status = status.cloned().unwrap_or_else(|| json!({}));
    let denied = format!("admission webhook {webhook:?} denied the request");
    let said = |field: &str| status.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = match said("message").or_else(|| said("reason")) {
        Some(why) => format!("{denied}: {why}"),
        None => format!("{denied} without explanation"),
    };
    put(&mut status, &["message"], message.into());
    for (field, value) in [("kind", json!("Status")), ("apiVersion", json!("v1")), ("metadata", json!({}))] {
        put(&mut status, &[field], value);
    }
    ApiError::of_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(response: Value) -> Result<Answer, String> {
        let review =
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
        read("v1", "1", true, review.to_string().as_bytes())
    }

    #[test]
    fn answers_are_verified() {
        let patch = STANDARD.encode(r#"[{"op": "add", "path": "/a", "value": 1}]"#);
        assert!(answer(json!({"uid": "1", "allowed": true})).unwrap().allowed);
        assert!(!answer(json!({"uid": "1", "allowed": "yes"})).unwrap().allowed);
        let changed =
            answer(json!({"uid": "1", "allowed": true, "patch": patch, "patchType": "JSONPatch"})).unwrap();
        assert_eq!(changed.patch.len(), 1);
        let broken = [
            (json!({"uid": "2", "allowed": true}), r#"expected response.uid="1", got "2""#),
            (
                json!({"uid": "1", "allowed": true, "patch": patch}),
                "webhook returned response.patch but not response.patchType",
            ),
            (
                json!({"uid": "1", "patch": patch, "patchType": "Merge"}),
                r#"invalid value of response.patchType: "Merge", the only supported type is JSONPatch"#,
            ),
            (
                json!({"uid": "1", "patchType": "JSONPatch"}),
                "webhook returned response.patchType but not response.patch",
            ),
            (json!(null), "webhook response was absent"),
        ];
        for (response, why) in broken {
            assert_eq!(answer(response).unwrap_err(), why);
        }
        for text in
            ["", "{}", "[]", r#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}"#]
        {
            assert!(read("v1", "1", true, text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn refusals_are_worded_as_in_kubernetes() {
        let cases = [
            (None, r#"admission webhook "a.b.c" denied the request without explanation"#, 400),
            (
                Some(json!({"reason": "because"})),
                r#"admission webhook "a.b.c" denied the request: because"#,
                400,
            ),
            (
                Some(json!({"message": "no", "code": 403})),
                r#"admission webhook "a.b.c" denied the request: no"#,
                403,
            ),
            (
                Some(json!({"message": "no", "code": 200})),
                r#"admission webhook "a.b.c" denied the request: no"#,
                400,
            ),
        ];
        for (status, message, code) in cases {
            let refusal = refusal("a.b.c", status.as_ref());
            assert_eq!((refusal.message.as_str(), refusal.code()), (message, code));
            assert_eq!(refusal.status()["code"], code);
        }
    }
}
