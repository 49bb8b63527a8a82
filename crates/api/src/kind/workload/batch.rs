//! Jobs and cron jobs: pods that run to completion.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use palisade_k8s::{FieldError, FieldPath, put};
use serde_json::{Value, json};

use super::super::subresource::STATUS;
use super::super::{AGE, Admission, BASE, Resource, Row, age, column, default, immutable, text, wide};
use super::status;
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
        errors.extend(status::check(job, old, &status::JOB));
        errors.extend(check_selection(job, old));
        check_template(job, old, "", &mut errors);
        errors.extend(immutable(job, old, &["spec.selector", "spec.template", "spec.completionMode"]));
        if text(job, "/spec/completionMode") != "Indexed" {
            errors.extend(immutable(job, old, &["spec.completions"]));
        }
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
        if let Some(job) = object.pointer_mut("/spec/jobTemplate").filter(|job| job.is_object()) {
            default(job, "metadata", json!({}));
        }
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
    let by_index = spec.get("backoffLimitPerIndex").is_some_and(|limit| !limit.is_null());
    default(spec, "backoffLimit", if by_index { i32::MAX } else { 6 });
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "manualSelector", false);
    let rules =
        spec.pointer_mut("/podFailurePolicy/rules").and_then(Value::as_array_mut).into_iter().flatten();
    let conditions = rules.filter_map(|rule| rule.get_mut("onPodConditions")?.as_array_mut()).flatten();
    conditions.for_each(|condition| default(condition, "status", "True"));
    let has_policy = spec.get("podFailurePolicy").is_some();
    default(spec, "podReplacementPolicy", if has_policy { "Failed" } else { "TerminatingOrFailed" });
}

/// A job's pods are those with its generated labels, unless its author set a selector.
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
    if job.pointer("/spec/selector").is_none_or(Value::is_null) {
        put(job, &["spec", "selector"], json!({"matchLabels": {UID_LABEL: uid}}));
    }
}

/// A job without labels gets those of its pods.
fn label(job: &mut Value) {
    let is_bare = job.pointer("/metadata/labels").and_then(Value::as_object).is_none_or(|all| all.is_empty());
    let labels = job.pointer("/spec/template/metadata/labels").filter(|labels| labels.is_object()).cloned();
    if let Some(labels) = labels.filter(|_| is_bare) {
        put(job, &["metadata", "labels"], labels);
    }
}

/// Maximum parallelism of an indexed job.
const PARALLEL: i64 = 100_000;

fn check(spec: &At<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.extend(spec.field(field).outside(0..=i64::MAX));
    }
    errors.extend(spec.field("completionMode").none_of(&["NonIndexed", "Indexed"]));
    errors.extend(spec.field("podReplacementPolicy").none_of(&["Failed", "TerminatingOrFailed"]));
    check_indexes(spec, &mut errors);
    check_manager(&spec.field("managedBy"), &mut errors);
    let rules = spec.field("podFailurePolicy").field("rules");
    rules.items().for_each(|rule| check_failure(&rule, spec, &mut errors));
    let restart = spec.field("template").field("spec").field("restartPolicy");
    match restart.text() {
        "OnFailure" | "Never" => {}
        _ if !spec.field("template").is_set() => {}
        "" | "Always" => errors.push(restart.required("valid values: \"OnFailure\", \"Never\"")),
        _ => errors.extend(restart.none_of(&["OnFailure", "Never"])),
    }
    errors
}

fn check_indexes(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let is_indexed = spec.field("completionMode").text() == "Indexed";
    let [limit, most, parallel, completions] =
        ["backoffLimitPerIndex", "maxFailedIndexes", "parallelism", "completions"]
            .map(|name| spec.field(name));
    if is_indexed && !completions.is_set() {
        errors.push(completions.required("when completion mode is Indexed"));
    }
    if is_indexed && parallel.number() > Some(PARALLEL) {
        errors.push(parallel.invalid("must be less than or equal to 100000 when completion mode is Indexed"));
    }
    if limit.is_set() && !is_indexed {
        errors.push(limit.invalid("requires indexed completion mode"));
    }
    if most.is_set() {
        if !limit.is_set() {
            errors.push(limit.required("when maxFailedIndexes is specified"));
        }
        if !is_indexed {
            errors.push(most.invalid("requires indexed completion mode"));
        } else if completions.is_set() && most.number() > completions.number() {
            errors.push(most.invalid("must be less than or equal to completions"));
        }
    }
    if spec.field("successPolicy").is_set() && !is_indexed {
        errors.push(spec.field("successPolicy").invalid("requires indexed completion mode"));
    }
}

fn check_manager(manager: &At<'_>, errors: &mut Vec<FieldError>) {
    if let Some(name) = manager.value().and_then(Value::as_str) {
        let fits = name.split_once('/').is_some_and(|(domain, path)| {
            palisade_k8s::metadata::is_subdomain(domain) && !path.is_empty() && name.len() <= 63
        });
        if !fits {
            errors.push(manager.invalid("must be a domain-prefixed path, as acme.io/foo"));
        }
    }
}

/// A rule of a pod failure policy.
fn check_failure(rule: &At<'_>, spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let (codes, conditions, action) =
        (rule.field("onExitCodes"), rule.field("onPodConditions"), rule.field("action"));
    errors.extend(action.missing());
    errors.extend(action.none_of(&["Count", "FailIndex", "FailJob", "Ignore"]));
    if action.text() == "FailIndex" && !spec.field("backoffLimitPerIndex").is_set() {
        errors.push(action.invalid("requires the backoffLimitPerIndex to be set"));
    }
    if codes.is_set() == conditions.items().next().is_some() {
        errors.push(rule.invalid_whole("specifying one of OnExitCodes and OnPodConditions is required"));
    }
    if !codes.is_set() {
        return;
    }
    errors.extend(codes.field("operator").none_of(&["In", "NotIn"]));
    let values = codes.field("values");
    let numbers: Vec<Option<i64>> = values.items().map(|value| value.number()).collect();
    if numbers.is_empty() {
        errors.push(values.invalid("at least one value is required"));
    }
    if numbers.iter().zip(numbers.iter().skip(1)).any(|(one, next)| one >= next) {
        errors.push(values.invalid("must be ordered, without duplicates"));
    }
    if codes.field("operator").text() == "In" {
        let zeros = values.items().filter(|value| value.number() == Some(0));
        errors.extend(zeros.map(|value| value.invalid("must not be 0 for the In operator")));
    }
    let name = codes.field("containerName");
    let pod = spec.field("template").field("spec");
    let lists = ["containers", "initContainers"].map(|list| pod.field(list));
    let is_known =
        |name: &str| lists.iter().flat_map(At::items).any(|container| container.field("name").text() == name);
    if !name.text().is_empty() && !is_known(name.text()) {
        errors.push(name.invalid("must be one of the container or initContainer names in the pod template"));
    }
}

/// A generated selector matches the job's own pods; one that its author has set must match the template.
fn check_selection(job: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if old.is_some() {
        return errors;
    }
    let spec = At::root(job, "spec");
    if spec.field("manualSelector").is(true) {
        if !spec.field("selector").is_set() {
            errors.push(spec.field("selector").required(""));
        }
        super::check_selected(job, super::Selects::Selector, &mut errors);
    } else if spec.field("selector").value()
        != Some(&json!({"matchLabels": {UID_LABEL: text(job, "/metadata/uid")}}))
    {
        errors
            .push(spec.field("selector").invalid("`selector` is generated, unless `manualSelector` is set"));
    }
    errors
}

/// Maximum length of a cron job's name, which is the prefix of its jobs' names.
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
    super::check_template_at(&job.field("template"), old_template, "", &[], &mut errors);
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
