//! Conversions: the answer of a webhook that turns objects of one version into those of another. Rules and wording are those of
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`.

use palisade_k8s::{FieldError, FieldPath, metadata, put};
use serde_json::{Map, Value};

use super::check_weight;
use crate::kind::{CONVERSION_REVIEWS, text};
use crate::limits::WEIGHT;

/// Size of the annotations of an object, in bytes.
const ANNOTATIONS: usize = 256 * 1024;

/// The version of the reviews that a webhook (`spec.conversion.webhook`) is sent: the first of its list that is supported.
#[must_use]
pub fn version(webhook: &Value) -> &'static str {
    let listed = webhook.get("conversionReviewVersions").and_then(Value::as_array).into_iter().flatten();
    let mut known = listed.filter_map(|listed| CONVERSION_REVIEWS.into_iter().find(|known| listed == known));
    known.next().unwrap_or("v1")
}

/// The objects of an answer to a review of a version. The name and the UID of one of `v1beta1` are not read, as in Kubernetes.
///
/// # Errors
///
/// The answer is not a `ConversionReview`, takes too much memory, is of another request, or says that the conversion failed.
pub fn read(bytes: &[u8], version: &str, uid: &str) -> Result<Vec<Value>, String> {
    // A page of objects is converted together.
    check_weight(bytes, 2 * WEIGHT).map_err(|why| format!("the response {why}"))?;
    let mut review: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("the response is no JSON: {error}"))?;
    let said = |field: &str| text(&review, &format!("/{field}")).to_owned();
    let is_first = version == "v1beta1";
    if !is_first && (said("kind") != "ConversionReview" || said("apiVersion") != "apiextensions.k8s.io/v1") {
        return Err(format!(
            "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}, Kind={}",
            said("apiVersion"),
            said("kind")
        ));
    }
    let found = said("response/uid");
    if review.get("response").is_none_or(|response| !response.is_object()) {
        return Err("no response provided".to_owned());
    }
    if !is_first && found != uid {
        return Err(format!("expected response.uid={uid:?}, got {found:?}"));
    }
    match said("response/result/status").as_str() {
        "Success" => {}
        "Failure" | "" => {
            let why = said("response/result/message");
            let why = why.chars().filter(|letter| !letter.is_control()).take(1024).collect::<String>();
            return Err(if why.is_empty() { "the webhook says no reason".to_owned() } else { why });
        }
        other => return Err(format!("response.result.status is {other:?}, neither Success nor Failure")),
    }
    match review.pointer_mut("/response/convertedObjects").map(Value::take) {
        Some(Value::Array(objects)) => Ok(objects),
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(_) => Err("response.convertedObjects must be a list".to_owned()),
    }
}

/// A converted object with the metadata of what it was made of; labels and annotations are its own.
///
/// # Errors
///
/// The object is of another version or kind than asked, has another identity, or labels or annotations that are not valid.
pub fn restored(old: &Value, mut new: Value, wanted: &str, at: usize) -> Result<Value, String> {
    let version = text(&new, "/apiVersion");
    if version != wanted {
        return Err(format!(
            "invalid converted object at index {at}: invalid groupVersion (expected {wanted}, received {version})"
        ));
    }
    if text(&new, "/kind") != text(old, "/kind") {
        return Err(format!(
            "invalid converted object at index {at}: invalid kind (expected {}, received {})",
            text(old, "/kind"),
            text(&new, "/kind")
        ));
    }
    let wrong = |why: String| format!("invalid metadata in object at index {at}: {why}");
    let Some(given) = new.get("metadata").filter(|metadata| metadata.is_object()) else {
        return Err(wrong("missing metadata in converted object".to_owned()));
    };
    for field in ["name", "namespace", "uid"] {
        let [was, is] = [old.get("metadata"), Some(given)].map(|metadata| {
            metadata.map(|metadata| text(metadata, &format!("/{field}"))).unwrap_or_default()
        });
        if was != is {
            return Err(wrong(format!("must have the same {field}: {was:?} != {is:?}")));
        }
    }
    let mut kept = old.get("metadata").cloned().unwrap_or_default();
    for field in ["labels", "annotations"] {
        let map = texts(given.get(field), field).map_err(wrong)?;
        match map {
            Some(map) => put(&mut kept, &[field], map.into()),
            None => drop(kept.as_object_mut().and_then(|kept| kept.shift_remove(field))),
        }
    }
    put(&mut new, &["metadata"], kept);
    Ok(new)
}

/// A map of texts that labels or annotations can be.
fn texts(map: Option<&Value>, field: &'static str) -> Result<Option<Map<String, Value>>, String> {
    let map = match map {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(format!("metadata.{field} must be a map of strings")),
    };
    let mut errors: Vec<FieldError> = Vec::new();
    let path = || FieldPath::of("metadata").field(field);
    let mut bytes = 0;
    for (key, value) in map {
        let Some(value) = value.as_str() else {
            return Err(format!("metadata.{field}[{key:?}] must be a string"));
        };
        bytes += key.len() + value.len();
        if field == "labels" {
            metadata::label(key, value, &path, &mut errors);
        } else if let Some(why) = metadata::qualified_name(&key.to_ascii_lowercase()).into_iter().next() {
            errors.push(FieldError::invalid(path(), key.as_str(), why));
        }
    }
    if field == "annotations" && bytes > ANNOTATIONS {
        errors.push(FieldError::too_long(path(), ANNOTATIONS));
    }
    match errors.first() {
        Some(error) => Err(error.to_string()),
        None => Ok(Some(map.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object() -> Value {
        json!({"apiVersion": "a.io/v1", "kind": "A", "spec": {"x": 1},
               "metadata": {"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "5", "labels": {"l": "1"}}})
    }

    #[test]
    fn answers_are_held_to_what_was_asked() {
        let answer = |response: Value| {
            let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
            read(review.to_string().as_bytes(), "v1", "1")
        };
        let good = json!({"uid": "1", "result": {"status": "Success"}, "convertedObjects": [{}]});
        assert_eq!(answer(good).unwrap().len(), 1);
        for (response, why) in [
            (json!(null), "no response provided"),
            (json!({"uid": "2", "result": {"status": "Success"}}), r#"expected response.uid="1", got "2""#),
            (json!({"uid": "1", "result": {"status": "Failure", "message": "no"}}), "no"),
            (json!({"uid": "1"}), "the webhook says no reason"),
            (
                json!({"uid": "1", "result": {"status": "Success"}, "convertedObjects": 5}),
                "response.convertedObjects must be a list",
            ),
        ] {
            assert_eq!(answer(response).unwrap_err(), why);
        }
        for text in
            ["", "{}", "[]", r#"{"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1beta1"}"#]
        {
            assert!(read(text.as_bytes(), "v1", "1").is_err(), "{text}");
        }
        let unnamed = r#"{"response": {"result": {"status": "Success"}, "convertedObjects": [{}]}}"#;
        assert_eq!(read(unnamed.as_bytes(), "v1beta1", "1").map(|all| all.len()), Ok(1));
    }

    #[test]
    fn the_first_version_that_both_know_is_sent() {
        for (listed, sent) in [
            (json!(["v1"]), "v1"),
            (json!(["v1alpha1", "v1beta1"]), "v1beta1"),
            (json!(["v1beta1", "v1"]), "v1beta1"),
            (json!([]), "v1"),
        ] {
            assert_eq!(version(&json!({"conversionReviewVersions": listed})), sent, "{listed}");
        }
    }

    #[test]
    fn of_metadata_only_labels_and_annotations_change() {
        let mut new = object();
        new["apiVersion"] = json!("a.io/v2");
        new["metadata"] = json!({"name": "a", "namespace": "n", "uid": "1", "labels": {"l": "2"}, "annotations": {"b": "c"},
            "finalizers": ["x.io/y"], "ownerReferences": [{"uid": "2"}], "resourceVersion": "9"});
        let made = restored(&object(), new.clone(), "a.io/v2", 0).unwrap();
        let wanted = json!({"name": "a", "namespace": "n", "uid": "1", "resourceVersion": "5", "labels": {"l": "2"},
                            "annotations": {"b": "c"}});
        assert_eq!(made["metadata"], wanted);
        type Change = fn(&mut Value);
        let cases: [(&str, Change); 8] = [
            ("must have the same name", |new| new["metadata"]["name"] = json!("b")),
            ("must have the same namespace", |new| new["metadata"]["namespace"] = json!("kube-system")),
            ("must have the same uid", |new| new["metadata"]["uid"] = json!("2")),
            ("missing metadata", |new| new["metadata"] = json!(5)),
            ("metadata.labels", |new| new["metadata"]["labels"] = json!({"l": "a b"})),
            ("must be a string", |new| new["metadata"]["annotations"] = json!({"l": 5})),
            ("invalid groupVersion (expected a.io/v2, received a.io/v3)", |new| {
                new["apiVersion"] = json!("a.io/v3")
            }),
            ("invalid kind", |new| new["kind"] = json!("B")),
        ];
        for (why, change) in cases {
            let mut broken = new.clone();
            change(&mut broken);
            let said = restored(&object(), broken, "a.io/v2", 3).unwrap_err();
            assert!(said.contains(why) && said.contains("index 3"), "{said}");
        }
    }
}
