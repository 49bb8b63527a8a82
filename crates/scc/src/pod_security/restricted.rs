//! The rules of `restricted` beyond those of `baseline`.

use palisade_k8s::Pod;
use palisade_k8s::pod::{SeccompProfile, SeccompType, VolumeKind};

use super::Check;
use super::baseline::{container_securities, pod_security, unmasked_proc};

/// Kinds of volume that reach nothing but the pod's own data.
pub(crate) const VOLUMES: [VolumeKind; 9] = [
    VolumeKind::ConfigMap,
    VolumeKind::Csi,
    VolumeKind::DownwardApi,
    VolumeKind::EmptyDir,
    VolumeKind::Ephemeral,
    VolumeKind::Image,
    VolumeKind::PersistentVolumeClaim,
    VolumeKind::Projected,
    VolumeKind::Secret,
];

pub(super) const CHECKS: &[Check] = &[
    Check { reason: "restricted volume types", is_broken: volumes },
    Check { reason: "allowPrivilegeEscalation != false", is_broken: escalation },
    Check { reason: "unrestricted capabilities", is_broken: capabilities },
    Check { reason: "runAsNonRoot != true", is_broken: root_allowed },
    Check { reason: "runAsUser=0", is_broken: runs_as_root },
    Check { reason: "seccompProfile", is_broken: seccomp },
    Check { reason: "procMount", is_broken: unmasked_proc },
];

fn volumes(pod: &Pod<'_>) -> bool {
    pod.spec.volume_kinds().any(|(_, kind)| !VOLUMES.contains(&kind))
}

fn escalation(pod: &Pod<'_>) -> bool {
    let refuses = |container: &palisade_k8s::Container<'_>| {
        container.security().and_then(|security| security.allow_privilege_escalation) == Some(false)
    };
    !pod.spec.is_windows() && !pod.spec.all_containers().all(|(_, container)| refuses(container))
}

fn capabilities(pod: &Pod<'_>) -> bool {
    let is_restricted = |container: &palisade_k8s::Container<'_>| {
        let lists = container.security().and_then(|security| security.capabilities.as_ref());
        lists.is_some_and(|lists| {
            lists.drop.iter().any(|name| **name == *"ALL")
                && lists.add.iter().all(|name| **name == *"NET_BIND_SERVICE")
        })
    };
    !pod.spec.is_windows() && !pod.spec.all_containers().all(|(_, container)| is_restricted(container))
}

/// A user namespace of its own makes its root an unprivileged user of the node.
fn root_allowed(pod: &Pod<'_>) -> bool {
    if pod.spec.host_users == Some(false) {
        return false;
    }
    let of_pod = pod_security(pod).and_then(|security| security.run_as_non_root);
    pod.spec.all_containers().any(|(_, container)| {
        let own = container.security().and_then(|security| security.run_as_non_root);
        own.or(of_pod) != Some(true)
    })
}

fn runs_as_root(pod: &Pod<'_>) -> bool {
    if pod.spec.host_users == Some(false) {
        return false;
    }
    let of_pod = pod_security(pod).and_then(|security| security.run_as_user);
    of_pod == Some(0) || container_securities(pod).any(|security| security.run_as_user == Some(0))
}

fn seccomp(pod: &Pod<'_>) -> bool {
    if pod.spec.is_windows() {
        return false;
    }
    let confines = |profile: Option<&SeccompProfile<'_>>| {
        profile.is_some_and(|profile| {
            matches!(profile.type_, SeccompType::RuntimeDefault | SeccompType::Localhost)
        })
    };
    let of_pod = pod_security(pod).and_then(|security| security.seccomp_profile.as_ref());
    let own = |container: &palisade_k8s::Container<'_>| {
        let own = container.security().and_then(|security| security.seccomp_profile.as_ref());
        confines(own.or(of_pod))
    };
    // A profile of the pod must be right in itself, even where every container has its own.
    (of_pod.is_some() && !confines(of_pod)) || !pod.spec.all_containers().all(|(_, container)| own(container))
}
