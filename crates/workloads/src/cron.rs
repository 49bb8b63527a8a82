//! CronJobs: a Job at each time of a schedule.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use palisade_api::cron::{self, Schedule};
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{self, condition};
use crate::work::{Work, brief};
use palisade_api::error::{ApiResult, Reason};
use palisade_api::kind::{JOBS, text};
use palisade_api::weight;

/// Time after a time of the schedule at which it is looked at, for clocks that differ.
const LATE: Duration = Duration::from_millis(100);
/// Says on a job for which time it was made.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let mut unfinished = Unfinished::default();
    let jobs = work.owned("batch/jobs", |job| {
        if ended(&job).is_none() {
            unfinished.count += 1;
            unfinished.weight += weight::of(&job);
        }
        brief(job)
    })?;
    let mut status =
        work.object.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    let mut active = Active(status.get("active").and_then(Value::as_array).cloned().unwrap_or_default());
    take_stock(work, &jobs, &mut active, &mut status);
    let started = start(work, &mut active, &mut status, &unfinished);
    // Started jobs are recorded even if a later step failed.
    match active.0.is_empty() {
        true => drop(status.as_object_mut().and_then(|status| status.shift_remove("active"))),
        false => put(&mut status, &["active"], active.0.into()),
    }
    work.say(&status)?;
    clean(work, &jobs)?;
    started
}

/// The jobs of one schedule that have not ended.
#[derive(Debug, Default)]
struct Unfinished {
    count: usize,
    weight: usize,
}

impl Unfinished {
    /// So many, or so heavy ones, are enough: a schedule goes on for ever, and jobs need not end.
    const MOST: (usize, usize) = (100, 64 << 20);

    fn are_enough(&self) -> bool {
        self.count >= Self::MOST.0 || self.weight >= Self::MOST.1
    }
}

/// References to the jobs that have not ended.
struct Active(Vec<Value>);

impl Active {
    fn has(&self, field: &str, of: &str) -> bool {
        self.0.iter().any(|one| text(one, field) == of)
    }

    /// Whether the job of a UID was one of them; it is none any more.
    fn remove(&mut self, uid: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|one| text(one, "/uid") != uid);
        self.0.len() < before
    }
}

/// The condition by which a job has ended.
fn ended(job: &Value) -> Option<&'static str> {
    let holds = |kind: &&str| condition(job, kind).is_some_and(|found| text(found, "/status") == "True");
    ["Complete", "Failed"].into_iter().find(holds)
}

/// Learns which jobs have ended, and which are gone.
fn take_stock(work: &Work<'_>, jobs: &[Value], active: &mut Active, status: &mut Value) {
    for job in jobs {
        let (uid, name) = (text(job, "/metadata/uid"), text(job, "/metadata/name"));
        let Some(end) = ended(job) else {
            if !active.has("/uid", uid) {
                let message = format!("Saw a job that the controller did not create or forgot: {name}");
                pods::tell(work, "Warning", "UnexpectedJob", &message);
            }
            continue;
        };
        if active.remove(uid) {
            let message = format!("Saw completed job: {name}, condition: {end}");
            pods::tell(work, "Normal", "SawCompletedJob", &message);
        }
        let time = text(job, "/status/completionTime");
        // Times of one form are in order as texts are.
        if end == "Complete" && time > text(status, "/lastSuccessfulTime") {
            put(status, &["lastSuccessfulTime"], time.into());
        }
    }
    let is_there = |one: &Value| jobs.iter().any(|job| text(job, "/metadata/uid") == text(one, "/uid"));
    for gone in active.0.iter().filter(|one| !is_there(one)) {
        let message = format!("Active job went missing: {}", text(gone, "/name"));
        pods::tell(work, "Normal", "MissingJob", &message);
    }
    active.0.retain(is_there);
}

/// Starts the job of the latest time that has come, if there is one that was not started yet.
fn start(
    work: &Work<'_>,
    active: &mut Active,
    status: &mut Value,
    unfinished: &Unfinished,
) -> ApiResult<Next> {
    let (Some(schedule), false) =
        (schedule(work), work.object.pointer("/spec/suspend") == Some(&true.into()))
    else {
        return Ok(Next::Nothing);
    };
    let now = work.clock();
    let after = |time| schedule.next(time).map_or(Next::Nothing, |next| Next::After(until(now, next) + LATE));
    let Some(at) = due(work, &schedule, now) else {
        // An interval counts from the last time; runs missed beyond the deadline are not counted.
        return Ok(after(schedule.latest(since(work), now).unwrap_or_else(|| since(work))));
    };
    let next = after(at);
    let name = format!("{}-{}", work.name(), at.as_second().div_euclid(60));
    if active.has("/name", &name) || work.text("/status/lastScheduleTime") == at.to_string() {
        return Ok(next);
    }
    if work.text("/spec/concurrencyPolicy") == "Forbid" && !active.0.is_empty() {
        let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
        pods::tell(work, "Normal", "JobAlreadyActive", message);
        return Ok(next);
    }
    if work.text("/spec/concurrencyPolicy") == "Replace" {
        for old in std::mem::take(&mut active.0) {
            remove(work, text(&old, "/name"))?;
        }
    }
    if !active.0.is_empty() && unfinished.are_enough() {
        let message = format!(
            "Not starting job because {} jobs have not ended, of {} MiB",
            unfinished.count,
            unfinished.weight >> 20
        );
        pods::tell(work, "Warning", "TooManyActiveJobs", &message);
        return Ok(next);
    }
    let Some(job) = create(work, &schedule, &name, at)? else { return Ok(next) };
    active
        .0
        .push(json!({"kind": "Job", "apiVersion": "batch/v1", "namespace": work.namespace(), "name": name,
        "uid": text(&job, "/metadata/uid"), "resourceVersion": text(&job, "/metadata/resourceVersion")}));
    put(status, &["lastScheduleTime"], at.to_string().into());
    Ok(next)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

fn schedule(work: &Work<'_>) -> Option<Schedule> {
    let zone = match work.text("/spec/timeZone") {
        "" => TimeZone::UTC,
        name => match cron::zone(name) {
            Some(zone) => zone,
            None => {
                pods::tell(work, "Warning", "UnknownTimeZone", &format!("invalid timeZone: {name:?}"));
                return None;
            }
        },
    };
    let text = work.text("/spec/schedule");
    let read = Schedule::parse(text, zone);
    read.inspect_err(|error| {
        let message = format!("unparseable schedule: {text:?} : {error}");
        pods::tell(work, "Warning", "UnparseableSchedule", &message);
    })
    .ok()
}

/// From when on times are due that no job was started for.
fn since(work: &Work<'_>) -> Timestamp {
    let read = |pointer: &str| work.text(pointer).parse().ok();
    read("/status/lastScheduleTime")
        .or_else(|| read("/metadata/creationTimestamp"))
        .unwrap_or_else(|| work.clock())
}

/// The latest time that has come, and for which it is not too late.
fn due(work: &Work<'_>, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    /// Number of missed times from which on there is an event.
    const MANY: i64 = 100;
    let mut since = since(work);
    if let Some(deadline) = work.object.pointer("/spec/startingDeadlineSeconds").and_then(Value::as_i64) {
        let first = now.checked_sub(SignedDuration::from_secs(deadline)).unwrap_or(Timestamp::MIN);
        since = since.max(first);
    }
    let latest = schedule.latest(since, now)?;
    let first = schedule.next(since)?;
    let interval = schedule.next(first)?.as_second() - first.as_second();
    if (latest.as_second() - first.as_second()) / interval.max(1) >= MANY {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        pods::tell(work, "Warning", "TooManyMissedTimes", message);
    }
    Some(latest)
}

/// The job of a time: created now, or created before and not yet in the status. `None` if another owner has a job of its name.
fn create(work: &Work<'_>, schedule: &Schedule, name: &str, at: Timestamp) -> ApiResult<Option<Value>> {
    let template = work.object.pointer("/spec/jobTemplate");
    let part = |pointer: &str| template.and_then(|template| template.pointer(pointer)).cloned();
    let mut metadata = json!({"name": name, "ownerReferences": pods::owned_by(work)});
    for field in ["labels", "annotations"] {
        put(&mut metadata, &[field], part(&format!("/metadata/{field}")).unwrap_or_else(|| json!({})));
    }
    put(&mut metadata, &["annotations", SCHEDULED], schedule.local(at).into());
    let spec = part("/spec").unwrap_or_else(|| json!({}));
    let job = json!({"kind": "Job", "apiVersion": "batch/v1", "metadata": metadata, "spec": spec});
    match work.create(&JOBS, job) {
        Ok(job) => {
            pods::tell(work, "Normal", "SuccessfulCreate", &format!("Created job {name}"));
            Ok(Some(job))
        }
        Err(error) if error.reason == Reason::AlreadyExists => {
            let mut owned = work.owned("batch/jobs", brief)?.into_iter();
            Ok(owned.find(|job| text(job, "/metadata/name") == name))
        }
        Err(error) => {
            pods::tell(work, "Warning", "FailedCreate", &format!("Error creating job: {}", error.message));
            Err(error)
        }
    }
}

fn remove(work: &Work<'_>, name: &str) -> ApiResult<()> {
    work.delete(&JOBS, &json!({"metadata": {"name": name}}))?;
    pods::tell(work, "Normal", "SuccessfulDelete", &format!("Deleted job {name}"));
    Ok(())
}

/// Deletes the oldest of the jobs that have ended.
fn clean(work: &Work<'_>, jobs: &[Value]) -> ApiResult<()> {
    for (end, limit) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
        let Some(limit) = work.object.pointer(&format!("/spec/{limit}")).and_then(Value::as_u64) else {
            continue;
        };
        let mut all: Vec<_> = jobs.iter().filter(|job| ended(job) == Some(end)).collect();
        all.sort_by_key(|job| (text(job, "/status/startTime"), text(job, "/metadata/name")));
        let surplus = all.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        for job in all.into_iter().take(surplus) {
            remove(work, text(job, "/metadata/name"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, NOW, workload};

    #[test]
    fn nothing_is_started_while_many_jobs_go_on() {
        for (count, size, starts) in
            [(0, 10, true), (99, 10, true), (100, 10, false), (3, 10 << 20, true), (7, 10 << 20, false)]
        {
            let job = |at: usize| {
                json!({"kind": "Job", "metadata": {"name": format!("j{at}"), "uid": format!("u{at}"),
                    "annotations": {"x": "x".repeat(size)}}, "status": {}})
            };
            let jobs: Vec<Value> = (0..count).map(job).collect();
            let cluster = Fake::with(&jobs);
            let mut cron =
                workload("CronJob", &json!({"schedule": "* * * * *", "jobTemplate": {"spec": {}}}));
            let active = jobs
                .iter()
                .map(|job| json!({"name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}));
            cron["status"]["active"] = active.collect();
            cron["status"]["lastScheduleTime"] =
                Timestamp::from_second(NOW - 120).unwrap().to_string().into();
            cluster.sync(&cron).0.unwrap();
            let made = cluster.created.borrow().iter().any(|object| object["kind"] == "Job");
            assert_eq!(made, starts, "{count} of {size} bytes");
        }
    }
}
