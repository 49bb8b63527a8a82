//! StatefulSets: pods with names of their own, one after another, each with its claims.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use palisade_k8s::put;
use palisade_k8s::workload::{add_claims, claim_templates, name_of};
use serde_json::{Value, json};

use crate::Next;
use crate::history::{self, History, Naming};
use crate::pods::{self, BURST, create_as, is_available, is_leaving, is_over, made_of};
use crate::work::Work;
use palisade_api::error::{ApiResult, Reason};
use palisade_api::kind::{CLAIMS, PODS, text};

/// Label of a pod with the name of the revision that it was made of.
const REVISION: &str = "controller-revision-hash";
const NAMING: Naming = Naming { label: "controller.kubernetes.io/hash", hash: history::fnv };

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let all = work.pods()?;
    let history = History::record(work, NAMING)?;
    let set = Set::new(work, &history, &all)?;
    let mut done = Done::default();
    let refused = set.settle(&mut done);
    set.say(&done)?;
    set.trim()?;
    refused?;
    let waits = done.made >= BURST || all.iter().any(|pod| is_ready(pod) && !set.is_available(pod));
    history.refused.map_or(Ok(()), Err)?;
    Ok(if waits { Next::After(Duration::from_secs(1)) } else { Next::Nothing })
}

/// A set that is looked at, with its pods by their number.
struct Set<'s> {
    work: &'s Work<'s>,
    history: &'s History,
    /// The revision that most pods were made of, and the newest.
    current: &'s Value,
    newest: &'s Value,
    /// The template of the current one, where that is another than the newest and pods may be made of it.
    template: Option<Value>,
    pods: BTreeMap<i64, &'s Value>,
    first: i64,
    end: i64,
    is_parallel: bool,
}

/// What has been done to the pods.
#[derive(Debug, Default)]
struct Done {
    /// Objects that were made, claims too.
    made: i64,
    created: i64,
    /// Of these pods, those of the newest revision, and those of the current one.
    updated: i64,
    current: i64,
}

fn is_ready(pod: &Value) -> bool {
    text(pod, "/status/phase") == "Running" && pods::has_condition(pod, "Ready")
}

fn label(pod: &Value) -> &str {
    pod.pointer("/metadata/labels").and_then(|labels| labels.get(REVISION)?.as_str()).unwrap_or_default()
}

/// The number of the first pod that is renewed, counted from the first one.
fn partition(work: &Work<'_>) -> i64 {
    work.number("/spec/updateStrategy/rollingUpdate/partition")
}

/// The number of a pod; others that it controls are let alone.
fn ordinal(work: &Work<'_>, pod: &Value) -> Option<i64> {
    text(pod, "/metadata/name").strip_prefix(work.name())?.strip_prefix('-')?.parse().ok()
}

impl<'s> Set<'s> {
    fn new(work: &'s Work<'s>, history: &'s History, all: &'s [Value]) -> ApiResult<Self> {
        let first = work.number("/spec/ordinals/start");
        let newest = &history.newest;
        let current = history.find(work.text("/status/currentRevision")).unwrap_or(newest);
        let is_needed = partition(work) > 0 && history::name(current) != history::name(newest);
        Ok(Self {
            work,
            history,
            current,
            newest,
            template: is_needed.then(|| history::template_of(work, current)).transpose()?,
            pods: all.iter().filter_map(|pod| Some((ordinal(work, pod)?, pod))).collect(),
            first,
            end: first.saturating_add(work.number("/spec/replicas")),
            is_parallel: work.text("/spec/podManagementPolicy") == "Parallel",
        })
    }

    fn is_available(&self, pod: &Value) -> bool {
        is_available(self.work, pod, self.work.number("/spec/minReadySeconds"))
    }

    /// Whether a pod lets those that come after it go on.
    fn lets_on(&self, pod: &Value) -> bool {
        self.is_parallel || !is_leaving(pod) && is_ready(pod) && self.is_available(pod)
    }

    /// Creates missing pods, deletes surplus ones and replaces outdated ones, as far as their order permits now.
    fn settle(&self, done: &mut Done) -> ApiResult<()> {
        if !self.fill(done)? || !self.shrink()? {
            return Ok(());
        }
        match self.work.text("/spec/updateStrategy/type") {
            "OnDelete" => Ok(()),
            _ => self.renew(done),
        }
    }

    /// Makes pods that are missing; gives whether all else may go on.
    fn fill(&self, done: &mut Done) -> ApiResult<bool> {
        for at in self.first..self.end {
            match self.pods.get(&at) {
                Some(pod) if is_over(pod) => {
                    if !is_leaving(pod) {
                        self.end(pod)?;
                    }
                    if !self.is_parallel {
                        return Ok(false);
                    }
                }
                Some(pod) if !self.lets_on(pod) => return Ok(false),
                Some(_) => {}
                None => {
                    self.make(at, done)?;
                    if !self.is_parallel || done.made >= BURST {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Pods below the partition are made of the revision that the others were made of.
    fn make(&self, at: i64, done: &mut Done) -> ApiResult<()> {
        let is_old = at < self.first.saturating_add(partition(self.work));
        let (revision, template) = match &self.template {
            Some(template) if is_old => (self.current, template),
            _ => (self.newest, &self.history.template),
        };
        done.made += 1 + make(self.work, at, history::name(revision), template)?;
        done.created += 1;
        done.updated += i64::from(history::name(revision) == history::name(self.newest));
        done.current += i64::from(history::name(revision) == history::name(self.current));
        Ok(())
    }

    /// Ends pods that are too many, the last first; gives whether all else may go on.
    fn shrink(&self) -> ApiResult<bool> {
        let is_wanted = |at: i64| (self.first..self.end).contains(&at);
        let surplus = self.pods.iter().rev().filter(|(at, _)| !is_wanted(**at)).map(|(_, pod)| *pod);
        // One that is broken may go before those that come after it are well.
        let broken = self.pods.iter().find(|(at, pod)| !is_wanted(**at) && !self.is_available(pod));
        let broken = broken.map(|(_, pod)| text(pod, "/metadata/uid"));
        for pod in surplus {
            if is_leaving(pod) {
                if self.is_parallel {
                    continue;
                }
                return Ok(false);
            }
            let is_first_broken = broken == Some(text(pod, "/metadata/uid"));
            if !self.lets_on(pod) && !is_first_broken {
                return Ok(false);
            }
            self.end(pod)?;
            if !self.is_parallel {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the last pod of an older revision, to be made anew.
    fn renew(&self, done: &mut Done) -> ApiResult<()> {
        let least = self.first.saturating_add(partition(self.work));
        for (_, pod) in self.pods.range(least.min(self.end)..self.end).rev() {
            if label(pod) != history::name(self.newest) && !is_leaving(pod) {
                done.current -= i64::from(label(pod) == history::name(self.current));
                return self.end(pod);
            }
            if !self.is_available(pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn end(&self, pod: &Value) -> ApiResult<()> {
        self.work.delete(&PODS, pod)?;
        let name = text(pod, "/metadata/name");
        let message = format!("Delete Pod {name} in StatefulSet {} successful", self.work.name());
        pods::tell(self.work, "Normal", "SuccessfulDelete", &message);
        Ok(())
    }

    fn say(&self, done: &Done) -> ApiResult<()> {
        let work = self.work;
        let count = |is: &dyn Fn(&Value) -> bool| self.pods.values().filter(|pod| is(pod)).count() as i64;
        let of = |revision: &Value| count(&|pod| !is_leaving(pod) && label(pod) == history::name(revision));
        let total = self.pods.len() as i64 + done.created;
        let (ready, updated) = (count(&is_ready), of(self.newest) + done.updated);
        let wanted = work.number("/spec/replicas");
        let is_complete = work.text("/spec/updateStrategy/type") != "OnDelete"
            && [updated, ready, total].iter().all(|number| *number == wanted);
        let (revision, current) = match is_complete {
            true => (self.newest, updated),
            false => (self.current, of(self.current) + done.current),
        };
        let mut status = json!({
            "observedGeneration": work.number("/metadata/generation"), "replicas": total,
            "availableReplicas": count(&|pod| is_ready(pod) && self.is_available(pod)),
            "updateRevision": history::name(self.newest), "currentRevision": history::name(revision),
            "collisionCount": self.history.collisions,
        });
        let numbers = [("readyReplicas", ready), ("currentReplicas", current), ("updatedReplicas", updated)];
        for (field, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
            put(&mut status, &[field], number.into());
        }
        work.say(&status)
    }

    /// Deletes the oldest revisions without pods beyond the history.
    fn trim(&self) -> ApiResult<()> {
        let mut live: HashSet<&str> = self.pods.values().map(|pod| label(pod)).collect();
        live.insert(history::name(self.current));
        self.history.trim(self.work, |revision| !live.contains(history::name(revision)), false)
    }
}

/// Makes the claims of a pod, and the pod; gives the number of claims that were made.
fn make(work: &Work<'_>, at: i64, revision: &str, template: &Value) -> ApiResult<i64> {
    let name = format!("{}-{at}", work.name());
    let mut pod = made_of(work, template);
    put(&mut pod, &["metadata", "name"], name.clone().into());
    let labels = [
        ("statefulset.kubernetes.io/pod-name", name.clone()),
        ("apps.kubernetes.io/pod-index", at.to_string()),
        (REVISION, revision.to_owned()),
    ];
    for (key, value) in labels {
        put(&mut pod, &["metadata", "labels", key], value.into());
    }
    put(&mut pod, &["spec", "hostname"], name.clone().into());
    if !work.text("/spec/serviceName").is_empty() {
        put(&mut pod, &["spec", "subdomain"], work.text("/spec/serviceName").into());
    }
    let claim = |template: &str| format!("{template}-{name}");
    let mut claims = 0;
    for template in claim_templates(&work.object) {
        claims += i64::from(claim_for(work, template, &claim(name_of(template)))?);
    }
    add_claims(&mut pod, claim_templates(&work.object).map(name_of), claim);
    create_as(work, pod, &format!("Create Pod {name} in StatefulSet {} successful", work.name()))?;
    Ok(claims)
}

/// Makes a claim of a pod, unless there is one of this name.
fn claim_for(work: &Work<'_>, template: &Value, name: &str) -> ApiResult<bool> {
    if work.cluster.get(&CLAIMS, work.namespace(), name).is_ok() {
        return Ok(false);
    }
    let mut claim = json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": name, "namespace": work.namespace()},
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({}))});
    for place in [template.pointer("/metadata/labels"), work.object.pointer("/spec/selector/matchLabels")] {
        for (key, value) in place.and_then(Value::as_object).into_iter().flatten() {
            put(&mut claim, &["metadata", "labels", key], value.clone());
        }
    }
    if let Some(annotations) = template.pointer("/metadata/annotations") {
        put(&mut claim, &["metadata", "annotations"], annotations.clone());
    }
    match work.create(&CLAIMS, claim) {
        Err(error) if error.reason != Reason::AlreadyExists => {
            pods::tell(work, "Warning", "FailedCreate", &format!("Error creating: {}", error.message));
            Err(error)
        }
        made => Ok(made.is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, workload};

    #[test]
    fn a_run_makes_a_bounded_number_of_claims() {
        let templates: Vec<Value> =
            (0..400).map(|n| json!({"metadata": {"name": format!("c{n}")}})).collect();
        let set = workload(
            "StatefulSet",
            &json!({"replicas": 2_000_000_000_i64, "podManagementPolicy": "Parallel",
            "template": {}, "volumeClaimTemplates": templates}),
        );
        let fake = Fake::with(&[]);
        let (next, pods, ..) = fake.sync(&set);
        let claims =
            fake.created.borrow().iter().filter(|made| made["kind"] == "PersistentVolumeClaim").count();
        assert_eq!((next.unwrap(), pods, claims), (Next::After(Duration::from_secs(1)), 1, 400));
    }
}
