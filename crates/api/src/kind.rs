//! The resources that the API serves: one small file for each kind, and this table of them.

mod at;
mod autoscaler;
mod binding;
mod config;
mod custom;
mod definition;
mod deletion;
mod event;
mod lease;
pub mod limit_range;
mod namespace;
mod network;
mod node;
mod pod;
mod policy;
mod portion;
mod project;
pub mod quota;
mod rbac;
mod resource;
mod review;
mod scale;
mod scc;
mod selecting;
mod service_account;
mod storage;
mod subresource;
mod user;
mod volume;
mod warning;
mod webhook;
mod workload;

use jiff::Timestamp;
use palisade_k8s::FieldError;
use serde_json::Value;

#[cfg(test)]
use crate::schema;
use crate::time;

pub use config::{CONFIG_MAPS, SECRETS};
pub use custom::Custom;
pub use definition::{CONVERSION_REVIEWS, DEFINITIONS};
pub use deletion::{CLEANUP, Deletion};
pub use namespace::NAMESPACES;
pub use network::{SERVICES, allocation};
pub use node::NODES;
pub use pod::PODS;
pub use policy::{
    LIMIT_RANGES, POD_DISRUPTION_BUDGETS, PRIORITY_CLASSES, RESOURCE_QUOTAS, RUNTIME_CLASSES, STORAGE_CLASSES,
};
pub use project::PROJECTS;
pub use rbac::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES};
pub use resource::Resource;
pub use review::Review;
pub use scc::SCCS;
pub use service_account::SERVICE_ACCOUNTS;
pub use subresource::{Serves, Subresource};
pub use user::{GROUPS, USERS, broken_name};
pub use volume::{CLAIMS, VOLUMES};
pub use webhook::{
    MUTATING as MUTATING_WEBHOOKS, VALIDATING as VALIDATING_WEBHOOKS, VARIABLES as WEBHOOK_VARIABLES,
};
pub use workload::{CONTROLLER_REVISIONS, CRON_JOBS, DEPLOYMENTS, JOBS, REPLICA_SETS};

/// All special properties of a resource: the server decides by these fields, never by the name of a kind. Properties
/// that a custom resource defines itself are read through [`Resource`].
#[derive(Debug)]
pub struct Row {
    /// API group; empty for the core group.
    group: &'static str,
    /// Version of the group.
    version: &'static str,
    /// Name in paths and rules.
    plural: &'static str,
    /// Singular name, for command lines.
    singular: &'static str,
    /// `kind` of its objects.
    kind: &'static str,
    /// Name of its type in the [schema].
    schema: &'static str,
    /// Whether its objects are namespaced.
    pub namespaced: bool,
    /// Short names for command lines.
    short_names: &'static [&'static str],
    /// Categories: groups of resources that command lines list at once, such as `all`.
    categories: &'static [&'static str],
    /// Verbs that it supports, as in RBAC rules.
    pub verbs: &'static [&'static str],
    /// Parts and operations of an object with a path of their own.
    subresources: &'static [Subresource],
    /// Name under which its objects are stored; several resources may show the same objects.
    storage: &'static str,
    /// Whether it shows objects that another resource stores.
    pub is_view: bool,
    /// Converts an object of another version of the resource to this version; none where there is one version, or where versions
    /// differ in name only.
    convert: Option<fn(&mut Value)>,
    /// API group in RBAC rules, if it is not the resource's own.
    ruled_as: Option<&'static str>,
    /// Whether an object may be sent with the `apiVersion` of another group of the same resource.
    pub has_aliases: bool,
    /// Fields, besides name and namespace, that field selectors may name.
    selectable: &'static [&'static str],
    /// Rules for the names of its objects.
    pub names: Names,
    /// Name by which all users refer to their own object, if there is one.
    pub own_name: Option<&'static str>,
    /// Whether a request for an object is authorized in the namespace that has the object's name.
    pub is_own_scope: bool,
    /// The visibility of its objects in lists and watches.
    pub visible: Visible,
    /// Fields of metadata that are not shown.
    pub hidden: &'static [&'static str],
    /// Whether `metadata.generation` counts changes of the desired state: of the field [`spec`](Self::spec).
    pub counts_generations: bool,
    /// Whether a replacement must have a resource version.
    pub needs_version: bool,
    /// Whether a replacement of an object that does not exist creates it.
    pub is_made_by_put: bool,
    /// The field of the desired state.
    pub spec: &'static str,
    /// The deletion of its objects.
    pub deletion: Deletion,
    /// Names of objects that cannot be deleted.
    pub undeletable: &'static [&'static str],
    /// Admission that its objects go through.
    pub admission: Admission,
    /// Usage of quotas by its objects, besides their number.
    pub counted: Counted,
    /// Credentials that depend on its objects.
    pub credentials: Credentials,
    /// Columns of a table after the name.
    columns: &'static [Column],
    /// Values of these columns at a point in time.
    cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// Completes an object before admission: sets defaults, and resets fields that clients may not set. The second
    /// argument is the old object.
    prepare: fn(&mut Value, Option<&Value>),
    /// Validates an object, and its change from an old one.
    validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    /// Validates a change from an old object through the subresource that is named third.
    check_change: fn(&Value, &Value, &str) -> Vec<FieldError>,
    /// Warnings for the author of a new or changed object.
    warnings: fn(&Value, Option<&Value>) -> Vec<String>,
    /// Answer to a review, whose object is not stored.
    pub review: Option<Review>,
}

/// The visibility of its objects in lists and watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All users that may list or watch the resource.
    ToAll,
    /// Of these, users that may get the object of the same name of this resource in the core group.
    ToThoseWhoGet(&'static str),
}

/// Credentials that depend on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// None.
    None,
    /// Tokens belong to it, or are bound to it, and end with it.
    Tokens,
    /// Passwords and tokens of a user end with it.
    Login,
}

/// Usage of quotas by objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// They count as `count/NAME.GROUP`.
    Plainly,
    /// Also as the name of the resource.
    ByName,
    /// A pod uses the resources that its containers request.
    Pods,
    /// A service uses node ports, and load balancers.
    Services,
    /// A claim uses storage, of its class.
    Claims,
}

/// Admission that objects go through between authorization and the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing but the life cycle of their namespace.
    Plain,
    /// A namespace is given its ranges and its initial objects.
    Namespace,
    /// A pod is given its service account, priority and resources, and is decided on by SCC.
    Pod,
    /// A claim gets the default storage class, and must be within the namespace's LimitRanges.
    Claim,
    /// A service gets its address and ports of nodes.
    Service,
    /// At most one priority class is the default.
    PriorityClass,
    /// The conditions of a CustomResourceDefinition report whether its names are free.
    Definition,
    /// An SCC gets its defaults, and is checked against its own rules.
    Scc,
    /// A node's agent writes only its own.
    Node,
    /// A node's agent writes only its own.
    Lease,
    /// The agent of a node writes the one of its node's name only.
    CsiNode,
    /// A role holds no rights that its author does not hold.
    Role,
    /// A binding may not grant rights that its author lacks.
    Binding,
    /// The author of a workload is warned of pods that SCC would refuse.
    Workload,
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
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, `boolean` or `date`.
    pub kind: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
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

/// The values of most resources.
const BASE: Row = Row {
    group: "",
    version: "v1",
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
    is_view: false,
    convert: None,
    ruled_as: None,
    has_aliases: false,
    selectable: &[],
    names: Names::Subdomain,
    own_name: None,
    is_own_scope: false,
    visible: Visible::ToAll,
    hidden: &[],
    counts_generations: false,
    needs_version: false,
    is_made_by_put: false,
    spec: "spec",
    deletion: Deletion::AtOnce,
    undeletable: &[],
    admission: Admission::Plain,
    counted: Counted::Plainly,
    credentials: Credentials::None,
    columns: &[AGE],
    cells: |object, now| vec![age(object, now)],
    prepare: |_, _| {},
    validate: |_, _| Vec::new(),
    check_change: |_, _, _| Vec::new(),
    warnings: |_, _| Vec::new(),
    review: None,
};

/// All resources.
pub static RESOURCES: &[&Resource] = &[
    &binding::BINDINGS,
    &config::CONFIG_MAPS,
    &config::SECRETS,
    &event::EVENTS,
    &namespace::NAMESPACES,
    &node::NODES,
    &volume::CLAIMS,
    &volume::VOLUMES,
    &pod::PODS,
    &service_account::SERVICE_ACCOUNTS,
    &network::ENDPOINTS,
    &network::SERVICES,
    &policy::LIMIT_RANGES,
    &policy::RESOURCE_QUOTAS,
    &policy::POD_TEMPLATES,
    &workload::REPLICATION_CONTROLLERS,
    &scc::CORE_SCCS,
    &webhook::MUTATING,
    &webhook::VALIDATING,
    &definition::DEFINITIONS,
    &workload::CONTROLLER_REVISIONS,
    &workload::DAEMON_SETS,
    &workload::DEPLOYMENTS,
    &workload::REPLICA_SETS,
    &workload::STATEFUL_SETS,
    &autoscaler::AUTOSCALERS,
    &autoscaler::FIRST_AUTOSCALERS,
    &workload::CRON_JOBS,
    &workload::JOBS,
    &network::ENDPOINT_SLICES,
    &event::NEWER_EVENTS,
    &network::INGRESSES,
    &network::INGRESS_CLASSES,
    &network::NETWORK_POLICIES,
    &policy::RUNTIME_CLASSES,
    &policy::POD_DISRUPTION_BUDGETS,
    &policy::PRIORITY_CLASSES,
    &storage::CSI_DRIVERS,
    &storage::CSI_NODES,
    &policy::STORAGE_CLASSES,
    &review::TOKEN_REVIEWS,
    &review::SELF_SUBJECT_REVIEWS,
    &review::SUBJECT_ACCESS_REVIEWS,
    &review::SELF_SUBJECT_ACCESS_REVIEWS,
    &review::LOCAL_SUBJECT_ACCESS_REVIEWS,
    &review::SELF_SUBJECT_RULES_REVIEWS,
    &review::RESOURCE_ACCESS_REVIEWS,
    &review::LOCAL_RESOURCE_ACCESS_REVIEWS,
    &review::OPENSHIFT_SUBJECT_ACCESS_REVIEWS,
    &review::OPENSHIFT_LOCAL_SUBJECT_ACCESS_REVIEWS,
    &lease::LEASES,
    &project::PROJECTS,
    &project::PROJECT_REQUESTS,
    &rbac::CLUSTER_ROLES,
    &rbac::CLUSTER_ROLE_BINDINGS,
    &rbac::ROLES,
    &rbac::ROLE_BINDINGS,
    &scc::SCCS,
    &review::POD_SECURITY_POLICY_REVIEWS,
    &review::POD_SECURITY_POLICY_SUBJECT_REVIEWS,
    &review::POD_SECURITY_POLICY_SELF_SUBJECT_REVIEWS,
    &user::GROUPS,
    &user::USERS,
];

/// A resource by its group and plural name, in the version in which it is kept.
pub fn find(group: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().copied().find(|resource| resource.is(group, plural))
}

/// The version of a group in which its resources are kept.
pub fn version_of(group: &str) -> Option<&'static str> {
    RESOURCES.iter().find(|resource| resource.group() == group).map(|resource| resource.version())
}

/// The resource whose objects are stored under a name.
pub fn of_storage(storage: &str) -> Option<&'static Resource> {
    RESOURCES.iter().copied().find(|resource| resource.storage() == storage && !resource.is_view)
}

/// The resource that an object's `apiVersion` and `kind` name.
pub fn of_object(object: &Value) -> Option<&'static Resource> {
    let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    RESOURCES.iter().copied().find(|resource| resource.kind() == kind && resource.api_version() == version)
}

/// The type of a kind, including kinds that are not resources.
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
        let mut found = RESOURCES.iter().filter(|r| r.kind() == kind && r.api_version() == api_version);
        found.next().map(|resource| resource.row().schema)
    })
}

/// A string of an object, empty if it is absent.
pub fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn age(object: &Value, now: Timestamp) -> Value {
    time::age(text(object, "/metadata/creationTimestamp"), now).into()
}

fn count(object: &Value, field: &str) -> usize {
    match object.get(field) {
        Some(Value::Array(items)) => items.len(),
        Some(Value::Object(map)) => map.len(),
        _ => 0,
    }
}

/// Sets a field that has no value.
fn default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.entry(field.to_owned()).or_insert_with(|| value.into());
    }
}

/// A new object gets this status, a changed one keeps its own.
fn keep_status(object: &mut Value, old: Option<&Value>, first: Value) {
    let status = old.map(|old| old.get("status").cloned().unwrap_or_default());
    if let Some(map) = object.as_object_mut() {
        map.insert("status".to_owned(), status.unwrap_or(first));
    }
    default(object, "spec", Value::Object(serde_json::Map::new()));
}

/// The rule for the keys of ConfigMaps and Secrets, which become file names.
const CONFIG_KEY: &str =
    "must be letters, digits, '-', '_' or '.', at most 253, and no way to another folder";

fn is_config_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key != "."
        && !key.starts_with("..")
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Errors for changes of immutable fields.
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
            assert!(schema::message(resource.row().schema).is_some(), "{}", resource.plural());
            assert_eq!(resource.storage().is_empty(), resource.review.is_some(), "{}", resource.plural());
            let cells = resource.cells(&serde_json::json!({}), Timestamp::UNIX_EPOCH);
            assert_eq!(cells.len(), resource.columns().len(), "{}", resource.plural());
        }
    }
}
