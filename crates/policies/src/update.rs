//! The requests that need a decision.

use crate::cel::text;
use palisade_k8s::scc::annotation::REQUIRED_SCC;

/// An annotation that the cluster's network writes to running pods.
const POD_NETWORKS: &str = "k8s.ovn.org/pod-networks";

/// Whether a policy applies to a request: neither to mirror pods of kubelets nor to pods for Windows, nor to
/// bookkeeping.
///
/// It is a variable and not a match condition, for each of which the API server would convert the object once more.
pub(crate) fn is_relevant() -> String {
    format!("!({}) && !({WINDOWS}) && ({})", is_mirrored("variables.annotations"), changes_something())
}

/// Whether a pod is for Windows, to which SCC does not apply.
pub(crate) const WINDOWS: &str = "variables.spec.?os.?name.orValue('') == 'windows'";

/// Whether it is a mirror pod, which a kubelet runs already.
pub(crate) fn is_mirrored(annotations: &str) -> String {
    format!(
        "'system:nodes' in request.userInfo.?groups.orValue([]) && 'kubernetes.io/config.mirror' in {annotations}"
    )
}

/// Whether a request changes something that matters for SCC. Finalizers, owners, scheduling gates and the network's own
/// annotation change without a decision, so that no controller is blocked (reference/scc.md 1b).
fn changes_something() -> String {
    let differs = |a: &str, b: &str, but: &str| {
        format!(
            "{a}.orValue({{}}).exists(k, k != {but} && {a}[?k] != {b}[?k]) ||\n\
             {b}.orValue({{}}).exists(k, k != {but} && !{a}[?k].hasValue())"
        )
    };
    format!(
        "request.operation != 'UPDATE' ||\n\
         object.metadata.?labels.orValue({{}}) != oldObject.metadata.?labels.orValue({{}}) ||\n\
         {} ||\n{}",
        differs("object.metadata.?annotations", "oldObject.metadata.?annotations", &text(POD_NETWORKS)),
        differs("object.?spec", "oldObject.?spec", "'schedulingGates'"),
    )
}

/// Whether an update leaves the required SCC unchanged.
pub(crate) fn keeps_required() -> String {
    let old = format!("oldObject.metadata.?annotations[?{}].orValue('')", text(REQUIRED_SCC));
    format!("request.operation != 'UPDATE' || variables.required == {old}")
}
