//! `AdmissionReview` of `admission.k8s.io/v1`: the request as it is read, the response as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{FieldError, Text, nullable};

/// The API version of the reviews that are read and written.
pub const API_VERSION: &str = "admission.k8s.io/v1";

/// One review as the API server sends it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionReview<'a> {
    /// `admission.k8s.io/v1`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub api_version: Text<'a>,
    /// `AdmissionReview`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
    /// The request.
    #[serde(borrow, default)]
    pub request: Option<AdmissionRequest<'a>>,
}

/// A request for admission: one object, one operation, one user.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionRequest<'a> {
    /// Identifies the request; the response repeats it.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub uid: Text<'a>,
    /// The kind of the object.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub kind: GroupVersionKind<'a>,
    /// The resource that the request is for.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub resource: GroupVersionResource<'a>,
    /// The subresource, empty for the object itself.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub sub_resource: Text<'a>,
    /// The object's name; empty where the server generates one.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// The object's namespace.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub namespace: Text<'a>,
    /// The operation on it.
    #[serde(default, deserialize_with = "nullable")]
    pub operation: Operation,
    /// The user who makes the request.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub user_info: UserInfo<'a>,
    /// Whether nothing is kept of the request.
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// The object as it is to be.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// The object as it is.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
}

/// A kind's coordinates.
#[derive(Debug, Default, Deserialize)]
pub struct GroupVersionKind<'a> {
    /// API group; empty for the core group.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub group: Text<'a>,
    /// API version.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub version: Text<'a>,
    /// Kind.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub kind: Text<'a>,
}

/// A resource's coordinates.
#[derive(Debug, Default, Deserialize)]
pub struct GroupVersionResource<'a> {
    /// API group; empty for the core group.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub group: Text<'a>,
    /// API version.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub version: Text<'a>,
    /// Resource, in the plural.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub resource: Text<'a>,
}

/// The operation on an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A connection to it is opened: exec, attach, port-forward, proxy.
    Connect,
    /// Another operation, or none given.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The user who makes the request.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UserInfo<'a> {
    /// The user's name.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub username: Text<'a>,
    /// Tells users of one name apart who came after each other; often empty.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub uid: Text<'a>,
    /// The groups that the user is in.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub groups: Vec<Text<'a>>,
    /// Further facts about the user by the authenticator.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub extra: UserExtra<'a>,
}

/// The lists of a user's `extra`, by their keys.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct UserExtra<'a>(#[serde(borrow)] pub BTreeMap<Text<'a>, Option<Vec<Text<'a>>>>);

impl<'a> UserExtra<'a> {
    /// The scopes of the token that the user has shown, as OpenShift's OAuth server issues them.
    #[must_use]
    pub fn scopes(&self) -> &[Text<'a>] {
        self.0.get(SCOPES).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// The key of a token's scopes in `extra`.
const SCOPES: &str = "scopes.authorization.openshift.io";

/// A review as it is sent back.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewResponse<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: &'a AdmissionResponse,
}

impl<'a> ReviewResponse<'a> {
    /// The review that carries `response`.
    #[must_use]
    pub fn new(response: &'a AdmissionResponse) -> Self {
        Self { api_version: API_VERSION, kind: "AdmissionReview", response }
    }
}

/// The answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionResponse {
    /// The request's.
    pub uid: String,
    /// Whether the request is admitted.
    pub allowed: bool,
    /// The reason of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// `JSONPatch` where there is a patch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_type: Option<&'static str>,
    /// The patch, JSON in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// Shown to the user by their client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// For the audit log; the API server puts the webhook's name before each key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<String, String>,
}

/// The reason of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable, in camel case.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The single errors, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<StatusDetails>,
}

/// The object and its errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatusDetails {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's API group.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub group: &'static str,
    /// The object's kind.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'static str,
    /// One for each error.
    pub causes: Vec<StatusCause>,
}

/// One error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusCause {
    /// Machine-readable: `FieldValueInvalid` and the like.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// The field.
    pub field: String,
}

impl From<&FieldError> for StatusCause {
    fn from(error: &FieldError) -> Self {
        Self { reason: error.kind.reason(), message: error.message(), field: error.path.to_string() }
    }
}

impl Status {
    /// 403: policy says no.
    #[must_use]
    pub fn forbidden(message: String) -> Self {
        Self { code: 403, reason: "Forbidden", message, details: None }
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn bad_request(message: String) -> Self {
        Self { code: 400, reason: "BadRequest", message, details: None }
    }

    /// 422: the object breaks its own rules.
    #[must_use]
    pub fn invalid(group: &'static str, kind: &'static str, name: &str, errors: &[FieldError]) -> Self {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = match list.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        Self {
            code: 422,
            reason: "Invalid",
            message: format!("{kind}.{group} \"{name}\" is invalid: {list}"),
            details: Some(StatusDetails {
                name: name.to_owned(),
                group,
                kind,
                causes: errors.iter().map(StatusCause::from).collect(),
            }),
        }
    }
}
