//! Services and what leads to them. Nothing routes to a service here: its address is a name for it, no more.
//!
//! Defaults are those of `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go` and `networking/v1/defaults.go`.

use std::collections::HashSet;

use palisade_k8s::{FieldError, metadata};
use serde_json::{Value, json};

use super::at::At;
use super::scale::selector_text;
use super::subresource::STATUS;
use super::{AGE, BASE, Counted, Names, Resource, Row, age, column, default, immutable, text, wide};

const NETWORKING: &str = "networking.k8s.io";

/// Services.
pub(super) static SERVICES: Resource = Resource::Row(&Row {
    plural: "services",
    singular: "service",
    kind: "Service",
    schema: "Service",
    short_names: &["svc"],
    categories: &["all"],
    names: Names::Label,
    subresources: &[STATUS],
    storage: "services",
    selectable: &["spec.clusterIP", "spec.type"],
    columns: &[
        column("Type"),
        column("Cluster-IP"),
        column("External-IP"),
        column("Port(s)"),
        AGE,
        wide("Selector"),
    ],
    cells: |service, now| {
        let or_none = |text: &str| if text.is_empty() { "<none>".to_owned() } else { text.to_owned() };
        let external = match text(service, "/spec/type") {
            "ExternalName" => text(service, "/spec/externalName").to_owned(),
            "LoadBalancer" => "<pending>".to_owned(),
            _ => "<none>".to_owned(),
        };
        vec![
            text(service, "/spec/type").into(),
            or_none(text(service, "/spec/clusterIP")).into(),
            external.into(),
            ports(service).into(),
            age(service, now),
            selector_text(service.pointer("/spec/selector")).into(),
        ]
    },
    prepare: prepare_service,
    validate: validate_service,
    counted: Counted::Services,
    ..BASE
});

/// Addresses of a service's pods.
pub(super) static ENDPOINTS: Resource = Resource::Row(&Row {
    plural: "endpoints",
    singular: "endpoints",
    kind: "Endpoints",
    schema: "Endpoints",
    short_names: &["ep"],
    storage: "endpoints",
    columns: &[column("Endpoints"), AGE],
    cells: |object, now| vec![addresses(object).into(), age(object, now)],
    ..BASE
});

/// Addresses of a service's pods, in parts.
pub(super) static ENDPOINT_SLICES: Resource = Resource::Row(&Row {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    singular: "endpointslice",
    kind: "EndpointSlice",
    schema: "EndpointSlice",
    storage: "discovery.k8s.io/endpointslices",
    columns: &[column("AddressType"), column("Ports"), column("Endpoints"), AGE],
    cells: |object, now| {
        let list = |field: &str| object.get(field).and_then(Value::as_array).into_iter().flatten();
        let ports = list("ports").filter_map(|port| Some(port.get("port")?.to_string()));
        let endpoints = list("endpoints").filter_map(|endpoint| endpoint.pointer("/addresses/0")?.as_str());
        vec![
            text(object, "/addressType").into(),
            joined(ports.collect()).into(),
            joined(endpoints.map(str::to_owned).collect()).into(),
            age(object, now),
        ]
    },
    validate: |object, old| {
        let mut errors = immutable(object, old, &["addressType"]);
        let kind = At::root(object, "addressType");
        errors.extend(kind.missing());
        errors.extend(kind.none_of(&["IPv4", "IPv6", "FQDN"]));
        errors
    },
    ..BASE
});

/// Ingresses.
pub(super) static INGRESSES: Resource = Resource::Row(&Row {
    group: NETWORKING,
    plural: "ingresses",
    singular: "ingress",
    kind: "Ingress",
    schema: "Ingress",
    short_names: &["ing"],
    counts_generations: true,
    subresources: &[STATUS],
    storage: "networking.k8s.io/ingresses",
    columns: &[column("Class"), column("Hosts"), column("Address"), column("Ports"), AGE],
    cells: |object, now| {
        let class = text(object, "/spec/ingressClassName");
        let rules = object.pointer("/spec/rules").and_then(Value::as_array).into_iter().flatten();
        let hosts = rules.map(|rule| match text(rule, "/host") {
            "" => "*".to_owned(),
            host => host.to_owned(),
        });
        let has_tls = object.pointer("/spec/tls").is_some();
        vec![
            if class.is_empty() { "<none>" } else { class }.into(),
            match joined(hosts.collect()) {
                text if text == "<none>" => "*".into(),
                hosts => hosts.into(),
            },
            "".into(),
            if has_tls { "80, 443" } else { "80" }.into(),
            age(object, now),
        ]
    },
    prepare: |object, old| super::keep_status(object, old, json!({"loadBalancer": {}})),
    validate: validate_ingress,
    ..BASE
});

/// Classes of ingresses.
pub(super) static INGRESS_CLASSES: Resource = Resource::Row(&Row {
    group: NETWORKING,
    plural: "ingressclasses",
    singular: "ingressclass",
    kind: "IngressClass",
    schema: "IngressClass",
    namespaced: false,
    storage: "networking.k8s.io/ingressclasses",
    columns: &[column("Controller"), column("Parameters"), AGE],
    cells: |object, now| {
        let parameters = match text(object, "/spec/parameters/name") {
            "" => "<none>".to_owned(),
            name => format!("{}/{name}", text(object, "/spec/parameters/kind")),
        };
        vec![text(object, "/spec/controller").into(), parameters.into(), age(object, now)]
    },
    validate: |object, old| immutable(object, old, &["spec.controller"]),
    ..BASE
});

/// Network policies.
pub(super) static NETWORK_POLICIES: Resource = Resource::Row(&Row {
    group: NETWORKING,
    plural: "networkpolicies",
    singular: "networkpolicy",
    kind: "NetworkPolicy",
    schema: "NetworkPolicy",
    short_names: &["netpol"],
    counts_generations: true,
    storage: "networking.k8s.io/networkpolicies",
    columns: &[column("Pod-Selector"), AGE],
    cells: |object, now| vec![selector_text(object.pointer("/spec/podSelector")).into(), age(object, now)],
    prepare: |object, _| {
        let has_egress =
            object.pointer("/spec/egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
        if let Some(spec) = object.get_mut("spec") {
            default(
                spec,
                "policyTypes",
                if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) },
            );
            default(spec, "podSelector", json!({}));
        }
        let rules = ["ingress", "egress"].into_iter();
        rules.for_each(|direction| {
            let rules = object.pointer_mut(&format!("/spec/{direction}")).and_then(Value::as_array_mut);
            let ports = rules
                .into_iter()
                .flatten()
                .filter_map(|rule| rule.get_mut("ports")?.as_array_mut())
                .flatten();
            ports.for_each(|port| default(port, "protocol", "TCP"));
        });
    },
    validate: |object, _| {
        let types = At::root(object, "spec").field("policyTypes");
        types.items().filter_map(|kind| kind.none_of(&["Ingress", "Egress"])).collect()
    },
    ..BASE
});

fn joined(parts: Vec<String>) -> String {
    const SHOWN: usize = 3;
    match parts.len() {
        0 => "<none>".to_owned(),
        count if count > SHOWN => {
            let first: Vec<String> = parts.into_iter().take(SHOWN).collect();
            format!("{} + {} more...", first.join(","), count - SHOWN)
        }
        _ => parts.join(","),
    }
}

fn ports(service: &Value) -> String {
    let list = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
    let ports = list.map(|port| {
        let number = port.get("port").map_or_else(String::new, Value::to_string);
        match port.get("nodePort").and_then(Value::as_u64).filter(|node| *node != 0) {
            Some(node) => format!("{number}:{node}/{}", text(port, "/protocol")),
            None => format!("{number}/{}", text(port, "/protocol")),
        }
    });
    let ports: Vec<String> = ports.collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

fn addresses(endpoints: &Value) -> String {
    let subsets = endpoints.get("subsets").and_then(Value::as_array).into_iter().flatten();
    let all = subsets.flat_map(|subset| {
        let port = subset.pointer("/ports/0/port").map(Value::to_string);
        let addresses = subset.get("addresses").and_then(Value::as_array).into_iter().flatten();
        addresses.map(move |address| match &port {
            Some(port) => format!("{}:{port}", text(address, "/ip")),
            None => text(address, "/ip").to_owned(),
        })
    });
    joined(all.collect())
}

fn prepare_service(service: &mut Value, old: Option<&Value>) {
    super::keep_status(service, old, json!({"loadBalancer": {}}));
    let address = match old {
        // The address of a service stays.
        Some(old) => text(old, "/spec/clusterIP").to_owned(),
        None => address_of(text(service, "/metadata/uid")),
    };
    let Some(spec) = service.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        default(port, "protocol", "TCP");
        if let Some(number) = port.get("port").cloned() {
            default(port, "targetPort", number);
        }
    }
    if text(spec, "/type") == "ExternalName" {
        return;
    }
    default(spec, "internalTrafficPolicy", "Cluster");
    default(spec, "ipFamilies", json!(["IPv4"]));
    default(spec, "ipFamilyPolicy", "SingleStack");
    default(spec, "clusterIP", address);
    let address = text(spec, "/clusterIP").to_owned();
    default(spec, "clusterIPs", json!([address]));
    if matches!(text(spec, "/type"), "NodePort" | "LoadBalancer") {
        default(spec, "externalTrafficPolicy", "Cluster");
    }
    if text(spec, "/type") == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// An address of 10.96.0.0/12 by the service's UID: of a million, so that hardly two have the same.
fn address_of(uid: &str) -> String {
    let sum =
        uid.bytes().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let host = sum % ((1 << 20) - 2) + 1;
    std::net::Ipv4Addr::from_bits(0x0a60_0000 + host).to_string()
}

fn validate_service(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = At::root(service, "spec");
    let kind = spec.field("type");
    errors.extend(kind.none_of(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]));
    errors.extend(spec.field("sessionAffinity").none_of(&["ClientIP", "None"]));
    let is_headless = spec.field("clusterIP").text() == "None";
    if kind.text() == "ExternalName" {
        if spec.field("externalName").text().is_empty() {
            errors.push(spec.field("externalName").required(""));
        }
    } else if spec.field("ports").items().next().is_none() && !is_headless {
        errors.push(spec.field("ports").required(""));
    }
    let several = spec.field("ports").items().count() > 1;
    let (mut names, mut numbers) = (HashSet::new(), HashSet::new());
    for port in spec.field("ports").items() {
        let (name, number) = (port.field("name"), port.field("port"));
        if several && name.text().is_empty() {
            errors.push(name.required(""));
        } else if !name.text().is_empty() && !metadata::is_label(name.text()) {
            errors.push(
                name.invalid("must be a DNS label: lower-case letters, digits and '-' between, at most 63"),
            );
        } else if !name.text().is_empty() && !names.insert(name.text()) {
            errors.push(name.duplicate());
        }
        if !number.is_set() {
            errors.push(number.required(""));
        }
        errors.extend(number.outside(1..=65_535));
        errors.extend(port.field("protocol").none_of(&["SCTP", "TCP", "UDP"]));
        if number.is_set() && !numbers.insert((number.number(), port.field("protocol").text())) {
            errors.push(number.duplicate());
        }
    }
    if old.is_some_and(|old| text(old, "/spec/type") != "ExternalName") && kind.text() != "ExternalName" {
        errors.extend(immutable(service, old, &["spec.clusterIP"]));
    }
    errors
}

fn validate_ingress(ingress: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = At::root(ingress, "spec");
    if !spec.field("defaultBackend").is_set() && spec.field("rules").items().next().is_none() {
        errors
            .push(spec.field("rules").invalid_whole("either `defaultBackend` or `rules` must be specified"));
    }
    for rule in spec.field("rules").items() {
        let host = rule.field("host");
        let name = host.text().strip_prefix("*.").unwrap_or(host.text());
        if !name.is_empty() && !metadata::is_subdomain(name) {
            errors.push(host.invalid("must be a DNS name, or one below '*.'"));
        }
        for path in rule.field("http").field("paths").items() {
            let kind = path.field("pathType");
            match kind.text() {
                "" => errors.push(kind.required("pathType must be specified")),
                "Exact" | "Prefix" if !path.field("path").text().starts_with('/') => {
                    errors.push(path.field("path").invalid("must be an absolute path"));
                }
                _ => errors.extend(kind.none_of(&["Exact", "ImplementationSpecific", "Prefix"])),
            }
            let backend = path.field("backend");
            errors.extend(backend.not_one(&["service", "resource"], "a backend is a service or a resource"));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::put;

    #[test]
    fn services_are_completed_and_checked() {
        let mut service = json!({"metadata": {"name": "web", "uid": "1"}, "spec": {"ports": [{"port": 80}]}});
        SERVICES.prepare(&mut service, None);
        assert_eq!(SERVICES.validate(&service, None).len(), 0);
        assert_eq!(service["spec"]["ports"][0], json!({"port": 80, "protocol": "TCP", "targetPort": 80}));
        let address: std::net::Ipv4Addr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
        assert_eq!(address.to_bits() >> 20, 0x0a6, "{address}");
        let mut other = service.clone();
        put(&mut other, &["spec", "clusterIP"], "10.0.0.1".into());
        assert_eq!(SERVICES.validate(&other, Some(&service)).len(), 1);
        for ports in [
            json!([]),
            json!([{"port": 0}]),
            json!([{"port": 1}, {"port": 2}]),
            json!([{"port": 1, "protocol": "X"}]),
        ] {
            let mut broken = service.clone();
            put(&mut broken, &["spec", "ports"], ports.clone());
            assert!(!SERVICES.validate(&broken, None).is_empty(), "{ports}");
        }
    }
}
