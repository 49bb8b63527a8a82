//! AdmissionReviews: the request to a webhook, and its answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_k8s::put;
use serde_json::{Value, json};

use super::{check_weight, cut};
use crate::error::ApiError;
use crate::limits::{PATCH_OPERATIONS, WEIGHT};

/// The answer of a webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Whether the request is admitted.
    pub allowed: bool,
    /// Operations of a JSON patch; empty for none.
    pub patch: Vec<Value>,
    /// Warnings for the client.
    pub warnings: Vec<String>,
    /// Audit annotations: keys, without the webhook's name, and values.
    pub annotations: Vec<(String, String)>,
    /// The status of a refusal.
    pub status: Option<Value>,
}

/// The body of a review.
pub fn write(version: &str, request: &Value) -> String {
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request}).to_string()
}

/// Size of the message of a refusal, in bytes, and of its reason. Clients show them, and the audit log repeats them.
const MESSAGE: [usize; 2] = [64 << 10, 1 << 10];
/// Size of the details of a refusal, in bytes of JSON; larger ones are left out.
const DETAILS: usize = 16 << 10;
/// Reads what a webhook answers, as `VerifyAdmissionResponse` (`k8s.io/apiserver/pkg/admission/plugin/webhook/request`) does.
///
/// # Errors
///
/// The answer is not JSON, takes too much memory, is of another version or of another request, or its patch is not a JSON patch.
pub fn read(version: &str, uid: &str, is_mutating: bool, bytes: &[u8]) -> Result<Answer, String> {
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
    if operations.len() > PATCH_OPERATIONS {
        return Err(format!(
            "response.patch has {} operations, more than {PATCH_OPERATIONS}",
            operations.len()
        ));
    }
    Ok(operations)
}

/// The refusal that a webhook's answer is: the fields that a status has, each of bounded size.
pub fn refusal(webhook: &str, status: Option<&Value>) -> Box<ApiError> {
    let said = |field: &str| status.and_then(|status| status.get(field));
    let words = |field: &str| said(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let denied = format!("admission webhook {webhook:?} denied the request");
    let [most, most_of_reason] = MESSAGE;
    let message = match words("message").or_else(|| words("reason")) {
        Some(why) => format!("{denied}: {}", cut(why, most)),
        None => format!("{denied} without explanation"),
    };
    let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "message": message});
    if let Some(reason) = words("reason") {
        put(&mut status, &["reason"], cut(reason, most_of_reason).into());
    }
    let details = said("details").filter(|details| details.to_string().len() <= DETAILS);
    for (field, value) in [("details", details), ("code", said("code"))] {
        if let Some(value) = value.filter(|value| !value.is_string()) {
            put(&mut status, &[field], value.clone());
        }
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
    #[test]
    fn refusals_are_of_bounded_size() {
        let long = "ä".repeat(1 << 20);
        let causes = json!({"causes": [{"message": long}]});
        let status =
            json!({"message": long, "reason": long, "details": causes, "code": long, long.as_str(): long});
        let refusal = refusal("a.b.c", Some(&status));
        let text = refusal.status().to_string();
        assert!(text.len() < 70 << 10, "{} bytes", text.len());
        assert!(refusal.message.ends_with("ää... (2097152 bytes in all)"));
        let small = json!({"message": "no", "details": {"name": "x"}});
        assert_eq!(super::refusal("a.b.c", Some(&small)).status()["details"]["name"], "x");
    }
}
