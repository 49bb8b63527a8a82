//! Watches of one user by the hundred: what an event costs the server, and who is answered meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use super::growth::settled;
use super::load::{Two, meanwhile};
use super::world::Who::{self, Admin, Alice, Mallory};
use super::world::World;

/// Opens watches on one connection.
async fn watch(world: &World, identity: Who, path: &str, accept: &str, count: usize) -> Two {
    let mut two = Two::open_wide(world, identity).await;
    let bearer = format!("Bearer {}", world.token(identity));
    let headers = [("authorization", bearer.as_str()), ("accept", accept)];
    let line = format!("GET {path}");
    let heads: Vec<u8> = (0..count).flat_map(|_| two.head(&line, &headers, false).1).collect();
    two.send(&heads).await;
    two
}

/// The server's processor time for changes of an object.
async fn cost(world: &World, path: &str, changes: usize) -> Duration {
    let before = settled(world).await;
    for at in 0..changes {
        let change = json!({"metadata": {"annotations": {"at": at.to_string()}}});
        world.must(Mallory, &format!("PATCH {path}"), change).await;
    }
    settled(world).await.saturating_sub(before)
}

/// Each watch holds each event against all of its conditions: the length of the field that they look at makes no difference.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_watches_copy_no_text() {
    const SECRETS: &str = "/api/v1/namespaces/lair/secrets";
    let world = World::apart().await;
    for (name, size) in [("short", 100), ("long", 200_000)] {
        let secret = json!({"metadata": {"name": name}, "type": "y".repeat(size)});
        world.must(Mallory, &format!("POST {SECRETS}"), secret).await;
    }
    let selector = format!("{}type%3Dzz", "type!%3Da,".repeat(199));
    let listed = world.must(Mallory, &format!("GET {SECRETS}?limit=1"), Value::Null).await;
    let now = listed["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("{SECRETS}?watch=1&resourceVersion={now}&fieldSelector={selector}");
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut two = watch(&world, Mallory, &path, "application/json", 200).await;
        assert_eq!(two.answers(200, 60).await, 200);
        watches.push(two);
    }
    // The first change finds all of them listening.
    cost(&world, &format!("{SECRETS}/short"), 1).await;
    let mut costs = Vec::new();
    for name in ["short", "long"] {
        costs.push(cost(&world, &format!("{SECRETS}/{name}"), 3).await);
    }
    println!("{costs:?}");
    // A copy of the field for each condition of each watch would be 48 GB of it.
    assert!(costs[1] < costs[0] * 4 + Duration::from_secs(1), "{costs:?}");
}

/// Each watch as a table makes a row of each event, and the columns of a custom resource may search much: others are answered
/// many times while the rows of one event are made.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_watches_are_made_beside_the_requests_of_others() {
    const DEFINITIONS: &str = "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const ROWS: &str = "/apis/rows.example.com/v1/namespaces/lair/rows";
    const WATCHES: usize = 40;
    let world = World::apart().await;
    let columns: Vec<Value> = (0..100)
        .map(|at| json!({"name": format!("c{at}"), "type": "string", "jsonPath": ".spec.l[*].zz"}))
        .collect();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"metadata": {"name": "rows.rows.example.com"}, "spec": {
        "group": "rows.example.com", "scope": "Namespaced", "names": {"plural": "rows", "kind": "Row"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "additionalPrinterColumns": columns}]}});
    world.must(Admin, DEFINITIONS, definition).await;
    let rules =
        json!([{"verbs": ["get", "list", "watch"], "apiGroups": ["rows.example.com"], "resources": ["*"]}]);
    let role = json!({"metadata": {"name": "rows", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, "rules": rules});
    world.must(Admin, "POST /apis/rbac.authorization.k8s.io/v1/clusterroles", role).await;
    let row = json!({"apiVersion": "rows.example.com/v1", "kind": "Row", "metadata": {"name": "r"}, "spec": {"l": vec![json!({}); 160]}});
    world.must(Admin, &format!("POST {ROWS}"), row).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut watches = watch(&world, Mallory, &format!("{ROWS}?watch=1"), table, WATCHES).await;
    // Each begins with the present object.
    assert_eq!(watches.lines(WATCHES, 120).await, WATCHES);
    let attack = async {
        let change = json!({"metadata": {"annotations": {"a": "b"}}});
        world.must(Admin, &format!("PATCH {ROWS}/r"), change).await;
        assert_eq!(watches.lines(WATCHES, 120).await, WATCHES);
    };
    let line = "GET /api/v1/namespaces/shop/configmaps/kube-root-ca.crt";
    let times = meanwhile(&world, Alice, line, attack).await;
    println!("{} answers, the last after {:?}", times.len(), times.last());
    assert!(times.len() > 4, "{times:?}");
}
