//! Node authorization: an agent reads what its own pods need, and writes its node and their status.
//!
//! `system:node:NAME` of the group `system:nodes` is the agent of the node NAME. The rules are those of Kubernetes' node
//! authorizer (`plugin/pkg/auth/authorizer/node`); what the objects it writes may say is in `admit::node`, as
//! NodeRestriction is there.

mod placed;
mod references;

use palisade_store::Store;

use crate::error::{ApiError, ApiResult, Reason};
use crate::identity::Identity;
use crate::objects;
use crate::request::Target;
use crate::resource::{self, text};

pub use placed::{Placed, weigh};
use references::Reference;

/// The group of all node agents.
const GROUP: &str = "system:nodes";
/// The namespace of the leases that nodes renew as their heartbeat.
pub const LEASES: &str = "kube-node-lease";

/// The node of an agent; `None` for other users.
pub fn of(identity: &Identity) -> Option<&str> {
    let name = identity.name.strip_prefix("system:node:").filter(|name| !name.is_empty());
    name.filter(|_| identity.groups.iter().any(|group| group == GROUP))
}

/// The reason why a node's agent may do something, if it may. `selected` is the node whose pods a field selector selects.
pub fn authorize(
    (store, placed): (&Store, &Placed),
    node: &str,
    verb: &str,
    target: &Target,
    selected: Option<&str>,
) -> ApiResult<Option<&'static str>> {
    let (group, plural, sub) = (target.resource.group(), target.resource.plural(), target.subresource_name());
    let (is_read, is_write) = (matches!(verb, "get" | "list" | "watch"), matches!(verb, "update" | "patch"));
    let has = |reference| placed.needs(node, &target.namespace, reference, &target.name);
    let may = match (group, plural, sub) {
        ("", "nodes", "") if is_read => target.name == node,
        // Services are for the variables of pods' environments.
        ("", "services", "")
        | ("node.k8s.io", "runtimeclasses", "")
        | ("storage.k8s.io", "csidrivers", "") => is_read,
        ("", "nodes", "") => verb == "create" || is_write && target.name == node,
        ("", "nodes", "status") => is_write && target.name == node,
        ("", "pods", "") if is_read && !target.name.is_empty() => is_own_pod(store, node, target)?,
        ("", "pods", "") if is_read => selected == Some(node),
        // Which pods is for admission to see.
        ("", "pods", "") => matches!(verb, "create" | "delete"),
        ("", "pods", "status") => is_write,
        ("", "pods", "eviction") => verb == "create",
        ("", "secrets", "") => is_read && has(Reference::Secret),
        ("", "configmaps", "") => is_read && has(Reference::ConfigMap),
        ("", "persistentvolumeclaims", "") => verb == "get" && has(Reference::Claim),
        ("", "persistentvolumes", "") => {
            verb == "get" && is_volume_needed((store, placed), node, &target.name)?
        }
        ("", "serviceaccounts", "") => verb == "get" && has(Reference::Account),
        ("", "serviceaccounts", "token") => verb == "create" && has(Reference::Account),
        ("", "events", "") => matches!(verb, "create" | "update" | "patch"),
        ("coordination.k8s.io", "leases", "") => {
            let is_own = target.name == node && matches!(verb, "get" | "update" | "patch" | "delete");
            target.namespace == LEASES && (verb == "create" || is_own)
        }
        // A kubelet is not ready before it has written its own.
        ("storage.k8s.io", "csinodes", "") => {
            let is_own = target.name == node && matches!(verb, "get" | "update" | "patch" | "delete");
            verb == "create" || is_own
        }
        ("authentication.k8s.io", "tokenreviews", "")
        | ("authorization.k8s.io", "subjectaccessreviews", "") => verb == "create",
        _ => false,
    };
    Ok(may.then_some("node: allowed by the node authorizer"))
}

fn is_own_pod(store: &Store, node: &str, target: &Target) -> ApiResult<bool> {
    match objects::get(store, &target.resource, &target.namespace, &target.name) {
        Ok(found) => Ok(text(&found.object, "/spec/nodeName") == node),
        Err(error) if error.reason == Reason::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a pod on the node has a claim that a volume is given to.
fn is_volume_needed((store, placed): (&Store, &Placed), node: &str, volume: &str) -> ApiResult<bool> {
    let volumes = resource::find("", "persistentvolumes").ok_or_else(ApiError::no_such_path)?;
    let found = match objects::get(store, volumes, "", volume) {
        Ok(found) => found.object,
        Err(error) if error.reason == Reason::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let (namespace, claim) = (text(&found, "/spec/claimRef/namespace"), text(&found, "/spec/claimRef/name"));
    Ok(placed.needs(node, namespace, Reference::Claim, claim))
}
