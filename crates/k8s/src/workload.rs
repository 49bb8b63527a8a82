//! Kinds of workloads: the place of the pod template, and the controller that creates the pods.

use crate::FieldPath;

/// A kind of object that is a pod or makes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadKind {
    /// API group.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// The short name that `kubectl` prints before the object's name.
    pub short: &'static str,
    /// Field names from the object to the pod or its template; empty for a pod itself.
    pub template: &'static str,
    /// The service account that creates the pods: it is who asks for them, not the author of the
    /// workload. Empty where the author creates the pod.
    pub controller: &'static str,
}

const REPLICA_SET: &str = "system:serviceaccount:kube-system:replicaset-controller";
const REPLICATION: &str = "system:serviceaccount:kube-system:replication-controller";
const STATEFUL_SET: &str = "system:serviceaccount:kube-system:statefulset-controller";
const DAEMON_SET: &str = "system:serviceaccount:kube-system:daemon-set-controller";
const JOB: &str = "system:serviceaccount:kube-system:job-controller";

/// Every kind whose pods are reviewed.
pub const KINDS: &[WorkloadKind] = &[
    WorkloadKind { group: "", kind: "Pod", short: "pod", template: "", controller: "" },
    WorkloadKind {
        group: "",
        kind: "PodTemplate",
        short: "podtemplate",
        template: "template",
        controller: "",
    },
    WorkloadKind {
        group: "",
        kind: "ReplicationController",
        short: "replicationcontroller",
        template: "spec.template",
        controller: REPLICATION,
    },
    WorkloadKind {
        group: "apps",
        kind: "Deployment",
        short: "deployment",
        template: "spec.template",
        controller: REPLICA_SET,
    },
    WorkloadKind {
        group: "apps",
        kind: "ReplicaSet",
        short: "replicaset",
        template: "spec.template",
        controller: REPLICA_SET,
    },
    WorkloadKind {
        group: "apps",
        kind: "StatefulSet",
        short: "statefulset",
        template: "spec.template",
        controller: STATEFUL_SET,
    },
    WorkloadKind {
        group: "apps",
        kind: "DaemonSet",
        short: "daemonset",
        template: "spec.template",
        controller: DAEMON_SET,
    },
    WorkloadKind { group: "batch", kind: "Job", short: "job", template: "spec.template", controller: JOB },
    WorkloadKind {
        group: "batch",
        kind: "CronJob",
        short: "cronjob",
        template: "spec.jobTemplate.spec.template",
        controller: JOB,
    },
    WorkloadKind {
        group: "apps.openshift.io",
        kind: "DeploymentConfig",
        short: "deploymentconfig",
        template: "spec.template",
        controller: REPLICATION,
    },
];

impl WorkloadKind {
    /// The kind of an object with this `apiVersion` and `kind`.
    ///
    /// The groups that once served these kinds (`extensions`, the core group's `DeploymentConfig`)
    /// are known too, since charts still carry them.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        KINDS.iter().find(|known| {
            known.kind == kind
                && (known.group == group
                    || (group == "extensions" && known.group == "apps")
                    || (group.is_empty() && known.kind == "DeploymentConfig"))
        })
    }

    /// The path from the object to its pod or template.
    #[must_use]
    pub fn template_path(&self) -> FieldPath {
        if self.template.is_empty() { FieldPath::root() } else { FieldPath::of(self.template) }
    }
}
