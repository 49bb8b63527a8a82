//! Users and groups of OpenShift.

use serde_json::Value;

use palisade_k8s::FieldError;

use super::at::At;
use super::subresource::request;
use super::{BASE, Credentials, Names, Resource, Row, Serves, column, text};

/// The name by which users refer to themselves.
const SELF: &str = "~";

/// Users.
pub static USERS: Resource = Resource::Row(&Row {
    group: "user.openshift.io",
    plural: "users",
    singular: "user",
    kind: "User",
    schema: "User",
    namespaced: false,
    subresources: &[request("password", None, Serves::Password)],
    own_name: Some(SELF),
    credentials: Credentials::Login,
    storage: "user.openshift.io/users",
    names: Names::Segment,
    validate: |user, _| {
        let mut errors: Vec<FieldError> =
            check_name(&At::root(user, "metadata").field("name")).into_iter().collect();
        for identity in At::root(user, "identities").items() {
            let is_whole = identity.text().split_once(':').is_some_and(|(provider, name)| {
                broken_name(provider).is_none() && !name.is_empty() && !name.contains(':')
            });
            if !is_whole {
                errors.push(identity.invalid("must be a provider and a user's name there, as provider:name"));
            }
        }
        errors.extend(At::root(user, "groups").items().filter_map(|group| check_name(&group)));
        errors
    },
    columns: &[column("UID"), column("Full Name"), column("Identities")],
    cells: |user, _| {
        vec![text(user, "/metadata/uid").into(), text(user, "/fullName").into(), list(user, "identities")]
    },
    ..BASE
});

/// Groups.
pub static GROUPS: Resource = Resource::Row(&Row {
    group: "user.openshift.io",
    plural: "groups",
    singular: "group",
    kind: "Group",
    schema: "Group",
    namespaced: false,
    storage: "user.openshift.io/groups",
    credentials: Credentials::Tokens,
    names: Names::Segment,
    validate: |group, _| {
        let mut errors: Vec<FieldError> =
            check_name(&At::root(group, "metadata").field("name")).into_iter().collect();
        errors.extend(At::root(group, "users").items().filter_map(|user| check_name(&user)));
        errors
    },
    columns: &[column("Users")],
    cells: |group, _| vec![list(group, "users")],
    ..BASE
});

/// The rule that the name of a user or a group breaks, if it breaks one. The rules are OpenShift's (openshift-apiserver,
/// `pkg/user/apis/user/validation`): a colon is for the names of the system, such as `system:masters`.
#[must_use]
pub fn broken_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("must not be empty"),
        SELF => Some("must not be '~', which means the requesting user"),
        "." | ".." => Some("must not be '.' or '..'"),
        _ if name.len() > 253 => Some("must be no more than 253 bytes"),
        _ if name.contains(':') => Some("must not contain ':'"),
        _ if name.contains(['/', '%']) => Some("must not contain '/' or '%'"),
        _ if name.chars().any(char::is_control) => Some("must not contain control characters"),
        _ => None,
    }
}

fn check_name(name: &At<'_>) -> Option<FieldError> {
    broken_name(name.text()).map(|rule| name.invalid(rule))
}

fn list(object: &Value, field: &str) -> Value {
    let items = object.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ").into()
}
