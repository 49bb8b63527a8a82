//! Rules for the numbers in a workload's status, as `pkg/apis/apps/validation/validation.go` and
//! `pkg/apis/batch/validation` have them.

use palisade_k8s::FieldError;
use serde_json::Value;

use super::super::at::At;

/// The numbers of a status: those that cannot be negative, and pairs of which the first cannot exceed the second.
pub(super) struct Numbers {
    pub(super) natural: &'static [&'static str],
    pub(super) ordered: &'static [(&'static str, &'static str)],
}

/// Of a Deployment.
pub(super) const DEPLOYMENT: Numbers = Numbers {
    natural: &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ],
    ordered: &[
        ("updatedReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ],
};

/// Of a ReplicaSet, and of a ReplicationController.
pub(super) const REPLICA_SET: Numbers = Numbers {
    natural: &[
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
    ],
    ordered: &[
        ("fullyLabeledReplicas", "replicas"),
        ("readyReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ],
};

/// Of a StatefulSet.
pub(super) const STATEFUL_SET: Numbers = Numbers {
    natural: &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ],
    ordered: &[
        ("readyReplicas", "replicas"),
        ("currentReplicas", "replicas"),
        ("updatedReplicas", "replicas"),
        ("availableReplicas", "replicas"),
        ("availableReplicas", "readyReplicas"),
    ],
};

/// Of a DaemonSet.
pub(super) const DAEMON_SET: Numbers = Numbers {
    natural: &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ],
    ordered: &[],
};

/// Of a Job.
pub(super) const JOB: Numbers =
    Numbers { natural: &["active", "succeeded", "failed", "ready", "terminating"], ordered: &[] };

/// Validates a status that differs from the old one.
pub(super) fn check(object: &Value, old: Option<&Value>, numbers: &Numbers) -> Vec<FieldError> {
    let Some(old) = old else { return Vec::new() };
    if object.get("status") == old.get("status") {
        return Vec::new();
    }
    let status = At::root(object, "status");
    let mut errors: Vec<FieldError> =
        numbers.natural.iter().filter_map(|name| status.field(name).outside(0..=i64::MAX)).collect();
    for (less, more) in numbers.ordered {
        let number = |name: &'static str| status.field(name).number().unwrap_or_default();
        if number(less) > number(more) {
            let why = format!("cannot be greater than status.{more}");
            errors.push(FieldError::invalid(status.field(less).path(), number(less), why));
        }
    }
    errors
}
