//! An SCC that is widened to permit what a pod lacks, and nothing beyond.

use palisade_k8s::field::Segment;
use palisade_k8s::pod::{ContainerSecurityContext, PodSecurityContext, VolumeKind};
use palisade_k8s::scc::{
    AllowedFlexVolume, GroupStrategy, IdRange, ObjectMeta, RunAsUserStrategy, SeLinuxContextStrategy,
    SeLinuxLabels,
};
use palisade_k8s::{FieldError, Pod, SecurityContextConstraints};

use crate::rule::sysctl::matches;

/// A copy of an SCC without users and groups.
pub(super) fn own(base: &SecurityContextConstraints, name: &str) -> SecurityContextConstraints {
    let mut own = base.clone();
    own.metadata = ObjectMeta { name: name.to_owned(), ..ObjectMeta::default() };
    own.priority = None;
    own.users = Some(Vec::new());
    own.groups = Some(Vec::new());
    own
}

/// Permits the fields of `errors`; without errors, the settings that Kubernetes requires with a privileged container.
/// Returns whether anything changed.
pub(super) fn widen(scc: &mut SecurityContextConstraints, errors: &[FieldError], pod: &Pod<'_>) -> bool {
    let before = scc.clone();
    if errors.is_empty() {
        scc.allow_privilege_escalation = Some(true);
        scc.default_allow_privilege_escalation = None;
    }
    errors.iter().for_each(|error| permit(scc, error, pod));
    crate::default(scc);
    *scc != before
}

fn permit(scc: &mut SecurityContextConstraints, error: &FieldError, pod: &Pod<'_>) {
    let has = |name: &str| error.path.segments().iter().any(|s| matches!(s, Segment::Field(f) if f == name));
    let value = || error.value.as_str().unwrap_or_default().to_owned();
    if has("seLinuxOptions") {
        scc.se_linux_context = labels(pod);
    } else if has("sysctls") {
        sysctls(scc, pod);
    } else if has("volumes") {
        volume(scc, &value(), pod);
    } else if has("seccompProfile") || has("annotations") {
        seccomp(scc, pod);
    } else if has("runAsUser") || has("runAsNonRoot") {
        scc.run_as_user = users(pod);
    } else if has("fsGroup") {
        let group = pod.spec.security_context.as_ref().and_then(|security| security.fs_group);
        groups(&mut scc.fs_group, group.as_slice());
    } else if has("supplementalGroups") {
        let groups_of = |security: &PodSecurityContext<'_>| security.supplemental_groups.clone();
        let asked = pod.spec.security_context.as_ref().and_then(groups_of).unwrap_or_default();
        groups(&mut scc.supplemental_groups, &asked);
    } else if has("add") {
        capability(scc, &value());
    } else if has("privileged") {
        scc.allow_privileged_container = true;
    } else if has("allowPrivilegeEscalation") {
        scc.allow_privilege_escalation = Some(true);
    } else if has("readOnlyRootFilesystem") {
        scc.read_only_root_filesystem = false;
    } else if has("hostUsers") {
        scc.user_namespace_level = "AllowHostLevel".to_owned();
    } else if has("hostPort") {
        scc.allow_host_ports = true;
    } else {
        scc.allow_host_network |= has("hostNetwork");
        scc.allow_host_pid |= has("hostPID");
        scc.allow_host_ipc |= has("hostIPC");
    }
}

fn securities<'p, 'a>(pod: &'p Pod<'a>) -> impl Iterator<Item = Option<&'p ContainerSecurityContext<'a>>> {
    pod.spec.all_containers().map(|(_, container)| container.security())
}

/// The labels that the pod requests, if it requests the same everywhere and names a level; an SCC without one means the
/// namespace's.
fn labels(pod: &Pod<'_>) -> SeLinuxContextStrategy {
    let of_pod = pod.spec.security_context.as_ref().and_then(|security| security.se_linux_options.as_ref());
    let own = securities(pod).flatten().filter_map(|own| own.se_linux_options.as_ref());
    let mut asked = own.chain(of_pod).map(|options| SeLinuxLabels {
        user: options.user.to_string(),
        role: options.role.to_string(),
        type_: options.type_.to_string(),
        level: options.level.to_string(),
    });
    match asked.next() {
        Some(first) if !first.level.is_empty() && asked.all(|other| other == first) => {
            SeLinuxContextStrategy { type_: "MustRunAs".to_owned(), se_linux_options: Some(first) }
        }
        _ => SeLinuxContextStrategy { type_: "RunAsAny".to_owned(), se_linux_options: None },
    }
}

/// Just the user IDs that the containers request, if all request one; else all but root's, or any.
fn users(pod: &Pod<'_>) -> RunAsUserStrategy {
    let security = pod.spec.security_context.as_ref();
    let of_pod = security.and_then(|security| security.run_as_user);
    let asked: Vec<Option<i64>> =
        securities(pod).map(|own| own.and_then(|own| own.run_as_user).or(of_pod)).collect();
    let refuses = |own: Option<&ContainerSecurityContext<'_>>| {
        own.and_then(|own| own.run_as_non_root).or(security.and_then(|security| security.run_as_non_root))
            == Some(false)
    };
    let strategy =
        |type_: &str| RunAsUserStrategy { type_: type_.to_owned(), ..RunAsUserStrategy::default() };
    let range = asked.iter().copied().collect::<Option<Vec<i64>>>();
    let bounds = range.as_deref().and_then(|ids| ids.iter().min().zip(ids.iter().max()));
    match bounds {
        Some((min, max)) if min == max => RunAsUserStrategy { uid: Some(*min), ..strategy("MustRunAs") },
        Some((min, max)) => RunAsUserStrategy {
            uid_range_min: Some(*min),
            uid_range_max: Some(*max),
            ..strategy("MustRunAsRange")
        },
        None if asked.iter().flatten().all(|id| *id > 0) && !securities(pod).any(refuses) => {
            strategy("MustRunAsNonRoot")
        }
        None => strategy("RunAsAny"),
    }
}

/// The groups that the pod requests in addition to the SCC's own ranges; any if it requests none.
fn groups(strategy: &mut GroupStrategy, asked: &[i64]) {
    let mut ranges = strategy.ranges.take().unwrap_or_default();
    ranges.retain(|range| range.min <= range.max);
    for &group in asked {
        if !ranges.iter().any(|range| range.contains(group)) {
            ranges.push(IdRange { min: group, max: group });
        }
    }
    *strategy = match asked {
        [] => GroupStrategy { type_: "RunAsAny".to_owned(), ranges: None },
        _ => GroupStrategy { type_: "MustRunAs".to_owned(), ranges: Some(ranges) },
    };
}

fn capability(scc: &mut SecurityContextConstraints, name: &str) {
    let allowed = scc.allowed_capabilities.get_or_insert_default();
    if !allowed.iter().any(|known| known == name) {
        allowed.push(name.to_owned());
    }
    if let Some(dropped) = &mut scc.required_drop_capabilities {
        // Capabilities that must be dropped may not be allowed, nor `*` beside any drop.
        dropped.retain(|known| known != name && name != "*");
    }
}

fn volume(scc: &mut SecurityContextConstraints, kind: &str, pod: &Pod<'_>) {
    let volumes = scc.volumes.get_or_insert_default();
    let drivers = pod.spec.volumes.iter().filter_map(|volume| volume.flex_driver.as_ref());
    if let Some(known) = VolumeKind::from_policy_name(kind) {
        volumes.retain(|name| name != "none");
        volumes.push(kind.to_owned());
        scc.allow_host_dir_volume_plugin |= known == VolumeKind::HostPath;
    } else if drivers.clone().any(|driver| **driver == *kind) {
        let allowed = scc.allowed_flex_volumes.get_or_insert_default();
        allowed.push(AllowedFlexVolume { driver: kind.to_owned() });
    }
}

fn sysctls(scc: &mut SecurityContextConstraints, pod: &Pod<'_>) {
    let asked = pod.spec.security_context.iter().flat_map(|security| &security.sysctls);
    for name in asked.map(|sysctl| sysctl.name.as_str()) {
        if let Some(forbidden) = &mut scc.forbidden_sysctls {
            forbidden.retain(|pattern| !matches(pattern, name));
        }
        let allowed = scc.allowed_unsafe_sysctls.get_or_insert_default();
        if !allowed.iter().any(|pattern| matches(pattern, name)) {
            allowed.push(name.to_owned());
        }
    }
}

/// Every profile that the pod names, after those that are allowed, so that the default stays the same, or is not one
/// that only this pod requested.
fn seccomp(scc: &mut SecurityContextConstraints, pod: &Pod<'_>) {
    use palisade_k8s::seccomp::is_annotation;
    let security = pod.spec.security_context.as_ref();
    let fields = securities(pod)
        .flatten()
        .filter_map(|own| own.seccomp_profile.as_ref())
        .chain(security.and_then(|security| security.seccomp_profile.as_ref()));
    let mut named: Vec<String> = fields.map(|field| field.annotation().into_owned()).collect();
    let annotations = pod.metadata.annotations.iter().flat_map(|annotations| annotations.iter());
    named.extend(annotations.filter(|(key, _)| is_annotation(key)).map(|(_, profile)| profile.to_owned()));
    let allowed = scc.seccomp_profiles.get_or_insert_default();
    if allowed.is_empty() {
        // The first is the default of pods without one.
        allowed.push("runtime/default".to_owned());
    }
    for profile in named.into_iter().filter(|profile| !profile.is_empty()) {
        if !allowed.contains(&profile) {
            allowed.push(profile);
        }
    }
}
