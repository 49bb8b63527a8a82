//! The demands of user namespaces on a cluster and its nodes.

use palisade_k8s::SecurityContextConstraints;
use palisade_scc::advice::Edit;

/// The demands of `hostUsers: false`. Kubernetes: KEP 127 (beta in 1.30, on by default from 1.33) and the requirements in
/// its documentation of user namespaces; OpenShift: its release notes of 4.20.
const DEMANDS: &str = "it takes Kubernetes 1.30 or newer with user namespaces (on by default from 1.33; OpenShift 4.20 or \
    newer), nodes with Linux 6.3, containerd 2.0 or CRI-O 1.25, and crun 1.9 or runc 1.2 or newer; on OpenShift, restricted-v3 \
    or another SCC with userNamespaceLevel: RequirePodLevel is made for such pods";

/// The way that advice has to do with user namespaces, and what they take; `None` where it has not. `helps`: the pod would be
/// admitted as it is in one.
pub(crate) fn demands(
    edits: &[Edit],
    granted: Option<&SecurityContextConstraints>,
    field: &str,
    helps: impl FnOnce() -> bool,
) -> Option<String> {
    let requires = |scc: &&SecurityContextConstraints| scc.user_namespace_level == "RequirePodLevel";
    if edits.iter().any(Edit::takes_user_namespace) {
        return Some(format!("{field}: false gives the pod a user namespace: {DEMANDS}"));
    }
    if edits.iter().any(Edit::masks_proc) && helps() {
        return Some(format!("to keep procMount: Unmasked, set {field}: false instead: {DEMANDS}"));
    }
    let scc = granted.filter(requires)?;
    Some(format!("{} admits only pods with hostUsers: false: {DEMANDS}", scc.metadata.name))
}
