//! Fitting of an object to its type: fields in the type's order, unknown ones removed and reported, values of the wrong
//! kind refused.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::place::Place;
use crate::schema::{Field, Message, Type, message};
use crate::time;
use palisade_k8s::quantity;

/// Maximum number of unknown fields that one answer lists: a client that sends more of them has made one mistake.
const UNKNOWN: usize = 20;

static STRINGS: LazyLock<Type> = LazyLock::new(|| Type::List(Box::new(Type::String)));

/// A value that no field of its type can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {found} where {expected} belongs")]
pub struct Mismatch {
    path: String,
    expected: &'static str,
    found: String,
}

/// Fits an object to its type; returns the paths of unknown fields.
pub fn fit(object: &mut Value, message: &'static Message) -> Result<Vec<String>, Mismatch> {
    let mut unknown = Vec::new();
    let taken = object.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut rest = taken;
    let mut fitted = Map::new();
    for head in ["kind", "apiVersion"] {
        if let Some(value) = rest.shift_remove(head) {
            fitted.insert(head.to_owned(), value);
        }
    }
    fit_fields(&mut rest, message, Place::Root, &mut fitted, &mut unknown)?;
    *object = Value::Object(fitted);
    Ok(unknown)
}

/// Fits the head of an object, `kind`, `apiVersion` and `metadata`, to its type, and puts it first; returns the paths
/// of unknown fields of metadata.
pub(crate) fn fit_head(object: &mut Value) -> Result<Vec<String>, Mismatch> {
    static METADATA: Type = Type::Message("ObjectMeta");
    let mut unknown = Vec::new();
    let mut rest = object.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut fitted = Map::new();
    for head in ["kind", "apiVersion", "metadata"] {
        let Some(mut value) = rest.shift_remove(head) else { continue };
        if head == "metadata" && !value.is_null() {
            fit_value(&mut value, &METADATA, Place::Field(&Place::Root, head), &mut unknown)?;
        }
        fitted.insert(head.to_owned(), value);
    }
    fitted.append(&mut rest);
    *object = Value::Object(fitted);
    Ok(unknown)
}

fn fit_fields(
    rest: &mut Map<String, Value>,
    message: &'static Message,
    place: Place<'_>,
    fitted: &mut Map<String, Value>,
    unknown: &mut Vec<String>,
) -> Result<(), Mismatch> {
    for field in message.all_fields() {
        let Some(mut value) = rest.get_mut(field.name).map(Value::take) else { continue };
        if value.is_null() {
            continue;
        }
        fit_value(&mut value, &field.kind, Place::Field(&place, field.name), unknown)?;
        if !is_left_out(field, &value) {
            fitted.insert(field.name.to_owned(), value);
        }
    }
    // Its own fields have been removed by now; the remaining ones are unknown.
    let left = rest.keys().filter(|name| message.field(name).is_none());
    let room = UNKNOWN.saturating_sub(unknown.len());
    unknown.extend(left.take(room).map(|name| Place::Field(&place, name).to_string()));
    Ok(())
}

/// Whether Go's encoder leaves a field out: one that is null, or empty and marked `omitempty`.
fn is_left_out(field: &Field, value: &Value) -> bool {
    value.is_null() || field.omits(value)
}

fn fit_value(
    value: &mut Value,
    kind: &Type,
    place: Place<'_>,
    unknown: &mut Vec<String>,
) -> Result<(), Mismatch> {
    let mismatch =
        |expected, value: &Value| Err(Mismatch { path: place.to_string(), expected, found: said(value) });
    match kind {
        Type::String if value.is_string() => Ok(()),
        Type::String => mismatch("a string", value),
        Type::Bool if value.is_boolean() => Ok(()),
        Type::Bool => mismatch("true or false", value),
        Type::Int32 if value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => Ok(()),
        Type::Int32 => mismatch("a 32-bit integer", value),
        Type::Int64 if value.as_i64().is_some() => Ok(()),
        Type::Int64 => mismatch("a 64-bit integer", value),
        Type::Double if value.is_number() => Ok(()),
        Type::Double => mismatch("a number", value),
        Type::Bytes if value.as_str().is_some_and(is_base64) => Ok(()),
        Type::Bytes => mismatch("base64 text", value),
        Type::Time | Type::MicroTime if value.as_str().is_some_and(|text| time::parse(text).is_some()) => {
            Ok(())
        }
        Type::Time | Type::MicroTime => mismatch("a time as in RFC 3339", value),
        Type::Quantity if value.as_str().is_some_and(quantity::is_valid) => Ok(()),
        Type::Quantity if value.is_number() => {
            *value = Value::String(value.to_string());
            Ok(())
        }
        Type::Quantity => mismatch("a quantity, as 500m or 2Gi,", value),
        Type::IntOrString if value.is_string() => Ok(()),
        Type::IntOrString if value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => Ok(()),
        Type::IntOrString => mismatch("a 32-bit integer or a string", value),
        Type::Fields if value.is_object() => Ok(()),
        Type::Fields => mismatch("an object", value),
        Type::Raw => Ok(()),
        Type::ExtraValue => fit_value(value, &STRINGS, place, unknown),
        Type::List(item) => match value {
            Value::Array(items) => items.iter_mut().enumerate().try_for_each(|(index, value)| {
                if value.is_null() {
                    *value = zero(item);
                }
                fit_value(value, item, Place::Item(&place, index), unknown)
            }),
            _ => mismatch("a list", value),
        },
        Type::Map(item) => match value {
            Value::Object(map) => {
                map.iter_mut()
                    .filter(|(_, value)| value.is_null())
                    .for_each(|(_, value)| *value = zero(item));
                map.iter_mut()
                    .try_for_each(|(key, value)| fit_value(value, item, Place::Key(&place, key), unknown))
            }
            _ => mismatch("an object", value),
        },
        Type::Message(name) => match (value.as_object_mut(), message(name)) {
            (Some(map), Some(message)) => {
                let mut rest = std::mem::take(map);
                fit_fields(&mut rest, message, place, map, unknown)
            }
            _ => mismatch("an object", value),
        },
    }
}

/// The zero value that Go's decoder puts in place of a null in a list or a map.
fn zero(kind: &Type) -> Value {
    match kind {
        Type::Message(_) | Type::Map(_) | Type::Fields => Value::Object(Map::new()),
        Type::List(_) | Type::ExtraValue => Value::Array(Vec::new()),
        Type::Bool => Value::Bool(false),
        Type::Int32 | Type::Int64 | Type::Double | Type::IntOrString => Value::from(0),
        Type::Quantity => Value::from("0"),
        _ => Value::String(String::new()),
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string {:?}", text.chars().take(60).collect::<String>()),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As charts and `kubectl get -o yaml` write them; a claim of an ephemeral volume has neither field.
    #[test]
    fn the_claims_of_a_stateful_set_have_a_kind() {
        let head = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": {}});
        let mut set = json!({"kind": "StatefulSet", "spec": {"volumeClaimTemplates": [head], "template": {"spec": {
            "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": head}}]}}}});
        let unknown = fit(&mut set, crate::schema::message("StatefulSet").unwrap()).unwrap();
        let place = "spec.template.spec.volumes[0].ephemeral.volumeClaimTemplate";
        assert_eq!(unknown, [format!("{place}.apiVersion"), format!("{place}.kind")]);
        assert_eq!(set["spec"]["volumeClaimTemplates"][0]["kind"], "PersistentVolumeClaim");
    }

    #[test]
    fn objects_are_fitted_to_their_type() {
        let mut pod = json!({
            "spec": {"hostNetwork": false, "containers": [{"name": "a", "imagge": "x",
                "resources": {"limits": {"cpu": 1}}}], "wrong": 1, "volumes": []},
            "metadata": {"name": "p", "creationTimestamp": null, "labels": {"a": "b"}}, "kind": "Pod", "apiVersion": "v1",
        });
        let unknown = fit(&mut pod, message("Pod").unwrap()).unwrap();
        assert_eq!(unknown, ["spec.containers[0].imagge", "spec.wrong"]);
        let wanted = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}"#;
        assert_eq!(pod.to_string(), wanted);
    }

    #[test]
    fn values_of_the_wrong_type_are_named() {
        let cases = [
            (json!({"spec": 1}), "spec: the number 1 where an object belongs"),
            (json!({"spec": {"containers": {}}}), "spec.containers: an object where a list belongs"),
            (
                json!({"spec": {"hostPID": "yes"}}),
                "spec.hostPID: the string \"yes\" where true or false belongs",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "metadata.labels[a]: the number 1 where a string belongs",
            ),
            (
                json!({"spec": {"priority": 3_000_000_000_u64}}),
                "spec.priority: the number 3000000000 where a 32-bit integer belongs",
            ),
        ];
        for (mut object, said) in cases {
            assert_eq!(fit(&mut object, message("Pod").unwrap()).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn quantities_are_text() {
        let cases = [
            (json!(1), Some(json!("1"))),
            (json!(0.5), Some(json!("0.5"))),
            (json!("100m"), Some(json!("100m"))),
            (json!("1Gi"), Some(json!("1Gi"))),
            (json!(true), None),
            (json!({}), None),
        ];
        for (value, wanted) in cases {
            let limits = json!({"limits": {"cpu": value}});
            let mut pod = json!({"spec": {"containers": [{"name": "a", "resources": limits}]}});
            let fitted = fit(&mut pod, message("Pod").unwrap());
            let found = pod.pointer("/spec/containers/0/resources/limits/cpu").cloned();
            assert_eq!(fitted.ok().and(found), wanted, "{value}");
        }
    }
}
