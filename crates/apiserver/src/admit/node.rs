//! Admission of node agents: each writes its own node and its own pods, as Kubernetes' NodeRestriction admits it
//! (`plugin/pkg/admission/noderestriction`).

use std::net::IpAddr;
use std::sync::{MutexGuard, PoisonError};

use serde_json::Value;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::limits;
use crate::locks::Held;
use crate::node::{self, LEASES};
use crate::objects;
use crate::policy;
use crate::resource::{self, Admission, text};

/// Annotation of a mirror pod: the node runs it from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Labels in Kubernetes' domains that an agent may set on its node
/// (`staging/src/k8s.io/kubelet/pkg/apis/well_known_labels.go`).
const OWN_LABELS: [&str; 12] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "node.kubernetes.io/windows-build",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// Whether a pod is a mirror pod of the requesting agent's node.
pub(super) fn is_mirror(call: &Call<'_>, pod: &Value) -> bool {
    node::of(call.identity).is_some()
        && pod.pointer("/metadata/annotations").is_some_and(|all| all.get(MIRROR).is_some())
}

/// Refuses objects that a node's agent may not create.
pub(super) fn check_create(call: &Call<'_>, object: &Value) -> ApiResult<()> {
    if call.target.resource.admission == Admission::Pod {
        check_system(call, object, text(object, "/spec/nodeName"))?;
    }
    let Some(node) = node::of(call.identity) else { return Ok(()) };
    match call.target.resource.admission {
        Admission::Pod => check_mirror(call, node, object),
        Admission::Node => check_node(call, node, object, None),
        Admission::Lease => check_lease(call, node, object),
        Admission::CsiNode => check_csi_node(call, node, object),
        _ => Ok(()),
    }
}

/// Refuses changes that a node's agent may not make.
pub(super) fn check_update(call: &Call<'_>, object: &Value, old: &Value) -> ApiResult<()> {
    let Some(node) = node::of(call.identity) else { return Ok(()) };
    match call.target.resource.admission {
        Admission::Pod => {
            own_pod(call, node, old)?;
            let is_same = object.pointer("/metadata/labels") == old.pointer("/metadata/labels");
            if is_same { Ok(()) } else { no(call, node, "cannot change the labels of pods") }
        }
        Admission::Node => check_node(call, node, object, Some(old)),
        Admission::Lease => check_lease(call, node, object),
        Admission::CsiNode => check_csi_node(call, node, object),
        _ => Ok(()),
    }
}

/// Refuses to bind a pod for Windows to a node that is not known to run Windows: SCC leaves such pods alone, so on
/// Linux it would have rights that no SCC granted. A kubelet refuses it as well.
pub(crate) fn check_system(call: &Call<'_>, pod: &Value, node: &str) -> ApiResult<()> {
    const SYSTEM: &str = "/metadata/labels/kubernetes.io~1os";
    if node.is_empty() || text(pod, "/spec/os/name") != "windows" {
        return Ok(());
    }
    let nodes = &resource::NODES;
    match objects::get(&call.api.store, nodes, "", node) {
        Ok(found) if text(&found.object, SYSTEM) == "windows" => Ok(()),
        _ => {
            let why = format!("the pod is for windows, and node {node:?} does not say that it runs it");
            Err(ApiError::forbidden(&call.target.resource, text(pod, "/metadata/name"), why))
        }
    }
}

/// Refuses to delete or evict pods of another node.
pub(super) fn check_delete(call: &Call<'_>) -> ApiResult<()> {
    let Some(node) = node::of(call.identity) else { return Ok(()) };
    let target = call.target;
    match target.resource.admission {
        Admission::Pod => {
            let pod = objects::get(&call.api.store, &target.resource, &target.namespace, &target.name)?;
            own_pod(call, node, &pod.object)
        }
        Admission::Node if target.name != node => no(call, node, "can only delete its own node"),
        _ => Ok(()),
    }
}

/// Refuses a token that is not for a pod of the node: it must be bound to the pod, and its audience must be one that
/// the pod names.
pub(crate) fn check_token(
    call: &Call<'_>,
    audiences: &[String],
    bound: Option<(&Value, &str)>,
) -> ApiResult<()> {
    let Some(node) = node::of(call.identity) else { return Ok(()) };
    let Some((pod, uid)) = bound.filter(|(object, _)| object.pointer("/spec/containers").is_some()) else {
        return no(call, node, "requests tokens bound to a pod only");
    };
    if uid.is_empty() {
        return no(call, node, "requests tokens bound to a pod with its UID only");
    }
    own_pod(call, node, pod)?;
    let stray = audiences.iter().find(|audience| !is_projected(pod, audience));
    match stray {
        Some(audience) => no(
            call,
            node,
            &format!("requests tokens for audiences of the pod's volumes only, not for {audience:?}"),
        ),
        None => Ok(()),
    }
}

/// Whether a volume of the pod requests a token for the audience.
fn is_projected(pod: &Value, audience: &str) -> bool {
    let items = |object: &Value, pointer: &str| {
        object.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let volumes = items(pod, "/spec/volumes");
    let mut sources = volumes.iter().flat_map(|volume| items(volume, "/projected/sources"));
    sources.any(|source| text(&source, "/serviceAccountToken/audience") == audience)
        || audience == crate::token::ISSUER
}

fn no<T>(call: &Call<'_>, node: &str, why: &str) -> ApiResult<T> {
    Err(ApiError::forbidden(&call.target.resource, &call.target.name, format!("node {node:?} {why}")))
}

fn own_pod(call: &Call<'_>, node: &str, pod: &Value) -> ApiResult<()> {
    match text(pod, "/spec/nodeName") == node {
        true => Ok(()),
        false => no(call, node, "can only change pods that are on it"),
    }
}

/// A mirror pod shows a pod that runs on the node; it gets nothing from the API.
fn check_mirror(call: &Call<'_>, node: &str, pod: &Value) -> ApiResult<()> {
    if !is_mirror(call, pod) {
        return no(call, node, "can only create mirror pods");
    }
    own_pod(call, node, pod)?;
    if !text(pod, "/spec/serviceAccountName").is_empty() {
        return no(call, node, "cannot create pods with a service account");
    }
    if needs_objects(pod) {
        return no(call, node, "cannot create pods that need secrets, config maps or claims");
    }
    let is_owned_by_other =
        owners(pod).iter().any(|owner| (text(owner, "/kind"), text(owner, "/name")) != ("Node", node));
    if is_owned_by_other { no(call, node, "cannot create pods that others own") } else { Ok(()) }
}

/// Whether a pod refers to any object of its namespace: whether its text has one of the fields that do.
fn needs_objects(pod: &Value) -> bool {
    const FIELDS: [&str; 15] = [
        "secret",
        "secretName",
        "secretRef",
        "secretKeyRef",
        "configMap",
        "configMapRef",
        "configMapKeyRef",
        "persistentVolumeClaim",
        "ephemeral",
        "serviceAccountToken",
        "nodePublishSecretRef",
        "imagePullSecrets",
        "resourceClaims",
        "clusterTrustBundle",
        "podCertificate",
    ];
    match pod {
        Value::Object(map) => {
            map.iter().any(|(field, value)| FIELDS.contains(&field.as_str()) || needs_objects(value))
        }
        Value::Array(items) => items.iter().any(needs_objects),
        _ => false,
    }
}

fn owners(object: &Value) -> &[Value] {
    object.pointer("/metadata/ownerReferences").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An agent writes its own node, but not its owners, its taints, or labels that others rely on.
fn check_node(call: &Call<'_>, node: &str, new: &Value, old: Option<&Value>) -> ApiResult<()> {
    if text(new, "/metadata/name") != node {
        return no(call, node, "can only write its own node");
    }
    let was = |pointer: &str| old.and_then(|old| old.pointer(pointer));
    if owners(new) != old.map_or(&[][..], owners) {
        return no(call, node, "cannot change its owner references");
    }
    if new.pointer("/spec/configSource") != was("/spec/configSource") {
        return no(call, node, "cannot set spec.configSource");
    }
    if old.is_some() && new.pointer("/spec/taints") != was("/spec/taints") {
        return no(call, node, "cannot change its taints");
    }
    let labels = |object: Option<&Value>| object.and_then(Value::as_object).cloned().unwrap_or_default();
    let (now, before) = (labels(new.pointer("/metadata/labels")), labels(was("/metadata/labels")));
    let mut changed = now
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(*value))
        .map(|(key, _)| key)
        .chain(before.keys().filter(|key| !now.contains_key(*key)));
    match changed.find(|label| is_trusted(label)) {
        Some(label) => no(call, node, &format!("cannot change its label {label}")),
        None => Ok(()),
    }
}

/// Refuses a pod that refers to more objects than are kept in mind for its node (`crates/access/src/node/placed.rs`), by itself or
/// with those of its owner. What it gives is held until the pod is written.
pub(super) fn claim_references<'a>(
    call: &Call<'a>,
    new: &Value,
    old: Option<&Value>,
) -> ApiResult<Option<Held<'a>>> {
    if call.target.subresource_name() == "status" {
        return Ok(None);
    }
    let (most, bound) = limits::REFERENCES;
    let ((count, weight), (had, before)) = (node::weigh(new), old.map_or((0, 0), node::weigh));
    if count > had.max(most) {
        let why = format!(
            "the pod refers to {count} secrets, config maps, claims and accounts: {most} are the most"
        );
        return Err(ApiError::forbidden(&call.target.resource, text(new, "/metadata/name"), why));
    }
    // One that was on a node before is counted.
    let is_placed = |pod: &Value| !text(pod, "/spec/nodeName").is_empty();
    let more = weight.saturating_sub(old.filter(|old| is_placed(old)).map_or(0, |_| before));
    if more == 0 {
        return Ok(None);
    }
    let owner = policy::owner(&call.api.policy, &call.target.namespace);
    let is_near = more > limits::FEW_REFERENCES || call.api.placed.weight(&owner) > bound / 2;
    let held = (is_near && is_placed(new)).then(|| call.api.rooms.lock(&owner));
    match call.api.placed.weight(&owner) + more <= bound {
        true => Ok(held),
        false => Err(too_many_references(call, new)),
    }
}

fn too_many_references(call: &Call<'_>, pod: &Value) -> Box<ApiError> {
    let most = limits::REFERENCES.1 >> 20;
    let why = format!(
        "the secrets, config maps, claims and accounts that pods on nodes refer to, of a namespace and of all projects that one \
         user has requested, may take {most} MiB of the server's memory: delete some pods, or let them refer to fewer"
    );
    ApiError::forbidden(&call.target.resource, text(pod, "/metadata/name"), why)
}

/// Refuses a node whose agent gives its pods addresses of another node's: which pod is meant would depend on who asks.
/// The guard is held until the node is written, so that of two agents at once one is refused.
pub(super) fn claim_ranges<'a>(
    call: &Call<'a>,
    new: &Value,
    old: Option<&Value>,
) -> ApiResult<Option<MutexGuard<'a, ()>>> {
    let is_node = call.target.resource.admission == Admission::Node;
    let Some(node) = node::of(call.identity).filter(|_| is_node) else { return Ok(None) };
    if ranges(new).eq(old.into_iter().flat_map(ranges)) {
        return Ok(None);
    }
    let held = call.api.node_ranges.lock().unwrap_or_else(PoisonError::into_inner);
    check_ranges(call, node, new)?;
    Ok(Some(held))
}

fn check_ranges(call: &Call<'_>, node: &str, new: &Value) -> ApiResult<()> {
    let own: Vec<&str> = ranges(new).collect();
    let all = objects::list(&call.api.store, &resource::NODES, None, None, None)?.items;
    for other in all.iter().filter(|other| text(other, "/metadata/name") != node) {
        let pairs = ranges(other).flat_map(|theirs| own.iter().map(move |own| (*own, theirs)));
        if let Some((own, theirs)) = pairs.into_iter().find(|(own, theirs)| overlap(own, theirs)) {
            let name = text(other, "/metadata/name");
            let why = format!(
                "cannot give its pods addresses of {own}: node {name:?} has {theirs}; start it with another --pod-cidr, or delete node {name:?} if it is gone"
            );
            return no(call, node, &why);
        }
    }
    Ok(())
}

/// The ranges of the addresses of a node's pods.
fn ranges(node: &Value) -> impl Iterator<Item = &str> {
    let all = node.pointer("/spec/podCIDRs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let first = text(node, "/spec/podCIDR");
    all.iter().filter_map(Value::as_str).chain(Some(first)).filter(|range| !range.is_empty())
}

/// Whether two ranges share addresses. A text that cannot be read as a range shares none.
fn overlap(one: &str, other: &str) -> bool {
    let parse = |text: &str| {
        let (address, bits) = text.split_once('/')?;
        let bits: u32 = bits.parse().ok()?;
        match address.parse().ok()? {
            IpAddr::V4(address) => Some((address.to_ipv6_mapped().to_bits(), bits.saturating_add(96))),
            IpAddr::V6(address) => Some((address.to_bits(), bits)),
        }
    };
    let (Some((one, bits)), Some((other, of_other))) = (parse(one), parse(other)) else { return false };
    let shift = 128_u32.saturating_sub(bits.min(of_other));
    (one ^ other).checked_shr(shift).unwrap_or(0) == 0
}

/// Whether others make decisions by a label, so that an agent must not set it.
fn is_trusted(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let is_in =
        |parent: &str| domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if is_in("node-restriction.kubernetes.io") {
        return true;
    }
    let is_own = OWN_LABELS.contains(&label) || is_in("kubelet.kubernetes.io") || is_in("node.kubernetes.io");
    (is_in("kubernetes.io") || is_in("k8s.io")) && !is_own
}

fn check_lease(call: &Call<'_>, node: &str, lease: &Value) -> ApiResult<()> {
    let is_own = call.target.namespace == LEASES && text(lease, "/metadata/name") == node;
    if is_own { Ok(()) } else { no(call, node, "can only write its own lease") }
}

fn check_csi_node(call: &Call<'_>, node: &str, object: &Value) -> ApiResult<()> {
    let is_own = text(object, "/metadata/name") == node;
    if is_own { Ok(()) } else { no(call, node, "can only write the CSINode of its own name") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_others_trust_are_not_the_nodes() {
        for (label, trusted) in [
            ("team", false),
            ("example.com/tier", false),
            ("kubernetes.io/hostname", false),
            ("kubelet.kubernetes.io/x", false),
            ("sub.node.kubernetes.io/x", false),
            ("node-restriction.kubernetes.io/x", true),
            ("a.node-restriction.kubernetes.io/x", true),
            ("node-role.kubernetes.io/master", true),
            ("kubernetes.io/other", true),
            ("scheduling.k8s.io/x", true),
            ("notkubernetes.io/x", false),
        ] {
            assert_eq!(is_trusted(label), trusted, "{label}");
        }
    }

    #[test]
    fn ranges_overlap_if_they_share_an_address() {
        for (one, other, expected) in [
            ("10.0.0.0/24", "10.0.0.0/24", true),
            ("10.0.0.0/16", "10.0.9.0/24", true),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("0.0.0.0/0", "10.0.1.0/24", true),
            ("10.0.0.0/24", "fd00::/64", false),
            ("fd00::/64", "fd00::1:0/112", true),
            ("fd00::/64", "fd00:0:0:1::/64", false),
            ("10.0.0.0/4294967295", "10.0.0.0/24", true),
            ("x", "x", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
