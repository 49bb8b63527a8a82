//! Deployments: a replica set for each form of the template, of which the newest grows as the others shrink.

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{self, condition, hash_of, is_leaving, set_condition};
use crate::work::Work;
use palisade_api::error::{ApiResult, Reason};
use palisade_api::kind::{REPLICA_SETS, text};

/// Label by which the pods of one form of a template are told from others.
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let mut sets: Vec<Value> =
        work.owned("apps/replicasets")?.into_iter().filter(|set| !is_leaving(set)).collect();
    sets.sort_by_key(revision);
    let template = work.object.pointer("/spec/template").cloned().unwrap_or_default();
    let newest = sets.iter().rposition(|set| form(set) == template);
    let is_paused = work.object.pointer("/spec/paused") == Some(&Value::Bool(true));
    let current = match newest {
        Some(at) => Some(sets.remove(at)),
        None if is_paused => None,
        None => Some(begin(work, &template, &sets)?),
    };
    let latest = sets.iter().map(revision).max().unwrap_or_default();
    if let Some(current) = &current {
        let number = if revision(current) > latest || newest.is_some() && revision(current) == latest {
            revision(current)
        } else {
            latest + 1
        };
        number_as(work, current, number.max(1))?;
        if !is_paused {
            roll(work, current, &sets)?;
        }
    }
    clean_up(work, &sets)?;
    say(work, current.as_ref(), &sets)?;
    Ok(Next::Nothing)
}

fn revision(set: &Value) -> i64 {
    let annotations = set.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(REVISION)?.as_str()?.parse().ok()).unwrap_or_default()
}

/// The template of a replica set as its deployment has it.
fn form(set: &Value) -> Value {
    let mut template = set.pointer("/spec/template").cloned().unwrap_or_default();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.shift_remove(HASH);
    }
    template
}

/// Makes the replica set of a new form of the template.
fn begin(work: &Work<'_>, template: &Value, others: &[Value]) -> ApiResult<Value> {
    let hash = hash_of(template, work.number("/status/collisionCount"));
    let revision = others.iter().map(revision).max().unwrap_or_default() + 1;
    let mut template = template.clone();
    put(&mut template, &["metadata", "labels", HASH], hash.clone().into());
    let mut selector = work.object.pointer("/spec/selector").cloned().unwrap_or_else(|| json!({}));
    put(&mut selector, &["matchLabels", HASH], hash.clone().into());
    let labels = template.pointer("/metadata/labels").cloned();
    let replicas =
        if others.iter().all(|set| replicas(set) == 0) { work.number("/spec/replicas") } else { 0 };
    let set = json!({
        "kind": "ReplicaSet", "apiVersion": "apps/v1",
        "metadata": {"name": format!("{}-{hash}", work.name()), "namespace": work.namespace(), "labels": labels,
            "annotations": {REVISION: revision.to_string()}, "ownerReferences": pods::owned_by(work)},
        "spec": {"replicas": replicas, "minReadySeconds": work.number("/spec/minReadySeconds"), "selector": selector, "template": template},
    });
    match work.create(&REPLICA_SETS, set) {
        Ok(set) => {
            if replicas > 0 {
                let name = text(&set, "/metadata/name");
                let message = format!("Scaled up replica set {name} from 0 to {replicas}");
                pods::tell(work, "Normal", "ScalingReplicaSet", &message);
            }
            Ok(set)
        }
        // Somebody else's has this name: the next try has another one.
        Err(error) if error.reason == Reason::AlreadyExists => {
            let collisions = work.number("/status/collisionCount") + 1;
            let mut status = work.object.get("status").cloned().unwrap_or_else(|| json!({}));
            put(&mut status, &["collisionCount"], collisions.into());
            work.say(&status)?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Writes the number of a revision into its replica set and into the deployment.
fn number_as(work: &Work<'_>, set: &Value, number: i64) -> ApiResult<()> {
    let write = |old: &Value| {
        let mut new = old.clone();
        put(&mut new, &["metadata", "annotations", REVISION], number.to_string().into());
        new
    };
    if revision(set) != number {
        work.change(&REPLICA_SETS, text(set, "/metadata/name"), "", write)?;
    }
    if revision(&work.object) != number {
        work.change(work.resource, work.name(), "", write)?;
    }
    Ok(())
}

fn replicas(set: &Value) -> i64 {
    set.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default()
}

fn available(set: &Value) -> i64 {
    set.pointer("/status/availableReplicas").and_then(Value::as_i64).unwrap_or_default()
}

fn running(set: &Value) -> i64 {
    set.pointer("/status/replicas").and_then(Value::as_i64).unwrap_or_default()
}

/// A number, or a percentage of another.
pub(crate) fn share(value: Option<&Value>, whole: i64, rounds_up: bool) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let percent: i64 =
                text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or_default();
            let parts = percent.saturating_mul(whole);
            if rounds_up { parts.saturating_add(99).div_euclid(100) } else { parts.div_euclid(100) }
        }
        Some(number) => number.as_i64().unwrap_or_default(),
        None => 0,
    }
}

/// Lets the newest replica set grow and the others shrink, as far as the strategy permits at once.
fn roll(work: &Work<'_>, current: &Value, others: &[Value]) -> ApiResult<()> {
    let wanted = work.number("/spec/replicas");
    if work.text("/spec/strategy/type") == "Recreate" {
        for set in others.iter().filter(|set| replicas(set) > 0) {
            scale(work, set, 0)?;
        }
        let is_empty = others.iter().all(|set| replicas(set) == 0 && running(set) == 0);
        return if is_empty { scale(work, current, wanted) } else { Ok(()) };
    }
    let rolling = work.object.pointer("/spec/strategy/rollingUpdate");
    let field = |name: &str| rolling.and_then(|rolling| rolling.get(name));
    let surge = share(field("maxSurge"), wanted, true);
    let mut missing = share(field("maxUnavailable"), wanted, false);
    if surge == 0 && missing == 0 {
        missing = 1;
    }
    let old: i64 = others.iter().map(replicas).sum();
    if old == 0 || replicas(current) > wanted {
        scale(work, current, wanted)?;
    } else {
        let room = (wanted + surge - old - replicas(current)).max(0);
        scale(work, current, (replicas(current) + room).min(wanted))?;
    }
    shrink(work, current, others, wanted - missing)
}

/// Takes from older replica sets what is not needed: first what is not available anyway.
fn shrink(work: &Work<'_>, current: &Value, others: &[Value], least: i64) -> ApiResult<()> {
    let unready = (replicas(current) - available(current)).max(0);
    let total: i64 = others.iter().map(replicas).sum::<i64>() + replicas(current);
    let mut room = total - least - unready;
    for set in others.iter().filter(|set| replicas(set) > 0) {
        if room <= 0 {
            break;
        }
        let broken = (replicas(set) - available(set)).max(0).min(room);
        room -= broken;
        let healthy_room = (others.iter().chain([current]).map(available).sum::<i64>() - least).max(0);
        let more = (replicas(set) - broken).min(room).min(healthy_room);
        room -= more;
        scale(work, set, replicas(set) - broken - more)?;
    }
    Ok(())
}

fn scale(work: &Work<'_>, set: &Value, wanted: i64) -> ApiResult<()> {
    let (name, have) = (text(set, "/metadata/name"), replicas(set));
    if have == wanted {
        return Ok(());
    }
    work.change(&REPLICA_SETS, name, "", |old| {
        let mut new = old.clone();
        put(&mut new, &["spec", "replicas"], wanted.into());
        new
    })?;
    let way = if wanted > have { "up" } else { "down" };
    let said = format!("Scaled {way} replica set {name} from {have} to {wanted}");
    pods::tell(work, "Normal", "ScalingReplicaSet", &said);
    Ok(())
}

/// Deletes the oldest replica sets that nobody will roll back to.
fn clean_up(work: &Work<'_>, others: &[Value]) -> ApiResult<()> {
    let kept = work.object.pointer("/spec/revisionHistoryLimit").and_then(Value::as_u64).unwrap_or(10);
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let empty: Vec<&Value> = others.iter().filter(|set| replicas(set) == 0 && running(set) == 0).collect();
    let surplus = empty.len().saturating_sub(kept);
    empty.iter().take(surplus).try_for_each(|set| work.delete(&REPLICA_SETS, set))
}

fn say(work: &Work<'_>, current: Option<&Value>, others: &[Value]) -> ApiResult<()> {
    let all = || others.iter().chain(current);
    let sum = |field: &str| -> i64 {
        all().filter_map(|set| set.pointer(&format!("/status/{field}")).and_then(Value::as_i64)).sum()
    };
    let wanted = work.number("/spec/replicas");
    let (total, available) = (sum("replicas"), sum("availableReplicas"));
    let updated = current.map_or(0, running);
    let mut status = json!({});
    let numbers = [
        ("observedGeneration", work.number("/metadata/generation")),
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (wanted.max(total) - available).max(0)),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        put(&mut status, &[field], number.into());
    }
    put(&mut status, &["terminatingReplicas"], sum("terminatingReplicas").into());
    let collisions = work.object.pointer("/status/collisionCount").cloned();
    if let Some(conditions) = work.object.pointer("/status/conditions") {
        put(&mut status, &["conditions"], conditions.clone());
    }
    if let Some(collisions) = collisions {
        put(&mut status, &["collisionCount"], collisions);
    }
    let missing = share(work.object.pointer("/spec/strategy/rollingUpdate/maxUnavailable"), wanted, false);
    let has_minimum = available >= wanted - missing;
    let minimum = match has_minimum {
        true => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        false => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    };
    set_condition(work, &mut status, "Available", Some(minimum));
    let set = current.map(|set| text(set, "/metadata/name")).unwrap_or_default();
    let is_done = updated == wanted && total == wanted && available >= wanted;
    let (reason, message) = match is_done {
        true => ("NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed.")),
        false => ("ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing.")),
    };
    let progress = match work.object.pointer("/spec/paused") {
        Some(Value::Bool(true)) => ("Unknown", "DeploymentPaused", "Deployment is paused"),
        _ => ("True", reason, message.as_str()),
    };
    set_condition(work, &mut status, "Progressing", Some(progress));
    // Obstacles of the pods are reported on the object where its owner looks.
    let failure = all().filter_map(|set| condition(set, "ReplicaFailure")).next_back();
    let failure = failure.map(|found| ("True", text(found, "/reason"), text(found, "/message")));
    set_condition(work, &mut status, "ReplicaFailure", failure);
    work.say(&status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_or_percentages() {
        let cases = [
            (json!("25%"), 10, true, 3),
            (json!("25%"), 10, false, 2),
            (json!(4), 10, true, 4),
            (json!("100%"), 3, true, 3),
            (json!("x"), 3, true, 0),
        ];
        for (value, whole, up, wanted) in cases {
            assert_eq!(share(Some(&value), whole, up), wanted, "{value}");
        }
        assert_eq!(share(None, 3, true), 0);
    }
}
