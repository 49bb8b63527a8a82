//! Kubernetes' rules for the fields of a pod that SCC, a node or a scheduler reads.

mod change;
mod container;
mod environment;
mod os;
mod probe;
mod resources;
mod schedule;
mod security;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::HashSet;

use palisade_k8s::{FieldError, metadata};
use serde_json::Value;

use super::{CONTAINER_LISTS, text};
use crate::kind::at::At;
use crate::kind::selecting::is_port_name;

pub(super) use change::check_change;

type Errors = Vec<FieldError>;

const NATURAL: std::ops::RangeInclusive<i64> = 0..=i64::MAX;

pub(super) fn validate(pod: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    // A pod that was accepted under older rules may still change its status and its labels.
    if old.is_some_and(|old| old.get("spec") == pod.get("spec")) {
        return errors;
    }
    let spec = At::root(pod, "spec");
    if spec.field("containers").items().next().is_none() {
        errors.push(spec.field("containers").required(""));
    }
    let volumes = volume::check_volumes(&spec, &mut errors);
    container::check_containers(&spec, &volumes, &mut errors);
    check_spec(&spec, &mut errors);
    check_dns(&spec, &mut errors);
    security::check_pod(&spec, &mut errors);
    security::check_annotations(pod, &spec, &mut errors);
    schedule::check_schedule(&spec, &mut errors);
    if old.is_none() && spec.field("ephemeralContainers").items().next().is_some() {
        errors.push(spec.field("ephemeralContainers").forbidden("cannot be set on create"));
    }
    errors
}

const PORT_NAME: &str =
    "must be at most 15 lower-case letters, digits and single '-' between, with a letter among them";

/// A name that is a DNS label and unique.
fn check_name<'v>(name: &At<'v>, seen: &mut HashSet<&'v str>, errors: &mut Errors) {
    if name.text().is_empty() {
        errors.push(name.required(""));
    } else if !metadata::is_label(name.text()) {
        errors.push(
            name.invalid("must be a DNS label: lower-case letters, digits and '-' between, at most 63"),
        );
    } else if !seen.insert(name.text()) {
        errors.push(name.duplicate());
    }
}

/// An optional name of another object.
fn check_reference(name: &At<'_>, errors: &mut Errors) {
    if !name.text().is_empty() && !is_name(name.text()) {
        errors.push(name.invalid("must be a DNS subdomain: lower-case labels with '.' between, at most 253"));
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 253 && metadata::is_subdomain(text)
}

/// A relative path that stays below its root.
fn check_inner_path(path: &At<'_>, errors: &mut Errors) {
    if path.text().starts_with('/') {
        errors.push(path.invalid("must be a relative path"));
    }
    check_dots(path, errors);
}

/// A path without `..`.
fn check_dots(path: &At<'_>, errors: &mut Errors) {
    if path.text().split('/').any(|part| part == "..") {
        errors.push(path.invalid("must not contain '..'"));
    }
}

fn check_spec(spec: &At<'_>, errors: &mut Errors) {
    errors.extend(spec.field("restartPolicy").none_of(&["Always", "OnFailure", "Never"]));
    errors.extend(spec.field("activeDeadlineSeconds").outside(1..=i64::from(i32::MAX)));
    for name in ["hostname", "subdomain"].map(|name| spec.field(name)) {
        if !name.text().is_empty() && !metadata::is_label(name.text()) {
            errors.push(name.invalid("must be a DNS label"));
        }
    }
    for name in ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] {
        check_reference(&spec.field(name), errors);
    }
    errors.extend(spec.field("preemptionPolicy").none_of(&["Never", "PreemptLowerPriority"]));
    for alias in spec.field("hostAliases").items() {
        check_address(&alias.field("ip"), errors);
        for name in alias.field("hostnames").items().filter(|name| !is_name(name.text())) {
            errors.push(name.invalid("must be a DNS subdomain"));
        }
    }
    for gate in spec.field("readinessGates").items().map(|gate| gate.field("conditionType")) {
        errors.extend(metadata::qualified_name(gate.text()).into_iter().map(|why| gate.invalid(why)));
    }
    os::check_os(spec, errors);
    resources::check_amounts(&spec.field("overhead"), errors);
}

fn check_address(address: &At<'_>, errors: &mut Errors) {
    if address.text().parse::<std::net::IpAddr>().is_err() {
        errors.push(address.invalid("must be an IP address"));
    }
}

/// Whether a resolver searches it: a subdomain whose labels may hold `_` and begin with one, as those of services do
/// (`IsDNS1123SubdomainWithUnderscore` of `pkg/util/validation`).
fn is_searched(name: &str) -> bool {
    let label = |label: &str| label.strip_prefix('_').unwrap_or(label).replace('_', "-");
    is_name(&name.split('.').map(label).collect::<Vec<_>>().join("."))
}

/// The limits are those of a resolver's file.
fn check_dns(spec: &At<'_>, errors: &mut Errors) {
    let policy = spec.field("dnsPolicy");
    errors.extend(policy.none_of(&["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]));
    let config = spec.field("dnsConfig");
    let servers = config.field("nameservers");
    if policy.text() == "None" && !config.is_set() {
        errors.push(config.required("must be there when `dnsPolicy` is None"));
    } else if policy.text() == "None" && servers.items().next().is_none() {
        errors.push(servers.required("must name one when `dnsPolicy` is None"));
    }
    if servers.items().count() > 3 {
        errors.push(servers.invalid("must not be more than 3"));
    }
    servers.items().for_each(|server| check_address(&server, errors));
    let searches = config.field("searches");
    if searches.items().count() > 32 {
        errors.push(searches.invalid("must not be more than 32"));
    }
    for search in searches.items() {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        if search.text() != "." && !is_searched(name) {
            errors.push(search.invalid("must be a DNS subdomain"));
        }
    }
    for option in config.field("options").items() {
        errors.extend(option.field("name").missing());
    }
}
