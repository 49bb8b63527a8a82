//! Jobs and cron jobs: pods that end.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use super::super::subresource::STATUS;
use super::super::{AGE, Admission, BASE, Resource, Row, age, column, default, immutable, text, wide};
use super::{At, begin, check_template, count, wide_cells, with_spec};
use crate::{cron, time};

const GROUP: &str = "batch";
/// The labels of a job's pods.
const UID_LABEL: &str = "batch.kubernetes.io/controller-uid";
const NAME_LABEL: &str = "batch.kubernetes.io/job-name";

/// Jobs.
pub static JOBS: Resource = Resource::Row(&JOB);

const JOB: Row = Row {
    group: GROUP,
    plural: "jobs",
    singular: "job",
    kind: "Job",
    schema: "Job",
    categories: &["all"],
    counts_generations: true,
    admission: Admission::Workload,
    subresources: &[STATUS],
    storage: "batch/jobs",
    selectable: &["status.successful"],
    columns: &[
        column("Status"),
        column("Completions"),
        column("Duration"),
        AGE,
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: |job, now| {
        let mut cells =
            vec![phase(job).into(), completions(job).into(), duration(job, now).into(), age(job, now)];
        cells.extend(wide_cells(job));
        cells
    },
    prepare: |job, old| {
        begin(job, old);
        with_spec(job, complete);
        if old.is_none() {
            select(job);
            label(job);
        }
    },
    validate: |job, old| {
        let mut errors = check(&At::root(job, "spec"));
        check_template(job, old, "", &mut errors);
        errors.extend(immutable(job, old, &["spec.selector", "spec.template", "spec.completionMode"]));
        errors
    },
    ..BASE
};

/// Cron jobs.
pub static CRON_JOBS: Resource = Resource::Row(&Row {
    plural: "cronjobs",
    singular: "cronjob",
    kind: "CronJob",
    schema: "CronJob",
    short_names: &["cj"],
    storage: "batch/cronjobs",
    selectable: &[],
    columns: &[
        column("Schedule"),
        column("Timezone"),
        column("Suspend"),
        column("Active"),
        column("Last Schedule"),
        AGE,
    ],
    cells: |object, now| {
        let last = text(object, "/status/lastScheduleTime");
        let active = object.pointer("/status/active").and_then(Value::as_array).map_or(0, Vec::len);
        let zone = match text(object, "/spec/timeZone") {
            "" => "<none>",
            zone => zone,
        };
        let is_suspended = object.pointer("/spec/suspend") == Some(&Value::Bool(true));
        vec![
            text(object, "/spec/schedule").into(),
            zone.into(),
            if is_suspended { "True" } else { "False" }.into(),
            active.into(),
            if last.is_empty() { "<none>".into() } else { time::age(last, now).into() },
            age(object, now),
        ]
    },
    prepare: |object, old| {
        begin(object, old);
        with_spec(object, |spec| {
            default(spec, "concurrencyPolicy", "Allow");
            default(spec, "suspend", false);
            default(spec, "successfulJobsHistoryLimit", 3);
            default(spec, "failedJobsHistoryLimit", 1);
        });
        if let Some(template) = object.pointer_mut("/spec/jobTemplate/spec/template") {
            super::complete_template(template);
        }
    },
    validate: check_cron_job,
    ..JOB
});

fn complete(spec: &mut Value) {
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        default(spec, "completions", 1);
    }
    default(spec, "parallelism", 1);
    default(spec, "backoffLimit", 6);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "manualSelector", false);
    let has_policy = spec.get("podFailurePolicy").is_some();
    default(spec, "podReplacementPolicy", if has_policy { "Failed" } else { "TerminatingOrFailed" });
}

/// A job's pods are those with its own labels, unless its author says otherwise.
fn select(job: &mut Value) {
    if job.pointer("/spec/manualSelector") == Some(&Value::Bool(true))
        || job.pointer("/spec/template").is_none()
    {
        return;
    }
    let (uid, name) = (text(job, "/metadata/uid").to_owned(), text(job, "/metadata/name").to_owned());
    for (label, value) in
        [(UID_LABEL, &uid), (NAME_LABEL, &name), ("controller-uid", &uid), ("job-name", &name)]
    {
        if !value.is_empty() {
            put(job, &["spec", "template", "metadata", "labels", label], value.clone().into());
        }
    }
    put(job, &["spec", "selector"], json!({"matchLabels": {UID_LABEL: uid}}));
}

/// A job without labels has those of its pods.
fn label(job: &mut Value) {
    let is_bare = job.pointer("/metadata/labels").and_then(Value::as_object).is_none_or(|all| all.is_empty());
    let labels = job.pointer("/spec/template/metadata/labels").filter(|labels| labels.is_object()).cloned();
    if let Some(labels) = labels.filter(|_| is_bare) {
        put(job, &["metadata", "labels"], labels);
    }
}

fn check(spec: &At<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in
        ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"]
    {
        errors.extend(spec.field(field).outside(0..=i64::MAX));
    }
    errors.extend(spec.field("completionMode").none_of(&["NonIndexed", "Indexed"]));
    let restart = spec.field("template").field("spec").field("restartPolicy");
    errors.extend(restart.none_of(&["OnFailure", "Never"]));
    errors
}

/// The length of a cron job's name, which its jobs' names begin with.
const CRON_NAME: usize = 52;

fn check_cron_job(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = At::root(object, "spec");
    let name = text(object, "/metadata/name");
    let mut errors = Vec::new();
    if old.is_none() && name.len() > CRON_NAME {
        let why = format!("must be no more than {CRON_NAME} characters");
        errors.push(FieldError::invalid(FieldPath::of("metadata.name"), name, why));
    }
    errors.extend(check_schedule(&spec, old));
    errors.extend(spec.field("concurrencyPolicy").none_of(&["Allow", "Forbid", "Replace"]));
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        errors.extend(spec.field(field).outside(0..=i64::MAX));
    }
    let job = spec.field("jobTemplate").field("spec");
    errors.extend(check(&job));
    if job.field("selector").is_set() {
        errors.push(job.field("selector").invalid("`selector` will be auto-generated"));
    }
    if job.field("manualSelector").is(true) {
        errors.push(FieldError::not_supported(job.field("manualSelector").path(), "true", &["nil", "false"]));
    }
    let old_template = old.and_then(|old| old.pointer("/spec/jobTemplate/spec/template"));
    super::check_template_at(&job.field("template"), old_template, "", &mut errors);
    errors
}

fn check_schedule(spec: &At<'_>, old: Option<&Value>) -> Vec<FieldError> {
    let (schedule, zone) = (spec.field("schedule"), spec.field("timeZone"));
    let mut errors = Vec::new();
    if schedule.text().is_empty() {
        errors.push(schedule.required(""));
    } else if let Err(error) = cron::Schedule::parse(schedule.text(), TimeZone::UTC) {
        errors.push(FieldError::invalid(schedule.path(), schedule.text(), error.to_string()));
    }
    let is_kept = old.is_some_and(|old| old.pointer("/spec/timeZone") == zone.value());
    match zone.text() {
        _ if is_kept || !zone.is_set() => {}
        "" => errors.push(zone.invalid("timeZone must be nil or non-empty string")),
        name if cron::zone(name).is_none() => {
            errors.push(FieldError::invalid(zone.path(), name, format!("unknown time zone {name}")));
        }
        _ => {}
    }
    errors
}

fn has_condition(job: &Value, kind: &str) -> bool {
    let conditions = job.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| text(condition, "/type") == kind && text(condition, "/status") == "True")
}

fn phase(job: &Value) -> &'static str {
    let named = [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
    ];
    match named.iter().find(|(kind, _)| has_condition(job, kind)) {
        _ if job.pointer("/metadata/deletionTimestamp").is_some() => "Terminating",
        Some((_, phase)) => phase,
        None => "Running",
    }
}

fn completions(job: &Value) -> String {
    let done = count(job, "/status/succeeded");
    match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{done}/{wanted}"),
        None if count(job, "/spec/parallelism") > 1 => {
            format!("{done}/1 of {}", count(job, "/spec/parallelism"))
        }
        None => format!("{done}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let start = text(job, "/status/startTime");
    let end = text(job, "/status/completionTime").parse().unwrap_or(now);
    if start.is_empty() { String::new() } else { time::age(start, end) }
}
