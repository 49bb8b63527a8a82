//! Users and groups, as OpenShift has them: made with `palisade user`, and shown here.

use serde_json::Value;

use super::at::At;
use super::{BASE, Names, Resource, column, text};

/// The name by which everybody asks for themselves.
pub const SELF: &str = "~";

pub(super) const USERS: Resource = Resource {
    group: "user.openshift.io",
    plural: "users",
    singular: "user",
    kind: "User",
    schema: "User",
    namespaced: false,
    subresources: &["password"],
    storage: "user.openshift.io/users",
    names: Names::Segment,
    validate: |user, _| {
        let name = At::root(user, "metadata").field("name");
        // It means whoever asks.
        let is_own = name.text() == SELF;
        is_own.then(|| name.invalid("is no name that a user can have")).into_iter().collect()
    },
    columns: &[column("UID"), column("Full Name"), column("Identities")],
    cells: |user| {
        vec![text(user, "/metadata/uid").into(), text(user, "/fullName").into(), list(user, "identities")]
    },
    ..BASE
};

pub(super) const GROUPS: Resource = Resource {
    group: "user.openshift.io",
    plural: "groups",
    singular: "group",
    kind: "Group",
    schema: "Group",
    namespaced: false,
    storage: "user.openshift.io/groups",
    names: Names::Segment,
    columns: &[column("Users")],
    cells: |group| vec![list(group, "users")],
    ..BASE
};

fn list(object: &Value, field: &str) -> Value {
    let items = object.get(field).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ").into()
}
