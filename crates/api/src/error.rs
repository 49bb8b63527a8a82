//! Refusals of the API: reasons, their HTTP codes, and their wording as a `Status` of Kubernetes.
//!
//! The reasons and codes are those of `k8s.io/apimachinery/pkg/apis/meta/v1/types.go` (`StatusReason`), the wording is
//! that of `k8s.io/apimachinery/pkg/api/errors/errors.go`, because clients match on it.

use palisade_k8s::put;
use std::fmt::Display;

use palisade_k8s::FieldError;
use serde_json::{Value, json};

use crate::kind::Resource;
use crate::limits::CAUSES;

/// The reason of a refusal, in Kubernetes' terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An object of this name exists already.
    AlreadyExists,
    /// The request cannot be understood.
    BadRequest,
    /// The object has changed since the client read it, or is in a state that does not permit the request.
    Conflict,
    /// The resource version is too old: it has been compacted.
    Expired,
    /// The user may not do this, or admission refuses it.
    Forbidden,
    /// The server failed.
    InternalError,
    /// The object breaks the rules of its kind.
    Invalid,
    /// The resource does not have this verb.
    MethodNotAllowed,
    /// The server supports none of the media types that the client accepts.
    NotAcceptable,
    /// The object or the path does not exist.
    NotFound,
    /// The body is too large.
    RequestEntityTooLarge,
    /// The server cannot answer at present.
    ServiceUnavailable,
    /// The request took too long.
    Timeout,
    /// The server's disk is full (HTTP 507).
    InsufficientStorage,
    /// The client must retry later.
    TooManyRequests,
    /// The credentials are missing or wrong.
    Unauthorized,
    /// The server does not support the media type of the body.
    UnsupportedMediaType,
}

impl Reason {
    /// All reasons, each with its name and its HTTP code.
    const TABLE: [(Self, &'static str, u16); 17] = [
        (Self::AlreadyExists, "AlreadyExists", 409),
        (Self::BadRequest, "BadRequest", 400),
        (Self::Conflict, "Conflict", 409),
        (Self::Expired, "Expired", 410),
        (Self::Forbidden, "Forbidden", 403),
        (Self::InsufficientStorage, "InsufficientStorage", 507),
        (Self::InternalError, "InternalError", 500),
        (Self::Invalid, "Invalid", 422),
        (Self::MethodNotAllowed, "MethodNotAllowed", 405),
        (Self::NotAcceptable, "NotAcceptable", 406),
        (Self::NotFound, "NotFound", 404),
        (Self::RequestEntityTooLarge, "RequestEntityTooLarge", 413),
        (Self::ServiceUnavailable, "ServiceUnavailable", 503),
        (Self::Timeout, "Timeout", 504),
        (Self::TooManyRequests, "TooManyRequests", 429),
        (Self::Unauthorized, "Unauthorized", 401),
        (Self::UnsupportedMediaType, "UnsupportedMediaType", 415),
    ];

    fn row(self) -> (&'static str, u16) {
        let row = Self::TABLE.iter().find(|(reason, ..)| *reason == self);
        row.map_or(("InternalError", 500), |(_, name, code)| (name, *code))
    }

    /// The HTTP code.
    #[must_use]
    pub fn code(self) -> u16 {
        self.row().1
    }

    /// The name, as in the `reason` of a `Status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The reason of a name; `None` for one that is not known here.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known, _)| *known == name).map(|(reason, ..)| *reason)
    }
}

/// A refusal, as a client sees it. Internal details, which only the log may have, are not in it.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The reason.
    pub reason: Reason,
    /// One sentence for people.
    pub message: String,
    /// Kubernetes' `StatusDetails`: the object, and the causes.
    pub details: Option<Value>,
    /// A `Status` that another program has worded, such as an admission webhook; it is returned as it is.
    worded: Option<Value>,
}

/// The result of a request.
pub type ApiResult<T> = Result<T, Box<ApiError>>;

impl ApiError {
    fn new(reason: Reason, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { reason, message: message.into(), details: None, worded: None })
    }

    fn about(mut self: Box<Self>, resource: &Resource, name: &str) -> Box<Self> {
        let mut details = json!({});
        if !name.is_empty() {
            put(&mut details, &["name"], name.into());
        }
        if !resource.group().is_empty() {
            put(&mut details, &["group"], resource.group().into());
        }
        put(&mut details, &["kind"], resource.plural().into());
        self.details = Some(details);
        self
    }

    /// The object does not exist.
    pub fn not_found(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(Reason::NotFound, message).about(resource, name)
    }

    /// The path does not exist.
    pub fn no_such_path() -> Box<Self> {
        Self::new(Reason::NotFound, "the server could not find the requested resource")
    }

    /// An object of this name exists already.
    pub fn exists(resource: &Resource, name: &str) -> Box<Self> {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(Reason::AlreadyExists, message).about(resource, name)
    }

    /// The definition of the resource is being deleted.
    pub fn not_while_ending(resource: &Resource) -> Box<Self> {
        let why = "create not allowed while custom resource definition is terminating";
        Self::new(Reason::MethodNotAllowed, why).about(resource, "")
    }

    /// An object takes more memory than permitted.
    pub fn too_heavy() -> Box<Self> {
        let why = format!("it would take more than {} MiB of memory", crate::limits::WEIGHT >> 20);
        Self::new(Reason::RequestEntityTooLarge, format!("the object has too many fields and values: {why}"))
    }

    /// Lists and maps are nested more deeply than permitted.
    pub fn too_deep() -> Box<Self> {
        let most = crate::limits::NESTING;
        Self::bad_request(format!(
            "the object, with its managed fields, is nested more than {most} levels deep"
        ))
    }

    /// The object is in a state that does not permit the request.
    pub fn conflict(resource: &Resource, name: &str, why: impl Display) -> Box<Self> {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Self::new(Reason::Conflict, message).about(resource, name)
    }

    /// The object has changed since the client read it.
    pub fn modified(resource: &Resource, name: &str) -> Box<Self> {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// Server-side apply conflicts with fields of other managers.
    pub fn apply_conflict(message: String, causes: Vec<Value>) -> Box<Self> {
        let mut error = Self::new(Reason::Conflict, message);
        error.details = Some(json!({ "causes": causes }));
        error
    }

    /// The object breaks rules of its kind; one cause for each.
    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Box<Self> {
        Self::invalid_kind(resource.kind(), resource.group(), name, errors)
    }

    /// Refuses a request if its options have errors.
    pub fn of_options(kind: &str, errors: &[FieldError]) -> ApiResult<()> {
        match errors {
            [] => Ok(()),
            errors => Err(Self::invalid_kind(kind, "meta.k8s.io", "", errors)),
        }
    }

    /// An object of a kind that is not a resource, such as options, breaks rules.
    pub fn invalid_kind(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Box<Self> {
        let left = errors.len().saturating_sub(CAUSES);
        let errors = errors.get(..CAUSES).unwrap_or(errors);
        let mut said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        said.extend((left > 0).then(|| format!("and {left} more")));
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
        let mut error = Self::new(Reason::Invalid, format!("{qualified} {name:?} is invalid: {said}"));
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

    /// The user may not do this, or admission refuses it.
    pub fn forbidden(resource: &Resource, name: &str, why: impl Display) -> Box<Self> {
        let what = match name {
            "" => resource.qualified(),
            name => format!("{} {name:?}", resource.qualified()),
        };
        Self::new(Reason::Forbidden, format!("{what} is forbidden: {why}")).about(resource, name)
    }

    /// The user may not use a path outside of resources.
    pub fn forbidden_path(why: impl Display) -> Box<Self> {
        let mut error = Self::new(Reason::Forbidden, format!("forbidden: {why}"));
        error.details = Some(json!({}));
        error
    }

    /// The credentials are missing or wrong.
    pub fn unauthorized() -> Box<Self> {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// The request cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Box<Self> {
        Self::new(Reason::BadRequest, message)
    }

    /// The body names another object than the path.
    pub fn misplaced(what: &str, said: &str, wanted: &str) -> Box<Self> {
        Self::bad_request(format!(
            "the {what} of the object ({said}) does not match the {what} on the URL ({wanted})"
        ))
    }

    /// The resource does not have this verb.
    pub fn method_not_allowed(resource: &Resource) -> Box<Self> {
        let message = "the server does not allow this method on the requested resource";
        Self::new(Reason::MethodNotAllowed, message).about(resource, "")
    }

    /// The requested version has been compacted.
    pub fn expired(message: impl Into<String>) -> Box<Self> {
        Self::new(Reason::Expired, message)
    }

    /// The body is larger than `limit` bytes.
    pub fn too_large(limit: usize) -> Box<Self> {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(Reason::RequestEntityTooLarge, message)
    }

    /// The body's media type is not supported.
    pub fn media_type(found: &str, supported: &[&str]) -> Box<Self> {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {} (not {found:?})",
            supported.join(", ")
        );
        Self::new(Reason::UnsupportedMediaType, message)
    }

    /// The refusal of a write that the disk has no space for.
    pub fn no_room(message: impl Into<String>) -> Box<Self> {
        Self::new(Reason::InsufficientStorage, message)
    }

    /// The client must retry later.
    pub fn busy(message: impl Into<String>) -> Box<Self> {
        Self::new(Reason::TooManyRequests, message)
    }

    /// The request took too long.
    pub fn timeout(message: impl Into<String>) -> Box<Self> {
        Self::new(Reason::Timeout, message)
    }

    /// A client requests a revision that has not been written yet; the cause tells it that it may retry.
    pub fn future(asked: u64, newest: u64) -> Box<Self> {
        let mut error = Self::timeout(format!("Too large resource version: {asked}, current: {newest}"));
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        error.details = Some(json!({"causes": [cause], "retryAfterSeconds": 1}));
        error
    }

    /// The server supports none of the formats that the client accepts.
    pub fn not_acceptable(accept: &str) -> Box<Self> {
        let message = format!(
            "only application/json, application/yaml and application/vnd.kubernetes.protobuf can be answered, not {accept:?}"
        );
        Self::new(Reason::NotAcceptable, message)
    }

    /// The server cannot answer at present.
    pub fn unavailable(message: impl Into<String>) -> Box<Self> {
        Self::new(Reason::ServiceUnavailable, message)
    }

    /// A failure of the server itself. Details that only its log may have are not in it.
    pub fn internal(what: &str) -> Box<Self> {
        Self::new(Reason::InternalError, format!("Internal error occurred: {what}"))
    }

    /// A refusal that is worded elsewhere, as a `Status`. A code below 400 is not a refusal's and becomes 400.
    pub fn of_status(mut status: Value) -> Box<Self> {
        let code = status
            .get("code")
            .and_then(Value::as_u64)
            .filter(|code| (400..600).contains(code))
            .unwrap_or(400);
        put(&mut status, &["code"], code.into());
        put(&mut status, &["status"], "Failure".into());
        let said = |field: &str| status.get(field).and_then(Value::as_str).unwrap_or_default();
        let reason = Reason::parse(said("reason")).unwrap_or(match code {
            403 => Reason::Forbidden,
            500.. => Reason::InternalError,
            _ => Reason::BadRequest,
        });
        let mut error = Self::new(reason, said("message"));
        error.worded = Some(status);
        error
    }

    /// The HTTP code.
    pub fn code(&self) -> u16 {
        let worded = self.worded.as_ref().and_then(|status| status.get("code")?.as_u64());
        worded.and_then(|code| u16::try_from(code).ok()).unwrap_or_else(|| self.reason.code())
    }

    /// The body of an answer.
    pub fn status(&self) -> Value {
        if let Some(worded) = &self.worded {
            return worded.clone();
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason.as_str(),
        });
        if let Some(details) = &self.details {
            put(&mut status, &["details"], details.clone());
        }
        put(&mut status, &["code"], self.reason.code().into());
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_row() {
        for (reason, name, code) in Reason::TABLE {
            assert_eq!((reason.as_str(), reason.code()), (name, code));
            assert_eq!(Reason::parse(name), Some(reason));
            assert_eq!(Reason::TABLE.iter().filter(|row| row.1 == name).count(), 1, "{name}");
        }
        assert_eq!(Reason::parse("NoSuchReason"), None);
    }

    #[test]
    fn a_refusal_is_a_status() {
        let refused = ApiError::not_found(&crate::kind::PODS, "web");
        assert_eq!(
            refused.status(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                   "message": "pods \"web\" not found", "reason": "NotFound",
                   "details": {"name": "web", "kind": "pods"}, "code": 404})
        );
    }
}
