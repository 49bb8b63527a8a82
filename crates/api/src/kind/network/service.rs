//! Rules for services, as `pkg/apis/core/validation/validation.go`, `ValidateService`.

use std::collections::HashSet;
use std::net::IpAddr;

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

use super::super::at::At;
use super::super::selecting::{check_label_name, check_labels, check_port};
use super::super::text;
use super::allocation::PORTS;

type Errors = Vec<FieldError>;

/// Validates a service.
pub(super) fn validate(service: &Value, old: Option<&Value>) -> Errors {
    let mut errors = Vec::new();
    let spec = At::root(service, "spec");
    let kind = spec.field("type").text();
    errors.extend(spec.field("type").none_of(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]));
    errors.extend(spec.field("sessionAffinity").none_of(&["ClientIP", "None"]));
    check_labels(&spec.field("selector"), &mut errors);
    check_ports(&spec, &mut errors);
    check_node_ports(&spec, old, &mut errors);
    match kind {
        "ExternalName" => check_external_name(&spec, &mut errors),
        _ => check_addresses(&spec, &mut errors),
    }
    check_policies(&spec, &mut errors);
    check_balancer(&spec, kind, &mut errors);
    for address in spec.field("externalIPs").items() {
        check_outer_address(&address, &mut errors);
    }
    let had = old.map_or("", |old| text(old, "/spec/clusterIP"));
    if !had.is_empty() && kind != "ExternalName" && had != spec.field("clusterIP").text() {
        let first = FieldPath::of("spec").field("clusterIPs").index(0);
        errors.push(FieldError::invalid(first, spec.field("clusterIP").text(), "may not change once set"));
    }
    let ingress = At::root(service, "status").field("loadBalancer").field("ingress");
    if kind != "LoadBalancer" && ingress.items().next().is_some() {
        errors.push(ingress.forbidden("may only be used when `spec.type` is LoadBalancer"));
    }
    errors
}

fn check_external_name(spec: &At<'_>, errors: &mut Errors) {
    let name = spec.field("externalName");
    if name.text().is_empty() {
        errors.push(name.required(""));
    }
    let host = spec.field("externalName");
    let bare = host.text().strip_suffix('.').unwrap_or(host.text());
    if !bare.is_empty() && !palisade_k8s::metadata::is_subdomain(bare) {
        errors.push(name.invalid("must be a DNS name"));
    }
    if spec.field("clusterIP").is_set() {
        errors.push(spec.field("clusterIPs").forbidden("may not be set when `type` is ExternalName"));
    }
}

fn check_addresses(spec: &At<'_>, errors: &mut Errors) {
    let address = spec.field("clusterIP").text();
    if address == "None" && matches!(spec.field("type").text(), "NodePort" | "LoadBalancer") {
        errors.push(
            spec.field("clusterIPs").invalid("may not be 'None' when `type` is NodePort or LoadBalancer"),
        );
    }
    if !matches!(address, "" | "None") && address.parse::<IpAddr>().is_err() {
        errors.extend(
            spec.field("clusterIPs")
                .items()
                .take(1)
                .map(|first| first.invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")),
        );
    }
    let addresses = spec.field("clusterIPs");
    if addresses.items().next().is_some_and(|first| first.text() != address) {
        errors.push(addresses.invalid_whole("first value must match `clusterIP`"));
    }
    errors.extend(spec.field("ipFamilies").items().filter_map(|family| family.none_of(&["IPv4", "IPv6"])));
    errors.extend(spec.field("ipFamilyPolicy").none_of(&[
        "PreferDualStack",
        "RequireDualStack",
        "SingleStack",
    ]));
}

fn check_policies(spec: &At<'_>, errors: &mut Errors) {
    errors.extend(spec.field("internalTrafficPolicy").none_of(&["Cluster", "Local"]));
    let external = spec.field("externalTrafficPolicy");
    let is_outer = matches!(spec.field("type").text(), "NodePort" | "LoadBalancer")
        || spec.field("externalIPs").items().next().is_some();
    if external.is_set() && !is_outer {
        errors.push(external.invalid("may only be set for externally-accessible services"));
    } else {
        errors.extend(external.none_of(&["Cluster", "Local"]));
    }
    let distribution = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    errors.extend(spec.field("trafficDistribution").none_of(&distribution));
    let seconds = spec.field("sessionAffinityConfig").field("clientIP").field("timeoutSeconds");
    if spec.field("sessionAffinity").text() == "ClientIP" {
        errors.extend(seconds.outside(1..=86_400));
    }
}

/// Fields that only a service of type LoadBalancer may set.
fn check_balancer(spec: &At<'_>, kind: &str, errors: &mut Errors) {
    if kind == "LoadBalancer" {
        return;
    }
    let why = "may only be used when `type` is 'LoadBalancer'";
    if spec.field("loadBalancerSourceRanges").items().next().is_some() {
        errors.push(spec.field("LoadBalancerSourceRanges").forbidden(why));
    }
    if spec.field("loadBalancerClass").is_set() {
        errors.push(spec.field("loadBalancerClass").forbidden(why));
    }
    let check = spec.field("healthCheckNodePort");
    if check.number().is_some_and(|number| number != 0) {
        errors.push(
            check.invalid(
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            ),
        );
    }
}

/// An external address must not be a machine's own.
pub(super) fn check_outer_address(address: &At<'_>, errors: &mut Errors) {
    let Ok(found) = address.text().parse::<IpAddr>() else {
        errors.push(address.invalid("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"));
        return;
    };
    let is_link = match found {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_multicast() && v4.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if found.is_unspecified() || found.is_loopback() || is_link {
        errors.push(address.invalid("may not be unspecified, or in the loopback or a link-local range"));
    }
}

fn check_ports(spec: &At<'_>, errors: &mut Errors) {
    let is_headless = spec.field("clusterIP").text() == "None";
    let kind = spec.field("type").text();
    if kind != "ExternalName" && spec.field("ports").items().next().is_none() && !is_headless {
        errors.push(spec.field("ports").required(""));
    }
    let several = spec.field("ports").items().count() > 1;
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for port in spec.field("ports").items() {
        let (name, number) = (port.field("name"), port.field("port"));
        if several && name.text().is_empty() {
            errors.push(name.required(""));
        } else if !name.text().is_empty() && !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        check_label_name(&name, errors);
        if !number.is_set() {
            errors.push(number.required(""));
        }
        errors.extend(number.outside(1..=65_535));
        check_port(&port.field("targetPort"), errors);
        errors.extend(port.field("protocol").none_of(&["SCTP", "TCP", "UDP"]));
        check_protocol(&port.field("appProtocol"), errors);
        let node = port.field("nodePort");
        if !matches!(kind, "NodePort" | "LoadBalancer") && node.number().is_some_and(|number| number != 0) {
            errors.push(node.forbidden("may not be used when `type` is 'ClusterIP'"));
        }
        if number.is_set() && !numbers.insert((number.number(), port.field("protocol").text())) {
            errors.push(port.duplicate());
        }
    }
}

/// Ports of every node, from the range that a kube-apiserver has by default; a service keeps what it had.
fn check_node_ports(spec: &At<'_>, old: Option<&Value>, errors: &mut Errors) {
    let old = old.and_then(|old| old.pointer("/spec/ports")).and_then(Value::as_array);
    let had: HashSet<i64> =
        old.into_iter().flatten().filter_map(|port| port.get("nodePort")?.as_i64()).collect();
    let mut taken = HashSet::new();
    let range = i64::from(*PORTS.start())..=i64::from(*PORTS.end());
    for port in spec.field("ports").items() {
        let node = port.field("nodePort");
        let Some(number) = node.number().filter(|number| *number != 0) else { continue };
        if !taken.insert((number, port.field("protocol").text())) {
            errors.push(node.duplicate());
        }
        if !range.contains(&number) && !had.contains(&number) {
            let why = "provided port is not in the valid range. The range of valid ports is 30000-32767";
            errors.push(node.invalid(why));
        }
    }
}

/// The application protocol of a port.
pub(super) fn check_protocol(protocol: &At<'_>, errors: &mut Errors) {
    if protocol.is_set() {
        let why = palisade_k8s::metadata::qualified_name(protocol.text());
        errors.extend(why.into_iter().map(|why| protocol.invalid(why)));
    }
}
