//! Kubernetes' protobuf form of objects, to JSON and back, by the schema.
//!
//! A body is the four bytes `k8s\0` and a `runtime.Unknown`: the object's `apiVersion` and `kind`, then its own
//! bytes (reference/wire.md).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::limits::{PROTOBUF_DEPTH, WEIGHT};
use crate::schema::{Field, Message, Type, message};
use crate::time;
use crate::weight;

const MAGIC: &[u8] = b"k8s\0";
/// An error in protobuf bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The body lacks the four bytes `k8s\0`.
    #[error("the body does not start with the bytes of Kubernetes' protobuf form")]
    NoMagic,
    /// The body ends in the middle of a field.
    #[error("the protobuf body ends in the middle of a field")]
    Short,
    /// A field, by its JSON name, has a wire type that does not match its type.
    #[error("field {0}: the protobuf body has another wire type than the field")]
    WireType(String),
    /// A text is not UTF-8.
    #[error("field {0}: not UTF-8")]
    NotUtf8(String),
    /// A time is out of range.
    #[error("field {0}: no such time")]
    NoTime(String),
    /// The body is nested too deeply.
    #[error("the protobuf body is nested too deeply")]
    Deep,
    /// The object takes more memory than permitted.
    #[error("the protobuf body holds too many values")]
    Heavy,
    /// The kind has no protobuf form.
    #[error("there is no protobuf form of {0}")]
    UnknownKind(String),
}

/// Parses a body. `kind_of` names the type of an `apiVersion` and a `kind`.
pub fn decode(
    bytes: &[u8],
    kind_of: impl Fn(&str, &str) -> Option<&'static str>,
) -> Result<Value, ProtobufError> {
    let mut unknown = Reader(bytes.strip_prefix(MAGIC).ok_or(ProtobufError::NoMagic)?);
    let (mut api_version, mut kind, mut raw): (String, String, &[u8]) = Default::default();
    while let Some((number, wire)) = unknown.next()? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => {
                let mut meta = Reader(bytes);
                while let Some((number, wire)) = meta.next()? {
                    match (number, wire) {
                        (1, wire) => api_version = wire.text("apiVersion")?,
                        (2, wire) => kind = wire.text("kind")?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = kind_of(&api_version, &kind)
        .and_then(message)
        .ok_or_else(|| ProtobufError::UnknownKind(format!("{api_version} {kind}")))?;
    let mut object = Map::new();
    object.insert("kind".to_owned(), kind.into());
    object.insert("apiVersion".to_owned(), api_version.into());
    read_message(raw, name, &mut object, &mut Room { depth: 0, left: WEIGHT })?;
    Ok(Value::Object(object))
}

enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Other,
}

impl Wire<'_> {
    fn text(&self, field: &str) -> Result<String, ProtobufError> {
        let Self::Bytes(bytes) = self else { return Err(ProtobufError::WireType(field.to_owned())) };
        let text = std::str::from_utf8(bytes).map_err(|_| ProtobufError::NotUtf8(field.to_owned()))?;
        Ok(text.to_owned())
    }
}

/// The depth of a message, and the remaining weight.
struct Room {
    depth: usize,
    left: usize,
}

impl Room {
    fn take(&mut self, weight: usize) -> Result<(), ProtobufError> {
        self.left = self.left.checked_sub(weight).ok_or(ProtobufError::Heavy)?;
        Ok(())
    }

    /// One level deeper.
    fn enter(&mut self) -> Result<(), ProtobufError> {
        self.depth += 1;
        if self.depth > PROTOBUF_DEPTH { Err(ProtobufError::Deep) } else { self.take(weight::of_map()) }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtobufError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| ProtobufError::Short)?;
        let wire = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.first_chunk::<8>().ok_or(ProtobufError::Short)?;
                Wire::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| ProtobufError::Short)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Other
            }
            _ => return Err(ProtobufError::Short),
        };
        Ok(Some((number, wire)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ProtobufError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ProtobufError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first().ok_or(ProtobufError::Short)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Short)
    }
}

fn read_message(
    bytes: &[u8],
    message: &'static Message,
    object: &mut Map<String, Value>,
    room: &mut Room,
) -> Result<(), ProtobufError> {
    room.enter()?;
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.next()? {
        if let Some((_, inlined)) = message.inlined.iter().find(|(inlined, _)| *inlined == number) {
            let inlined = crate::schema::message(inlined);
            if let (Wire::Bytes(bytes), Some(inlined)) = (&wire, inlined) {
                read_message(bytes, inlined, object, room)?;
            }
            continue;
        }
        let Some(field) = message.fields.iter().find(|field| field.number == number) else { continue };
        read_field(&wire, field, object, room)?;
    }
    room.depth -= 1;
    Ok(())
}

fn read_field(
    wire: &Wire<'_>,
    field: &Field,
    object: &mut Map<String, Value>,
    room: &mut Room,
) -> Result<(), ProtobufError> {
    match &field.kind {
        Type::List(item) => {
            let value = read_value(wire, item, field.name, room)?;
            let list = object.entry(field.name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(value);
            }
        }
        Type::Map(item) => {
            let (key, value) = read_entry(wire, item, field.name, room)?;
            let map = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                map.insert(key, value);
            }
        }
        kind => {
            let value = read_value(wire, kind, field.name, room)?;
            // Go writes fields that are not pointers even if they are zero.
            if !field.omits(&value) {
                object.insert(field.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn read_entry(
    wire: &Wire<'_>,
    item: &Type,
    field: &str,
    room: &mut Room,
) -> Result<(String, Value), ProtobufError> {
    let Wire::Bytes(bytes) = wire else { return Err(ProtobufError::WireType(field.to_owned())) };
    let mut reader = Reader(bytes);
    let (mut key, mut value) = (String::new(), None);
    while let Some((number, wire)) = reader.next()? {
        match number {
            1 => key = wire.text(field)?,
            2 => value = Some(read_value(&wire, item, field, room)?),
            _ => {}
        }
    }
    let absent = || match item {
        Type::Message(_) => Value::Object(Map::new()),
        _ => Value::String(String::new()),
    };
    Ok((key, value.unwrap_or_else(absent)))
}

fn read_value(wire: &Wire<'_>, kind: &Type, field: &str, room: &mut Room) -> Result<Value, ProtobufError> {
    room.take(weight::of_text(match wire {
        Wire::Bytes(bytes) if !matches!(kind, Type::Message(_)) => bytes.len(),
        _ => field.len(),
    }))?;
    let mismatch = || ProtobufError::WireType(field.to_owned());
    Ok(match (kind, wire) {
        (Type::Bool, Wire::Varint(value)) => Value::Bool(*value != 0),
        (Type::Int32 | Type::Int64, Wire::Varint(value)) => Value::from(value.cast_signed()),
        (Type::Double, Wire::Fixed64(bits)) => {
            Number::from_f64(f64::from_bits(*bits)).map_or(Value::Null, Value::Number)
        }
        (Type::String, wire) => Value::String(wire.text(field)?),
        (Type::Bytes, Wire::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
        (Type::Time | Type::MicroTime, Wire::Bytes(bytes)) => {
            let (seconds, nanos) = pair(bytes, [1, 2])?;
            if seconds == 0 && nanos == 0 {
                return Ok(Value::Null);
            }
            let micros = *kind == Type::MicroTime;
            let text = time::format(seconds.cast_signed(), nanos.cast_signed(), micros);
            Value::String(text.ok_or_else(|| ProtobufError::NoTime(field.to_owned()))?)
        }
        (Type::Quantity, Wire::Bytes(bytes)) => first_text(bytes, 1, field)?,
        (Type::IntOrString, Wire::Bytes(bytes)) => match pair(bytes, [1, 2])? {
            (1, _) => first_text(bytes, 3, field)?,
            (_, number) => Value::from(number.cast_signed()),
        },
        (Type::Fields | Type::Raw, Wire::Bytes(bytes)) => {
            let mut reader = Reader(bytes);
            let mut value = Value::Null;
            while let Some((number, wire)) = reader.next()? {
                if let (1, Wire::Bytes(json)) = (number, wire) {
                    room.take(weight::of_json(json))?;
                    value = serde_json::from_slice(json).map_err(|_| mismatch())?;
                }
            }
            value
        }
        (Type::ExtraValue, Wire::Bytes(bytes)) => {
            let mut reader = Reader(bytes);
            let mut items = Vec::new();
            while let Some((_, wire)) = reader.next()? {
                room.take(weight::of_text(0))?;
                items.push(Value::String(wire.text(field)?));
            }
            Value::Array(items)
        }
        (Type::Message(name), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            let message = message(name).ok_or_else(|| ProtobufError::UnknownKind((*name).to_owned()))?;
            read_message(bytes, message, &mut object, room)?;
            Value::Object(object)
        }
        _ => return Err(mismatch()),
    })
}

/// Two numbers of a message.
fn pair(bytes: &[u8], numbers: [u32; 2]) -> Result<(u64, u64), ProtobufError> {
    let mut reader = Reader(bytes);
    let (mut first, mut second) = (0, 0);
    while let Some((number, wire)) = reader.next()? {
        match wire {
            Wire::Varint(value) if number == numbers[0] => first = value,
            Wire::Varint(value) if number == numbers[1] => second = value,
            _ => {}
        }
    }
    Ok((first, second))
}

fn first_text(bytes: &[u8], wanted: u32, field: &str) -> Result<Value, ProtobufError> {
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.next()? {
        if number == wanted {
            return wire.text(field).map(Value::String);
        }
    }
    Ok(Value::String(String::new()))
}

/// Whether every part of a type has a protobuf form: SCCs and projects have none.
pub fn has_form(message: &Message) -> bool {
    message.fields.iter().chain(message.all_fields()).all(|field| field.number != 0)
}

/// Writes an object as a body.
pub fn encode(object: &Value, message: &'static Message) -> Vec<u8> {
    envelope(object, &write_message(object, message))
}

/// Writes a list of objects as a body.
pub fn encode_list(list: &Value, item: &'static Message) -> Vec<u8> {
    let mut items = Vec::new();
    for object in list.get("items").and_then(Value::as_array).into_iter().flatten() {
        push_item(&mut items, object, item);
    }
    [list_head(list, items.len()).as_slice(), &items, END].concat()
}

/// Adds an object as an item of a list.
pub fn push_item(out: &mut Vec<u8>, object: &Value, message: &'static Message) {
    push_bytes(out, 2, &write_message(object, message));
}

/// The head of a list whose items take a number of bytes: the envelope and the list's metadata. [`END`] follows the items.
pub fn list_head(list: &Value, items: usize) -> Vec<u8> {
    let mut raw = Vec::new();
    if let (Some(metadata), Some(message)) = (list.get("metadata"), message("ListMeta")) {
        push_bytes(&mut raw, 1, &write_message(metadata, message));
    }
    let mut out = envelope_head(list, raw.len() + items);
    out.extend_from_slice(&raw);
    out
}

/// An envelope's end: an empty content encoding and content type.
pub const END: &[u8] = &[3 << 3 | 2, 0, 4 << 3 | 2, 0];

fn envelope(object: &Value, raw: &[u8]) -> Vec<u8> {
    [envelope_head(object, raw.len()).as_slice(), raw, END].concat()
}

/// The head of an envelope around an object of a number of bytes: the magic number and the type.
fn envelope_head(object: &Value, raw: usize) -> Vec<u8> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut meta = Vec::new();
    push_bytes(&mut meta, 1, text("apiVersion").as_bytes());
    push_bytes(&mut meta, 2, text("kind").as_bytes());
    let mut out = MAGIC.to_vec();
    push_bytes(&mut out, 1, &meta);
    push_length(&mut out, 2, raw);
    out
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn push_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    push_length(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

fn push_length(out: &mut Vec<u8>, number: u32, length: usize) {
    push_varint(out, u64::from(number << 3 | 2));
    push_varint(out, length as u64);
}

fn push_number(out: &mut Vec<u8>, number: u32, value: u64) {
    push_varint(out, u64::from(number << 3));
    push_varint(out, value);
}

fn write_message(object: &Value, message: &'static Message) -> Vec<u8> {
    let mut out = Vec::new();
    for field in &message.fields {
        if let Some(value) = object.get(field.name) {
            write_field(&mut out, field, value);
        }
    }
    for (number, name) in &message.inlined {
        if let Some(inlined) = crate::schema::message(name) {
            push_bytes(&mut out, *number, &write_message(object, inlined));
        }
    }
    out
}

fn write_field(out: &mut Vec<u8>, field: &Field, value: &Value) {
    match (&field.kind, value) {
        (Type::List(item), Value::Array(items)) => {
            items.iter().for_each(|value| write_value(out, field.number, item, value));
        }
        (Type::Map(item), Value::Object(map)) => {
            for (key, value) in map {
                let mut entry = Vec::new();
                push_bytes(&mut entry, 1, key.as_bytes());
                write_value(&mut entry, 2, item, value);
                push_bytes(out, field.number, &entry);
            }
        }
        (kind, value) => write_value(out, field.number, kind, value),
    }
}

fn write_value(out: &mut Vec<u8>, number: u32, kind: &Type, value: &Value) {
    match (kind, value) {
        (Type::Bool, Value::Bool(value)) => push_number(out, number, u64::from(*value)),
        (Type::Int32 | Type::Int64, Value::Number(value)) => {
            push_number(out, number, value.as_i64().unwrap_or_default().cast_unsigned());
        }
        (Type::Double, Value::Number(value)) => {
            push_varint(out, u64::from(number << 3 | 1));
            out.extend_from_slice(&value.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Type::String, Value::String(text)) => push_bytes(out, number, text.as_bytes()),
        (Type::Bytes, Value::String(text)) => {
            push_bytes(out, number, &STANDARD.decode(text).unwrap_or_default());
        }
        (Type::Time | Type::MicroTime, Value::String(text)) => {
            let mut inner = Vec::new();
            if let Some((seconds, nanos)) = time::parse(text) {
                push_number(&mut inner, 1, seconds.cast_unsigned());
                push_number(&mut inner, 2, nanos.cast_unsigned());
            }
            push_bytes(out, number, &inner);
        }
        (Type::Quantity, value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut inner = Vec::new();
            push_bytes(&mut inner, 1, text.as_bytes());
            push_bytes(out, number, &inner);
        }
        (Type::IntOrString, value) => {
            let mut inner = Vec::new();
            match value.as_str() {
                Some(text) => {
                    push_number(&mut inner, 1, 1);
                    push_bytes(&mut inner, 3, text.as_bytes());
                }
                None => push_number(&mut inner, 2, value.as_i64().unwrap_or_default().cast_unsigned()),
            }
            push_bytes(out, number, &inner);
        }
        (Type::Fields | Type::Raw, value) => {
            let mut inner = Vec::new();
            push_bytes(&mut inner, 1, value.to_string().as_bytes());
            push_bytes(out, number, &inner);
        }
        (Type::ExtraValue, Value::Array(items)) => {
            let mut inner = Vec::new();
            items
                .iter()
                .filter_map(Value::as_str)
                .for_each(|text| push_bytes(&mut inner, 1, text.as_bytes()));
            push_bytes(out, number, &inner);
        }
        (Type::Message(name), value) => {
            if let Some(message) = message(name) {
                push_bytes(out, number, &write_message(value, message));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kind::schema_of;

    /// Objects survive a round trip, whatever kinds of field they have.
    #[test]
    fn objects_go_there_and_back() {
        for text in [
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"b"},"creationTimestamp":"2026-11-24T00:00:00Z"},"spec":{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}],"containers":[{"name":"c","resources":{"limits":{"cpu":"500m"}},"securityContext":{"runAsUser":0,"runAsNonRoot":false},"livenessProbe":{"httpGet":{"path":"/","port":"web"}}},{"name":"d","livenessProbe":{"httpGet":{"port":80}}}]}}"#,
            r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":{"k":"AAEC"},"type":"Opaque"}"#,
            r#"{"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"l"},"spec":{"holderIdentity":"a","renewTime":"2026-11-24T00:00:00.000005Z"}}"#,
            r#"{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"status":{"userInfo":{"username":"u","extra":{"k":["a","b"]}}}}"#,
        ] {
            let object: Value = serde_json::from_str(text).unwrap();
            let kind = message(object["kind"].as_str().unwrap()).unwrap();
            assert_eq!(decode(&encode(&object, kind), schema_of).unwrap(), object);
        }
    }

    proptest! {
        /// Arbitrary bytes are parsed or refused without a panic.
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for kind in ["Pod", "ClusterRole", "Secret", "Lease"] {
                let envelope = envelope(&serde_json::json!({"apiVersion": if kind == "Lease" { "coordination.k8s.io/v1" } else if kind == "ClusterRole" { "rbac.authorization.k8s.io/v1" } else { "v1" }, "kind": kind}), &bytes);
                if let Ok(object) = decode(&envelope, schema_of) {
                    let kind = message(kind).unwrap();
                    prop_assert!(decode(&encode(&object, kind), schema_of).is_ok());
                }
                let mut raw = MAGIC.to_vec();
                raw.extend_from_slice(&bytes);
                let _ = decode(&raw, schema_of);
            }
        }
    }
}
