//! Rules for endpoints and their slices, as `pkg/apis/core/validation` and `pkg/apis/discovery/validation` have them.

use std::collections::HashSet;
use std::net::IpAddr;

use palisade_k8s::FieldError;
use serde_json::{Value, json};

use super::super::at::At;
use super::super::selecting::{check_label_name, check_subdomain};
use super::super::{default, immutable};
use super::service::{check_outer_address, check_protocol};

type Errors = Vec<FieldError>;

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
/// Maximum number of addresses of one endpoint.
const ADDRESSES: usize = 100;

/// Completes endpoints.
pub(super) fn complete(endpoints: &mut Value) {
    let subsets = endpoints.get_mut("subsets").and_then(Value::as_array_mut).into_iter().flatten();
    let ports = subsets.filter_map(|subset| subset.get_mut("ports")?.as_array_mut()).flatten();
    ports.for_each(|port| default(port, "protocol", "TCP"));
}

/// Validates endpoints.
pub(super) fn validate(endpoints: &Value) -> Errors {
    let mut errors = Vec::new();
    for subset in At::root(endpoints, "subsets").items() {
        let lists = ["addresses", "notReadyAddresses"].map(|list| subset.field(list));
        if lists.iter().all(|list| list.items().next().is_none()) {
            errors.push(subset.required("must specify `addresses` or `notReadyAddresses`"));
        }
        for address in lists.iter().flat_map(At::items) {
            check_outer_address(&address.field("ip"), &mut errors);
            check_label_name(&address.field("hostname"), &mut errors);
            check_subdomain(&address.field("nodeName"), &mut errors);
        }
        let ports = subset.field("ports");
        let several = ports.items().count() > 1;
        for port in ports.items() {
            if several {
                errors.extend(port.field("name").missing());
            }
            check_label_name(&port.field("name"), &mut errors);
            errors.extend(port.field("port").outside(1..=65_535));
            errors.extend(port.field("protocol").none_of(&PROTOCOLS));
            check_protocol(&port.field("appProtocol"), &mut errors);
        }
    }
    errors
}

/// Completes a slice.
pub(super) fn complete_slice(slice: &mut Value) {
    let list = |slice: &mut Value, field: &str, complete: fn(&mut Value)| {
        let items = slice.get_mut(field).and_then(Value::as_array_mut);
        items.into_iter().flatten().filter(|item| item.is_object()).for_each(complete);
    };
    list(slice, "endpoints", |endpoint| default(endpoint, "conditions", json!({})));
    list(slice, "ports", |port| {
        default(port, "name", "");
        default(port, "protocol", "TCP");
    });
}

/// Validates a slice.
pub(super) fn validate_slice(slice: &Value, old: Option<&Value>) -> Errors {
    let mut errors = immutable(slice, old, &["addressType"]);
    let kind = At::root(slice, "addressType");
    errors.extend(kind.missing());
    errors.extend(kind.none_of(&["IPv4", "IPv6", "FQDN"]));
    for endpoint in At::root(slice, "endpoints").items() {
        check_endpoint(&endpoint, kind.text(), &mut errors);
    }
    let mut names = HashSet::new();
    for port in At::root(slice, "ports").items() {
        if !names.insert(port.field("name").text()) {
            errors.push(port.field("name").duplicate());
        }
        check_label_name(&port.field("name"), &mut errors);
        errors.extend(port.field("protocol").none_of(&PROTOCOLS));
        check_protocol(&port.field("appProtocol"), &mut errors);
    }
    errors
}

fn check_endpoint(endpoint: &At<'_>, kind: &str, errors: &mut Errors) {
    let addresses = endpoint.field("addresses");
    match addresses.items().count() {
        0 => errors.push(addresses.required("must contain at least 1 address")),
        count if count > ADDRESSES => errors.push(addresses.invalid_whole("must have at most 100 items")),
        _ => {}
    }
    for address in addresses.items() {
        match kind {
            "FQDN" => check_subdomain(&address, errors),
            _ => check_slice_address(&address, kind == "IPv6", errors),
        }
    }
    check_label_name(&endpoint.field("hostname"), errors);
    check_subdomain(&endpoint.field("nodeName"), errors);
    let mut zones = HashSet::new();
    for zone in endpoint.field("hints").field("forZones").items().map(|zone| zone.field("name")) {
        if !zones.insert(zone.text()) {
            errors.push(zone.duplicate());
        }
    }
}

fn check_slice_address(address: &At<'_>, is_six: bool, errors: &mut Errors) {
    match address.text().parse::<IpAddr>() {
        Ok(found) if found.is_ipv6() != is_six => {
            errors.push(address.invalid(if is_six {
                "must be an IPv6 address"
            } else {
                "must be an IPv4 address"
            }));
        }
        _ => check_outer_address(address, errors),
    }
}
