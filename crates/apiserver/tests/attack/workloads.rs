//! Workloads: fields of one must not affect those of others, and no request to a controller stops it.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::Who::{self, Admin, Mallory};
use super::world::World;

fn pod_spec() -> Value {
    json!({"containers": [{"name": "c", "image": "a"}]})
}

fn set(name: &str, replicas: i64) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod_spec()}}})
}

async fn pods(world: &World, namespace: &str, app: &str) -> usize {
    let path = format!("GET /api/v1/namespaces/{namespace}/pods?labelSelector=app={app}");
    world.must(Admin, &path, Value::Null).await["items"].as_array().map_or(0, Vec::len)
}

async fn until_pods(world: &World, namespace: &str, app: &str, wanted: usize) {
    for _ in 0..600 {
        if pods(world, namespace, app).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{namespace}/{app} has {} pods, not {wanted}", pods(world, namespace, app).await);
}

async fn victim(world: &World) {
    world.must(Admin, "POST /api/v1/namespaces", json!({"metadata": {"name": "victim"}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_control_only_their_own_pods() {
    let world = World::new().await;
    victim(&world).await;
    let sets = "/apis/apps/v1/namespaces/victim/replicasets";
    let made = world.must(Admin, &format!("POST {sets}"), set("web", 1)).await;
    until_pods(&world, "victim", "web", 1).await;
    let alone = json!({"metadata": {"name": "database", "labels": {"app": "database"}}, "spec": pod_spec()});
    world.must(Admin, "POST /api/v1/namespaces/victim/pods", alone).await;
    // A pod of the same name in another namespace that claims the set as its owner, and one in the namespace that the
    // set does not select.
    let mut claimed = json!({"metadata": {"name": "database", "labels": {"app": "web"}, "ownerReferences": [{
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": made["metadata"]["uid"],
        "controller": true}]}, "spec": pod_spec()});
    world.must(Mallory, "POST /api/v1/namespaces/lair/pods", claimed.clone()).await;
    claimed["metadata"]["name"] = "other".into();
    claimed["metadata"]["labels"]["app"] = "other".into();
    world.must(Admin, "POST /api/v1/namespaces/victim/pods", claimed).await;
    for replicas in [2, 0] {
        let change = json!({"spec": {"replicas": replicas}});
        world.must(Admin, &format!("PATCH {sets}/web"), change).await;
        until_pods(&world, "victim", "web", replicas).await;
    }
    for app in ["database", "other"] {
        assert_eq!(pods(&world, "victim", app).await, 1, "{app}");
    }
    assert_eq!(pods(&world, "lair", "web").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_workload_stops_those_of_others() {
    let world = World::new().await;
    victim(&world).await;
    let job = json!({"metadata": {"name": "endless"}, "spec": {"activeDeadlineSeconds": i64::MAX,
        "ttlSecondsAfterFinished": i32::MAX, "template": {"spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": "a"}]}}}});
    let mut surge = set("surge", 1);
    surge["spec"]["strategy"] = json!({"rollingUpdate": {"maxSurge": "9223372036854775807%", "maxUnavailable": "9223372036854775807%"}});
    let jobs = "POST /apis/batch/v1/namespaces/lair/jobs";
    let deployments = "POST /apis/apps/v1/namespaces/lair/deployments";
    for (line, body) in [(jobs, job), (deployments, surge)] {
        let reply = world.send(Mallory, line, &body).await;
        assert!(matches!(reply.code, 201 | 422), "{}", reply.text());
    }
    // Far more pods than a test would wait for.
    let sets = "POST /apis/apps/v1/namespaces/lair/replicasets";
    for name in ["a", "b", "c"] {
        world.must(Mallory, sets, set(name, i64::from(i32::MAX))).await;
    }
    for name in ["one", "two", "three"] {
        made_by(&world, Admin, name).await;
    }
    world.must(Admin, "DELETE /apis/apps/v1/namespaces/lair/replicasets/a", Value::Null).await;
}

/// A set of one user gets its pod while others get theirs.
async fn made_by(world: &World, identity: Who, name: &str) {
    world.must(identity, "POST /apis/apps/v1/namespaces/victim/replicasets", set(name, 1)).await;
    until_pods(world, "victim", name, 1).await;
}
