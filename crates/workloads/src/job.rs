//! Jobs: pods until enough of them have succeeded, or too many have failed.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{
    self, condition, create, is_active, is_leaving, is_ready, named_after, of_template, set_condition,
};
use crate::work::Work;
use palisade_api::error::ApiResult;
use palisade_api::kind::{PODS, text};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Time before a pod takes the place of one that has failed, for the first; each further one takes twice as long.
const BACKOFF: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(360);

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let all = work.pods()?;
    if ["Complete", "Failed"].iter().any(|kind| condition(&work.object, kind).is_some()) {
        return finished(work);
    }
    let of_phase = |phase: &str| all.iter().filter(|pod| text(pod, "/status/phase") == phase).count() as i64;
    let (succeeded, failed) = (of_phase("Succeeded"), of_phase("Failed"));
    let active: Vec<&Value> = all.iter().filter(|pod| is_active(pod)).collect();
    let is_suspended = work.object.pointer("/spec/suspend") == Some(&Value::Bool(true));
    let mut tally = Tally {
        active: active.len() as i64,
        succeeded,
        failed,
        ready: active.iter().filter(|pod| is_ready(pod)).count() as i64,
    };
    let end = if is_suspended { None } else { end(work, &tally) };
    if is_suspended || end.is_some() {
        for pod in &active {
            work.delete(&PODS, pod)?;
            let said = format!("Deleted pod: {}", text(pod, "/metadata/name"));
            pods::tell(work, "Normal", "SuccessfulDelete", &said);
        }
        // Those that the failure of their job stops have failed.
        if end.is_some_and(|(kind, _, _)| kind == "Failed") {
            (tally.failed, tally.ready) = (tally.failed + tally.active, 0);
        }
        tally.active = 0;
    }
    let mut next = Next::Nothing;
    let mut refused = Ok(());
    if !is_suspended && end.is_none() {
        match wait(work, &all, failed) {
            Some(wait) => next = Next::After(wait),
            None => {
                let (created, outcome) = start(work, &all, &tally);
                tally.active += created;
                refused = outcome;
            }
        }
    }
    say(work, &all, &tally, is_suspended, end.as_ref())?;
    refused?;
    let deadline = remaining(work, "/spec/activeDeadlineSeconds", work.text("/status/startTime"));
    Ok(match (next, deadline) {
        (Next::Nothing, Some(left)) if end.is_none() => Next::After(left.max(Duration::from_secs(1))),
        (next, _) => next,
    })
}

/// The numbers of a job's pods, by phase.
struct Tally {
    active: i64,
    succeeded: i64,
    failed: i64,
    ready: i64,
}

/// The condition by which a job ends: its kind, the reason, and a sentence.
type End = (&'static str, &'static str, &'static str);

fn end(work: &Work<'_>, tally: &Tally) -> Option<End> {
    let completions = work.object.pointer("/spec/completions").and_then(Value::as_i64);
    let is_done = match completions {
        Some(wanted) => tally.succeeded >= wanted,
        // A queue of work is done when one pod says so and the others have ended.
        None => tally.succeeded > 0 && tally.active == 0,
    };
    let limit = work.object.pointer("/spec/backoffLimit").and_then(Value::as_i64).unwrap_or(6);
    let is_late = remaining(work, "/spec/activeDeadlineSeconds", work.text("/status/startTime"))
        .is_some_and(|left| left.is_zero());
    if is_done {
        Some(("Complete", "CompletionsReached", "Reached expected number of succeeded pods"))
    } else if is_late {
        Some(("Failed", "DeadlineExceeded", "Job was active longer than specified deadline"))
    } else if tally.failed > limit {
        Some(("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"))
    } else {
        None
    }
}

/// The rest of a number of seconds since a time; none where there is no such bound.
fn remaining(work: &Work<'_>, field: &str, since: &str) -> Option<Duration> {
    let seconds = work.object.pointer(field).and_then(Value::as_i64)?;
    let since: Timestamp = since.parse().ok()?;
    let left = seconds - (work.clock().as_second() - since.as_second());
    Some(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
}

/// Time that a further pod has to wait after the last failure.
fn wait(work: &Work<'_>, all: &[Value], failed: i64) -> Option<Duration> {
    let last = all.iter().filter(|pod| text(pod, "/status/phase") == "Failed").filter_map(|pod| {
        let statuses =
            pod.pointer("/status/containerStatuses").and_then(Value::as_array).into_iter().flatten();
        let ended = statuses
            .filter_map(|status| text(status, "/state/terminated/finishedAt").parse::<Timestamp>().ok());
        ended.max().or_else(|| text(pod, "/metadata/creationTimestamp").parse().ok())
    });
    let last = last.max()?;
    let delay = BACKOFF
        .saturating_mul(2_u32.saturating_pow(u32::try_from(failed - 1).unwrap_or_default().min(6)))
        .min(LONGEST);
    let since = work.clock().as_second() - last.as_second();
    let left = i64::try_from(delay.as_secs()).unwrap_or(i64::MAX) - since;
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_secs)
}

fn start(work: &Work<'_>, all: &[Value], tally: &Tally) -> (i64, ApiResult<()>) {
    let completions = work.object.pointer("/spec/completions").and_then(Value::as_i64);
    let left = completions.map_or(i64::MAX, |wanted| wanted - tally.succeeded);
    // A queue whose first pod has succeeded is not given further ones.
    let left = if completions.is_none() && tally.succeeded > 0 { tally.active } else { left };
    let parallelism = work.object.pointer("/spec/parallelism").and_then(Value::as_i64).unwrap_or(1);
    let missing = parallelism.min(left) - tally.active;
    if missing <= 0 {
        return (0, Ok(()));
    }
    if work.text("/spec/completionMode") != "Indexed" {
        let (created, refused) = pods::create_many(work, missing, || named_after(work, of_template(work)));
        return (created, refused.map_or(Ok(()), Err));
    }
    let taken: HashSet<String> = all
        .iter()
        .filter(|pod| text(pod, "/status/phase") != "Failed")
        .map(|pod| index_of(pod).to_owned())
        .collect();
    let free = (0..completions.unwrap_or_default()).filter(|index| !taken.contains(&index.to_string()));
    let mut created = 0;
    for index in free.take(usize::try_from(missing.min(pods::BURST)).unwrap_or_default()) {
        if let Err(error) = create(work, indexed(work, index)) {
            return (created, Err(error));
        }
        created += 1;
    }
    (created, Ok(()))
}

fn index_of(pod: &Value) -> &str {
    let annotations = pod.pointer("/metadata/annotations");
    annotations.and_then(|all| all.get(INDEX)?.as_str()).unwrap_or_default()
}

/// The pod of an index, which it finds in its environment.
fn indexed(work: &Work<'_>, index: i64) -> Value {
    let mut pod = of_template(work);
    let text = index.to_string();
    put(&mut pod, &["metadata", "annotations", INDEX], text.clone().into());
    put(&mut pod, &["metadata", "labels", INDEX], text.into());
    put(&mut pod, &["metadata", "generateName"], format!("{}-{index}-", work.name()).into());
    put(&mut pod, &["spec", "hostname"], format!("{}-{index}", work.name()).into());
    let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {
        "fieldRef": {"apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']")}}});
    for list in ["initContainers", "containers"] {
        let containers = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            match container.get_mut("env").and_then(Value::as_array_mut) {
                Some(env) => env.push(variable.clone()),
                None => put(container, &["env"], json!([variable])),
            }
        }
    }
    pod
}

/// The indexes of an Indexed job that have succeeded, as `1,3-5`.
fn completed(work: &Work<'_>, all: &[Value]) -> Option<String> {
    if work.text("/spec/completionMode") != "Indexed" {
        return None;
    }
    let done = all.iter().filter(|pod| text(pod, "/status/phase") == "Succeeded");
    let done: BTreeSet<i64> = done.filter_map(|pod| index_of(pod).parse().ok()).collect();
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in done {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let runs: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        })
        .collect();
    (!runs.is_empty()).then(|| runs.join(","))
}

fn say(
    work: &Work<'_>,
    all: &[Value],
    tally: &Tally,
    is_suspended: bool,
    end: Option<&End>,
) -> ApiResult<()> {
    let mut status = work.object.get("status").cloned().unwrap_or_else(|| json!({}));
    if let Some(map) = status.as_object_mut() {
        for (field, number) in [
            ("active", tally.active),
            ("succeeded", tally.succeeded),
            ("failed", tally.failed),
            ("ready", tally.ready),
        ] {
            match number {
                0 if field != "ready" => drop(map.shift_remove(field)),
                number => drop(map.insert(field.to_owned(), number.into())),
            }
        }
        map.entry("terminating").or_insert_with(|| 0.into());
        map.entry("uncountedTerminatedPods").or_insert_with(|| json!({}));
        match is_suspended {
            true => drop(map.shift_remove("startTime")),
            false => drop(map.entry("startTime").or_insert_with(|| work.now().into())),
        }
    }
    if let Some(indexes) = completed(work, all) {
        put(&mut status, &["completedIndexes"], indexes.into());
    }
    let before = condition(&work.object, "Suspended");
    let was_suspended = before.is_some();
    if before.is_some_and(|before| text(before, "/status") == "True") != is_suspended {
        let (reason, message) =
            if is_suspended { ("Suspended", "Job suspended") } else { ("Resumed", "Job resumed") };
        pods::tell(work, "Normal", reason, message);
    }
    if is_suspended {
        set_condition(work, &mut status, "Suspended", Some(("True", "JobSuspended", "Job suspended")));
    } else if was_suspended {
        set_condition(work, &mut status, "Suspended", Some(("False", "JobResumed", "Job resumed")));
    }
    if let Some((kind, reason, message)) = end {
        let before = if *kind == "Complete" { "SuccessCriteriaMet" } else { "FailureTarget" };
        for kind in [before, *kind] {
            set_condition(work, &mut status, kind, Some(("True", reason, message)));
        }
        if *kind == "Complete" {
            put(&mut status, &["completionTime"], work.now().into());
            pods::tell(work, "Normal", "Completed", "Job completed");
        } else {
            pods::tell(work, "Warning", reason, message);
        }
    }
    work.say(&status)
}

/// A job that has ended is deleted when its time has come.
fn finished(work: &Work<'_>) -> ApiResult<Next> {
    let ended = ["Complete", "Failed"].iter().find_map(|kind| condition(&work.object, kind));
    let since = ended.map(|condition| text(condition, "/lastTransitionTime")).unwrap_or_default();
    match remaining(work, "/spec/ttlSecondsAfterFinished", since) {
        Some(left) if left.is_zero() && !is_leaving(&work.object) => {
            work.delete(work.resource, &work.object)?;
            Ok(Next::Nothing)
        }
        Some(left) => Ok(Next::After(left.max(Duration::from_secs(1)))),
        None => Ok(Next::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, NOW, pod, workload};

    /// A job with a specification that began some seconds ago.
    fn job(spec: Value, ago: i64) -> Value {
        let mut job = workload("Job", &spec);
        let began = Timestamp::from_second(NOW - ago).unwrap().to_string();
        job["status"]["startTime"] = began.into();
        job
    }

    fn ended(status: &Value) -> String {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let reasons =
            conditions.filter(|one| matches!(text(one, "/type"), "Complete" | "Failed" | "Suspended"));
        reasons.map(|one| text(one, "/reason").to_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_job_runs_until_it_has_an_end() {
        let done =
            |count: usize| (0..count).map(|at| pod(&format!("s{at}"), "Succeeded", 9)).collect::<Vec<_>>();
        let failed = |count: usize, ago: i64| {
            (0..count).map(|at| pod(&format!("f{at}"), "Failed", ago)).collect::<Vec<_>>()
        };
        let running = vec![pod("r", "Running", 9)];
        let all = json!({"completions": 3, "parallelism": 2});
        // The specification, how long ago it began, its pods; pods made and deleted, and why it has ended.
        let cases = [
            (all.clone(), 0, vec![], 2, 0, ""),
            (all.clone(), 0, done(2), 1, 0, ""),
            (all.clone(), 0, running.clone(), 1, 0, ""),
            (all.clone(), 0, done(3), 0, 0, "CompletionsReached"),
            (
                json!({"completions": 1, "parallelism": 1}),
                0,
                [done(1), running.clone()].concat(),
                0,
                1,
                "CompletionsReached",
            ),
            (json!({"parallelism": 1}), 0, done(1), 0, 0, "CompletionsReached"),
            // The next pod waits longer after each failure.
            (all.clone(), 0, failed(1, 5), 0, 0, ""),
            (all.clone(), 0, failed(1, 11), 2, 0, ""),
            (all.clone(), 0, failed(2, 11), 0, 0, ""),
            (
                json!({"backoffLimit": 1, "completions": 3, "parallelism": 2}),
                0,
                failed(2, 900),
                0,
                0,
                "BackoffLimitExceeded",
            ),
            (
                json!({"activeDeadlineSeconds": 10, "completions": 3}),
                11,
                running.clone(),
                0,
                1,
                "DeadlineExceeded",
            ),
            (json!({"suspend": true, "completions": 3, "parallelism": 2}), 0, running, 0, 1, "JobSuspended"),
        ];
        for (spec, ago, pods, made, deleted, reason) in cases {
            let cluster = Fake::with(&pods);
            let (next, created, gone, status) = cluster.sync(&job(spec.clone(), ago));
            assert!(next.is_ok());
            assert_eq!((created, gone, ended(&status).as_str()), (made, deleted, reason), "{spec} {pods:?}");
        }
    }

    #[test]
    fn a_job_that_has_ended_goes_after_its_time() {
        for (ago, deleted) in [(5, 0), (60, 1)] {
            let mut job = job(json!({"ttlSecondsAfterFinished": 30}), 100);
            let ended = Timestamp::from_second(NOW - ago).unwrap().to_string();
            job["status"]["conditions"] =
                json!([{"type": "Complete", "status": "True", "lastTransitionTime": ended}]);
            assert_eq!(Fake::default().sync(&job).2, deleted, "{ago}");
        }
    }
}
