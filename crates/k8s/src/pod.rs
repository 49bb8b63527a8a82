//! The security view of a pod: every field that SCC, seccomp or Pod Security look at, and no other.
//!
//! Absent and `null` read alike; where the two differ from an empty value in what the reference
//! decides (`supplementalGroups: []`), the field is an `Option`.

use std::fmt;

use serde::{Deserialize, Deserializer};
use smallvec::SmallVec;

mod container;
mod volume;

pub use container::{
    AppArmorProfile, Capabilities, Container, ContainerPort, ContainerSecurityContext, HandlerHosts,
    SeLinuxOptions, SeccompProfile, SeccompType, WindowsOptions,
};
pub use volume::{Projection, ProjectionKind, Volume, VolumeKind};

use crate::{Annotations, FieldPath, Text, nullable};

/// A pod, or the template of one.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Pod<'a> {
    /// Name, namespace, labels and annotations.
    #[serde(borrow, default = "Metadata::absent", deserialize_with = "Metadata::or_absent")]
    pub metadata: Metadata<'a>,
    /// The specification.
    #[serde(borrow, default = "PodSpec::absent", deserialize_with = "PodSpec::or_absent")]
    pub spec: PodSpec<'a>,
}

/// The part of an object's metadata that policy looks at.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Metadata<'a> {
    /// The object's name; empty where the server is to generate one.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// The object's namespace; empty for cluster-scoped objects.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub namespace: Text<'a>,
    /// Labels; `None` where the field is absent.
    #[serde(borrow, default)]
    pub labels: Option<Annotations<'a>>,
    /// Annotations; `None` where the field is absent.
    #[serde(borrow, default)]
    pub annotations: Option<Annotations<'a>>,
    /// Whether the object has no metadata at all, which a patch must know.
    #[serde(skip)]
    pub is_absent: bool,
}

impl<'a> Metadata<'a> {
    fn absent() -> Self {
        Self { is_absent: true, ..Self::default() }
    }

    fn or_absent<'de: 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or_else(Self::absent))
    }
    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key)
    }
}

/// A pod's `spec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct PodSpec<'a> {
    /// Containers that run before the others, or beside them as sidecars.
    #[serde(borrow, default, deserialize_with = "crate::listed")]
    pub init_containers: Vec<Container<'a>>,
    /// The containers themselves.
    #[serde(borrow, default, deserialize_with = "crate::listed")]
    pub containers: Vec<Container<'a>>,
    /// Containers added to a running pod to debug it.
    #[serde(borrow, default, deserialize_with = "crate::listed")]
    pub ephemeral_containers: Vec<Container<'a>>,
    /// Volumes that the containers may mount.
    #[serde(borrow, default, deserialize_with = "crate::listed")]
    pub volumes: Vec<Volume<'a>>,
    /// The account that the pod runs as, by whichever of its two names it is given.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub service_account_name: Text<'a>,
    /// The older name of the same, which counts where the newer one is absent.
    #[serde(borrow, default, deserialize_with = "nullable")]
    service_account: Text<'a>,
    /// Whether only the older name was given.
    #[serde(skip)]
    pub uses_old_account_name: bool,
    /// Whether the pod has no spec at all, which a patch must know.
    #[serde(skip)]
    pub is_absent: bool,
    /// Defaults of all containers, and what holds for the pod as a whole.
    #[serde(borrow, default)]
    pub security_context: Option<PodSecurityContext<'a>>,
    /// Shares the node's network.
    #[serde(default, deserialize_with = "nullable")]
    pub host_network: bool,
    /// Shares the node's processes.
    #[serde(rename = "hostPID", default, deserialize_with = "nullable")]
    pub host_pid: bool,
    /// Shares the node's System V IPC.
    #[serde(rename = "hostIPC", default, deserialize_with = "nullable")]
    pub host_ipc: bool,
    /// `Some(false)` puts the pod into a user namespace of its own.
    #[serde(default)]
    pub host_users: Option<bool>,
    /// The operating system that the pod is for.
    #[serde(borrow, default)]
    pub os: Option<PodOs<'a>>,
}

/// A pod's `spec.os`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodOs<'a> {
    /// `linux` or `windows`.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
}

/// A pod's `spec.securityContext`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSecurityContext<'a> {
    /// User ID of containers that name none.
    pub run_as_user: Option<i64>,
    /// Refuses to start as root.
    pub run_as_non_root: Option<bool>,
    /// Groups of every container's first process. An empty list counts as set.
    pub supplemental_groups: Option<Vec<i64>>,
    /// The group that owns the volumes.
    pub fs_group: Option<i64>,
    /// SELinux labels of containers that name none.
    #[serde(borrow)]
    pub se_linux_options: Option<SeLinuxOptions<'a>>,
    /// Seccomp profile of containers that name none.
    #[serde(borrow)]
    pub seccomp_profile: Option<SeccompProfile<'a>>,
    /// AppArmor profile of containers that name none.
    #[serde(borrow)]
    pub app_armor_profile: Option<AppArmorProfile<'a>>,
    /// Kernel parameters of the pod's namespaces.
    #[serde(borrow, default, deserialize_with = "crate::listed")]
    pub sysctls: Vec<Sysctl<'a>>,
    /// Windows settings of containers that name none.
    pub windows_options: Option<WindowsOptions>,
}

/// One kernel parameter.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Sysctl<'a> {
    /// Its name, with dots or slashes.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Its value.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub value: Text<'a>,
}

/// One of a pod's three lists of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContainerList {
    /// `spec.initContainers`
    Init,
    /// `spec.containers`
    Main,
    /// `spec.ephemeralContainers`
    Ephemeral,
}

impl ContainerList {
    /// The list's field in `spec`.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Main => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

/// The place of a container in a pod: prints as `spec.containers[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContainerPath {
    /// The list that holds it.
    pub list: ContainerList,
    /// Its place in that list.
    pub index: usize,
}

impl ContainerPath {
    /// The path of the container as a whole.
    #[must_use]
    pub fn path(self) -> FieldPath {
        FieldPath::of("spec").field(self.list.field()).index(self.index)
    }

    /// The path of a field in the container's security context.
    #[must_use]
    pub fn security(self, field: &'static str) -> FieldPath {
        self.path().field("securityContext").field(field)
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.{}[{}]", self.list.field(), self.index)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PodSpec<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut spec = Self::deserialize(deserializer)?;
        if spec.service_account_name.is_empty() && !spec.service_account.is_empty() {
            spec.uses_old_account_name = true;
            spec.service_account_name = std::mem::take(&mut spec.service_account);
        }
        Ok(spec)
    }
}

impl<'a> PodSpec<'a> {
    fn absent() -> Self {
        Self { is_absent: true, ..Self::default() }
    }

    fn or_absent<'de: 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(<Option<Self> as Deserialize>::deserialize(deserializer)?.unwrap_or_else(Self::absent))
    }

    /// Every container: init, main, ephemeral, the order in which the reference visits them.
    pub fn all_containers(&self) -> impl Iterator<Item = (ContainerPath, &Container<'a>)> {
        let lists = [
            (ContainerList::Init, &self.init_containers),
            (ContainerList::Main, &self.containers),
            (ContainerList::Ephemeral, &self.ephemeral_containers),
        ];
        lists.into_iter().flat_map(|(list, containers)| {
            containers
                .iter()
                .enumerate()
                .map(move |(index, container)| (ContainerPath { list, index }, container))
        })
    }

    /// Whether the pod says that it is for Windows.
    #[must_use]
    pub fn is_windows(&self) -> bool {
        self.os.as_ref().is_some_and(|os| *os.name == *"windows")
    }

    /// The kinds of all volumes, each with its place in the list.
    pub fn volume_kinds(&self) -> impl Iterator<Item = (usize, VolumeKind)> {
        self.volumes.iter().enumerate().flat_map(|(index, volume)| {
            let kinds: SmallVec<[VolumeKind; 1]> = volume.kinds.clone();
            kinds.into_iter().map(move |kind| (index, kind))
        })
    }
}
