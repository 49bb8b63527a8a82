//! One container's security settings.

use serde::Deserialize;

use crate::{Text, nullable};

/// A container of any of a pod's three lists.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Its name, unique in the pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Its ports.
    #[serde(default, deserialize_with = "nullable")]
    pub ports: Vec<ContainerPort>,
    /// Its security context; `None` where the field is absent.
    #[serde(borrow, default)]
    pub security_context: Option<ContainerSecurityContext<'a>>,
    /// Hosts of the liveness probe.
    #[serde(borrow, default)]
    pub liveness_probe: Option<HandlerHosts<'a>>,
    /// Hosts of the readiness probe.
    #[serde(borrow, default)]
    pub readiness_probe: Option<HandlerHosts<'a>>,
    /// Hosts of the startup probe.
    #[serde(borrow, default)]
    pub startup_probe: Option<HandlerHosts<'a>>,
    /// The lifecycle hooks.
    #[serde(borrow, default)]
    pub lifecycle: Option<Lifecycle<'a>>,
}

impl<'a> Container<'a> {
    /// The security context, if there is one.
    #[must_use]
    pub fn security(&self) -> Option<&ContainerSecurityContext<'a>> {
        self.security_context.as_ref()
    }

    /// Every host that a probe or lifecycle hook names, with the field that names it.
    pub fn handler_hosts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let hooks = self.lifecycle.as_ref();
        [
            ("livenessProbe", self.liveness_probe.as_ref()),
            ("readinessProbe", self.readiness_probe.as_ref()),
            ("startupProbe", self.startup_probe.as_ref()),
            ("lifecycle.postStart", hooks.and_then(|hooks| hooks.post_start.as_ref())),
            ("lifecycle.preStop", hooks.and_then(|hooks| hooks.pre_stop.as_ref())),
        ]
        .into_iter()
        .flat_map(|(field, handler)| {
            let hosts = handler.map(|handler| [&handler.http_get, &handler.tcp_socket]);
            hosts
                .into_iter()
                .flatten()
                .filter_map(move |action| Some((field, action.as_ref()?.host.as_str())))
        })
        .filter(|(_, host)| !host.is_empty())
    }
}

/// A port of a container.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// The node's port, 0 for none.
    #[serde(default, deserialize_with = "nullable")]
    pub host_port: i32,
}

/// A container's `lifecycle`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle<'a> {
    #[serde(borrow, default)]
    post_start: Option<HandlerHosts<'a>>,
    #[serde(borrow, default)]
    pre_stop: Option<HandlerHosts<'a>>,
}

/// The actions of a probe or hook that can name a host.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlerHosts<'a> {
    #[serde(borrow, default)]
    http_get: Option<HostAction<'a>>,
    #[serde(borrow, default)]
    tcp_socket: Option<HostAction<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct HostAction<'a> {
    #[serde(borrow, default, deserialize_with = "nullable")]
    host: Text<'a>,
}

/// A container's `securityContext`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSecurityContext<'a> {
    /// Runs with the node's full rights.
    pub privileged: Option<bool>,
    /// User ID of the first process.
    pub run_as_user: Option<i64>,
    /// Refuses to start as root.
    pub run_as_non_root: Option<bool>,
    /// Mounts the root file system read-only.
    pub read_only_root_filesystem: Option<bool>,
    /// Lets a process gain more rights than its parent (`no_new_privs` off).
    pub allow_privilege_escalation: Option<bool>,
    /// `Default` or `Unmasked`.
    #[serde(borrow)]
    pub proc_mount: Option<Text<'a>>,
    /// Capabilities added and dropped.
    #[serde(borrow)]
    pub capabilities: Option<Capabilities<'a>>,
    /// SELinux labels.
    #[serde(borrow)]
    pub se_linux_options: Option<SeLinuxOptions<'a>>,
    /// Seccomp profile.
    #[serde(borrow)]
    pub seccomp_profile: Option<SeccompProfile<'a>>,
    /// AppArmor profile.
    #[serde(borrow)]
    pub app_armor_profile: Option<AppArmorProfile<'a>>,
    /// Windows settings.
    pub windows_options: Option<WindowsOptions>,
}

/// Capabilities that a container adds to and drops from its runtime's default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct Capabilities<'a> {
    /// Added.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub add: Vec<Text<'a>>,
    /// Dropped.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub drop: Vec<Text<'a>>,
}

/// SELinux labels; an absent part reads as empty.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct SeLinuxOptions<'a> {
    /// User.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub user: Text<'a>,
    /// Role.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub role: Text<'a>,
    /// Type.
    #[serde(borrow, default, deserialize_with = "nullable", rename = "type")]
    pub type_: Text<'a>,
    /// Level: sensitivity and categories.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub level: Text<'a>,
}

/// The kind of a seccomp profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum SeccompType {
    /// A file on the node.
    Localhost,
    /// The runtime's own.
    RuntimeDefault,
    /// No profile.
    Unconfined,
    /// An artifact in a registry (kubernetes/enhancements, KEP-6061; alpha in Kubernetes 1.38).
    #[serde(rename = "OCI")]
    Oci,
    /// An unknown type: Kubernetes' validation refuses it.
    #[default]
    #[serde(other)]
    Unknown,
}

impl SeccompType {
    /// The value on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Localhost => "Localhost",
            Self::RuntimeDefault => "RuntimeDefault",
            Self::Unconfined => "Unconfined",
            Self::Oci => "OCI",
            Self::Unknown => "",
        }
    }
}

/// A `seccompProfile` field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompProfile<'a> {
    /// The kind.
    #[serde(rename = "type", default, deserialize_with = "nullable")]
    pub type_: SeccompType,
    /// The file, below the node's profile folder, where the kind is `Localhost`.
    #[serde(borrow, default)]
    pub localhost_profile: Option<Text<'a>>,
}

/// An `appArmorProfile` field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AppArmorProfile<'a> {
    /// `Localhost`, `RuntimeDefault` or `Unconfined`.
    #[serde(borrow, rename = "type", default, deserialize_with = "nullable")]
    pub type_: Text<'a>,
}

/// The part of `windowsOptions` that Pod Security looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowsOptions {
    /// Runs with the node's rights.
    #[serde(default)]
    pub host_process: Option<bool>,
}
