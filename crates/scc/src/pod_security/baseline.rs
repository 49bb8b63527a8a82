//! The rules of `baseline`, in the order of their names in Kubernetes.

use palisade_k8s::capability::CONTAINER_DEFAULT;
use palisade_k8s::pod::{
    ContainerSecurityContext, PodSecurityContext, SeLinuxOptions, SeccompProfile, SeccompType, VolumeKind,
    WindowsOptions,
};
use palisade_k8s::{Container, Pod};

use super::violation::{Setters, Violation, containers, plural, quoted, sorted, those};
use super::{Check, Version};

const APPARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_PREFIX: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Whether the standard permits a container to add a capability: the runtimes' defaults, except `NET_RAW`.
pub(crate) fn is_default_capability(name: &str) -> bool {
    name != "NET_RAW" && CONTAINER_DEFAULT.iter().any(|full| full.strip_prefix("CAP_") == Some(name))
}

/// SELinux types that confine a container, each with the release that permits it.
const SELINUX_TYPES: [(&str, u32); 5] = [
    ("", 0),
    ("container_t", 0),
    ("container_init_t", 0),
    ("container_kvm_t", 0),
    ("container_engine_t", 31),
];

/// Sysctls that affect the pod alone, each with the release that permits it.
const SYSCTLS: [(&str, u32); 14] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
    ("net.ipv4.tcp_slow_start_after_idle", 37),
    ("net.ipv4.tcp_notsent_lowat", 37),
];

/// Whether the standards allow a sysctl.
pub(super) fn is_safe_sysctl(name: &str, version: Version) -> bool {
    SYSCTLS.iter().any(|(safe, since)| *safe == name && version.has(*since))
}

/// Whether the standards allow an SELinux type.
pub(super) fn is_confined_type(name: &str, version: Version) -> bool {
    SELINUX_TYPES.iter().any(|(confined, since)| *confined == name && version.has(*since))
}

pub(super) const CHECKS: &[Check] = &[
    Check::new(app_armor),
    Check::new(capabilities).replaced(22),
    Check::new(host_namespaces),
    Check::new(host_path).replaced(0),
    Check::new(host_ports),
    Check::new(handler_hosts).since(34),
    Check::new(privileged),
    Check::new(proc_mount).replaced(35),
    Check::new(selinux),
    Check::new(seccomp).replaced(19),
    Check::new(sysctls),
    Check::new(host_process),
];

pub(super) fn pod_security<'p, 'a>(pod: &'p Pod<'a>) -> Option<&'p PodSecurityContext<'a>> {
    pod.spec.security_context.as_ref()
}

fn securities<'p, 'a>(pod: &'p Pod<'a>) -> impl Iterator<Item = &'p ContainerSecurityContext<'a>> {
    pod.spec.all_containers().filter_map(|(_, container)| container.security())
}

fn app_armor(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let is_bad = |kind: &&str| !matches!(*kind, "RuntimeDefault" | "Localhost");
    let kind = |container: &Container<'_>| {
        container
            .security()
            .and_then(|security| security.app_armor_profile.as_ref())
            .is_some_and(|profile| is_bad(&profile.type_.as_str()))
    };
    let of_pod = pod_security(pod).and_then(|security| security.app_armor_profile.as_ref());
    let of_pod = of_pod.map(|profile| profile.type_.as_str()).filter(is_bad);
    let setters = Setters::new(of_pod.is_some(), those(pod, kind));
    let of_containers = securities(pod).filter_map(|security| security.app_armor_profile.as_ref());
    let of_containers = of_containers.map(|profile| profile.type_.as_str()).filter(is_bad);
    let mut values: Vec<String> =
        sorted(of_pod.into_iter().chain(of_containers)).into_iter().map(str::to_owned).collect();
    let annotations = pod.metadata.annotations.iter().flat_map(|annotations| annotations.iter());
    let annotations = sorted(annotations.filter(|(key, profile)| {
        let is_allowed = matches!(*profile, "" | "runtime/default") || profile.starts_with("localhost/");
        key.starts_with(APPARMOR_PREFIX) && !is_allowed
    }));
    values.extend(annotations.iter().map(|(key, profile)| format!("{key}={profile:?}")));
    let annotation =
        (!annotations.is_empty()).then(|| plural("annotation", "annotations", annotations.len()).to_owned());
    let setters: Vec<String> = setters.map(|setters| setters.words()).into_iter().chain(annotation).collect();
    (!setters.is_empty()).then(|| Violation {
        reason: match values.len() {
            1 => "forbidden AppArmor profile",
            _ => "forbidden AppArmor profiles",
        },
        detail: format!(
            "{} must not set AppArmor profile type to {}",
            setters.join(" and "),
            quoted(&values)
        ),
    })
}

/// The containers that add forbidden capabilities, and these.
pub(super) fn added<'p>(pod: &'p Pod<'_>, is_allowed: impl Fn(&str) -> bool) -> (Vec<&'p str>, Vec<&'p str>) {
    let bad = |container: &'p Container<'_>| {
        let lists = container.security().and_then(|security| security.capabilities.as_ref());
        lists
            .into_iter()
            .flat_map(|lists| &lists.add)
            .map(|name| name.as_str())
            .filter(|name| !is_allowed(name))
    };
    let names = those(pod, |container| bad(container).next().is_some());
    (names, sorted(pod.spec.all_containers().flat_map(|(_, container)| bad(container))))
}

fn capabilities(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let (names, capabilities) = added(pod, is_default_capability);
    (!names.is_empty())
        .then(|| Violation { reason: "non-default capabilities", detail: added_words(&names, &capabilities) })
}

pub(super) fn added_words(names: &[&str], capabilities: &[&str]) -> String {
    format!(
        "{} must not include {} in securityContext.capabilities.add",
        containers(names),
        quoted(capabilities)
    )
}

fn host_namespaces(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let shared = [
        (pod.spec.host_network, "hostNetwork=true"),
        (pod.spec.host_pid, "hostPID=true"),
        (pod.spec.host_ipc, "hostIPC=true"),
    ];
    let shared: Vec<&str> =
        shared.into_iter().filter(|(is_shared, _)| *is_shared).map(|(_, said)| said).collect();
    (!shared.is_empty()).then(|| Violation { reason: "host namespaces", detail: shared.join(", ") })
}

fn host_path(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let volumes = pod.spec.volumes.iter().filter(|volume| volume.kinds.contains(&VolumeKind::HostPath));
    let names: Vec<&str> = volumes.map(|volume| volume.name.as_str()).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names)),
    })
}

fn host_ports(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let names = those(pod, |container| container.ports.iter().any(|port| port.host_port != 0));
    let ports = pod.spec.all_containers().flat_map(|(_, container)| &container.ports);
    let ports = sorted(ports.filter(|port| port.host_port != 0).map(|port| port.host_port.to_string()));
    (!names.is_empty()).then(|| Violation {
        reason: "hostPort",
        detail: format!(
            "{} {} {} {}",
            containers(&names),
            plural("uses", "use", names.len()),
            plural("hostPort", "hostPorts", ports.len()),
            ports.join(", ")
        ),
    })
}

fn handler_hosts(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let names = sorted(those(pod, |container| container.handler_hosts().next().is_some()));
    let hosts = pod.spec.all_containers().flat_map(|(_, container)| container.handler_hosts());
    let hosts = sorted(hosts.map(|(_, host)| host));
    (!names.is_empty()).then(|| Violation {
        reason: "probe or lifecycle host",
        detail: format!(
            "{} {} {} {}",
            containers(&names),
            plural("uses", "use", names.len()),
            plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
            quoted(&hosts)
        ),
    })
}

fn privileged(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let names = those(pod, |container| {
        container.security().is_some_and(|security| security.privileged == Some(true))
    });
    (!names.is_empty()).then(|| Violation {
        reason: "privileged",
        detail: format!("{} must not set securityContext.privileged=true", containers(&names)),
    })
}

/// A user namespace of its own makes an unmasked `/proc` harmless.
fn proc_mount(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(35) && pod.spec.host_users == Some(false) { None } else { unmasked_proc(pod, version) }
}

pub(super) fn unmasked_proc(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let bad = |security: &ContainerSecurityContext<'_>| {
        security.proc_mount.as_ref().is_some_and(|mount| !matches!(mount.as_str(), "" | "Default"))
    };
    let names = those(pod, |container| container.security().is_some_and(bad));
    let mounts =
        securities(pod).filter(|security| bad(security)).filter_map(|security| security.proc_mount.as_ref());
    let mounts = sorted(mounts.map(|mount| mount.as_str()));
    (!names.is_empty()).then(|| Violation {
        reason: "procMount",
        detail: format!(
            "{} must not set securityContext.procMount to {}",
            containers(&names),
            quoted(&mounts)
        ),
    })
}

fn selinux(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let is_bad_type = |options: &&SeLinuxOptions<'_>| !is_confined_type(options.type_.as_str(), version);
    let is_bad = |options: &&SeLinuxOptions<'_>| {
        is_bad_type(options) || !options.user.is_empty() || !options.role.is_empty()
    };
    let of_pod = pod_security(pod).and_then(|security| security.se_linux_options.as_ref());
    let names = those(pod, |container| {
        container.security().and_then(|security| security.se_linux_options.as_ref()).filter(is_bad).is_some()
    });
    let setters = Setters::new(of_pod.filter(is_bad).is_some(), names)?;
    let all = || {
        of_pod.into_iter().chain(securities(pod).filter_map(|security| security.se_linux_options.as_ref()))
    };
    let types = sorted(all().filter(is_bad_type).map(|options| options.type_.as_str()));
    let types =
        (!types.is_empty()).then(|| format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    let user = all().any(|options| !options.user.is_empty()).then(|| "user may not be set".to_owned());
    let role = all().any(|options| !options.role.is_empty()).then(|| "role may not be set".to_owned());
    let data: Vec<String> = [types, user, role].into_iter().flatten().collect();
    Some(Violation {
        reason: "seLinuxOptions",
        detail: format!(
            "{} set forbidden securityContext.seLinuxOptions: {}",
            setters.words(),
            data.join("; ")
        ),
    })
}

/// Annotations counted until fields existed.
fn seccomp(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    if version.has(19) {
        return bad_profiles(pod);
    }
    let is_allowed = |profile: &str| {
        matches!(profile, "runtime/default" | "docker/default") || profile.starts_with("localhost/")
    };
    let keys = pod
        .spec
        .all_containers()
        .map(|(_, container)| format!("{SECCOMP_PREFIX}{}", container.name.as_str()));
    let keys = keys.chain([SECCOMP_POD.to_owned()]);
    let bad = sorted(keys.filter_map(|key| {
        let profile = pod.metadata.annotation(&key).filter(|profile| !is_allowed(profile))?;
        Some(format!("{key}={profile:?}"))
    }));
    (!bad.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!("forbidden {} {}", plural("annotation", "annotations", bad.len()), bad.join(", ")),
    })
}

pub(super) fn confines(profile: &SeccompProfile<'_>) -> bool {
    matches!(profile.type_, SeccompType::RuntimeDefault | SeccompType::Localhost)
}

/// Profiles that are set, and do not confine.
pub(super) fn bad_profiles(pod: &Pod<'_>) -> Option<Violation> {
    let is_bad = |profile: &&SeccompProfile<'_>| !confines(profile);
    let of_pod = pod_security(pod).and_then(|security| security.seccomp_profile.as_ref()).filter(is_bad);
    let names = those(pod, |container| {
        container.security().and_then(|security| security.seccomp_profile.as_ref()).filter(is_bad).is_some()
    });
    let setters = Setters::new(of_pod.is_some(), names)?;
    let own = securities(pod).filter_map(|security| security.seccomp_profile.as_ref()).filter(is_bad);
    let types = sorted(of_pod.into_iter().chain(own).map(|profile| profile.type_.as_str()));
    Some(Violation {
        reason: "seccompProfile",
        detail: format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            setters.words(),
            quoted(&types)
        ),
    })
}

fn sysctls(pod: &Pod<'_>, version: Version) -> Option<Violation> {
    let sysctls = pod_security(pod).into_iter().flat_map(|security| &security.sysctls);
    let names = sysctls.map(|sysctl| sysctl.name.as_str()).filter(|name| !is_safe_sysctl(name, version));
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: names.join(", ") })
}

fn host_process(pod: &Pod<'_>, _: Version) -> Option<Violation> {
    let is_bad =
        |options: Option<&WindowsOptions>| options.is_some_and(|options| options.host_process == Some(true));
    let of_pod = pod_security(pod).and_then(|security| security.windows_options.as_ref());
    let names = those(pod, |container| {
        is_bad(container.security().and_then(|security| security.windows_options.as_ref()))
    });
    let setters = Setters::new(is_bad(of_pod), names)?;
    Some(Violation {
        reason: "hostProcess",
        detail: format!("{} must not set securityContext.windowsOptions.hostProcess=true", setters.words()),
    })
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
