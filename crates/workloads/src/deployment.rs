//! Deployments: a replica set for each form of the template, of which the newest grows as the others shrink.

use std::collections::{HashMap, HashSet};

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{self, condition, hash_of, is_leaving, set_condition};
use crate::work::{Work, brief};
use palisade_api::error::{ApiError, ApiResult, Reason};
use palisade_api::kind::{REPLICA_SETS, text};
use palisade_api::weight;

/// Label by which the pods of one form of a template are told from others.
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let template = work.object.pointer("/spec/template").cloned().unwrap_or_default();
    let (mut same, mut weights) = (HashSet::new(), HashMap::new());
    let mut sets = work.owned("apps/replicasets", |set| {
        let name = text(&set, "/metadata/name").to_owned();
        weights.insert(name.clone(), weight::of(&set));
        if form(&set) == template {
            same.insert(name);
        }
        let revision =
            set.pointer(&format!("/metadata/annotations/{}", REVISION.replace('/', "~1"))).cloned();
        let mut set = brief(set);
        put(&mut set, &["metadata", "annotations"], json!({REVISION: revision}));
        set
    })?;
    sets.retain(|set| !is_leaving(set));
    sets.sort_by_key(revision);
    let newest = sets.iter().rposition(|set| same.contains(text(set, "/metadata/name")));
    let is_paused = work.object.pointer("/spec/paused") == Some(&Value::Bool(true));
    let mut refused = Ok(());
    let current = match newest {
        Some(at) => Some(sets.remove(at)),
        None if is_paused => None,
        None => match room_for_one(work, &sets, &weights) {
            Ok(()) => Some(begin(work, &template, &sets)?),
            // The newest that there is takes over from the older ones meanwhile, so that there is room again.
            full => {
                refused = full;
                sets.pop()
            }
        },
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
    clean_up(work, &sets, &weights)?;
    say(work, current.as_ref(), &sets)?;
    refused.map(|()| Next::Nothing)
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
        // Another owner has a set of this name: the next try uses another one.
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
        return if others.iter().all(is_empty) { scale(work, current, wanted) } else { Ok(()) };
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

/// The weight of each replica set, by name.
type Weights = HashMap<String, usize>;

/// Weight of the replica sets that are kept of a deployment's past: each small patch of a large template makes another.
const HISTORY: usize = 32 << 20;
/// Weight of the replica sets with pods from which on no further one is made.
const PRESENT: usize = 64 << 20;

fn weight_of(set: &Value, weights: &Weights) -> usize {
    weights.get(text(set, "/metadata/name")).copied().unwrap_or_default()
}

fn is_empty(set: &Value) -> bool {
    replicas(set) == 0 && running(set) == 0
}

/// Refuses a further replica set beside those whose pods are there yet, where these hold much.
fn room_for_one(work: &Work<'_>, sets: &[Value], weights: &Weights) -> ApiResult<()> {
    let held: usize = sets.iter().filter(|set| !is_empty(set)).map(|set| weight_of(set, weights)).sum();
    if held <= PRESENT {
        return Ok(());
    }
    let why = format!("the replica sets whose pods are not gone yet hold {} MiB already", held >> 20);
    pods::tell(work, "Warning", "ReplicaSetCreateError", &format!("Failed to create new replica set: {why}"));
    Err(ApiError::forbidden(&REPLICA_SETS, work.name(), why))
}

/// Deletes the oldest replica sets beyond the history.
fn clean_up(work: &Work<'_>, others: &[Value], weights: &Weights) -> ApiResult<()> {
    let kept = work.object.pointer("/spec/revisionHistoryLimit").and_then(Value::as_u64).unwrap_or(10);
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let mut held = 0;
    let newest_first = others.iter().rev().filter(|set| is_empty(set)).enumerate();
    let surplus = newest_first.filter(|(at, set)| {
        held += weight_of(set, weights);
        // One is left to roll back to, whatever it weighs.
        *at >= kept || *at > 0 && held > HISTORY
    });
    let mut surplus: Vec<&Value> = surplus.map(|(_, set)| set).collect();
    surplus.reverse();
    surplus.into_iter().try_for_each(|set| work.delete(&REPLICA_SETS, set))
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
    use crate::fake::{Fake, workload};

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

    /// Replica sets of a deployment, each of so many bytes, of which the first few have pods.
    fn sets(count: usize, with_pods: usize, size: usize) -> Vec<Value> {
        let set = |at: usize| {
            let replicas = usize::from(at < with_pods);
            json!({"metadata": {"name": format!("s{at}"), "annotations": {REVISION: at.to_string()}},
                "spec": {"replicas": replicas, "template": {"x": at, "y": "y".repeat(size)}},
                "status": {"replicas": replicas}})
        };
        (0..count).map(set).collect()
    }

    #[test]
    fn the_past_is_bounded_by_number_and_by_weight() {
        // The limit, how many sets of which size, and how many of them are deleted.
        let cases = [
            (Value::Null, 14, 10, 3),
            (json!(2), 14, 10, 11),
            (json!(0), 14, 10, 13),
            (json!(i32::MAX), 200, 10, 0),
            (json!(i32::MAX), 14, 8 << 20, 10),
            (json!(i32::MAX), 3, 40 << 20, 1),
        ];
        for (limit, count, size, deleted) in cases {
            let cluster = Fake::with(&sets(count, 0, size));
            // The newest is the present one.
            let template = json!({"x": count - 1, "y": "y".repeat(size)});
            let spec = json!({"replicas": 0, "revisionHistoryLimit": limit, "template": template});
            cluster.sync(&workload("Deployment", &spec)).0.unwrap();
            let gone = cluster.deleted.borrow();
            let oldest: Vec<String> = (0..deleted).map(|at| format!("s{at}")).collect();
            assert_eq!(*gone, oldest, "{limit} {count} {size}");
        }
    }

    #[test]
    fn a_further_set_waits_while_those_with_pods_hold_much() {
        for (with_pods, is_made) in [(2, true), (9, false)] {
            let cluster = Fake::with(&sets(9, with_pods, 10 << 20));
            let spec = json!({"replicas": 1, "template": {"x": "new"}});
            let synced = cluster.sync(&workload("Deployment", &spec)).0;
            let made = cluster.created.borrow().iter().any(|object| object["kind"] == "ReplicaSet");
            assert_eq!((synced.is_ok(), made), (is_made, is_made), "{synced:?}");
        }
    }
}
