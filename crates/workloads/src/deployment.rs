//! Deployments: one replica set for each version of the template; the newest grows while the others shrink
//! (`pkg/controller/deployment`).

mod set;
mod status;

use palisade_k8s::put;
use serde_json::{Map, Value, json};

use crate::Next;
use crate::past::{self, PRESENT, Weights};
use crate::pods::{self, hash_of, is_leaving};
use crate::work::Work;
use palisade_api::error::{ApiError, ApiResult, Reason};
use palisade_api::kind::{REPLICA_SETS, text};
use set::{available, count, form, is_empty, outline, replicas, revision, running};

/// Label by which the pods of one form of a template are told from others.
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISIONS: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
/// Annotations of a deployment that are not those of its replica sets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISIONS,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
];
/// Length of the list of revisions that a replica set has had, in bytes.
const REVISIONS_LENGTH: usize = 2000;

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let mut deployment = Deployment::find(work)?;
    let is_paused = work.object.pointer("/spec/paused") == Some(&Value::Bool(true));
    deployment.number()?;
    let is_scaled_alone = is_paused || deployment.is_scaled();
    if is_scaled_alone {
        deployment.adjust()?;
    } else {
        match work.text("/spec/strategy/type") {
            "Recreate" => deployment.recreate()?,
            _ => deployment.roll()?,
        }
    }
    let status = status::of(&deployment, is_scaled_alone);
    deployment.clean_up(is_paused || !is_scaled_alone && status::is_complete(work, &status))?;
    work.say_with(&status, deployment.own_number().map(|number| (REVISION, number)))?;
    deployment.refused.map_or_else(|| Ok(status::next(work, &status)), Err)
}

/// A Deployment during a run of its controller, with the needed fields of its ReplicaSets.
struct Deployment<'d> {
    work: &'d Work<'d>,
    template: Value,
    /// The replica set of the present form of the template.
    current: Option<Value>,
    /// Those of others, the oldest first.
    others: Vec<Value>,
    weights: Weights,
    /// Whether the present one was made just now.
    is_begun: bool,
    /// Why there is none of the present form yet.
    refused: Option<Box<ApiError>>,
}

/// The reason of an event and of a condition.
const NOT_CREATED: &str = "ReplicaSetCreateError";

fn not_created(error: &ApiError) -> String {
    format!("Failed to create new replica set: {}", error.message)
}

/// A number, or a percentage of another.
pub(crate) fn share(value: Option<&Value>, whole: i64, rounds_up: bool) -> i64 {
    let share = match value {
        Some(Value::String(text)) => {
            let percent: i64 =
                text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or_default();
            let parts = percent.saturating_mul(whole);
            if rounds_up { parts.saturating_add(99).div_euclid(100) } else { parts.div_euclid(100) }
        }
        Some(number) => number.as_i64().unwrap_or_default(),
        None => 0,
    };
    share.clamp(0, i64::from(i32::MAX))
}

impl<'d> Deployment<'d> {
    /// Looks for its replica sets.
    fn find(work: &'d Work<'d>) -> ApiResult<Self> {
        let template = work.object.pointer("/spec/template").cloned().unwrap_or_default();
        let (mut weights, mut current) = (Weights::default(), None::<Value>);
        let mut others = work.owned(REPLICA_SETS.storage(), |set| {
            weights.note(&set);
            let is_newest = || current.as_ref().is_none_or(|current| revision(current) <= revision(&set));
            if !is_leaving(&set) && form(&set) == template && is_newest() {
                current = Some(set.clone());
            }
            outline(set)
        })?;
        let name = |set: &Value| text(set, "/metadata/name").to_owned();
        let is_current = |set: &Value| current.as_ref().is_some_and(|current| name(current) == name(set));
        others.retain(|set| !is_leaving(set) && !is_current(set));
        others.sort_by_key(revision);
        Ok(Self { work, template, current, others, weights, is_begun: false, refused: None })
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.others.iter().chain(&self.current)
    }

    fn wanted(&self) -> i64 {
        self.work.number("/spec/replicas")
    }

    fn portion(&self, field: &str, rounds_up: bool) -> i64 {
        let portion = self.work.object.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
        share(portion, self.wanted(), rounds_up)
    }

    /// Pods that may be there beyond those that are wanted.
    fn surge(&self) -> i64 {
        self.portion("maxSurge", true)
    }

    /// Pods that may be missing while it rolls over: one at least, where none may be too much.
    fn missing(&self) -> i64 {
        if self.work.text("/spec/strategy/type") == "Recreate" || self.wanted() == 0 {
            return 0;
        }
        match (self.surge(), self.portion("maxUnavailable", false)) {
            (0, 0) => 1,
            (_, missing) => missing.min(self.wanted()),
        }
    }

    /// Writes the number of the revision, and what else is said of the deployment, into the present replica set.
    fn number(&mut self) -> ApiResult<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let said = self.annotations(Some(current));
        let least = self.work.number("/spec/minReadySeconds");
        let write = |old: &Value| {
            let mut new = old.clone();
            put(&mut new, &["metadata", "annotations"], said.clone().into());
            if least > 0 || old.pointer("/spec/minReadySeconds").is_some() {
                put(&mut new, &["spec", "minReadySeconds"], least.into());
            }
            new
        };
        if write(current) != *current {
            let name = text(current, "/metadata/name").to_owned();
            self.current = Some(self.work.change(&REPLICA_SETS, &name, "", write)?);
        }
        Ok(())
    }

    /// Annotations of the present replica set: the deployment's, the revision, and those that it had before.
    fn annotations(&self, set: Option<&Value>) -> Map<String, Value> {
        let of = |object: &Value| object.pointer("/metadata/annotations").and_then(Value::as_object).cloned();
        let mut said = set.and_then(of).unwrap_or_default();
        let own = of(&self.work.object).unwrap_or_default();
        said.extend(own.into_iter().filter(|(name, _)| !OWN.contains(&name.as_str())));
        let was = set.map(revision).unwrap_or_default();
        let number = self.others.iter().map(revision).max().unwrap_or_default().saturating_add(1);
        if was < number {
            said.insert(REVISION.to_owned(), number.to_string().into());
            if was > 0 {
                let before = said.get(REVISIONS).and_then(Value::as_str).unwrap_or_default();
                let all = if before.is_empty() { was.to_string() } else { format!("{before},{was}") };
                // The oldest are forgotten.
                let from = all.len().saturating_sub(REVISIONS_LENGTH);
                let kept = all.get(from..).unwrap_or_default();
                let kept = if from == 0 { kept } else { kept.split_once(',').map_or("", |(_, rest)| rest) };
                said.insert(REVISIONS.to_owned(), kept.into());
            }
        }
        said
    }

    /// The number of the revision, which the deployment says too.
    fn own_number(&self) -> Option<String> {
        self.current.as_ref().map(|set| revision(set).to_string())
    }

    /// Pods that the present replica set is to have while others shrink.
    fn next_size(&self) -> i64 {
        let have = self.current.as_ref().map(replicas).unwrap_or_default();
        if self.work.text("/spec/strategy/type") == "Recreate" {
            return self.wanted();
        }
        let room = self.wanted() + self.surge() - self.all().map(replicas).sum::<i64>();
        have + room.max(0).min(self.wanted() - have)
    }

    /// Makes the replica set of a new form of the template.
    fn begin(&mut self) -> ApiResult<()> {
        let work = self.work;
        let hash = hash_of(&self.template, work.number("/status/collisionCount"));
        let mut template = self.template.clone();
        put(&mut template, &["metadata", "labels", HASH], hash.clone().into());
        let mut selector = work.object.pointer("/spec/selector").cloned().unwrap_or_else(|| json!({}));
        put(&mut selector, &["matchLabels", HASH], hash.clone().into());
        let labels = template.pointer("/metadata/labels").cloned();
        let size = self.next_size();
        let mut said = self.annotations(None);
        said.extend(self.sizes());
        let set = json!({
            "kind": "ReplicaSet", "apiVersion": "apps/v1",
            "metadata": {"name": format!("{}-{hash}", work.name()), "namespace": work.namespace(), "labels": labels,
                "annotations": said, "ownerReferences": pods::owned_by(work)},
            "spec": {"replicas": size, "minReadySeconds": work.number("/spec/minReadySeconds"), "selector": selector, "template": template},
        });
        match work.create(&REPLICA_SETS, set) {
            Ok(set) => {
                if size > 0 {
                    let name = text(&set, "/metadata/name");
                    let message = format!("Scaled up replica set {name} from 0 to {size}");
                    pods::tell(work, "Normal", "ScalingReplicaSet", &message);
                }
                self.current = Some(set);
                self.is_begun = true;
                Ok(())
            }
            // Another owner has a set of this name: the next try uses another one.
            Err(error) if error.reason == Reason::AlreadyExists => {
                let collisions = work.number("/status/collisionCount").saturating_add(1);
                let mut status = work.object.get("status").cloned().unwrap_or_else(|| json!({}));
                put(&mut status, &["collisionCount"], collisions.into());
                work.say(&status)?;
                Err(error)
            }
            Err(error) => {
                self.refuse(error);
                Ok(())
            }
        }
    }

    /// Reports why there is no replica set of the present form yet.
    fn refuse(&mut self, error: Box<ApiError>) {
        pods::tell(self.work, "Warning", NOT_CREATED, &not_created(&error));
        self.refused = Some(error);
    }

    /// Annotations that say of which size of the deployment the size of a replica set is a part.
    fn sizes(&self) -> Map<String, Value> {
        let sizes = [(DESIRED, self.wanted()), (MOST, self.wanted() + self.surge())];
        sizes.into_iter().map(|(name, size)| (name.to_owned(), size.to_string().into())).collect()
    }

    /// Gives a replica set a size; whether it had another.
    fn scale(&self, set: &mut Value, wanted: i64) -> ApiResult<bool> {
        let have = replicas(set);
        let write = |old: &Value| {
            let mut new = old.clone();
            put(&mut new, &["spec", "replicas"], wanted.into());
            for (name, size) in self.sizes() {
                put(&mut new, &["metadata", "annotations", &name], size);
            }
            new
        };
        if write(set) == *set {
            return Ok(false);
        }
        let name = text(set, "/metadata/name").to_owned();
        *set = outline(self.work.change(&REPLICA_SETS, &name, "", write)?);
        if have != wanted {
            let way = if wanted > have { "up" } else { "down" };
            let said = format!("Scaled {way} replica set {name} from {have} to {wanted}");
            pods::tell(self.work, "Normal", "ScalingReplicaSet", &said);
        }
        Ok(have != wanted)
    }

    /// Gives the present replica set a size; whether it had another.
    fn scale_current(&mut self, wanted: i64) -> ApiResult<bool> {
        let Some(mut current) = self.current.take() else { return Ok(false) };
        let scaled = if replicas(&current) == wanted { Ok(false) } else { self.scale(&mut current, wanted) };
        self.current = Some(current);
        scaled
    }

    /// Gives the other replica sets sizes, from the oldest on; whether one had another.
    fn scale_others(&mut self, mut size: impl FnMut(&Value) -> i64) -> ApiResult<bool> {
        let mut others = std::mem::take(&mut self.others);
        let mut is_changed = Ok(false);
        for set in others.iter_mut().filter(|set| replicas(set) > 0) {
            let wanted = size(set);
            if wanted != replicas(set) {
                match self.scale(set, wanted) {
                    Ok(_) => is_changed = is_changed.map(|_| true),
                    Err(error) => {
                        is_changed = Err(error);
                        break;
                    }
                }
            }
        }
        self.others = others;
        is_changed
    }

    /// Ends all pods of the old form before there are any of the new.
    fn recreate(&mut self) -> ApiResult<()> {
        let is_there = |set: &Value| {
            let leaving = set.pointer("/status/terminatingReplicas").and_then(Value::as_i64);
            running(set) > 0 || leaving.unwrap_or_default() > 0
        };
        if self.scale_others(|_| 0)? || self.others.iter().any(is_there) {
            return Ok(());
        }
        match self.current {
            None => self.begin(),
            Some(_) => self.scale_current(self.wanted()).map(drop),
        }
    }

    /// Lets the replica set of the present form grow and the others shrink, as far as the strategy permits at once.
    fn roll(&mut self) -> ApiResult<()> {
        if self.current.is_some() {
            return self.grow();
        }
        match self.refusal() {
            None => self.begin(),
            // Without room for a new ReplicaSet, the newest existing one replaces the older ones, which makes room.
            Some(full) => {
                self.refuse(full);
                self.current = self.others.pop();
                let grown = self.grow();
                self.others.extend(self.current.take());
                grown
            }
        }
    }

    /// Why no replica set is made beside those whose pods are there yet, if these hold much.
    fn refusal(&self) -> Option<Box<ApiError>> {
        let present = self.others.iter().filter(|set| !is_empty(set));
        let held: usize = present.map(|set| self.weights.of(set)).sum();
        (held > PRESENT).then(|| {
            let why = format!("the replica sets whose pods are not gone yet hold {} MiB already", held >> 20);
            ApiError::forbidden(&REPLICA_SETS, self.work.name(), why)
        })
    }

    fn grow(&mut self) -> ApiResult<()> {
        let have = self.current.as_ref().map(replicas).unwrap_or_default();
        let size = if have > self.wanted() { self.wanted() } else { self.next_size() };
        if self.scale_current(size)? {
            return Ok(());
        }
        self.shrink()
    }

    /// Takes from older replica sets what is not needed: first what is not available anyway.
    fn shrink(&mut self) -> ApiResult<()> {
        if self.others.iter().all(|set| replicas(set) == 0) {
            return Ok(());
        }
        let least = self.wanted() - self.missing();
        let unready = self.current.as_ref().map_or(0, |set| replicas(set) - available(set));
        let mut room = self.all().map(replicas).sum::<i64>() - least - unready;
        if room <= 0 {
            return Ok(());
        }
        self.scale_others(|set| {
            let broken = (replicas(set) - available(set)).clamp(0, room);
            room -= broken;
            replicas(set) - broken
        })?;
        let mut room = (self.all().map(available).sum::<i64>() - least).max(0);
        self.scale_others(|set| {
            let gone = replicas(set).min(room);
            room -= gone;
            replicas(set) - gone
        })
        .map(drop)
    }

    /// Whether its size has changed since its replica sets got theirs.
    fn is_scaled(&self) -> bool {
        let mut active = self.all().filter(|set| replicas(set) > 0);
        active.any(|set| count(set, DESIRED).is_some_and(|desired| desired != self.wanted()))
    }

    /// Gives the replica sets their share of a new size, without going on with what rolls over.
    fn adjust(&mut self) -> ApiResult<()> {
        let active = self.all().filter(|set| replicas(set) > 0).count();
        let others_are_empty = self.others.iter().all(|set| replicas(set) == 0);
        if active <= 1 && (others_are_empty && self.current.is_some()) {
            return self.scale_current(self.wanted()).map(drop);
        }
        if active <= 1 {
            let wanted = self.wanted();
            if active == 1 {
                return self.scale_others(|_| wanted).map(drop);
            }
            let Some(mut latest) = self.others.pop() else { return Ok(()) };
            let scaled = self.scale(&mut latest, wanted);
            self.others.push(latest);
            return scaled.map(drop);
        }
        let is_full = |set: &Value| {
            replicas(set) == self.wanted()
                && count(set, DESIRED) == Some(self.wanted())
                && available(set) == self.wanted()
        };
        if self.current.as_ref().is_some_and(is_full) {
            return self.scale_others(|_| 0).map(drop);
        }
        match self.work.text("/spec/strategy/type") {
            "Recreate" => Ok(()),
            _ => self.share_out(),
        }
    }

    /// Each replica set grows or shrinks in proportion to its size; what is left over is the largest's.
    fn share_out(&mut self) -> ApiResult<()> {
        let wanted = self.wanted();
        let whole = if wanted > 0 { wanted + self.surge() } else { 0 };
        let mut all = std::mem::take(&mut self.others);
        let has_current = self.current.is_some();
        all.extend(self.current.take());
        let more = whole - all.iter().map(replicas).sum::<i64>();
        let mut order: Vec<usize> = (0..all.len()).collect();
        // Of two that are as large the newer one grows and the older one shrinks.
        order.sort_by_key(|at| {
            let size = all.get(*at).map(replicas).unwrap_or_default();
            (-size, if more > 0 { all.len() - at } else { *at })
        });
        let mut sizes = vec![0; all.len()];
        let mut added = 0;
        for at in &order {
            let (Some(set), Some(size)) = (all.get(*at), sizes.get_mut(*at)) else { continue };
            let part = proportion(set, (wanted, whole), more, added, self.work.number("/status/replicas"));
            added += part;
            *size = replicas(set) + part;
        }
        if let Some(size) = order.first().and_then(|at| sizes.get_mut(*at)) {
            *size = (*size + more - added).max(0);
        }
        let scaled = all.iter_mut().zip(sizes).filter(|(set, _)| replicas(set) > 0);
        let done = scaled.map(|(set, size)| self.scale(set, size).map(drop)).collect::<ApiResult<Vec<()>>>();
        self.current = if has_current { all.pop() } else { None };
        self.others = all;
        done.map(drop)
    }

    /// Deletes the oldest empty replica sets beyond the limits. During a rollout only the limit of weight applies.
    fn clean_up(&self, is_over: bool) -> ApiResult<()> {
        let empty: Vec<&Value> = self.others.iter().filter(|set| is_empty(set)).collect();
        let kept = if is_over { past::limit(self.work) } else { usize::MAX };
        let surplus = past::surplus(&empty, kept, &self.weights);
        surplus.into_iter().try_for_each(|set| self.work.delete(&REPLICA_SETS, set))
    }
}

/// The part of a change that a replica set has by its size.
fn proportion(set: &Value, (wanted, whole): (i64, i64), more: i64, added: i64, was: i64) -> i64 {
    let size = replicas(set);
    if size == 0 || more == 0 || more == added {
        return 0;
    }
    let before = count(set, MOST).unwrap_or(was).clamp(1, i32::MAX.into());
    let part = match wanted {
        0 => -size,
        // Rounded to the nearest.
        _ => {
            let twice = size.saturating_mul(whole).saturating_mul(2).saturating_add(before);
            twice.div_euclid(before.saturating_mul(2)) - size
        }
    };
    if more > 0 { part.min(more - added) } else { part.max(more - added) }
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
    fn the_revision_is_written_with_the_status() {
        let cluster = Fake::with(&[]);
        let spec = json!({"replicas": 3, "progressDeadlineSeconds": 9, "template": {"spec": {}}});
        let (_, _, _, status) = cluster.sync(&workload("Deployment", &spec));
        assert_eq!(cluster.changed.borrow()["metadata"]["annotations"][REVISION], "1");
        assert_eq!(status["conditions"][1]["reason"], "NewReplicaSetCreated", "{status}");
    }

    #[test]
    fn a_further_set_waits_while_those_with_pods_hold_much() {
        for (with_pods, is_made) in [(2, true), (9, false)] {
            let cluster = Fake::with(&sets(9, with_pods, 10 << 20));
            let spec = json!({"replicas": 1, "progressDeadlineSeconds": 9, "template": {"x": "new"}});
            let (synced, _, _, status) = cluster.sync(&workload("Deployment", &spec));
            let made = cluster.created.borrow().iter().any(|object| object["kind"] == "ReplicaSet");
            assert_eq!((synced.is_ok(), made), (is_made, is_made), "{synced:?}");
            let is_said = status["conditions"].to_string().contains(NOT_CREATED);
            assert_eq!(is_said, !is_made, "{status}");
        }
    }
}
