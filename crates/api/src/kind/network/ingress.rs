//! Rules for ingresses and their classes, as `pkg/apis/networking/validation/validation.go` has them.

use std::net::IpAddr;

use palisade_k8s::{FieldError, metadata};
use serde_json::Value;

use super::super::at::At;
use super::super::selecting::{check_subdomain, is_port_name};
use super::super::{default, immutable};

type Errors = Vec<FieldError>;

/// Maximum length of a controller's name, in bytes.
const CONTROLLER: usize = 250;
/// Parts of a path that would lead elsewhere once it is decoded.
const BAD_PARTS: [&str; 7] = ["//", "/./", "/../", "%2f", "%2F", "/..", "/."];

/// Validates an ingress.
pub(super) fn validate(ingress: &Value) -> Errors {
    let mut errors = Vec::new();
    let spec = At::root(ingress, "spec");
    let backend = spec.field("defaultBackend");
    if backend.is_set() {
        check_backend(&backend, &mut errors);
    } else if spec.field("rules").items().next().is_none() {
        errors.push(spec.invalid_whole("either `defaultBackend` or `rules` must be specified"));
    }
    for rule in spec.field("rules").items() {
        check_rule(&rule, &mut errors);
    }
    for tls in spec.field("tls").items() {
        tls.field("hosts").items().for_each(|host| check_host(&host, &mut errors));
        check_subdomain(&tls.field("secretName"), &mut errors);
    }
    check_subdomain(&spec.field("ingressClassName"), &mut errors);
    for point in At::root(ingress, "status").field("loadBalancer").field("ingress").items() {
        let (ip, host) = (point.field("ip"), point.field("hostname"));
        if !ip.text().is_empty() && ip.text().parse::<IpAddr>().is_err() {
            errors.push(ip.invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
        }
        if host.text().parse::<IpAddr>().is_ok() {
            errors.push(host.invalid("must be a DNS name, not an IP address"));
        }
        check_subdomain(&host, &mut errors);
    }
    errors
}

fn check_host(host: &At<'_>, errors: &mut Errors) {
    let name = host.text().strip_prefix("*.").unwrap_or(host.text());
    if !name.is_empty() && (name.parse::<IpAddr>().is_ok() || !metadata::is_subdomain(name)) {
        errors.push(host.invalid("must be a DNS name, or one below '*.'"));
    }
}

fn check_rule(rule: &At<'_>, errors: &mut Errors) {
    check_host(&rule.field("host"), errors);
    let http = rule.field("http");
    if http.is_set() && http.field("paths").items().next().is_none() {
        errors.push(http.field("paths").required(""));
    }
    for path in http.field("paths").items() {
        let (kind, at) = (path.field("pathType"), path.field("path"));
        let is_absolute = at.text().starts_with('/');
        match kind.text() {
            "" => errors.push(kind.required("pathType must be specified")),
            "Exact" | "Prefix" if !is_absolute => errors.push(at.invalid("must be an absolute path")),
            "Exact" | "Prefix" if BAD_PARTS.iter().any(|part| leads_elsewhere(at.text(), part)) => {
                errors.push(at.invalid("must not contain '//', '/./', '/../' or an encoded '/'"));
            }
            "ImplementationSpecific" if !is_absolute && !at.text().is_empty() => {
                errors.push(at.invalid("must be an absolute path"));
            }
            _ => errors.extend(kind.none_of(&["Exact", "ImplementationSpecific", "Prefix"])),
        }
        check_backend(&path.field("backend"), errors);
    }
}

fn leads_elsewhere(path: &str, part: &str) -> bool {
    match part {
        "/.." | "/." => path.ends_with(part),
        part => path.contains(part),
    }
}

/// A backend is a service with a port, or an object of another kind.
fn check_backend(backend: &At<'_>, errors: &mut Errors) {
    let (service, resource) = (backend.field("service"), backend.field("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => errors.push(backend.invalid_whole("cannot set both resource and service backends")),
        (false, false) => errors.push(backend.invalid_whole("a backend is a service or a resource")),
        (false, true) => {
            errors.extend(["kind", "name"].iter().filter_map(|name| resource.field(name).missing()))
        }
        (true, false) => check_service(backend, &service, errors),
    }
}

fn check_service(backend: &At<'_>, service: &At<'_>, errors: &mut Errors) {
    let (name, port) = (service.field("name"), service.field("port"));
    errors.extend(name.missing());
    if !name.text().is_empty() && !metadata::is_label(name.text()) {
        errors.push(name.invalid("must be a DNS label"));
    }
    let number = port.field("number").number().unwrap_or_default();
    match (port.field("name").text(), number) {
        ("", 0) => errors.push(backend.required("port name or number is required")),
        ("", _) => errors.extend(port.field("number").outside(1..=65_535)),
        (_, 0) if is_port_name(port.field("name").text()) => {}
        (_, 0) => errors.push(port.field("name").invalid("must be the name of a port")),
        _ => errors.push(backend.invalid_whole("cannot set both port name & port number")),
    }
}

/// Completes a class.
pub(super) fn complete_class(class: &mut Value) {
    if let Some(parameters) =
        class.pointer_mut("/spec/parameters").filter(|parameters| parameters.is_object())
    {
        default(parameters, "scope", "Cluster");
    }
}

/// Validates a class.
pub(super) fn validate_class(class: &Value, old: Option<&Value>) -> Errors {
    let mut errors = immutable(class, old, &["spec.controller"]);
    let spec = At::root(class, "spec");
    let controller = spec.field("controller");
    errors.extend(controller.missing());
    if controller.text().len() > CONTROLLER {
        errors.push(FieldError::too_long(controller.path(), CONTROLLER));
    } else if let Some((domain, path)) = controller.text().split_once('/') {
        if !metadata::is_subdomain(domain) || path.is_empty() {
            errors.push(controller.invalid("must be a domain-prefixed path"));
        }
    } else if !controller.text().is_empty() {
        errors.push(controller.invalid("must be a domain-prefixed path, as example.com/ingress"));
    }
    let parameters = spec.field("parameters");
    if parameters.is_set() {
        check_parameters(&parameters, &mut errors);
    }
    errors
}

fn check_parameters(parameters: &At<'_>, errors: &mut Errors) {
    errors.extend(["kind", "name"].iter().filter_map(|name| parameters.field(name).missing()));
    check_subdomain(&parameters.field("apiGroup"), errors);
    let (scope, namespace) = (parameters.field("scope"), parameters.field("namespace"));
    match scope.text() {
        "Namespace" => errors.extend(namespace.missing()),
        "Cluster" if namespace.is_set() => {
            errors.push(namespace.forbidden("must be unset when `scope` is 'Cluster'"));
        }
        _ => errors.extend(scope.none_of(&["Cluster", "Namespace"])),
    }
}
