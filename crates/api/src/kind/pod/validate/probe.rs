//! Probes and lifecycle hooks of containers.

use super::{At, Errors, NATURAL, PORT_NAME, is_port_name};

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

pub(super) fn check_probes(container: &At<'_>, errors: &mut Errors) {
    for probe in container.set(&PROBES) {
        check_handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], errors);
        for field in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            errors.extend(probe.field(field).outside(NATURAL));
        }
        errors.extend(probe.field("terminationGracePeriodSeconds").outside(1..=i64::MAX));
    }
    let [live, ready, start] = PROBES.map(|probe| container.field(probe));
    for threshold in [live, start].map(|probe| probe.field("successThreshold")) {
        if threshold.number().is_some_and(|number| number > 1) {
            errors.push(threshold.invalid("must be 1"));
        }
    }
    let grace = ready.field("terminationGracePeriodSeconds");
    if grace.is_set() {
        errors.push(grace.invalid("must not be set for a readiness probe"));
    }
    for hook in container.field("lifecycle").set(&["postStart", "preStop"]) {
        check_handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], errors);
    }
}

fn check_handler(handler: &At<'_>, kinds: &[&'static str], errors: &mut Errors) {
    errors.extend(handler.not_one(kinds, "must specify a handler type"));
    let command = handler.field("exec").field("command");
    if handler.field("exec").is_set() && command.items().next().is_none() {
        errors.push(command.required(""));
    }
    let get = handler.field("httpGet");
    if get.is_set() {
        errors.extend(get.field("path").missing());
        errors.extend(get.field("scheme").none_of(&["HTTP", "HTTPS"]));
        for name in get.field("httpHeaders").items().map(|header| header.field("name")) {
            if !is_token(name.text()) {
                errors.push(name.invalid("must be the name of an HTTP header"));
            }
        }
    }
    for kind in handler.set(&["httpGet", "tcpSocket", "grpc"]) {
        check_port(&kind.field("port"), errors);
    }
    errors.extend(handler.field("sleep").field("seconds").outside(NATURAL));
}

/// A number, or the name of one of the container's ports.
fn check_port(port: &At<'_>, errors: &mut Errors) {
    match port.number() {
        Some(_) => errors.extend(port.outside(1..=65_535)),
        None if !is_port_name(port.text()) => errors.push(port.invalid(PORT_NAME)),
        None => {}
    }
}

/// A token of HTTP (RFC 9110, 5.6.2).
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
