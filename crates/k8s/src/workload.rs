//! Kinds of workloads: the place of the pod template, the controller that creates the pods, and the claims of a StatefulSet.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{FieldPath, put};

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

/// The claim templates of a StatefulSet; none in other objects.
pub fn claim_templates(object: &Value) -> impl Iterator<Item = &Value> {
    let claims = object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    claims.into_iter().flatten()
}

/// The name of an object, empty where it has none.
#[must_use]
pub fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// Gives a pod the volumes of its StatefulSet's claim templates, as the controller does: in place of its own volumes of
/// the same names. `claim` makes the name of a claim of that of its template.
pub fn add_claims<'n>(
    pod: &mut Value,
    templates: impl IntoIterator<Item = &'n str>,
    claim: impl Fn(&str) -> String,
) {
    let mut names = HashSet::new();
    let added = templates.into_iter().filter(|name| names.insert(*name));
    let added: Vec<Value> = added
        .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": claim(name)}}))
        .collect();
    if added.is_empty() {
        return;
    }
    let own = pod.pointer_mut("/spec/volumes").map(Value::take);
    let mut volumes = if let Some(Value::Array(own)) = own { own } else { Vec::new() };
    volumes.retain(|volume| {
        !volume.get("name").and_then(Value::as_str).is_some_and(|name| names.contains(name))
    });
    volumes.extend(added);
    put(pod, &["spec", "volumes"], volumes.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_become_volumes_in_place_of_those_of_the_same_name() {
        let cases = [
            (json!({}), vec![], json!({})),
            (json!({"spec": {"volumes": null}}), vec!["a"], json!(["a:a-0"])),
            (json!({"spec": {"volumes": [{"name": "b"}, {"name": "a"}]}}), vec!["a"], json!(["b:", "a:a-0"])),
            (json!({"spec": {}}), vec!["b", "a", "b"], json!(["b:b-0", "a:a-0"])),
        ];
        for (mut pod, templates, wanted) in cases {
            let given = pod.clone();
            add_claims(&mut pod, templates, |name| format!("{name}-0"));
            let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
            let shown = volumes.map_or(json!({}), |volumes| {
                let claim = |volume: &Value| volume.pointer("/persistentVolumeClaim/claimName").cloned();
                let text = |value: Option<Value>| {
                    value.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
                };
                let pairs =
                    volumes.iter().map(|v| format!("{}:{}", text(v.get("name").cloned()), text(claim(v))));
                pairs.collect()
            });
            assert_eq!(shown, wanted, "{given}");
        }
    }
}
