//! The status of a deployment, and whether it gets on.

use std::time::Duration;

use jiff::Timestamp;
use palisade_k8s::put;
use serde_json::{Value, json};

use super::{Deployment, NOT_CREATED, available, not_created, replicas, running};
use crate::Next;
use crate::pods::{condition, set_condition};
use crate::work::Work;
use palisade_api::kind::text;

/// The longest deadline, which means none.
const NEVER: i64 = 2_147_483_647;

/// The present status. If the Deployment was only scaled, the condition `Progressing` is unchanged.
pub(super) fn of(deployment: &Deployment<'_>, is_scaled_alone: bool) -> Value {
    let work = deployment.work;
    let mut status = counted(deployment);
    let is_available = available_of(&status) >= deployment.wanted() - deployment.missing();
    let minimum = match is_available {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    set_condition(work, &mut status, "Available", Some(minimum));
    progress(deployment, &mut status, is_scaled_alone);
    // Failures of ReplicaSets are copied to the Deployment's condition.
    let failure = deployment.all().filter_map(|set| condition(set, "ReplicaFailure")).last();
    let failure = failure.map(|found| ("True", text(found, "/reason"), text(found, "/message")));
    set_condition(work, &mut status, "ReplicaFailure", failure);
    status
}

/// Its numbers, with the conditions that it had.
fn counted(deployment: &Deployment<'_>) -> Value {
    let work = deployment.work;
    let sum = |field: &str| -> i64 {
        let field = format!("/status/{field}");
        deployment.all().filter_map(|set| set.pointer(&field).and_then(Value::as_i64)).sum()
    };
    let asked: i64 = deployment.all().map(replicas).sum();
    let ready: i64 = deployment.all().map(available).sum();
    let mut status = json!({});
    let numbers = [
        ("observedGeneration", work.number("/metadata/generation")),
        ("replicas", sum("replicas")),
        ("updatedReplicas", deployment.current.as_ref().map_or(0, running)),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", ready),
        ("unavailableReplicas", (asked - ready).max(0)),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        put(&mut status, &[field], number.into());
    }
    put(&mut status, &["terminatingReplicas"], sum("terminatingReplicas").into());
    for field in ["conditions", "collisionCount"] {
        if let Some(value) = work.object.pointer(&format!("/status/{field}")) {
            put(&mut status, &[field], value.clone());
        }
    }
    status
}

fn number(status: &Value, field: &str) -> i64 {
    status.get(field).and_then(Value::as_i64).unwrap_or_default()
}

fn available_of(status: &Value) -> i64 {
    number(status, "availableReplicas")
}

/// Whether all pods are of the present form and available, and no others are there.
pub(super) fn is_complete(work: &Work<'_>, status: &Value) -> bool {
    let wanted = work.number("/spec/replicas");
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|field| number(status, field) == wanted)
}

/// Whether more is done than was before.
fn gets_on(work: &Work<'_>, status: &Value) -> bool {
    let before = work.object.get("status").unwrap_or(&Value::Null);
    let old_ones = |status: &Value| number(status, "replicas") - number(status, "updatedReplicas");
    let grows = |field: &str| number(status, field) > number(before, field);
    ["updatedReplicas", "readyReplicas", "availableReplicas"].into_iter().any(grows)
        || old_ones(status) < old_ones(before)
}

/// Whether there are pods of an older form.
fn rolls(status: &Value) -> bool {
    number(status, "replicas") != number(status, "updatedReplicas")
}

/// The time in which it has to get on, in seconds; none if there is no such time.
fn deadline(work: &Work<'_>) -> Option<i64> {
    let deadline = work.object.pointer("/spec/progressDeadlineSeconds").and_then(Value::as_i64);
    deadline.filter(|seconds| *seconds != NEVER)
}

/// Says whether it gets on.
fn progress(deployment: &Deployment<'_>, status: &mut Value, is_scaled_alone: bool) {
    const KIND: &str = "Progressing";
    let work = deployment.work;
    if deadline(work).is_none() {
        return set_condition(work, status, KIND, None);
    }
    let old = condition(&work.object, KIND);
    let was = old.map_or("", |old| text(old, "/reason"));
    let name = deployment.current.as_ref().map(|set| text(set, "/metadata/name"));
    let set =
        name.map_or_else(|| format!("Deployment {:?}", work.name()), |name| format!("ReplicaSet {name:?}"));
    let is_paused = work.object.pointer("/spec/paused") == Some(&Value::Bool(true));
    let begun = name.unwrap_or_default();
    let said = if let Some(refused) = &deployment.refused {
        ("False", NOT_CREATED, not_created(refused))
    } else if is_paused && was != "ProgressDeadlineExceeded" {
        ("Unknown", "DeploymentPaused", "Deployment is paused".to_owned())
    } else if deployment.is_begun {
        ("True", "NewReplicaSetCreated", format!("Created new replica set {begun:?}"))
    } else if !is_paused && was == "DeploymentPaused" {
        ("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned())
    } else if is_scaled_alone || was == "NewReplicaSetAvailable" && !rolls(status) {
        // It was done; what is missing now is a matter of its pods.
        return;
    } else if is_complete(work, status) {
        ("True", "NewReplicaSetAvailable", format!("{set} has successfully progressed."))
    } else if gets_on(work, status) {
        ("True", "ReplicaSetUpdated", format!("{set} is progressing."))
    } else if is_late(work, old) {
        ("False", "ProgressDeadlineExceeded", format!("{set} has timed out progressing."))
    } else if old.is_none() && name.is_some() {
        ("True", "FoundNewReplicaSet", format!("Found new replica set {begun:?}"))
    } else {
        return;
    };
    let (holds, reason, message) = &said;
    set_condition(work, status, KIND, Some((holds, reason, message)));
    if *reason == "ReplicaSetUpdated" {
        refresh(work, status, KIND);
    }
}

/// Getting on again in the same way begins the time anew.
fn refresh(work: &Work<'_>, status: &mut Value, kind: &str) {
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for found in conditions.into_iter().flatten().filter(|found| text(found, "/type") == kind) {
        put(found, &["lastUpdateTime"], work.now().into());
    }
}

/// The time until it is too late, in seconds.
fn left(work: &Work<'_>, progressing: &Value) -> Option<i64> {
    let since: Timestamp = text(progressing, "/lastUpdateTime").parse().ok()?;
    Some(since.as_second().saturating_add(deadline(work)?) - work.clock().as_second())
}

fn is_late(work: &Work<'_>, progressing: Option<&Value>) -> bool {
    let Some(progressing) = progressing else { return false };
    match text(progressing, "/reason") {
        "ProgressDeadlineExceeded" => true,
        "NewReplicaSetAvailable" => false,
        _ => left(work, progressing).is_some_and(|left| left < 0),
    }
}

/// It is looked at again when it may be too late.
pub(super) fn next(work: &Work<'_>, status: &Value) -> Next {
    let conditions = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let mut progressing = conditions.filter(|found| text(found, "/type") == "Progressing");
    let waits = progressing.next().filter(|found| {
        !matches!(
            text(found, "/reason"),
            "NewReplicaSetAvailable" | "ProgressDeadlineExceeded" | "DeploymentPaused"
        )
    });
    let seconds = waits.and_then(|found| left(work, found)).and_then(|left| u64::try_from(left + 1).ok());
    seconds.map_or(Next::Nothing, |seconds| Next::After(Duration::from_secs(seconds.max(1))))
}
