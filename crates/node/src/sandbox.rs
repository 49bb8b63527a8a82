//! From a pod to its sandbox: the namespaces, network and limits that its containers share.

use std::collections::HashMap;
use std::path::Path;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::cri::message::{
    DnsConfig, Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PortMapping, ProfileType, Protocol, SeLinuxOption,
    SecurityProfile,
};
use crate::layout::Layout;
use crate::slot::{self, names};

/// Labels by which a sandbox and its containers are found again.
pub(crate) const UID: &str = "io.kubernetes.pod.uid";
pub(crate) const NAME: &str = "io.kubernetes.pod.name";
pub(crate) const NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const CONTAINER: &str = "io.kubernetes.container.name";

/// The node's own DNS settings, for pods with the policy Default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) servers: Vec<String>,
    pub(crate) searches: Vec<String>,
    pub(crate) options: Vec<String>,
}

impl Resolver {
    /// Parses `resolv.conf`. Servers on the node's loopback are left out: a pod has its own loopback.
    pub(crate) fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let rest = |words: std::str::SplitWhitespace<'_>| words.map(str::to_owned).collect();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| word.parse::<std::net::IpAddr>().ok());
                    resolver.servers.extend(server.filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()));
                }
                Some("search") => resolver.searches = rest(words),
                Some("options") => resolver.options = rest(words),
                _ => {}
            }
        }
        resolver
    }
}

fn resolver(spec: &PodSpec, node: &Resolver) -> DnsConfig {
    // There is no cluster DNS, so that ClusterFirst means the node's settings.
    let base = if spec.dns_policy.as_deref() == Some("None") { Resolver::default() } else { node.clone() };
    let mut config = DnsConfig { servers: base.servers, searches: base.searches, options: base.options };
    let Some(own) = &spec.dns_config else { return config };
    for (all, more) in [(&mut config.servers, &own.nameservers), (&mut config.searches, &own.searches)] {
        for one in more.iter().flatten() {
            if !all.contains(one) {
                all.push(one.clone());
            }
        }
    }
    config.options.extend(own.options.iter().flatten().map(|option| {
        let name = option.name.clone().unwrap_or_default();
        option.value.as_ref().map_or(name.clone(), |value| format!("{name}:{value}"))
    }));
    config
}

pub(crate) fn labels(pod: &Pod) -> HashMap<String, String> {
    let names = names(pod);
    [(NAME, names.name), (NAMESPACE, names.namespace), (UID, names.uid)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The namespaces that a pod's containers share with each other and with the node.
pub(crate) fn namespaces(spec: &PodSpec) -> NamespaceOption {
    let of_node = |flag: Option<bool>, other: NamespaceMode| match flag {
        Some(true) => NamespaceMode::Node as i32,
        _ => other as i32,
    };
    let is_shared = spec.share_process_namespace == Some(true);
    let pid = if is_shared { NamespaceMode::Pod } else { NamespaceMode::Container };
    NamespaceOption {
        network: of_node(spec.host_network, NamespaceMode::Pod),
        pid: of_node(spec.host_pid, pid),
        ipc: of_node(spec.host_ipc, NamespaceMode::Pod),
        target_id: String::new(),
    }
}

fn ports(pod: &Pod) -> Vec<PortMapping> {
    let slots = slot::slots(pod);
    let ports = slots.iter().flat_map(|slot| slot.container.ports.iter().flatten());
    let mapped = ports.filter_map(|port| {
        let protocol = match port.protocol.as_deref() {
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        Some(PortMapping {
            protocol: protocol as i32,
            container_port: port.container_port,
            host_port: port.host_port.filter(|port| *port != 0)?,
            host_ip: port.host_ip.clone().unwrap_or_default(),
        })
    });
    mapped.collect()
}

/// The hostname of a pod: the one it sets, or its name as far as the kernel permits. On the host network it is the
/// node's, which the engine is not given: the name is not the pod's to set.
pub(crate) fn hostname(pod: &Pod) -> String {
    let spec = pod.spec.as_ref();
    if spec.is_some_and(|spec| spec.host_network == Some(true)) {
        return String::new();
    }
    let own = spec.and_then(|spec| spec.hostname.clone()).filter(|name| !name.is_empty());
    let name = own.unwrap_or_else(|| names(pod).name.to_owned());
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

pub(crate) fn selinux(options: &k8s_openapi::api::core::v1::SELinuxOptions) -> SeLinuxOption {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

/// The folder of the logs of a pod's containers.
pub(crate) fn log_folder(layout: &Layout, pod: &Pod) -> std::path::PathBuf {
    let names = names(pod);
    layout.logs().join(format!("{}_{}_{}", names.namespace, names.name, names.uid))
}

/// The node's settings that go into sandboxes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'n> {
    pub(crate) layout: &'n Layout,
    pub(crate) resolver: &'n Resolver,
    /// Whether the kernel has SELinux.
    pub(crate) has_selinux: bool,
}

/// The sandbox of a pod.
pub(crate) fn config(pod: &Pod, place: Place<'_>, attempt: u32) -> PodSandboxConfig {
    let names = names(pod);
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let security = spec.security_context.as_ref();
    let is_privileged = slot::slots(pod).iter().any(|slot| {
        slot.container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
    });
    let number = |value: Option<i64>| value.map(|value| Int64Value { value });
    let selinux = security.and_then(|security| security.se_linux_options.as_ref()).map(selinux);
    let context = LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(spec)),
        selinux_options: selinux.filter(|_| place.has_selinux),
        run_as_user: number(security.and_then(|security| security.run_as_user)),
        // An engine refuses a group without a user.
        run_as_group: number(security.filter(|s| s.run_as_user.is_some()).and_then(|s| s.run_as_group)),
        readonly_rootfs: true,
        supplemental_groups: security.map(groups).unwrap_or_default(),
        privileged: is_privileged,
        // Its only process makes two syscalls, and the engine's own profile permits both.
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::RuntimeDefault as i32,
            localhost_ref: String::new(),
        }),
    };
    let sysctls = security.and_then(|security| security.sysctls.as_ref()).into_iter().flatten();
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: names.name.to_owned(),
            uid: names.uid.to_owned(),
            namespace: names.namespace.to_owned(),
            attempt,
        }),
        hostname: hostname(pod),
        log_directory: log_folder(place.layout, pod).display().to_string(),
        dns_config: Some(resolver(spec, place.resolver)),
        port_mappings: if spec.host_network == Some(true) { Vec::new() } else { ports(pod) },
        labels: labels(pod),
        annotations: HashMap::new(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup(place.layout, names.uid).display().to_string(),
            security_context: Some(context),
            sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        }),
    }
}

/// The cgroup of a pod, from the root of each hierarchy.
pub(crate) fn cgroup(layout: &Layout, uid: &str) -> std::path::PathBuf {
    Path::new("/").join(layout.cgroup()).join(format!("pod{uid}"))
}

/// The supplemental groups of every container of a pod.
pub(crate) fn groups(security: &k8s_openapi::api::core::v1::PodSecurityContext) -> Vec<i64> {
    security.fs_group.into_iter().chain(security.supplemental_groups.iter().flatten().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        let metadata = json!({"name": "p", "namespace": "n", "uid": "u"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn namespaces_are_the_pods_own_unless_it_says_otherwise() {
        use NamespaceMode::{Container, Node, Pod};
        for (spec, expected) in [
            (json!({"containers": []}), [Pod, Container, Pod]),
            (json!({"containers": [], "shareProcessNamespace": true}), [Pod, Pod, Pod]),
            (
                json!({"containers": [], "hostNetwork": true, "hostPID": true, "hostIPC": true}),
                [Node, Node, Node],
            ),
            (json!({"containers": [], "hostPID": false, "hostIPC": true}), [Pod, Container, Node]),
        ] {
            let got = namespaces(pod(spec.clone()).spec.as_ref().unwrap());
            assert_eq!([got.network, got.pid, got.ipc], expected.map(|mode| mode as i32), "{spec}");
        }
    }

    #[test]
    fn a_resolver_is_the_nodes_or_the_pods() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch a b\noptions ndots:1\nnameserver x\n";
        let node = Resolver::parse(text);
        assert_eq!((node.servers.as_slice(), node.searches.len()), (["192.0.2.1".to_owned()].as_slice(), 2));
        let own = json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.9"],
            "options": [{"name": "ndots", "value": "5"}, {"name": "edns0"}]}});
        let got = resolver(pod(own).spec.as_ref().unwrap(), &node);
        assert_eq!((got.servers, got.searches), (vec!["192.0.2.9".to_owned()], Vec::new()));
        assert_eq!(got.options, ["ndots:5", "edns0"]);
    }

    #[test]
    fn ports_of_the_node_are_only_those_that_are_asked_for() {
        let spec = json!({"containers": [{"name": "c", "ports": [
            {"containerPort": 80}, {"containerPort": 53, "hostPort": 5353, "protocol": "UDP", "hostIP": "127.0.0.1"}]}]});
        let got = ports(&pod(spec));
        let expected =
            PortMapping { protocol: 1, container_port: 53, host_port: 5353, host_ip: "127.0.0.1".to_owned() };
        assert_eq!(got, [expected]);
    }
}
