//! Services and related kinds. Nothing routes to a service here: its address only stands for it.
//!
//! Defaults are those of `k8s.io/kubernetes/pkg/apis/core/v1/defaults.go` and `networking/v1/defaults.go`.

pub mod allocation;
mod endpoints;
mod ingress;
mod policy;
mod service;

use palisade_k8s::put;
use serde_json::{Value, json};

use super::scale::selector_text;
use super::subresource::STATUS;
use super::{AGE, Admission, BASE, Counted, Names, Resource, Row, age, column, default, text, wide};

const NETWORKING: &str = "networking.k8s.io";

/// Services.
pub static SERVICES: Resource = Resource::Row(&Row {
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
    validate: service::validate,
    admission: Admission::Service,
    counted: Counted::Services,
    is_made_by_put: true,
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
    prepare: |object, _| endpoints::complete(object),
    validate: |object, _| endpoints::validate(object),
    is_made_by_put: true,
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
    counts_generations: true,
    spec: "endpoints",
    prepare: |object, _| endpoints::complete_slice(object),
    validate: endpoints::validate_slice,
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
    validate: |object, _| ingress::validate(object),
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
    counts_generations: true,
    prepare: |object, _| ingress::complete_class(object),
    validate: ingress::validate_class,
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
    validate: |object, _| policy::validate(object),
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
    if let Some(old) = old {
        allocation::keep_ports(service, old);
        leave_type(service, old);
    }
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
    complete_affinity(spec);
    if text(spec, "/type") == "ExternalName" {
        leave_cluster(spec, old);
        return;
    }
    default(spec, "internalTrafficPolicy", "Cluster");
    let has_selector =
        spec.get("selector").and_then(Value::as_object).is_some_and(|labels| !labels.is_empty());
    // Endpoints that other controllers make may be of either family.
    let is_open = text(spec, "/clusterIP") == "None" && !has_selector;
    default(spec, "ipFamilies", if is_open { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
    default(spec, "ipFamilyPolicy", if is_open { "RequireDualStack" } else { "SingleStack" });
    keep_address(spec, old);
    let has_outer = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if has_outer || matches!(text(spec, "/type"), "NodePort" | "LoadBalancer") {
        default(spec, "externalTrafficPolicy", "Cluster");
    }
    if text(spec, "/type") == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
}

/// Duration of session affinity, in seconds.
const AFFINITY: u32 = 10_800;

fn complete_affinity(spec: &mut Value) {
    if text(spec, "/sessionAffinity") == "ClientIP" {
        if spec.pointer("/sessionAffinityConfig/clientIP/timeoutSeconds").is_none() {
            put(spec, &["sessionAffinityConfig", "clientIP", "timeoutSeconds"], AFFINITY.into());
        }
    } else if let Some(spec) = spec.as_object_mut() {
        spec.remove("sessionAffinityConfig");
    }
}

/// A service of another type loses the fields that it has from a type which has them, unless it sets them anew.
fn leave_type(service: &mut Value, old: &Value) {
    let is_outer = allocation::has_node_ports(service);
    let is_balancer = text(service, "/spec/type") == "LoadBalancer";
    let is_local = text(service, "/spec/externalTrafficPolicy") == "Local";
    let had_balancer = text(old, "/spec/type") == "LoadBalancer";
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for (field, had, has) in [
        ("externalTrafficPolicy", allocation::has_node_ports(old), is_outer),
        ("allocateLoadBalancerNodePorts", had_balancer, is_balancer),
        ("loadBalancerClass", had_balancer, is_balancer),
        ("healthCheckNodePort", had_balancer, is_balancer && is_local),
    ] {
        let was = old.get("spec").and_then(|spec| spec.get(field));
        if had && !has && was == spec.get(field) {
            spec.shift_remove(field);
        } else if had && has && field == "healthCheckNodePort" && spec.get(field).is_none_or(|port| port == 0)
        {
            was.map(|was| spec.insert(field.to_owned(), was.clone()));
        }
    }
}

/// A service that becomes an ExternalName loses its cluster addresses.
fn leave_cluster(spec: &mut Value, old: Option<&Value>) {
    let had = |field: &str| old.and_then(|old| old.pointer(&format!("/spec/{field}"))).cloned();
    let Some(spec) = spec.as_object_mut() else { return };
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
        if spec.get(field).is_some_and(|value| had(field).as_ref() == Some(value)) {
            spec.remove(field);
        }
    }
}

/// A service keeps its address. A new one is allocated when the service is written.
fn keep_address(spec: &mut Value, old: Option<&Value>) {
    let had = |field: &str| old.and_then(|old| old.get("spec")?.get(field));
    let is_empty = text(spec, "/clusterIP").is_empty();
    let Some(fields) = spec.as_object_mut() else { return };
    if is_empty {
        fields.shift_remove("clusterIP");
        had("clusterIP").map(|was| fields.insert("clusterIP".to_owned(), was.clone()));
    }
    let has_list =
        fields.get("clusterIPs").is_some_and(|list| list.as_array().is_some_and(|list| !list.is_empty()));
    let is_stale =
        fields.get("clusterIPs") == had("clusterIPs") && fields.get("clusterIP") != had("clusterIP");
    let address = fields.get("clusterIP").filter(|address| *address != "").cloned();
    if let Some(address) = address.filter(|_| !has_list || is_stale) {
        fields.insert("clusterIPs".to_owned(), json!([address]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_completed_and_checked() {
        let mut service = json!({"metadata": {"name": "web", "uid": "1"}, "spec": {"ports": [{"port": 80}]}});
        SERVICES.prepare(&mut service, None);
        assert_eq!(SERVICES.validate(&service, None).len(), 0);
        assert_eq!(service["spec"]["ports"][0], json!({"port": 80, "protocol": "TCP", "targetPort": 80}));
        put(&mut service, &["spec", "clusterIP"], "10.96.0.1".into());
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

    #[test]
    fn ports_of_nodes_are_in_their_range_and_each_is_there_once() {
        let service = |ports: &[(u16, u32, &str)]| {
            let port = |(number, node, protocol): &(u16, u32, &str)| json!({"name": format!("p{number}"), "port": number, "nodePort": node, "protocol": protocol});
            let ports: Vec<Value> = ports.iter().map(port).collect();
            let mut service = json!({"metadata": {"name": "web", "uid": "1"}, "spec": {"type": "NodePort", "ports": ports}});
            SERVICES.prepare(&mut service, None);
            service
        };
        let old = service(&[(1, 80, "TCP")]);
        for (ports, old, errors) in [
            (&[(1, 30_000, "TCP"), (2, 32_767, "TCP")][..], None, 0),
            (&[(1, 0, "TCP"), (2, 0, "TCP")], None, 0),
            (&[(1, 30_000, "TCP"), (2, 30_000, "UDP")], None, 0),
            (&[(1, 30_000, "TCP"), (2, 30_000, "TCP")], None, 1),
            (&[(1, 29_999, "TCP"), (2, 32_768, "TCP")], None, 2),
            (&[(1, 80, "TCP")], None, 1),
            (&[(1, 80, "TCP")], Some(&old), 0),
            (&[(1, 81, "TCP")], Some(&old), 1),
        ] {
            let found = SERVICES.validate(&service(ports), old);
            assert_eq!(found.len(), errors, "{ports:?} {found:?}");
        }
    }
}
