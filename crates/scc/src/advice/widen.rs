//! An SCC that is widened to permit what a pod lacks, and nothing beyond.

use palisade_k8s::field::Segment;
use palisade_k8s::pod::{ContainerSecurityContext, PodSecurityContext, SeLinuxOptions, VolumeKind};
use palisade_k8s::scc::{
    AllowedFlexVolume, GroupStrategy, IdRange, ObjectMeta, RunAsUserStrategy, SeLinuxContextStrategy,
    SeLinuxLabels,
};
use palisade_k8s::seccomp::is_same;
use palisade_k8s::{FieldError, FieldPath, KernelVersion, Pod, SecurityContextConstraints};

use crate::attempt::Context;
use crate::findings::Verdict;
use crate::least::{strategy, user_range};
use crate::rule::selinux::SeLinuxRule;
use crate::rule::sysctl::{is_safe, matches};

/// The name by which lists of an SCC permit everything: a pod that requests it by that name gets no SCC of its own.
const ANY: &str = "*";

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
pub(super) fn widen(
    scc: &mut SecurityContextConstraints,
    errors: &[FieldError],
    pod: &Pod<'_>,
    context: Context<'_>,
) -> bool {
    let before = scc.clone();
    if errors.is_empty() && scc.allow_privilege_escalation == Some(true) {
        scc.default_allow_privilege_escalation = None;
    } else if errors.is_empty() {
        escalation(scc);
    }
    errors.iter().for_each(|error| permit(scc, error, pod, context));
    crate::default(scc);
    *scc != before
}

fn permit(scc: &mut SecurityContextConstraints, error: &FieldError, pod: &Pod<'_>, context: Context<'_>) {
    let has = |name: &str| error.path.segments().iter().any(|s| matches!(s, Segment::Field(f) if f == name));
    let value = || error.value.as_str().unwrap_or_default().to_owned();
    if has("seLinuxOptions") {
        scc.se_linux_context = labels(pod, context);
    } else if has("sysctls") {
        sysctl(scc, &value(), context.kernel);
    } else if has("volumes") {
        volume(scc, &value(), pod);
    } else if has("seccompProfile") || has("annotations") {
        seccomp(scc, &value());
    } else if has("runAsUser") || has("runAsNonRoot") {
        scc.run_as_user = users(&scc.run_as_user, pod, context);
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
        escalation(scc);
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

/// The namespace's labels, else those that the pod requests first, if they are what it requests everywhere; else any.
fn labels(pod: &Pod<'_>, context: Context<'_>) -> SeLinuxContextStrategy {
    let of_pod = pod.spec.security_context.as_ref().and_then(|security| security.se_linux_options.as_ref());
    let own = securities(pod).flatten().filter_map(|own| own.se_linux_options.as_ref());
    let asked: Vec<&SeLinuxOptions<'_>> = own.chain(of_pod).collect();
    let first = asked.first().map(|options| SeLinuxLabels {
        user: options.user.to_string(),
        role: options.role.to_string(),
        type_: options.type_.to_string(),
        level: options.level.to_string(),
    });
    let strategy =
        |labels| SeLinuxContextStrategy { type_: "MustRunAs".to_owned(), se_linux_options: labels };
    let is_enough = |strategy: &SeLinuxContextStrategy| {
        let mut verdict = Verdict::default();
        let rule = SeLinuxRule::new(strategy).ok();
        let labels = rule.as_ref().and_then(|rule| rule.resolve(context.ranges).ok().flatten());
        asked.iter().for_each(|options| {
            labels.iter().for_each(|labels| labels.check(options, FieldPath::default, &mut verdict));
        });
        labels.is_some() && !verdict.is_refused()
    };
    let any = || SeLinuxContextStrategy { type_: "RunAsAny".to_owned(), se_linux_options: None };
    [strategy(None), strategy(first)].into_iter().find(is_enough).unwrap_or_else(any)
}

/// Just the user IDs that the containers request, if all request one. Where some leave it to the SCC: the namespace's own range
/// if it holds the others, else from the default on, else all but root's, or any.
fn users(before: &RunAsUserStrategy, pod: &Pod<'_>, context: Context<'_>) -> RunAsUserStrategy {
    let security = pod.spec.security_context.as_ref();
    let of_pod = security.and_then(|security| security.run_as_user);
    let asked: Vec<Option<i64>> =
        securities(pod).map(|own| own.and_then(|own| own.run_as_user).or(of_pod)).collect();
    let refuses = |own: Option<&ContainerSecurityContext<'_>>| {
        own.and_then(|own| own.run_as_non_root).or(security.and_then(|security| security.run_as_non_root))
            == Some(false)
    };
    let default = before.uid.or(before.uid_range_min).filter(|_| asked.contains(&None));
    let given = || asked.iter().flatten().copied();
    let bounds = given().min().zip(given().max());
    match (bounds, default) {
        (Some((min, max)), _) if !asked.contains(&None) => user_range(min, max),
        _ if context.ranges.uids().is_ok_and(|range| given().all(|id| range.contains(id))) => {
            strategy("MustRunAsRange")
        }
        (Some((min, max)), Some(first)) if 0 < first && first <= min => user_range(first, max),
        _ if given().all(|id| id > 0) && !securities(pod).any(refuses) => strategy("MustRunAsNonRoot"),
        _ => strategy("RunAsAny"),
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

/// Permits privilege escalation; where pods without the setting got none, they still get none.
fn escalation(scc: &mut SecurityContextConstraints) {
    scc.allow_privilege_escalation = Some(true);
    scc.default_allow_privilege_escalation.get_or_insert(false);
}

fn capability(scc: &mut SecurityContextConstraints, name: &str) {
    if name == ANY {
        return;
    }
    let allowed = scc.allowed_capabilities.get_or_insert_default();
    if !allowed.iter().any(|known| known == name) {
        allowed.push(name.to_owned());
    }
    if let Some(dropped) = &mut scc.required_drop_capabilities {
        // Capabilities that must be dropped may not be allowed.
        dropped.retain(|known| known != name);
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

fn sysctl(scc: &mut SecurityContextConstraints, name: &str, kernel: KernelVersion) {
    if let Some(forbidden) = &mut scc.forbidden_sysctls {
        forbidden.retain(|pattern| !matches(pattern, name));
    }
    let allowed = scc.allowed_unsafe_sysctls.get_or_insert_default();
    if !is_safe(name, kernel) && !allowed.iter().any(|pattern| matches(pattern, name)) {
        allowed.push(name.to_owned());
    }
}

/// The profile that a pod names, after those that are allowed, so that the default stays the same, or is not one that only
/// this pod requested.
fn seccomp(scc: &mut SecurityContextConstraints, profile: &str) {
    let allowed = scc.seccomp_profiles.get_or_insert_default();
    let default = (allowed.is_empty() || profile.is_empty()).then_some("runtime/default");
    for profile in default.into_iter().chain([profile]).filter(|profile| !["", ANY].contains(profile)) {
        if !allowed.iter().any(|known| is_same(known, profile)) {
            allowed.push(profile.to_owned());
        }
    }
}
