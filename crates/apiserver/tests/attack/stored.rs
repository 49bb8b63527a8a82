//! Objects that one user stores: what the server keeps of them in memory is bounded.

use serde_json::{Value, json};

use super::world::Who::{Admin, Alice, Mallory};
use super::world::{RBAC, World};

/// Maximum memory of the process, in MB.
const MEMORY: u64 = 256;
/// Maximum growth of the process by 144,000 `ownerReferences`, in MB, with what the allocator keeps of the requests. A set
/// of dependents for each owner takes 100.
const OWNERS: u64 = 60;

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// A binding of many subjects.
fn binding(number: usize) -> Value {
    let subjects: Vec<Value> = (0..8_000)
        .map(|n| json!({"kind": "User", "apiGroup": RBAC_GROUP, "name": format!("u{number}-{n}")}))
        .collect();
    json!({"metadata": {"name": format!("many-{number}")},
        "roleRef": {"kind": "ClusterRole", "name": "view", "apiGroup": RBAC_GROUP}, "subjects": subjects})
}

/// A role of short names, each of which takes ten times its text in memory. The author holds the right to all pods.
fn role(number: usize) -> Value {
    let names: Vec<String> = (0..50_000).map(|n| format!("{n:x}")).collect();
    json!({"metadata": {"name": format!("many-{number}")}, "rules": [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": names}]})
}

/// An object with owners that never existed.
fn owned(number: usize) -> Value {
    let owners: Vec<Value> = (0..6_000)
        .map(|n| json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": format!("{number}-{n}")}))
        .collect();
    json!({"metadata": {"name": format!("many-{number}"), "ownerReferences": owners}})
}

/// Stores objects of a kind until one is refused, at most so many; how many were stored.
async fn store(world: &World, line: &str, object: fn(usize) -> Value, most: usize) -> usize {
    for number in 0..most {
        let reply = world.send(Mallory, line, &object(number)).await;
        if reply.code != 201 {
            let text = reply.text();
            assert!(
                reply.code == 403 && text.contains("4 MiB of the server's memory"),
                "{} {text}",
                reply.code
            );
            return number;
        }
    }
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_one_users_objects_is_bounded() {
    let world = World::apart().await;
    let check = |what: &str| {
        let (now, most) = world.memory();
        println!("{what}: {most} MB at most, now {now} MB");
        assert!(most < MEMORY, "{what}: {most} MB, now {now} MB");
    };
    check("at the start");
    let (start, _) = world.memory();
    assert_eq!(store(&world, "POST /api/v1/namespaces/lair/configmaps", owned, 24).await, 24);
    check("ownerReferences");
    let (now, _) = world.memory();
    assert!(now < start + OWNERS, "144,000 ownerReferences: {} MB", now - start);
    let bindings = format!("POST {RBAC}/namespaces/lair/rolebindings");
    let stored = store(&world, &bindings, binding, 20).await;
    assert!((2..8).contains(&stored), "{stored} bindings");
    let roles = format!("POST {RBAC}/namespaces/lair/roles");
    assert!(store(&world, &roles, role, 5).await < 2);
    check("roles and bindings");
    // Other projects of hers are refused, and other users are not.
    let full = |number: usize| json!({"metadata": {"name": format!("more-{number}")}});
    let small = |n| {
        json!({"metadata": {"name": format!("small-{n}")}, "rules": [{"verbs": ["get"], "apiGroups": [""],
        "resources": ["pods"], "resourceNames": vec!["x".repeat(60); 2000]}]})
    };
    assert!(store(&world, &roles, small, 100).await < 100);
    let projects = "POST /apis/project.openshift.io/v1/projectrequests";
    assert!(store(&world, projects, full, 200).await < 200);
    world.must(Alice, &format!("POST {RBAC}/namespaces/shop/roles"), role(0)).await;
    world.must(Admin, &bindings, binding(99)).await;
    // What she deletes makes room.
    for number in [0, 99] {
        let line = format!("DELETE {RBAC}/namespaces/lair/rolebindings/many-{number}");
        world.must(Admin, &line, Value::Null).await;
    }
    world.must(Mallory, &roles, small(1000)).await;
    check("at the end");
}
