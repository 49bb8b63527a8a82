//! Entry point of the fuzz target for answers of webhooks. It may change at any time.

use palisade_api::kind::PODS;
use palisade_api::patch::{PatchKind, change};
use serde_json::{Value, json};

use crate::{convert, review};

/// Reads bytes as the answer of an admission webhook in each version, makes its change on a pod, and reads them as the answer of a
/// conversion webhook.
///
/// # Panics
///
/// If an answer that asks for no patch changes the pod, or a converted object is another than the one that was sent.
pub fn answer(bytes: &[u8]) {
    let pod = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop", "uid": "1", "labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "a:1"}]}});
    for version in ["v1", "v1beta1"] {
        for is_mutating in [false, true] {
            let Ok(answer) = review::read(version, "", is_mutating, bytes) else { continue };
            assert!(is_mutating || answer.patch.is_empty(), "a validating webhook changes nothing");
            drop(review::refusal("hook", answer.status.as_ref()));
            let mut changed = pod.clone();
            if change(&mut changed, PatchKind::Json, &Value::Array(answer.patch), PODS.shape()).is_ok() {
                drop(PODS.shape().fit(&mut changed));
            }
        }
    }
    let Ok(objects) = convert::read(bytes, "") else { return };
    for (at, new) in objects.into_iter().enumerate() {
        if let Ok(converted) = convert::restored(&pod, new, "v1", at) {
            for field in ["/metadata/name", "/metadata/namespace", "/metadata/uid"] {
                assert_eq!(converted.pointer(field), pod.pointer(field), "a conversion renames nothing");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_of_all_kinds_are_read() {
        let bodies: [&[u8]; 4] = [
            b"",
            br#"{"response": {"allowed": true, "patch": "W3sib3AiOiAicmVtb3ZlIiwgInBhdGgiOiAiIn1d"}}"#,
            br#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "", "allowed": true, "patchType": "JSONPatch",
                "patch": "W3sib3AiOiAicmVtb3ZlIiwgInBhdGgiOiAiL3NwZWMifV0="}}"#,
            br#"{"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": {"uid": "", "result": {"status": "Success"},
                "convertedObjects": [1, {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop", "uid": "1"}}]}}"#,
        ];
        bodies.into_iter().for_each(super::answer);
    }
}
