//! Authorization by RBAC: what no binding permits is refused.

use palisade_admission::PolicyCache;
use palisade_rbac::{Action, Scopes, User};
use palisade_store::Store;

use crate::error::{ApiError, ApiResult};
use crate::identity::Identity;
use crate::node::{self, Placed};
use crate::request::Target;

/// The reason why the user may take an action; empty for a master, `None` if they may not.
pub fn allowed(policy: &PolicyCache, identity: &Identity, action: &Action<'_>) -> Option<String> {
    let policy = policy.snapshot();
    // A right outside of the token's scopes is denied, even to users with every right.
    if !Scopes(&identity.scopes()).permit(policy.rbac(), action) {
        return None;
    }
    if identity.is_master() {
        return Some(String::new());
    }
    let groups = identity.groups();
    let user = User { name: &identity.name, groups: &groups };
    policy.rbac().authorize(&user, action).map(|grant| format!("RBAC: allowed by {grant}"))
}

/// Whether a user may use a path that is not a resource.
pub fn allowed_path(policy: &PolicyCache, identity: &Identity, verb: &str, path: &str) -> bool {
    let groups = identity.groups();
    let user = User { name: &identity.name, groups: &groups };
    Scopes(&identity.scopes()).permit_path(verb, path)
        && (identity.is_master() || policy.snapshot().rbac().authorize_path(&user, verb, path))
}

/// Refuses an action that the user may not take, with a message that does not reveal what exists. `selected` is the node
/// whose pods a field selector selects, if it selects a node's.
pub fn require(
    (store, placed): (&Store, &Placed),
    policy: &PolicyCache,
    identity: &Identity,
    verb: &str,
    target: &Target,
    selected: Option<&str>,
) -> ApiResult<String> {
    if let Some(name) = node::of(identity)
        && let Some(why) = node::authorize((store, placed), name, verb, target, selected)?
    {
        return Ok(why.to_owned());
    }
    let resource = target.rule_name();
    let action = Action {
        verb,
        group: target.resource.rule_group(),
        resource: &resource,
        namespace: target.scope(),
        name: &target.name,
    };
    if let Some(why) = allowed(policy, identity, &action) {
        return Ok(why);
    }
    let place = match target.scope() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let scopes = identity.scopes();
    if !scopes.is_empty() && !Scopes(&scopes).permit(policy.snapshot().rbac(), &action) {
        let why = format!("scopes [{}] prevent this action", scopes.join(" "));
        return Err(ApiError::forbidden(&target.resource, &target.name, why));
    }
    let why = format!(
        "User {:?} cannot {verb} resource {resource:?} in API group {:?} {place}",
        identity.name,
        target.resource.group()
    );
    Err(ApiError::forbidden(&target.resource, &target.name, why))
}
