//! Pod Security: the levels that a namespace's labels name, applied to pods as they are written.
//!
//! Runs after SCC and after validation, as in Kubernetes; which requests are checked and how a violation is denied,
//! warned of and audited is that of `k8s.io/pod-security-admission/admission/admission.go`. Without labels nothing is
//! forbidden.

use std::collections::BTreeMap;

use palisade_k8s::Pod;
use palisade_scc::pod_security::{LABEL_PREFIX, Level, Standard, Standards};
use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::error::{ApiError, ApiResult};
use crate::objects;
use crate::resource::{self, text};

/// Maximum number of pods of a namespace that are checked when its level changes.
const MOST_PODS: usize = 3000;

/// Denies a pod, warns of it or audits it, as its namespace requires.
pub(super) fn check_pod(call: &Call<'_>, pod: &Value, old: Option<&Value>) -> ApiResult<()> {
    if old.is_some_and(|old| !is_significant(pod, old)) {
        return Ok(());
    }
    let standards = standards(call)?;
    note(call, "enforce-policy", standards.enforce.to_string());
    if standards.is_privileged() {
        return Ok(());
    }
    let parsed = parse(pod)?;
    audit(call, &standards, &parsed);
    if let Some(broken) = standards.enforce.broken_by(&parsed) {
        let why = format!("violates PodSecurity {:?}: {broken}", standards.enforce.to_string());
        return Err(ApiError::forbidden(&call.target.resource, text(pod, "/metadata/name"), why));
    }
    warn(call, &standards, &parsed);
    Ok(())
}

/// Warns of the pods of a workload's template and audits them; they are denied when they are created
/// (`ValidatePodController`).
pub(super) fn check_template(call: &Call<'_>, template: &Value) -> ApiResult<()> {
    let standards = standards(call)?;
    if standards.is_privileged() {
        return Ok(());
    }
    let parsed = parse(template)?;
    audit(call, &standards, &parsed);
    warn(call, &standards, &parsed);
    Ok(())
}

/// The levels of the request's namespace; invalid labels are noted in the audit log.
fn standards(call: &Call<'_>) -> ApiResult<Standards> {
    let namespace = objects::get(&call.api.store, &resource::NAMESPACES, "", &call.target.namespace)?;
    let (standards, errors) = of_namespace(&namespace.object);
    if let Some(error) = errors.first() {
        note(call, "error", format!("Failed to parse policy: {error}"));
    }
    Ok(standards)
}

fn parse(pod: &Value) -> ApiResult<Pod<'_>> {
    Pod::deserialize(pod).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn note(call: &Call<'_>, key: &str, value: String) {
    call.notes.annotate(format!("{LABEL_PREFIX}{key}"), value);
}

fn audit(call: &Call<'_>, standards: &Standards, pod: &Pod<'_>) {
    if let Some(broken) = would_violate(standards.audit, pod) {
        note(call, "audit-violations", broken);
    }
}

fn warn(call: &Call<'_>, standards: &Standards, pod: &Pod<'_>) {
    call.notes.warn(would_violate(standards.warn, pod));
}

fn would_violate(standard: Standard, pod: &Pod<'_>) -> Option<String> {
    let broken = standard.broken_by(pod)?;
    Some(format!("would violate PodSecurity {:?}: {broken}", standard.to_string()))
}

/// Refuses labels of a namespace that name an unknown level or version; warns of pods that violate a new level.
pub(super) fn check_namespace(call: &Call<'_>, namespace: &Value, old: Option<&Value>) -> ApiResult<()> {
    let (standards, errors) = of_namespace(namespace);
    let before = old.map(of_namespace);
    if !errors.is_empty() && before.as_ref().is_none_or(|(_, before)| *before != errors) {
        return Err(ApiError::invalid(&call.target.resource, text(namespace, "/metadata/name"), &errors));
    }
    let Some((before, _)) = before else { return Ok(()) };
    let is_relaxed = standards.enforce.version == before.enforce.version
        && standards.enforce.level <= before.enforce.level;
    if standards.enforce.level == Level::Privileged || is_relaxed {
        return Ok(());
    }
    let warnings = existing(call, text(namespace, "/metadata/name"), standards.enforce)?;
    call.notes.warn(warnings);
    Ok(())
}

fn of_namespace(namespace: &Value) -> (Standards, Vec<palisade_k8s::FieldError>) {
    let labels = namespace.pointer("/metadata/labels");
    Standards::of_labels(|key| labels?.get(key)?.as_str())
}

/// Warnings of the existing pods of a namespace; those that violate the same rules share a line.
fn existing(call: &Call<'_>, namespace: &str, standard: Standard) -> ApiResult<Vec<String>> {
    let page = objects::list(&call.api.store, &resource::PODS, Some(namespace), Some(MOST_PODS), None)?;
    let mut broken: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in &page.items {
        let reasons = Pod::deserialize(pod).ok().and_then(|parsed| standard.reasons(&parsed));
        if let Some(reasons) = reasons {
            broken.entry(reasons).or_default().push(text(pod, "/metadata/name"));
        }
    }
    let mut said = Vec::new();
    if page.next.is_some() {
        said.push(format!(
            "new PodSecurity enforce level only checked against the first {} existing pods",
            page.items.len()
        ));
    }
    if !broken.is_empty() {
        let level = standard.to_string();
        said.push(format!(
            "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level {level:?}"
        ));
    }
    let mut lines: Vec<String> = broken.iter().map(|(reasons, names)| line(reasons, names)).collect();
    lines.sort_unstable();
    said.extend(lines);
    Ok(said)
}

fn line(reasons: &str, names: &[&str]) -> String {
    let first = names.iter().min().copied().unwrap_or_default();
    match names.len() {
        0 | 1 => format!("{first}: {reasons}"),
        2 => format!("{first} (and 1 other pod): {reasons}"),
        count => format!("{first} (and {} other pods): {reasons}", count - 1),
    }
}

/// Whether an update changes fields that a level checks and that a pod may change: images, and added containers.
fn is_significant(pod: &Value, old: &Value) -> bool {
    let list = |object: &Value, field: &str| -> Vec<(String, String)> {
        let containers = object.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
        let pair =
            |container: &Value| (text(container, "/name").to_owned(), text(container, "/image").to_owned());
        containers.into_iter().flatten().map(pair).collect()
    };
    let images = |object: &Value, field: &str| -> Vec<String> {
        list(object, field).into_iter().map(|(_, image)| image).collect()
    };
    let is_changed = |field: &&str| images(pod, field) != images(old, field);
    let was = list(old, "ephemeralContainers");
    ["containers", "initContainers"].iter().any(is_changed)
        || list(pod, "ephemeralContainers").iter().any(|container| !was.contains(container))
}
