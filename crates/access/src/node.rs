//! Node authorization: an agent reads what its own pods need, and writes its node and their status.
//!
//! `system:node:NAME` of the group `system:nodes` is the agent of the node NAME. The rules are those of Kubernetes' node
//! authorizer (`plugin/pkg/auth/authorizer/node`); what the objects it writes may say is in `admit::node`, as
//! NodeRestriction is there.

mod references;

use palisade_store::{Cursor, Store};
use serde_json::Value;

use crate::error::{ApiError, ApiResult, Reason};
use crate::failure;
use crate::identity::Identity;
use crate::objects;
use crate::request::Target;
use crate::resource::{self, text};

pub use references::{Reference, refers};

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
    store: &Store,
    node: &str,
    verb: &str,
    target: &Target,
    selected: Option<&str>,
) -> ApiResult<Option<&'static str>> {
    let (group, plural, sub) = (target.resource.group(), target.resource.plural(), target.subresource_name());
    let (is_read, is_write) = (matches!(verb, "get" | "list" | "watch"), matches!(verb, "update" | "patch"));
    let has = |reference| is_needed(store, node, &target.namespace, reference, &target.name);
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
        ("", "secrets", "") => is_read && has(Reference::Secret)?,
        ("", "configmaps", "") => is_read && has(Reference::ConfigMap)?,
        ("", "persistentvolumeclaims", "") => verb == "get" && has(Reference::Claim)?,
        ("", "persistentvolumes", "") => verb == "get" && is_volume_needed(store, node, &target.name)?,
        ("", "serviceaccounts", "") => verb == "get" && has(Reference::Account)?,
        ("", "serviceaccounts", "token") => verb == "create" && has(Reference::Account)?,
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

/// Whether a pod on the node needs an object of a name.
fn is_needed(
    store: &Store,
    node: &str,
    namespace: &str,
    reference: Reference,
    name: &str,
) -> ApiResult<bool> {
    if namespace.is_empty() || name.is_empty() {
        return Ok(false);
    }
    any_pod(store, node, namespace, name, |pod| refers(pod, reference, name))
}

/// Whether a pod on the node has a claim that a volume is given to.
fn is_volume_needed(store: &Store, node: &str, volume: &str) -> ApiResult<bool> {
    let volumes = resource::find("", "persistentvolumes").ok_or_else(ApiError::no_such_path)?;
    let found = match objects::get(store, volumes, "", volume) {
        Ok(found) => found.object,
        Err(error) if error.reason == Reason::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let (namespace, claim) = (text(&found, "/spec/claimRef/namespace"), text(&found, "/spec/claimRef/name"));
    is_needed(store, node, namespace, Reference::Claim, claim)
}

/// Whether there is such a pod on the node, of those that have not ended. `name` is a text that it must have in it.
fn any_pod(
    store: &Store,
    node: &str,
    namespace: &str,
    name: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> ApiResult<bool> {
    let pods = &resource::PODS;
    let marks = [format!("\"nodeName\":{}", Value::from(node)), last_part(name).to_owned()];
    let mut after: Option<Cursor> = None;
    loop {
        let page = store.list(pods.storage(), Some(namespace), Some(palisade_registry::PART), after.as_ref());
        let page = page.map_err(|error| failure::store(pods, "", error))?;
        for kept in &page.objects {
            // Most pods are of other nodes: those are not worth reading.
            let may_be = std::str::from_utf8(&kept.value)
                .is_ok_and(|text| marks.iter().all(|mark| text.contains(mark.as_str())));
            let Some(pod) = may_be.then(|| objects::parse(&kept.value, kept.revision).ok()).flatten() else {
                continue;
            };
            let is_over = matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed");
            if text(&pod, "/spec/nodeName") == node && !is_over && is_wanted(&pod) {
                return Ok(true);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(false);
        }
    }
}

/// A part of a name that is in the pod: the name of a claim that a pod makes is put together of two.
fn last_part(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or(name)
}
