//! The `SecurityContextConstraints` type of `security.openshift.io/v1`.
//!
//! It reads as Go's type does: `null` is a field's zero value, unknown fields are ignored, and an
//! absent list differs from an empty one. Written out again it holds the fields that the published
//! CRD requires, as `null` where they are not set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::nullable;

/// The API group of SCCs, and of the RBAC rules that grant their use.
pub const GROUP: &str = "security.openshift.io";
/// The resource name of SCCs.
pub const RESOURCE: &str = "securitycontextconstraints";
/// The kind of SCC objects.
pub const KIND: &str = "SecurityContextConstraints";
/// The verb that grants an SCC.
pub const USE: &str = "use";

/// Annotation keys that SCC reads from and writes to other objects.
pub mod annotation {
    /// On a namespace: the block of user IDs allocated to it.
    pub const UID_RANGE: &str = "openshift.io/sa.scc.uid-range";
    /// On a namespace: the blocks of group IDs allocated to it.
    pub const SUPPLEMENTAL_GROUPS: &str = "openshift.io/sa.scc.supplemental-groups";
    /// On a namespace: the SELinux level allocated to it.
    pub const MCS: &str = "openshift.io/sa.scc.mcs";
    /// On a pod: the only SCC that may admit it.
    pub const REQUIRED_SCC: &str = "openshift.io/required-scc";
    /// On a pod: the SCC that admitted it.
    pub const VALIDATED_SCC: &str = "openshift.io/scc";
    /// On a pod: whether the user or the service account may use that SCC.
    pub const SUBJECT_TYPE: &str = "security.openshift.io/validated-scc-subject-type";
    /// On an object: what it is for, in words.
    pub const DESCRIPTION: &str = "kubernetes.io/description";
}

/// The metadata of a cluster object, as far as policy needs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// The object's name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// Its namespace; empty for cluster-scoped objects.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Labels.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A cluster-wide rule of what a pod may ask for, and what it gets where it does not ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContextConstraints {
    /// Name, labels and annotations.
    #[serde(deserialize_with = "nullable")]
    pub metadata: ObjectMeta,
    /// Higher is tried first; absent counts as 0.
    pub priority: Option<i32>,
    /// Containers may run privileged.
    #[serde(deserialize_with = "nullable")]
    pub allow_privileged_container: bool,
    /// Added to every container that does not drop them.
    pub default_add_capabilities: Option<Vec<String>>,
    /// Every container must drop these, and does so by default.
    pub required_drop_capabilities: Option<Vec<String>>,
    /// Containers may add these; `*` allows all.
    pub allowed_capabilities: Option<Vec<String>>,
    /// Defaulting keeps `volumes` in step with this.
    #[serde(deserialize_with = "nullable")]
    pub allow_host_dir_volume_plugin: bool,
    /// Kinds of volume that may be mounted: `*` all, `none` none.
    pub volumes: Option<Vec<String>>,
    /// The only drivers that a `flexVolume` may use; none listed, all allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_flex_volumes: Option<Vec<AllowedFlexVolume>>,
    /// The pod may share the node's network.
    #[serde(deserialize_with = "nullable")]
    pub allow_host_network: bool,
    /// Containers may take ports of the node.
    #[serde(deserialize_with = "nullable")]
    pub allow_host_ports: bool,
    /// The pod may share the node's processes.
    #[serde(rename = "allowHostPID", deserialize_with = "nullable")]
    pub allow_host_pid: bool,
    /// The pod may share the node's IPC.
    #[serde(rename = "allowHostIPC", deserialize_with = "nullable")]
    pub allow_host_ipc: bool,
    /// `AllowHostLevel` (the default) or `RequirePodLevel`: pods must set `hostUsers: false`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user_namespace_level: String,
    /// The value of `allowPrivilegeEscalation` for containers without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_allow_privilege_escalation: Option<bool>,
    /// Containers may gain more rights than their parent; absent counts as true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_privilege_escalation: Option<bool>,
    /// SELinux labels.
    #[serde(deserialize_with = "nullable")]
    pub se_linux_context: SeLinuxContextStrategy,
    /// User IDs.
    #[serde(deserialize_with = "nullable")]
    pub run_as_user: RunAsUserStrategy,
    /// Supplemental groups.
    #[serde(deserialize_with = "nullable")]
    pub supplemental_groups: GroupStrategy,
    /// The group of volumes.
    #[serde(deserialize_with = "nullable")]
    pub fs_group: GroupStrategy,
    /// Root file systems must be read-only, and are so by default.
    #[serde(deserialize_with = "nullable")]
    pub read_only_root_filesystem: bool,
    /// Users who may use this SCC: exact names, no patterns.
    pub users: Option<Vec<String>>,
    /// Groups whose members may use this SCC.
    pub groups: Option<Vec<String>>,
    /// Seccomp profiles that may be used; the first that is not `*` is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp_profiles: Option<Vec<String>>,
    /// Sysctls that may be set although they are not safe; `*` at the end matches any rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_unsafe_sysctls: Option<Vec<String>>,
    /// Sysctls that may not be set although they are safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbidden_sysctls: Option<Vec<String>>,
}

impl SecurityContextConstraints {
    /// A list of the object, empty where it is absent.
    #[must_use]
    pub fn list(field: Option<&Vec<String>>) -> &[String] {
        field.map_or(&[], Vec::as_slice)
    }
}

/// A driver in `allowedFlexVolumes`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedFlexVolume {
    /// Its name, `vendor/driver`.
    #[serde(deserialize_with = "nullable")]
    pub driver: String,
}

/// The strategy for SELinux labels: `MustRunAs` or `RunAsAny`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeLinuxContextStrategy {
    /// The strategy's name.
    #[serde(rename = "type", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// The labels of `MustRunAs`; without a level, the namespace's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub se_linux_options: Option<SeLinuxLabels>,
}

/// SELinux labels in an SCC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SeLinuxLabels {
    /// User.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Role.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Type.
    #[serde(rename = "type", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// Level.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub level: String,
}

/// The strategy for user IDs: `MustRunAs`, `MustRunAsRange`, `MustRunAsNonRoot` or `RunAsAny`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RunAsUserStrategy {
    /// The strategy's name.
    #[serde(rename = "type", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// The user ID of `MustRunAs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<i64>,
    /// The lowest user ID of `MustRunAsRange`; with neither bound, the namespace's range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid_range_min: Option<i64>,
    /// The highest user ID of `MustRunAsRange`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid_range_max: Option<i64>,
}

/// The strategy for group IDs: `MustRunAs` or `RunAsAny`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupStrategy {
    /// The strategy's name.
    #[serde(rename = "type", deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub type_: String,
    /// The ranges of `MustRunAs`; without any, the namespace's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Vec<IdRange>>,
}

/// A range of IDs, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdRange {
    /// The lowest.
    #[serde(deserialize_with = "nullable")]
    pub min: i64,
    /// The highest.
    #[serde(deserialize_with = "nullable")]
    pub max: i64,
}

impl IdRange {
    /// Whether `id` lies in the range.
    #[must_use]
    pub fn contains(self, id: i64) -> bool {
        self.min <= id && id <= self.max
    }
}
