//! Escalation check: users cannot grant rights that they do not have, unless they may `escalate` or `bind`. And a bound of the
//! memory that roles and bindings take, which every decision looks through.

use palisade_admission::{PolicyKind, PolicyObject};
use palisade_k8s::rbac::PolicyRule;
use palisade_rbac::{Action, RbacKind, User, not_held};
use serde_json::Value;

use crate::authorize::allowed;
use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::limits;
use crate::locks::Held;
use crate::policy::owner;
use crate::resource::{Resource, text};

/// Maximum number of missing rules that a refusal lists.
const MOST_SAID: usize = 50;

pub(super) fn check_role(call: &Call<'_>, role: &Value, old: Option<&Value>) -> ApiResult<()> {
    let is_harmless = old.is_some_and(|old| is_for_garbage_collection(role, old));
    if call.identity.is_master() || is_harmless || may(call, "escalate", role)? {
        return Ok(());
    }
    let aggregates = |role: &Value| role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
    if aggregates(role) || old.is_some_and(aggregates) {
        // The rules that it will aggregate are not known, so only users that hold every right may create or change one.
        return require(call, role, [&everything()]);
    }
    let rules = role.get("rules").cloned().unwrap_or_default();
    let rules: Option<Vec<PolicyRule>> =
        serde_json::from_value(rules).map_err(|error| ApiError::bad_request(error.to_string()))?;
    require(call, role, rules.iter().flatten())
}

/// Whether only fields that the garbage collector changes have changed. A label is not one of them: it may aggregate a
/// role into one that a user holds (kubernetes `pkg/registry/rbac/helpers.go`, `IsOnlyMutatingGCFields`).
fn is_for_garbage_collection(object: &Value, old: &Value) -> bool {
    const FIELDS: [&str; 4] = ["ownerReferences", "finalizers", "managedFields", "resourceVersion"];
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| !FIELDS.contains(&field.as_str()));
        }
        object
    };
    without(object) == without(old)
}

pub(super) fn check_binding(call: &Call<'_>, binding: &Value, old: Option<&Value>) -> ApiResult<()> {
    let is_harmless = old.is_some_and(|old| is_for_garbage_collection(binding, old));
    if call.identity.is_master() || is_harmless {
        return Ok(());
    }
    let (kind, name) = (text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
    let action = Action {
        verb: "bind",
        group: palisade_k8s::rbac::GROUP,
        resource: plural,
        namespace: &call.target.namespace,
        name,
    };
    if allowed(&call.api.policy, call.identity, &action).is_some() {
        return Ok(());
    }
    let policy = call.api.policy.snapshot();
    let kind = if kind == "ClusterRole" { RbacKind::ClusterRole } else { RbacKind::Role };
    match policy.rbac().role_rules(kind, &call.target.namespace, name) {
        Some(rules) => require(call, binding, rules),
        // A binding of a role that does not exist yet would grant any rules that are put into it later.
        None => require(call, binding, [&everything()]),
    }
}

/// Refuses what makes the roles and bindings of a namespace, or of all projects of its requester, larger than their bound. Those
/// who are trusted with the cluster have none. What it gives is held until the object is written.
pub(super) fn claim_weight<'a>(
    call: &Call<'a>,
    object: &Value,
    old: Option<&Value>,
) -> ApiResult<Option<Held<'a>>> {
    if !call.target.resource.namespaced || is_trusted(call) {
        return Ok(None);
    }
    let before = old.map_or(0, |old| weight(call, old));
    let more = weight(call, object).saturating_sub(before);
    if more == 0 {
        return Ok(None);
    }
    let held = call.api.rooms.lock(&owner(&call.api.policy, &call.target.namespace));
    let total = call.api.policy.snapshot().grants_weight(&call.target.namespace) + more;
    match total <= limits::GRANTS {
        true => Ok(Some(held)),
        false => Err(too_heavy(&call.target.resource, text(object, "/metadata/name"))),
    }
}

/// Refuses a further project to a user whose projects have reached the bound.
pub(crate) fn check_requested(call: &Call<'_>, projects: &Resource, name: &str) -> ApiResult<()> {
    let total = call.api.policy.snapshot().requested_weight(&call.identity.name);
    if total + limits::GRANTS_OF_PROJECT <= limits::GRANTS || is_trusted(call) {
        return Ok(());
    }
    Err(too_heavy(projects, name))
}

/// Whether the requester holds all rights.
fn is_trusted(call: &Call<'_>) -> bool {
    let all = Action { verb: "*", group: "*", resource: "*", name: "", namespace: "" };
    call.identity.is_master() || allowed(&call.api.policy, call.identity, &all).is_some()
}

fn too_heavy(resource: &Resource, name: &str) -> Box<ApiError> {
    let most = limits::GRANTS >> 20;
    let why = format!(
        "the roles and role bindings of a namespace, and of all projects that one user has requested, may take {most} MiB of \
         the server's memory: delete some, or ask an administrator to create it"
    );
    ApiError::forbidden(resource, name, why)
}

/// The memory that a role or a binding takes; one that is not part of the policy takes none.
fn weight(call: &Call<'_>, object: &Value) -> usize {
    let resource = call.target.resource.plural();
    let kind = PolicyKind::RESOURCES.iter().find(|(_, plural, _)| *plural == resource);
    let read = kind.and_then(|(_, _, kind)| PolicyObject::of(*kind, object).ok());
    read.map_or(0, |read| read.grants_weight())
}

fn everything() -> PolicyRule {
    let all = || vec!["*".to_owned()];
    PolicyRule { verbs: all(), api_groups: all(), resources: all(), ..PolicyRule::default() }
}

fn may(call: &Call<'_>, verb: &str, object: &Value) -> ApiResult<bool> {
    let action = Action {
        verb,
        group: palisade_k8s::rbac::GROUP,
        resource: call.target.resource.plural(),
        namespace: &call.target.namespace,
        name: text(object, "/metadata/name"),
    };
    Ok(allowed(&call.api.policy, call.identity, &action).is_some())
}

fn require<'r>(
    call: &Call<'_>,
    object: &Value,
    rules: impl IntoIterator<Item = &'r PolicyRule>,
) -> ApiResult<()> {
    let groups = call.identity.groups();
    let user = User { name: &call.identity.name, groups: &groups };
    let policy = call.api.policy.snapshot();
    let held: Vec<&PolicyRule> = policy.rbac().rules(&user, &call.target.namespace).collect();
    let missing = not_held(&held, rules);
    if missing.is_empty() {
        return Ok(());
    }
    let mut said: Vec<String> = missing
        .iter()
        .take(MOST_SAID)
        .map(|rule| {
            let mut said = format!("{{APIGroups:{:?}, Resources:{:?}", rule.api_groups, rule.resources);
            if !rule.resource_names.is_empty() {
                said.push_str(&format!(", ResourceNames:{:?}", rule.resource_names));
            }
            said + &format!(", Verbs:{:?}}}", rule.verbs)
        })
        .collect();
    if missing.len() > MOST_SAID {
        said.push(format!("and {} more", missing.len() - MOST_SAID));
    }
    let why = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        call.identity.name,
        call.identity.groups,
        said.join("\n")
    );
    Err(ApiError::forbidden(&call.target.resource, text(object, "/metadata/name"), why))
}
