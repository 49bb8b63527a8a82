//! Addresses and ports of services: each is one service's, whoever asks for it.

use serde_json::{Value, json};

use super::world::Who::{Admin, Alice};
use super::world::{Case, World};

const SERVICES: &str = "POST /api/v1/namespaces/shop/services";
const DRY: &str = "POST /api/v1/namespaces/shop/services?dryRun=All";

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": spec});
    if service["spec"].get("ports").is_none() {
        service["spec"]["ports"] = json!([{"port": 80}]);
    }
    service
}

fn cases() -> Vec<Case> {
    let node = |port: u64| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let taken = "provided IP is already allocated";
    let at = |address: &str| json!({"clusterIP": address});
    vec![
        ("an address of its choice", Alice, SERVICES, service("a", at("10.96.0.10")), 201, "10.96.0.10"),
        ("another's address", Alice, SERVICES, service("b", at("10.96.0.10")), 422, taken),
        (
            "an address of the machines",
            Alice,
            SERVICES,
            service("b", at("192.0.2.1")),
            422,
            "is not in the valid range",
        ),
        ("its own address again", Alice, SERVICES, service("a", at("10.96.0.10")), 409, "already exists"),
        ("a port of its choice", Alice, SERVICES, service("c", node(30_080)), 201, "30080"),
        (
            "another's port",
            Alice,
            SERVICES,
            service("d", node(30_080)),
            422,
            "provided port is already allocated",
        ),
        ("a dry run", Alice, DRY, service("e", at("10.96.0.11")), 201, "10.96.0.11"),
        ("the port of a refused one", Alice, SERVICES, service("E", node(30_081)), 422, "metadata.name"),
        ("what they left", Alice, SERVICES, service("e", at("10.96.0.11")), 201, "10.96.0.11"),
        ("what they left", Alice, SERVICES, service("f", node(30_081)), 201, "30081"),
        ("the end of a service", Alice, "DELETE /api/v1/namespaces/shop/services/c", Value::Null, 200, ""),
        ("its port for another", Alice, SERVICES, service("d", node(30_080)), 201, "30080"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_ports_are_one_services() {
    let world = World::new().await;
    world.check(&cases()).await;
    // A port that nobody names is given, and the manager of the other fields does not manage it.
    let given = world.must(Alice, SERVICES, service("g", json!({"type": "NodePort"}))).await;
    let port = given["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    assert!((30_086..=32_767).contains(&port), "{given}");
    let managed = given["metadata"]["managedFields"].to_string();
    assert!(
        managed.contains("f:type") && !managed.contains("f:clusterIP") && !managed.contains("f:nodePort"),
        "{managed}"
    );
    // It stays through changes that do not name it, and goes with the type.
    let line = "PATCH /api/v1/namespaces/shop/services/g";
    let balanced = world.must(Alice, line, json!({"spec": {"type": "LoadBalancer"}})).await;
    assert_eq!(balanced["spec"]["ports"][0]["nodePort"], port);
    let inner = world.must(Alice, line, json!({"spec": {"type": "ClusterIP"}})).await;
    assert_eq!(inner["spec"]["ports"][0].get("nodePort"), None, "{inner}");
    assert_eq!(inner["spec"]["clusterIP"], given["spec"]["clusterIP"]);
    // A server that starts again knows what is taken.
    let world = World::start(world.end().await, |_| {}).await;
    let again = world.send(Admin, SERVICES, &service("h", json!({"clusterIP": "10.96.0.10"}))).await;
    assert_eq!(again.code, 422, "{}", again.text());
}
