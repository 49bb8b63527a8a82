//! An SCC with everything checked and parsed that does not depend on the namespace.

use palisade_k8s::SecurityContextConstraints;
use palisade_k8s::scc::IdRange;

use crate::namespace::{NamespaceRanges, RangeError};
use crate::rule::capabilities::CapabilityRule;
use crate::rule::group::GroupRule;
use crate::rule::seccomp::SeccompRule;
use crate::rule::selinux::{Labels, SeLinuxRule};
use crate::rule::sysctl::SysctlRule;
use crate::rule::user::UserRule;
use crate::rule::volume::VolumeRule;
use crate::unusable::Unusable;

/// An SCC, ready to be evaluated: one field for each rule, each in the form in which the engine runs it.
///
/// A compiler to another language destructures it without `..`, so that a new rule cannot be forgotten there.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whether privileged containers are allowed.
    pub privileged: bool,
    /// Whether the host network may be shared.
    pub host_network: bool,
    /// Whether host ports may be used.
    pub host_ports: bool,
    /// Whether the host PID namespace may be shared.
    pub host_pid: bool,
    /// Whether the host IPC namespace may be shared.
    pub host_ipc: bool,
    /// Whether the pod must have a user namespace of its own.
    pub requires_user_namespace: bool,
    /// Whether root file systems must be read-only, which is then the default.
    pub read_only_root: bool,
    /// The default of `allowPrivilegeEscalation`; `None` leaves it unset.
    pub default_escalation: Option<bool>,
    /// Whether `allowPrivilegeEscalation` may be other than `false`.
    pub allow_escalation: bool,
    /// User IDs.
    pub user: UserRule,
    /// SELinux labels.
    pub selinux: SeLinuxRule,
    /// The group of volumes.
    pub fs_group: GroupRule,
    /// Supplemental groups.
    pub supplemental_groups: GroupRule,
    /// Linux capabilities.
    pub capabilities: CapabilityRule,
    /// Seccomp profiles.
    pub seccomp: SeccompRule,
    /// Kernel parameters.
    pub sysctls: SysctlRule,
    /// Volume types.
    pub volumes: VolumeRule,
}

impl Plan {
    /// Checks and parses a defaulted SCC.
    ///
    /// # Errors
    ///
    /// The SCC can admit no pod in any namespace.
    pub fn new(scc: &SecurityContextConstraints) -> Result<Self, Unusable> {
        Ok(Self {
            privileged: scc.allow_privileged_container,
            host_network: scc.allow_host_network,
            host_ports: scc.allow_host_ports,
            host_pid: scc.allow_host_pid,
            host_ipc: scc.allow_host_ipc,
            requires_user_namespace: match scc.user_namespace_level.as_str() {
                "" | "AllowHostLevel" => false,
                "RequirePodLevel" => true,
                other => return Err(Unusable::strategy("userNamespaceLevel", other)),
            },
            read_only_root: scc.read_only_root_filesystem,
            default_escalation: scc.default_allow_privilege_escalation,
            allow_escalation: scc.allow_privilege_escalation.unwrap_or(true),
            user: UserRule::new(&scc.run_as_user)?,
            selinux: SeLinuxRule::new(&scc.se_linux_context)?,
            fs_group: GroupRule::new(&scc.fs_group, "fsGroup.type")?,
            supplemental_groups: GroupRule::new(&scc.supplemental_groups, "supplementalGroups.type")?,
            capabilities: CapabilityRule::new(scc),
            seccomp: SeccompRule::new(SecurityContextConstraints::list(scc.seccomp_profiles.as_ref())),
            sysctls: SysctlRule::new(scc),
            volumes: VolumeRule::new(scc),
        })
    }

    /// Fills in the namespace's ranges; borrows all of it.
    ///
    /// # Errors
    ///
    /// The SCC needs an annotation of the namespace that is not valid.
    pub(crate) fn resolve<'x>(&'x self, ranges: &'x NamespaceRanges) -> Result<Resolved<'x>, Unusable> {
        let namespace = |error: &RangeError| Unusable::Namespace(error.clone());
        Ok(Resolved {
            plan: self,
            user: self.user.resolve(ranges).map_err(namespace)?,
            selinux: self.selinux.resolve(ranges).map_err(namespace)?,
            fs_group: match &self.fs_group {
                GroupRule::Any => None,
                GroupRule::Ranges(own) => Some(own),
                GroupRule::Namespace => Some(ranges.fs_group().map_err(namespace)?),
            },
            supplemental_groups: match &self.supplemental_groups {
                GroupRule::Any => None,
                GroupRule::Ranges(own) => Some(own),
                GroupRule::Namespace => Some(ranges.supplemental_groups().map_err(namespace)?),
            },
        })
    }
}

/// A plan with one namespace's ranges filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved<'x> {
    pub(crate) plan: &'x Plan,
    pub(crate) user: UserRule,
    pub(crate) selinux: Option<Labels<'x>>,
    pub(crate) fs_group: Option<&'x [IdRange]>,
    pub(crate) supplemental_groups: Option<&'x [IdRange]>,
}
