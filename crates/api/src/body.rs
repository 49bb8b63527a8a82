//! Objects out of the bodies of requests: JSON, YAML and protobuf.

use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::kind::{self, Resource};
use crate::limits::{WEIGHT, YAML_VALUES};
use crate::place::Place;
use crate::protobuf::{self, ProtobufError};
use crate::shape::Shape;
use crate::weight;

/// The treatment of fields that a type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Unknown fields are dropped.
    Ignore,
    /// Unknown fields are dropped, and the client is warned.
    Warn,
    /// Unknown fields are an error.
    Strict,
}

impl Validation {
    /// Reads the query parameter `fieldValidation`; none means [`Warn`](Self::Warn).
    ///
    /// # Errors
    ///
    /// The parameter has another value.
    pub fn parse(text: Option<&str>) -> ApiResult<Self> {
        Ok(match text {
            None | Some("" | "Warn") => Self::Warn,
            Some("Ignore") => Self::Ignore,
            Some("Strict") => Self::Strict,
            Some(other) => {
                return Err(ApiError::bad_request(format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        })
    }
}

/// Maximum number of unknown or duplicate fields that one answer lists.
const FINDINGS: usize = 20;

/// The media types of objects.
const MEDIA_TYPES: [&str; 3] =
    ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The media type of a header, without its parameters.
pub fn media_type(header: &str) -> &str {
    header.split(';').next().unwrap_or_default().trim()
}

/// Reads a body as a value. Duplicate fields are findings. A body that would weigh more than [`WEIGHT`] is refused
/// before it is read, or while it is.
pub fn read(bytes: &[u8], content_type: &str, findings: &mut Vec<String>) -> ApiResult<Value> {
    match media_type(content_type) {
        "" | "application/json" if weight::of_json(bytes) > WEIGHT => Err(ApiError::too_heavy()),
        "" | "application/json" => json(bytes, findings),
        "application/yaml" | "text/yaml" | "application/apply-patch+yaml" => yaml(bytes),
        "application/vnd.kubernetes.protobuf" => {
            protobuf::decode(bytes, kind::schema_of).map_err(|error| match error {
                ProtobufError::Heavy => ApiError::too_heavy(),
                error => ApiError::bad_request(error.to_string()),
            })
        }
        other => Err(ApiError::media_type(other, &MEDIA_TYPES)),
    }
}

fn json(bytes: &[u8], findings: &mut Vec<String>) -> ApiResult<Value> {
    use serde::de::DeserializeSeed;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let seed = Unique { place: Place::Root, twice: findings };
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| ApiError::bad_request(format!("the body of the request is not JSON: {error}")))
}

fn yaml(bytes: &[u8]) -> ApiResult<Value> {
    let bad = |why: String| ApiError::bad_request(format!("the body of the request is not YAML: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    let documents =
        palisade_k8s::manifest::read_some(text, YAML_VALUES).map_err(|error| bad(error.to_string()))?;
    match documents.as_slice() {
        [one] => Ok(one.to_json()),
        several => Err(bad(format!("one document is expected, not {}", several.len()))),
    }
}

/// Fits an object of a body to its type. Returns warnings.
pub fn fit(
    object: &mut Value,
    shape: Shape<'_>,
    validation: Validation,
    mut findings: Vec<String>,
) -> ApiResult<Vec<String>> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the body of the request is not an object"));
    }
    let name = match shape {
        Shape::Message(message) => message.title().to_owned(),
        Shape::Custom(_) => {
            object.get("kind").and_then(Value::as_str).unwrap_or("custom resource").to_owned()
        }
    };
    let unknown = shape.fit(object).map_err(|error| {
        ApiError::bad_request(format!("the object cannot be handled as a {name}: {error}"))
    })?;
    findings.extend(unknown.iter().map(|path| format!("unknown field {path:?}")));
    match validation {
        Validation::Ignore => Ok(Vec::new()),
        Validation::Warn => Ok(findings),
        Validation::Strict if findings.is_empty() => Ok(findings),
        Validation::Strict => {
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or(&name);
            let version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
            Err(ApiError::bad_request(format!(
                "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
                findings.join(", ")
            )))
        }
    }
}

/// Checks that an object is of the kind that a path is for, and sets its kind.
pub fn claim(object: &mut Value, resource: &Resource) -> ApiResult<()> {
    let version = resource.api_version();
    for (field, wanted) in [("kind", resource.kind()), ("apiVersion", version.as_str())] {
        let found = object.get(field).and_then(Value::as_str).unwrap_or_default();
        // The two groups of SCCs have the same objects.
        let is_alias = resource.has_aliases && field == "apiVersion";
        if !found.is_empty() && found != wanted && !is_alias {
            return Err(ApiError::bad_request(format!(
                "the {field} in the data ({found}) does not match the expected {field} ({wanted})"
            )));
        }
    }
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("kind");
        map.shift_remove("apiVersion");
        map.shift_insert(0, "kind".to_owned(), resource.kind().into());
        map.shift_insert(1, "apiVersion".to_owned(), version.into());
    }
    Ok(())
}

/// Reads JSON and notes fields that are there twice; the last one counts, as everywhere.
struct Unique<'p, 'f> {
    place: Place<'p>,
    twice: &'f mut Vec<String>,
}

impl<'de> serde::de::DeserializeSeed<'de> for Unique<'_, '_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> serde::de::Visitor<'de> for Unique<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // An integer may be written as 1e3 or 1.0.
        let whole = value as i64;
        Ok(if whole as f64 == value && value.abs() < 9e15 { whole.into() } else { value.into() })
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = Place::Item(&self.place, list.len());
            match items.next_element_seed(Unique { place, twice: &mut *self.twice })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = serde_json::Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let place = Place::Field(&self.place, &name);
            if self.twice.len() < FINDINGS && map.contains_key(&name) {
                self.twice.push(format!("duplicate field {:?}", place.to_string()));
            }
            let value = entries.next_value_seed(Unique { place, twice: &mut *self.twice })?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::message;

    #[test]
    fn fields_that_are_there_twice_or_not_at_all_are_said() {
        let mut findings = Vec::new();
        let text = br#"{"metadata": {"name": "a", "name": "b"}, "data": {"x": "1"}, "datta": 1}"#;
        let mut object = read(text, "application/json; charset=utf-8", &mut findings).unwrap();
        assert_eq!(findings, [r#"duplicate field "metadata.name""#]);
        assert_eq!(object["metadata"]["name"], "b");
        let kind = message("ConfigMap").unwrap();
        let strict = fit(&mut object.clone(), kind.into(), Validation::Strict, findings.clone()).unwrap_err();
        assert!(
            strict.message.ends_with(r#"duplicate field "metadata.name", unknown field "datta""#),
            "{}",
            strict.message
        );
        assert_eq!(
            fit(&mut object.clone(), kind.into(), Validation::Warn, findings.clone()).unwrap().len(),
            2
        );
        assert!(fit(&mut object, kind.into(), Validation::Ignore, findings).unwrap().is_empty());
        assert!(object.get("datta").is_none());
    }

    #[test]
    fn unreadable_bodies_are_refused() {
        let mut none = Vec::new();
        for (body, kind, code) in [
            (&b"{"[..], "application/json", 400),
            (b"{} {}", "application/json", 400),
            (b"k8s\0\x07", "application/vnd.kubernetes.protobuf", 400),
            (b"a: [", "application/yaml", 400),
            (b"\xff", "application/yaml", 400),
            (b"{}", "text/html", 415),
        ] {
            assert_eq!(read(body, kind, &mut none).unwrap_err().reason.code(), code, "{kind}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(read(deep.as_bytes(), "application/json", &mut none).unwrap_err().reason.code(), 400);
    }
}
