//! Entry points of the fuzz targets, one for each reader of untrusted bytes. They may change at any time.

use serde_json::{Value, json};

use crate::body::{self, Validation};
use crate::cel::{Batch, Expression, Scope};
use crate::error::ApiResult;
use crate::kind::{self, PODS, RESOURCES};
use crate::list::Continue;
use crate::patch::apply::apply;
use crate::patch::managed::{self, Writer};
use crate::patch::{PatchKind, change};
use crate::registry::Registry;
use crate::request::{Path, Query};
use crate::schema::{Message, message};
use crate::selector::{Fields, Labels};
use crate::structural::{self, Structural};
use crate::webhook::{conversion, review};
use crate::{identity, metadata, options, protobuf};
use palisade_k8s::FieldPath;

/// Reads a text as each part of a request but its body: path, query, selectors, continue token, password.
pub fn head(text: &str) {
    drop(Path::parse(text, &Registry::default()));
    drop(Continue::parse(text));
    drop(identity::basic(text));
    let query = Query::parse(text);
    drop((options::check("PATCH", "", &query), query.limit()));
    let object = json!({"metadata": {"name": text, "labels": {"tier": text}}});
    if let Ok(labels) = Labels::parse(text) {
        labels.matches(&object);
    }
    if let Ok(fields) = Fields::parse(text, &["status.phase"]) {
        fields.matches(&object);
    }
}

/// The object of a body of a media type, fitted to its kind, if it is valid.
fn object(bytes: &[u8], content_type: &str) -> Option<(Value, &'static Message)> {
    let mut object = body::read(bytes, content_type, &mut Vec::new()).ok()?;
    let text = |field| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let kind = kind::schema_of(text("apiVersion"), text("kind")).and_then(message)?;
    body::fit(&mut object, kind.into(), Validation::Ignore, Vec::new()).ok()?;
    Some((object, kind))
}

/// Completes and checks an object, as new and as changed from itself.
fn check(object: &Value, kind: &'static Message) {
    let Some(resource) = RESOURCES
        .iter()
        .copied()
        .find(|resource| resource.message().is_some_and(|own| own.name == kind.name))
    else {
        return;
    };
    let mut new = object.clone();
    resource.prepare(&mut new, None);
    drop(resource.validate(&new, None));
    drop(resource.check_change(&new, object, ""));
    drop(resource.cells(&new, jiff::Timestamp::UNIX_EPOCH));
    drop(metadata::check(resource, &new, Some(object)));
}

/// Reads a body of each media type. An object that fits its kind fits it again, and survives a round trip through
/// protobuf.
///
/// # Panics
///
/// If one of these does not hold.
pub fn body(bytes: &[u8]) {
    for media_type in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] {
        let Some((object, kind)) = object(bytes, media_type) else { continue };
        check(&object, kind);
        let mut again = object.clone();
        assert!(
            body::fit(&mut again, kind.into(), Validation::Strict, Vec::new())
                .is_ok_and(|found| found.is_empty())
        );
        assert_eq!(again, object, "fitting it twice changes it");
        if !protobuf::has_form(kind) {
            continue;
        }
        // The first encoding may drop what protobuf cannot tell from an absent value; the second drops nothing more.
        let once = protobuf::decode(&protobuf::encode(&object, kind), kind::schema_of);
        let Ok(once) = once else { continue };
        let twice = protobuf::decode(&protobuf::encode(&once, kind), kind::schema_of);
        assert!(twice.is_ok_and(|twice| twice == once), "protobuf changes it");
    }
}

/// Changes an object by a patch, in each of the four ways. Applying twice gives the same as applying once.
///
/// # Panics
///
/// If that does not hold.
pub fn patch(target: &[u8], patch: &[u8]) {
    let Some((target, kind)) = object(target, "application/json") else { return };
    for way in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic] {
        drop(patched(&target, way, patch, kind));
    }
    let Some((config, _)) = object(patch, "application/json") else { return };
    let writer = Writer { manager: "fuzz", api_version: "v1", subresource: "", time: "1970-01-01T00:00:00Z" };
    let Ok(once) = apply(&target, &config, kind.into(), &writer, true) else { return };
    let twice = apply(&once, &config, kind.into(), &writer, true);
    assert!(twice.is_ok_and(|twice| twice == once), "applying it twice changes it");
}

fn patched(target: &Value, way: PatchKind, patch: &[u8], kind: &'static Message) -> ApiResult<Value> {
    let mut object = target.clone();
    let patch = body::read(patch, "application/json", &mut Vec::new())?;
    change(&mut object, way, &patch, kind.into())?;
    body::fit(&mut object, kind.into(), Validation::Ignore, Vec::new())?;
    let writer = Writer { manager: "fuzz", api_version: "v1", subresource: "", time: "1970-01-01T00:00:00Z" };
    managed::update(Some(target), &mut object, kind.into(), &writer);
    Ok(object)
}

/// Reads a schema of a custom resource, and completes, prunes and judges an object by it. What is completed and pruned is so once
/// and for all.
///
/// # Panics
///
/// If it is not.
pub fn schema(schema: &[u8], object: &[u8]) {
    let read = |bytes: &[u8]| body::read(bytes, "application/json", &mut Vec::new()).ok();
    let (Some(schema), Some(object)) = (read(schema), read(object)) else { return };
    let mut batch = Batch::new(&structural::VARIABLES);
    if !Structural::check(&schema, &FieldPath::of("schema"), &mut batch).is_empty() {
        return;
    }
    let structural = Structural::read(&schema);
    let mut made = object.clone();
    drop(structural.prune(&mut made));
    structural.fill(&mut made);
    let mut again = made.clone();
    structural.fill(&mut again);
    assert_eq!(again, made, "completing it twice changes it");
    assert!(structural.prune(&mut again).is_empty(), "pruning it twice finds more");
    drop(structural.judge(&made, None));
    drop(structural.judge(&made, Some(&object)));
}

/// Compiles an expression and evaluates it over an object.
pub fn expression(text: &str, object: &[u8]) {
    let Ok(expression) = Expression::compile(text, &["self", "oldSelf"]) else { return };
    let object: Value = serde_json::from_slice(object).unwrap_or_default();
    let scope = Scope::default().with("self", &object).with("oldSelf", &object);
    drop(expression.holds(&scope));
}

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
    let Ok(objects) = conversion::read(bytes, "v1", "") else { return };
    for (at, new) in objects.into_iter().enumerate() {
        if let Ok(converted) = conversion::restored(&pod, new, "v1", at) {
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

    #[test]
    fn schemas_and_expressions_are_read() {
        let schemas = [
            r#"{"type": "object", "properties": {"a": {"type": "integer", "default": 1, "maximum": 3}}}"#,
            "{",
            "[]",
        ];
        for schema in schemas {
            super::schema(schema.as_bytes(), br#"{"a": 7, "b": 1}"#);
        }
        for text in ["self.a > 1", "self.all(x, x == oldSelf[x])", "1/0 == 1", "("] {
            super::expression(text, br#"{"a": 7}"#);
        }
    }
}
