//! The resources that the API serves: one small file a kind, and this table of them.

pub mod at;
mod binding;
mod config;
mod event;
mod lease;
mod namespace;
mod node;
mod pod;
mod project;
mod rbac;
mod review;
mod scc;
mod service_account;
mod user;
mod volume;

use palisade_k8s::FieldError;
use serde_json::Value;

use crate::schema::{self, Message};
use crate::time;

pub use review::Review;
pub use user::{SELF, broken_name};

/// What the API knows of a resource.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for the core group. All are of version v1.
    pub group: &'static str,
    pub plural: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    /// The type in the schema.
    pub schema: &'static str,
    pub namespaced: bool,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub verbs: &'static [&'static str],
    pub subresources: &'static [&'static str],
    /// Under which name objects are kept: two resources may show the same ones.
    pub storage: &'static str,
    /// Further fields that objects can be selected by.
    pub selectable: &'static [&'static str],
    /// What names must look like.
    pub names: Names,
    /// The columns of a table after the name.
    pub columns: &'static [Column],
    /// The cells of these columns.
    pub cells: fn(&Value) -> Vec<Value>,
    /// Completes an object before admission: defaults, and what a client may not set. Second, the object as it is.
    pub prepare: fn(&mut Value, Option<&Value>),
    /// What is wrong with an object, or with its change from another.
    pub validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    /// Which change from another object is wrong, third through which subresource.
    pub check_change: fn(&Value, &Value, &str) -> Vec<FieldError>,
    /// Answers a request that keeps nothing.
    pub review: Option<Review>,
}

/// Rules for names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Letters, digits, `-` and `.`, at most 253.
    Subdomain,
    /// Letters, digits and `-`, at most 63.
    Label,
    /// Anything that can be a segment of a path.
    Segment,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `boolean` or `date`.
    pub kind: &'static str,
    /// 0 shows always, 1 with `-o wide`.
    pub priority: u8,
}

const fn column(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 0 }
}

const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", priority: 1 }
}

const AGE: Column = column("Age");

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What most resources have in common.
const BASE: Resource = Resource {
    group: "",
    plural: "",
    singular: "",
    kind: "",
    schema: "",
    namespaced: true,
    short_names: &[],
    categories: &[],
    verbs: ALL_VERBS,
    subresources: &[],
    storage: "",
    selectable: &[],
    names: Names::Subdomain,
    columns: &[AGE],
    cells: |object| vec![age(object)],
    prepare: |_, _| {},
    validate: |_, _| Vec::new(),
    check_change: |_, _, _| Vec::new(),
    review: None,
};

/// All resources.
pub static RESOURCES: &[Resource] = &[
    binding::BINDINGS,
    config::CONFIG_MAPS,
    config::SECRETS,
    event::EVENTS,
    namespace::NAMESPACES,
    node::NODES,
    volume::CLAIMS,
    volume::VOLUMES,
    pod::PODS,
    service_account::SERVICE_ACCOUNTS,
    scc::CORE_SCCS,
    review::TOKEN_REVIEWS,
    review::SELF_SUBJECT_REVIEWS,
    review::SUBJECT_ACCESS_REVIEWS,
    review::SELF_SUBJECT_ACCESS_REVIEWS,
    review::LOCAL_SUBJECT_ACCESS_REVIEWS,
    review::SELF_SUBJECT_RULES_REVIEWS,
    review::RESOURCE_ACCESS_REVIEWS,
    review::LOCAL_RESOURCE_ACCESS_REVIEWS,
    review::OPENSHIFT_SUBJECT_ACCESS_REVIEWS,
    review::OPENSHIFT_LOCAL_SUBJECT_ACCESS_REVIEWS,
    lease::LEASES,
    project::PROJECTS,
    project::PROJECT_REQUESTS,
    rbac::CLUSTER_ROLES,
    rbac::CLUSTER_ROLE_BINDINGS,
    rbac::ROLES,
    rbac::ROLE_BINDINGS,
    scc::SCCS,
    review::POD_SECURITY_POLICY_REVIEWS,
    review::POD_SECURITY_POLICY_SUBJECT_REVIEWS,
    review::POD_SECURITY_POLICY_SELF_SUBJECT_REVIEWS,
    user::GROUPS,
    user::USERS,
];

/// A resource by its group and plural name.
pub fn find(group: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.is(group, plural))
}

/// The resource whose objects are kept under a name.
pub fn of_storage(storage: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|resource| resource.storage == storage && !resource.is("", "securitycontextconstraints"))
}

/// The type of a kind, also of those that are no resource by themselves.
pub fn schema_of(api_version: &str, kind: &str) -> Option<&'static str> {
    let extra = match (api_version, kind) {
        ("v1", "DeleteOptions") | ("meta.k8s.io/v1", "DeleteOptions") => Some("DeleteOptions"),
        ("policy/v1", "Eviction") => Some("Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest") => Some("TokenRequest"),
        _ => None,
    };
    // Typed clients send options in the version of the group that they are for.
    let options = (kind == "DeleteOptions").then_some("DeleteOptions");
    extra.or(options).or_else(|| {
        let mut found = RESOURCES.iter().filter(|r| r.kind == kind && r.api_version() == api_version);
        found.next().map(|resource| resource.schema)
    })
}

impl Resource {
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    /// `v1`, or `GROUP/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", self.group) }
    }

    /// `pods`, or `roles.rbac.authorization.k8s.io`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Its type.
    pub fn message(&self) -> &'static Message {
        #[expect(clippy::expect_used, reason = "a test looks up the type of every resource")]
        schema::message(self.schema).expect("every resource has a type")
    }

    /// The group that rules name: an alias is ruled as what it shows.
    pub fn rule_group(&self) -> &'static str {
        if self.plural == palisade_k8s::scc::RESOURCE { palisade_k8s::scc::GROUP } else { self.group }
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// A text of an object, empty where it is absent.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn age(object: &Value) -> Value {
    time::age(text(object, "/metadata/creationTimestamp")).into()
}

fn count(object: &Value, field: &str) -> usize {
    match object.get(field) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    }
}

/// Gives a field a value where it has none.
fn default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.entry(field.to_owned()).or_insert_with(|| value.into());
    }
}

/// What the keys of ConfigMaps and Secrets must be: names of files.
const CONFIG_KEY: &str =
    "must be letters, digits, '-', '_' or '.', at most 253, and no way to another folder";

fn is_config_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key != "."
        && !key.starts_with("..")
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Says a change of fields that may not change.
fn immutable(new: &Value, old: Option<&Value>, fields: &[&'static str]) -> Vec<FieldError> {
    let Some(old) = old else { return Vec::new() };
    let changed = fields.iter().filter(|field| {
        let pointer = format!("/{}", field.replace('.', "/"));
        new.pointer(&pointer) != old.pointer(&pointer)
    });
    let path = |field: &'static str| palisade_k8s::FieldPath::of(field);
    changed
        .map(|field| FieldError::invalid(path(field), value_at(new, field), "field is immutable"))
        .collect()
}

fn value_at(object: &Value, field: &str) -> Value {
    object.pointer(&format!("/{}", field.replace('.', "/"))).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_has_a_type_and_a_place() {
        for resource in RESOURCES {
            assert!(schema::message(resource.schema).is_some(), "{}", resource.plural);
            assert_eq!(resource.storage.is_empty(), resource.review.is_some(), "{}", resource.plural);
            let cells = (resource.cells)(&serde_json::json!({}));
            assert_eq!(cells.len(), resource.columns.len(), "{}", resource.plural);
        }
    }
}
