//! What the API says no with: a `Status` of Kubernetes.

use palisade_k8s::put;
use std::fmt::Display;

use palisade_k8s::FieldError;
use palisade_store::{Revision, StoreError};
use serde_json::{Value, json};

use crate::resource::Resource;

/// A refusal, as a client sees it. What only the log may know is not in it.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
}

/// The result of a request.
pub(crate) type ApiResult<T> = Result<T, Box<ApiError>>;

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

    pub(crate) fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    pub(crate) fn no_such_path() -> Box<Self> {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn exists(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    pub(crate) fn conflict(resource: &Resource, name: &str, why: impl Display) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    pub(crate) fn modified(resource: &Resource, name: &str) -> Box<Self> {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// Server-side apply met fields of others.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Value>) -> Box<Self> {
        let mut error = Self::new(409, "Conflict", message);
        error.details = Some(json!({ "causes": causes }));
        error
    }

    pub(crate) fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Box<Self> {
        Self::invalid_kind(resource.kind, resource.group, name, errors)
    }

    /// Refuses the options of a request if they have errors.
    pub(crate) fn of_options(kind: &str, errors: &[FieldError]) -> ApiResult<()> {
        match errors {
            [] => Ok(()),
            errors => Err(Self::invalid_kind(kind, "meta.k8s.io", "", errors)),
        }
    }

    pub(crate) fn invalid_kind(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Box<Self> {
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

    pub(crate) fn forbidden(resource: &Resource, name: &str, why: impl Display) -> Box<Self> {
        let what = match name {
            "" => resource.qualified(),
            name => format!("{} {name:?}", resource.qualified()),
        };
        Self::new(403, "Forbidden", format!("{what} is forbidden: {why}")).about(resource, name)
    }

    pub(crate) fn forbidden_path(why: impl Display) -> Box<Self> {
        let mut error = Self::new(403, "Forbidden", format!("forbidden: {why}"));
        error.details = Some(json!({}));
        error
    }

    pub(crate) fn unauthorized() -> Box<Self> {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(400, "BadRequest", message)
    }

    /// A body names another object than its path.
    pub(crate) fn misplaced(what: &str, said: &str, wanted: &str) -> Box<Self> {
        Self::bad_request(format!(
            "the {what} of the object ({said}) does not match the {what} on the URL ({wanted})"
        ))
    }

    pub(crate) fn method_not_allowed(resource: &Resource) -> Box<Self> {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).about(resource, "")
    }

    pub(crate) fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(410, "Expired", message)
    }

    pub(crate) fn too_large(limit: usize) -> Box<Self> {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub(crate) fn media_type(found: &str, supported: &[&str]) -> Box<Self> {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {} (not {found:?})",
            supported.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Box<Self> {
        Self::new(429, "TooManyRequests", message)
    }

    pub(crate) fn timeout(message: impl Into<String>) -> Box<Self> {
        Self::new(504, "Timeout", message)
    }

    /// A client asks for what has not been written yet; it finds out by the cause that it may ask again.
    pub(crate) fn future(asked: Revision, newest: Revision) -> Box<Self> {
        let mut error = Self::timeout(format!("Too large resource version: {asked}, current: {newest}"));
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        error.details = Some(json!({"causes": [cause], "retryAfterSeconds": 1}));
        error
    }

    /// None of the forms that a client takes.
    pub(crate) fn not_acceptable(accept: &str) -> Box<Self> {
        let message = format!(
            "only application/json, application/yaml and application/vnd.kubernetes.protobuf can be answered, not {accept:?}"
        );
        Self::new(406, "NotAcceptable", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Box<Self> {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// Something that is nobody's fault but ours or the disk's: the log hears more than the client.
    pub(crate) fn internal(what: &str, error: &dyn std::error::Error) -> Box<Self> {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        tracing::error!("{what}: {causes}");
        Self::new(500, "InternalError", format!("Internal error occurred: {what}"))
    }

    /// What the store said to a write or a read of an object.
    pub(crate) fn store(resource: &Resource, name: &str, error: StoreError) -> Box<Self> {
        match error {
            StoreError::Exists(_) => Self::exists(resource, name),
            StoreError::Missing(_) => Self::not_found(resource, name),
            StoreError::Conflict { .. } => Self::modified(resource, name),
            StoreError::Compacted { asked, oldest } => {
                Self::expired(format!("too old resource version: {asked} ({oldest})"))
            }
            StoreError::Future { asked, newest } => Self::future(asked, newest),
            // Its administrator can help, so the client hears it too.
            StoreError::Full => {
                Self::internal("the server's disk is full, so nothing was written", &StoreError::Full)
            }
            error => Self::internal("the store cannot be read or written", &error),
        }
    }

    /// As the body of an answer.
    pub(crate) fn status(&self) -> Value {
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
