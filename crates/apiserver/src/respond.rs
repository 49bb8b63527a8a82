//! Responses in the format that the client accepts: JSON, YAML, protobuf, or a table.

use http::Response;
use http::header::HeaderValue;
use jiff::Timestamp;
use palisade_https::Body;
use serde_json::{Value, json};

use crate::error::{ApiError, Reason};
use crate::protobuf;
use crate::resource::{Resource, text};
use crate::table::{self, Include};

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Protobuf,
    Table,
    /// Only names and labels.
    Metadata,
}

pub(crate) const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Format {
    /// The media type of answers.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json | Self::Table | Self::Metadata => JSON,
            Self::Yaml => "application/yaml",
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The first supported format in `Accept`; `None` if none is supported.
    pub(crate) fn parse(accept: &str, resource: Option<&Resource>) -> Option<Self> {
        if accept.trim().is_empty() {
            return Some(Self::Json);
        }
        accept.split(',').find_map(|wanted| {
            let mut parts = wanted.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let shape = parts.clone().find_map(|part| part.strip_prefix("as="));
            let version = parts.find_map(|part| part.strip_prefix("v="));
            if shape.is_some() && !matches!(version, None | Some("v1" | "v1beta1")) {
                return None;
            }
            match (media_type, shape) {
                (JSON, Some("Table")) => resource.map(|_| Self::Table),
                (JSON, Some("PartialObjectMetadata" | "PartialObjectMetadataList")) => Some(Self::Metadata),
                (JSON | "*/*" | "application/*", None) => Some(Self::Json),
                ("application/yaml", None) => Some(Self::Yaml),
                (PROTOBUF, None) => resource
                    .filter(|resource| resource.message().is_some_and(protobuf::has_form))
                    .map(|_| Self::Protobuf),
                _ => None,
            }
        })
    }
}

/// Removes the body from the answer to a `HEAD`; the length is that of `GET`, if known (RFC 9110, 9.3.2).
pub(crate) fn strip(response: &mut Response<Body>) {
    let length = hyper::body::Body::size_hint(response.body()).exact();
    if let Some(length) = length {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::Whole(None);
}

/// Writes an object or a list.
pub(crate) fn object(
    code: u16,
    value: &Value,
    format: Format,
    resource: &Resource,
    include: Include,
) -> Response<Body> {
    let kind = text(value, "/kind");
    let is_list = kind == resource.list_kind();
    let is_own = kind == resource.kind();
    match format {
        Format::Table | Format::Metadata if is_list || is_own => {
            json(code, &shaped(value, format, resource, include))
        }
        Format::Protobuf if is_list => match resource.message() {
            Some(message) => Body::bytes(code, PROTOBUF, protobuf::encode_list(value, message)),
            None => json(code, value),
        },
        Format::Protobuf => match if is_own { resource.message() } else { crate::schema::message(kind) } {
            Some(message) if protobuf::has_form(message) => {
                Body::bytes(code, PROTOBUF, protobuf::encode(value, message))
            }
            _ => json(code, value),
        },
        Format::Yaml => Body::bytes(code, format.media_type(), palisade_k8s::yaml::write(value).into_bytes()),
        _ => json(code, value),
    }
}

/// An object or a list of a resource in the format that a client accepts.
pub(crate) fn shaped(value: &Value, format: Format, resource: &Resource, include: Include) -> Value {
    match format {
        Format::Table => table::of(resource, value, include, true, Timestamp::now()),
        Format::Metadata => metadata(value, text(value, "/kind") != resource.kind()),
        _ => value.clone(),
    }
}

/// Metadata only.
pub(crate) fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
           "metadata": object.get("metadata").cloned().unwrap_or_default()})
}

fn metadata(value: &Value, is_list: bool) -> Value {
    if !is_list {
        return metadata_of(value);
    }
    let items: Vec<Value> =
        value.get("items").and_then(Value::as_array).into_iter().flatten().map(metadata_of).collect();
    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
           "metadata": value.get("metadata").cloned().unwrap_or_default(), "items": items})
}

/// Writes JSON.
pub(crate) fn json(code: u16, value: &Value) -> Response<Body> {
    Body::bytes(code, JSON, value.to_string().into_bytes())
}

/// Writes a refusal; in protobuf for clients that accept nothing else.
pub(crate) fn error(error: &ApiError, format: Format) -> Response<Body> {
    let status = error.status();
    let mut response = match (format, crate::schema::message("Status")) {
        (Format::Protobuf, Some(message)) => {
            Body::bytes(error.code(), PROTOBUF, protobuf::encode(&status, message))
        }
        _ => json(error.code(), &status),
    };
    if error.reason == Reason::TooManyRequests {
        let seconds = error.details.as_ref().and_then(|details| details.get("retryAfterSeconds")?.as_u64());
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds.unwrap_or(1)));
    }
    response
}
