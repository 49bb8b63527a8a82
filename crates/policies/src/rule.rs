//! The rules of an SCC, each as its demands on a pod and its defaults.

mod capabilities;
pub(crate) mod escalation;
mod group;
mod host;
pub(crate) mod seccomp;
pub(crate) mod selinux;
mod sysctl;
mod user;
mod volume;

use palisade_k8s::KernelVersion;
use palisade_scc::Plan;

/// One demand of an SCC on a pod.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Its subject: the prefix of a variable's name, if SCCs share one.
    pub(crate) topic: &'static str,
    /// Its field of the SCC, with its value.
    pub(crate) because: String,
    /// The condition, which is true for a pod that meets it once the SCC has set its defaults.
    pub(crate) holds: String,
    /// The message if it is not met.
    pub(crate) finding: String,
    /// The variable that holds the condition, if it has one.
    pub(crate) name: Option<String>,
}

impl Demand {
    pub(crate) fn new(
        topic: &'static str,
        because: impl Into<String>,
        holds: impl Into<String>,
        finding: impl Into<String>,
    ) -> Self {
        Self { topic, because: because.into(), holds: holds.into(), finding: finding.into(), name: None }
    }

    /// The condition, or the variable that holds it.
    pub(crate) fn condition(&self) -> String {
        self.name.as_ref().map_or_else(|| format!("({})", self.holds), |name| format!("variables.{name}"))
    }
}

/// The defaults of an SCC: a value for each variable of the mutation, as CEL. SCCs with the same defaults share a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gifts {
    /// At most one user ID.
    pub(crate) user: String,
    /// Whether `runAsNonRoot` is set on a container without a known user ID.
    pub(crate) non_root: String,
    /// At most one group for volumes.
    pub(crate) fs_group: String,
    /// At most one supplemental group.
    pub(crate) supplemental_group: String,
    /// At most one set of SELinux labels.
    pub(crate) selinux: String,
    /// Capabilities added unless dropped.
    pub(crate) add: String,
    /// Capabilities dropped.
    pub(crate) drop: String,
    /// Whether `readOnlyRootFilesystem` is set.
    pub(crate) read_only: String,
    /// The seccomp profile of a pod without one; empty for none.
    pub(crate) profile: String,
    /// At most one value of `allowPrivilegeEscalation`.
    pub(crate) escalation: String,
    /// The same for containers that are privileged, or nearly.
    pub(crate) privileged_escalation: String,
}

/// An SCC in CEL.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Its demands, cheapest first.
    pub(crate) demands: Vec<Demand>,
    /// The condition under which it sets no default on parts that may not change any more.
    pub(crate) settled: Vec<String>,
    /// Its defaults.
    pub(crate) gifts: Gifts,
}

/// Translates a plan, which is destructured completely, so that a new rule of it must be added here.
pub(crate) fn rules(plan: &Plan, kernel: KernelVersion) -> Rules {
    let Plan {
        privileged,
        host_network,
        host_ports,
        host_pid,
        host_ipc,
        requires_user_namespace,
        read_only_root,
        default_escalation,
        allow_escalation,
        user,
        selinux,
        fs_group,
        supplemental_groups,
        capabilities,
        seccomp,
        sysctls,
        volumes,
    } = plan;
    let host = host::Host {
        privileged: *privileged,
        network: *host_network,
        ports: *host_ports,
        pid: *host_pid,
        ipc: *host_ipc,
        requires_user_namespace: *requires_user_namespace,
        read_only_root: *read_only_root,
    };
    let escalation = escalation::Escalation {
        default: *default_escalation,
        allowed: *allow_escalation,
        added: &capabilities.default_add,
    };
    let mut demands = host.demands();
    demands.extend(escalation.demands());
    demands.extend(user::demands(*user));
    demands.extend(selinux::demands(selinux));
    demands.extend(group::fs_group_demands(fs_group));
    demands.extend(group::supplemental_demands(supplemental_groups));
    demands.extend(seccomp::demands(seccomp));
    demands.extend(sysctl::demands(sysctls, kernel));
    demands.extend(capabilities::demands(capabilities));
    demands.extend(volume::demands(volumes));
    let settled = [
        host.settled(),
        escalation.settled(),
        user::settled(*user),
        selinux::settled(selinux),
        group::settled(fs_group, "fsGroup"),
        group::settled(supplemental_groups, "supplementalGroups"),
        seccomp::settled(seccomp),
        capabilities::settled(capabilities),
    ];
    let (escalation, privileged_escalation) = escalation.gifts();
    let (add, drop) = capabilities::gifts(capabilities);
    Rules {
        demands,
        settled: settled.into_iter().flatten().collect(),
        gifts: Gifts {
            user: user::gift(*user),
            non_root: user::implies_non_root(*user).to_string(),
            fs_group: group::fs_group_gift(fs_group),
            supplemental_group: group::supplemental_gift(supplemental_groups),
            selinux: selinux::gift(selinux),
            add,
            drop,
            read_only: read_only_root.to_string(),
            profile: seccomp::gift(seccomp),
            escalation,
            privileged_escalation,
        },
    }
}
