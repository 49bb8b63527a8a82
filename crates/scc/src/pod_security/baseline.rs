//! The rules of `baseline`.

use palisade_k8s::capability::CONTAINER_DEFAULT;
use palisade_k8s::pod::{
    AppArmorProfile, ContainerSecurityContext, PodSecurityContext, SeLinuxOptions, SeccompProfile,
    SeccompType, VolumeKind, WindowsOptions,
};
use palisade_k8s::{KernelVersion, Pod};

use super::Check;
use crate::rule::sysctl::is_safe;

const APPARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Whether the standard allows a container to add a capability: those that runtimes give by default, but for `NET_RAW`.
pub(crate) fn is_default_capability(name: &str) -> bool {
    name != "NET_RAW" && CONTAINER_DEFAULT.iter().any(|full| full.strip_prefix("CAP_") == Some(name))
}

/// SELinux types that confine a container.
pub(crate) const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// Sysctls that Pod Security allows from 1.37 on, and SCC does not know.
const SAFE_SINCE_1_37: [&str; 2] = ["net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"];

/// Whether the standards call a sysctl safe.
pub(super) fn is_safe_sysctl(name: &str) -> bool {
    is_safe(name, KernelVersion::LATEST) || SAFE_SINCE_1_37.contains(&name)
}

pub(super) const CHECKS: &[Check] = &[
    Check { reason: "hostProcess", is_broken: host_process },
    Check { reason: "host namespaces", is_broken: host_namespaces },
    Check { reason: "privileged", is_broken: privileged },
    Check { reason: "non-default capabilities", is_broken: capabilities },
    Check { reason: "hostPath volumes", is_broken: host_path },
    Check { reason: "hostPort", is_broken: host_port },
    Check { reason: "probe or lifecycle host", is_broken: handler_host },
    Check { reason: "forbidden AppArmor profile", is_broken: app_armor },
    Check { reason: "seLinuxOptions", is_broken: selinux },
    Check { reason: "procMount", is_broken: proc_mount },
    Check { reason: "seccompProfile", is_broken: seccomp },
    Check { reason: "forbidden sysctls", is_broken: sysctls },
];

pub(super) fn pod_security<'p, 'a>(pod: &'p Pod<'a>) -> Option<&'p PodSecurityContext<'a>> {
    pod.spec.security_context.as_ref()
}

pub(super) fn container_securities<'p, 'a>(
    pod: &'p Pod<'a>,
) -> impl Iterator<Item = &'p ContainerSecurityContext<'a>> {
    pod.spec.all_containers().filter_map(|(_, container)| container.security())
}

/// Whether `is_bad` holds for a field of the pod or of any container.
fn any<'p, T: 'p>(
    of_pod: Option<&'p T>,
    of_containers: impl Iterator<Item = &'p T>,
    is_bad: impl Fn(&T) -> bool,
) -> bool {
    of_pod.into_iter().chain(of_containers).any(is_bad)
}

fn host_process(pod: &Pod<'_>) -> bool {
    any(
        pod_security(pod).and_then(|security| security.windows_options.as_ref()),
        container_securities(pod).filter_map(|security| security.windows_options.as_ref()),
        |options: &WindowsOptions| options.host_process == Some(true),
    )
}

fn host_namespaces(pod: &Pod<'_>) -> bool {
    pod.spec.host_network || pod.spec.host_pid || pod.spec.host_ipc
}

fn privileged(pod: &Pod<'_>) -> bool {
    container_securities(pod).any(|security| security.privileged == Some(true))
}

fn capabilities(pod: &Pod<'_>) -> bool {
    container_securities(pod)
        .filter_map(|security| security.capabilities.as_ref())
        .flat_map(|capabilities| &capabilities.add)
        .any(|name| !is_default_capability(name))
}

fn host_path(pod: &Pod<'_>) -> bool {
    pod.spec.volume_kinds().any(|(_, kind)| kind == VolumeKind::HostPath)
}

fn host_port(pod: &Pod<'_>) -> bool {
    pod.spec.all_containers().any(|(_, container)| container.ports.iter().any(|port| port.host_port != 0))
}

fn handler_host(pod: &Pod<'_>) -> bool {
    pod.spec.all_containers().any(|(_, container)| container.handler_hosts().next().is_some())
}

fn app_armor(pod: &Pod<'_>) -> bool {
    let annotations = pod.metadata.annotations.iter().flat_map(|annotations| annotations.iter());
    let mut named = annotations.filter(|(key, _)| key.starts_with(APPARMOR_PREFIX));
    named.any(|(_, profile)| !matches!(profile, "" | "runtime/default") && !profile.starts_with("localhost/"))
        || any(
            pod_security(pod).and_then(|security| security.app_armor_profile.as_ref()),
            container_securities(pod).filter_map(|security| security.app_armor_profile.as_ref()),
            |profile: &AppArmorProfile<'_>| !matches!(&*profile.type_, "RuntimeDefault" | "Localhost"),
        )
}

fn selinux(pod: &Pod<'_>) -> bool {
    any(
        pod_security(pod).and_then(|security| security.se_linux_options.as_ref()),
        container_securities(pod).filter_map(|security| security.se_linux_options.as_ref()),
        |options: &SeLinuxOptions<'_>| {
            !SELINUX_TYPES.contains(&&*options.type_) || !options.user.is_empty() || !options.role.is_empty()
        },
    )
}

/// A user namespace of its own makes an unmasked `/proc` harmless.
fn proc_mount(pod: &Pod<'_>) -> bool {
    pod.spec.host_users != Some(false) && unmasked_proc(pod)
}

/// Whether a container sees all of `/proc`.
pub(super) fn unmasked_proc(pod: &Pod<'_>) -> bool {
    container_securities(pod)
        .filter_map(|security| security.proc_mount.as_ref())
        .any(|mount| !matches!(&**mount, "" | "Default"))
}

fn seccomp(pod: &Pod<'_>) -> bool {
    any(
        pod_security(pod).and_then(|security| security.seccomp_profile.as_ref()),
        container_securities(pod).filter_map(|security| security.seccomp_profile.as_ref()),
        |profile: &SeccompProfile<'_>| profile.type_ == SeccompType::Unconfined,
    )
}

fn sysctls(pod: &Pod<'_>) -> bool {
    let sysctls = pod_security(pod).into_iter().flat_map(|security| &security.sysctls);
    sysctls.into_iter().any(|sysctl| !is_safe_sysctl(&sysctl.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_capabilities_are_default() {
        let default: Vec<_> =
            palisade_k8s::capability::ALL.into_iter().filter(|name| is_default_capability(name)).collect();
        // Pod Security Standards, "Capabilities" of Baseline.
        let mut expected = vec![
            "AUDIT_WRITE",
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "MKNOD",
            "NET_BIND_SERVICE",
            "SETFCAP",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYS_CHROOT",
        ];
        expected.sort_by_key(|name| palisade_k8s::capability::ALL.iter().position(|known| known == name));
        assert_eq!(default, expected);
        assert!(
            !is_default_capability("CAP_CHOWN")
                && !is_default_capability("chown")
                && !is_default_capability("ALL")
        );
    }
}
