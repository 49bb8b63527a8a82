//! The rules of `restricted` beyond those of `baseline`, in the order of the names in Kubernetes.

use palisade_k8s::pod::{SeccompProfile, Volume, VolumeKind};
use palisade_k8s::{Container, Pod};

use super::baseline::{added, added_words, bad_profiles, confines, pod_security, unmasked_proc};
use super::violation::{Setters, Violation, containers, plural, quoted, sorted, those};
use super::{Check, Version};

/// Volume types that only reach the pod's own data.
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
    Check::new(escalation).since(8),
    Check::new(capabilities).since(22),
    Check::new(unmasked_proc).since(35),
    Check::new(volumes),
    Check::new(root_allowed),
    Check::new(runs_as_root).since(23),
    Check::new(seccomp).since(19),
];

/// Linux security settings do not apply to Windows, which validation ensures, and the standards since 1.25.
fn is_exempt(pod: &Pod<'_>, version: Version) -> bool {
    version.has(25) && pod.spec.is_windows()
}

/// Root in a user namespace is an unprivileged user of the node.
fn has_own_users(pod: &Pod<'_>, version: Version) -> bool {
    version.has(35) && pod.spec.host_users == Some(false)
}

fn escalation(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let names = those(pod, |container| {
        container.security().and_then(|security| security.allow_privilege_escalation) != Some(false)
    });
    (!names.is_empty() && !is_exempt(pod, version)).then(|| Violation {
        reason: "allowPrivilegeEscalation != false",
        detail: format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names)),
    })
}

fn capabilities(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let keeps = those(pod, |container| {
        let lists = container.security().and_then(|security| security.capabilities.as_ref());
        !lists.is_some_and(|lists| lists.drop.iter().any(|name| name.as_str() == "ALL"))
    });
    let (adds, capabilities) = added(pod, |name| name == "NET_BIND_SERVICE");
    let keeps = (!keeps.is_empty())
        .then(|| format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeps)));
    let adds = (!adds.is_empty()).then(|| added_words(&adds, &capabilities));
    let details: Vec<String> = keeps.into_iter().chain(adds).collect();
    (!details.is_empty() && !is_exempt(pod, version))
        .then(|| Violation { reason: "unrestricted capabilities", detail: details.join("; ") })
}

fn volumes(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let is_bad = |volume: &&Volume<'_>| {
        !volume.kinds.is_empty() && !volume.kinds.iter().any(|kind| VOLUMES.contains(kind))
    };
    let bad: Vec<&Volume<'_>> = pod.spec.volumes.iter().filter(is_bad).collect();
    let names: Vec<&str> = bad.iter().map(|volume| volume.name.as_str()).collect();
    let kinds = sorted(bad.iter().filter_map(|volume| volume.kinds.first()).map(|kind| kind.pod_field()));
    (!bad.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {} {}",
            plural("volume", "volumes", names.len()),
            quoted(&names),
            plural("uses", "use", names.len()),
            plural("restricted volume type", "restricted volume types", kinds.len()),
            quoted(&kinds)
        ),
    })
}

fn root_allowed(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if has_own_users(pod, version) {
        return None;
    }
    let own = |container: &Container<'_>| container.security().and_then(|security| security.run_as_non_root);
    let of_pod = pod_security(pod).and_then(|security| security.run_as_non_root);
    let setters = Setters::new(of_pod == Some(false), those(pod, |container| own(container) == Some(false)));
    let silent = those(pod, |container| own(container).is_none() && of_pod != Some(true));
    let detail = match setters {
        Some(setters) => format!("{} must not set securityContext.runAsNonRoot=false", setters.words()),
        None if silent.is_empty() => return None,
        None => format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)),
    };
    Some(Violation { reason: "runAsNonRoot != true", detail })
}

fn runs_as_root(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if has_own_users(pod, version) {
        return None;
    }
    let of_pod = pod_security(pod).and_then(|security| security.run_as_user);
    let names =
        those(pod, |container| container.security().is_some_and(|security| security.run_as_user == Some(0)));
    let setters = Setters::new(of_pod == Some(0), names)?;
    Some(Violation { reason: "runAsUser=0", detail: format!("{} must not set runAsUser=0", setters.words()) })
}

fn seccomp(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if is_exempt(pod, version) {
        return None;
    }
    // A profile of the pod must be valid itself, even if every container has its own.
    if let Some(bad) = bad_profiles(pod) {
        return Some(bad);
    }
    let of_pod = pod_security(pod).and_then(|security| security.seccomp_profile.as_ref());
    let own = |container: &Container<'_>| {
        container.security().is_some_and(|security| security.seccomp_profile.is_some())
    };
    let is_confined = of_pod.is_some_and(|profile: &SeccompProfile<'_>| confines(profile));
    let silent = those(pod, |container| !own(container) && !is_confined);
    (!silent.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            containers(&silent)
        ),
    })
}
