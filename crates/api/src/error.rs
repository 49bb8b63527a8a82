//! What the API says no with: a `Status` of Kubernetes.

use palisade_k8s::put;
use std::fmt::Display;

use palisade_k8s::FieldError;
use serde_json::{Value, json};

use crate::kind::Resource;

/// A refusal, as a client sees it. What only the log may know is not in it.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Value>,
}

/// The result of a request.
pub type ApiResult<T> = Result<T, Box<ApiError>>;

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { code, reason, message: message.into(), details: None })
    }

    fn about(mut self: Box<Self>, resource: &Resource, name: &str) -> Box<Self> {
        let mut details = json!({});
        if !name.is_empty() {
            put(&mut details, &["name"], name.into());
        }
        if !resource.group.is_empty() {
            put(&mut details, &["group"], resource.group.into());
        }
        put(&mut details, &["kind"], resource.plural.into());
        self.details = Some(details);
        self
    }

    pub fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub fn no_such_path() -> Box<Self> {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn exists(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub fn conflict(resource: &Resource, name: &str, why: impl Display) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub fn modified(resource: &Resource, name: &str) -> Box<Self> {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// Server-side apply met fields of others.
    pub fn apply_conflict(message: String, causes: Vec<Value>) -> Box<Self> {
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(json!({ "causes": causes }));
        error
    }

    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Box<Self> {
        Self::invalid_kind(resource.kind, resource.group, name, errors)
    }

    /// Refuses the options of a request if they have errors.
    pub fn of_options(kind: &str, errors: &[FieldError]) -> ApiResult<()> {
        match errors {
            [] => Ok(()),
            errors => Err(Self::invalid_kind(kind, "meta.k8s.io", "", errors)),
        }
    }

    pub fn invalid_kind(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Box<Self> {
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let said = match said.as_slice() {
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        let qualified = match group {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|error| {
                json!({"reason": error.kind.reason(), "message": error.message(),
                       "field": error.path.to_string()})
            })
            .collect();
        let mut error = Self::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {said}"));
        let mut details = json!({});
        for (field, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                put(&mut details, &[field], value.into());
            }
        }
        put(&mut details, &["causes"], causes.into());
        error.details = Some(details);
        error
    }

    pub fn forbidden(resource: &Resource, name: &str, why: impl Display) -> Box<Self> {
        let what = match name {
            "" => resource.qualified(),
            name => format!("{} {name:?}", resource.qualified()),
        };
        Self::new(403, "Forbidden", format!("{what} is forbidden: {why}")).about(resource, name)
    }

    pub fn forbidden_path(why: impl Display) -> Box<Self> {
        let mut error = Self::new(403, "Forbidden", format!("forbidden: {why}"));
        error.details = Some(json!({}));
        error
    }

    pub fn unauthorized() -> Box<Self> {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(400, "BadRequest", message)
    }

    /// A body names another object than its path.
    pub fn misplaced(what: &str, said: &str, wanted: &str) -> Box<Self> {
        Self::bad_request(format!(
            "the {what} of the object ({said}) does not match the {what} on the URL ({wanted})"
        ))
    }

    pub fn method_not_allowed(resource: &Resource) -> Box<Self> {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    pub fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(410, "Expired", message)
    }

    pub fn too_large(limit: usize) -> Box<Self> {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub fn media_type(found: &str, supported: &[&str]) -> Box<Self> {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {} (not {found:?})",
            supported.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub fn busy(message: impl Into<String>) -> Box<Self> {
        Self::new(429, "TooManyRequests", message)
    }

    pub fn timeout(message: impl Into<String>) -> Box<Self> {
        Self::new(504, "Timeout", message)
    }

    /// A client asks for what has not been written yet; it finds out by the cause that it may ask again.
    pub fn future(asked: u64, newest: u64) -> Box<Self> {
        let mut error = Self::timeout(format!("Too large resource version: {asked}, current: {newest}"));
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        error.details = Some(json!({"causes": [cause], "retryAfterSeconds": 1}));
        error
    }

    /// None of the forms that a client takes.
    pub fn not_acceptable(accept: &str) -> Box<Self> {
        let message = format!(
            "only application/json, application/yaml and application/vnd.kubernetes.protobuf can be answered, not {accept:?}"
        );
        Self::new(406, "NotAcceptable", message)
    }

    pub fn unavailable(message: impl Into<String>) -> Box<Self> {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// A failure of the server itself. What only its log may know is not in it.
    pub fn internal(what: &str) -> Box<Self> {
        Self::new(500, "InternalError", format!("Internal error occurred: {what}"))
    }

    /// As the body of an answer.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        });
        if let Some(details) = &self.details {
            put(&mut status, &["details"], details.clone());
        }
        put(&mut status, &["code"], self.code.into());
        status
    }
}
