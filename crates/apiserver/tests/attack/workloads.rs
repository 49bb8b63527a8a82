//! Workloads: fields of one must not affect those of others, and no request to a controller stops it.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::Who::{self, Admin, Mallory};
use super::world::{RBAC, World};

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

/// The workloads of each kind that makes pods, of the same template: their resource, and the object.
fn all_kinds(name: &str, spec: &Value) -> [(&'static str, Value); 7] {
    let labels = json!({"app": name});
    let template = |restart: &str| {
        let mut spec = spec.clone();
        spec["restartPolicy"] = restart.into();
        json!({"metadata": {"labels": labels}, "spec": spec})
    };
    let object = |spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let apps = || object(json!({"selector": {"matchLabels": labels}, "template": template("Always")}));
    let job = json!({"template": template("Never")});
    [
        (
            "api/v1 replicationcontrollers",
            object(json!({"selector": labels, "template": template("Always")})),
        ),
        ("apis/apps/v1 deployments", apps()),
        ("apis/apps/v1 replicasets", apps()),
        ("apis/apps/v1 statefulsets", apps()),
        ("apis/apps/v1 daemonsets", apps()),
        ("apis/batch/v1 jobs", object(job.clone())),
        (
            "apis/batch/v1 cronjobs",
            object(json!({"schedule": "* * * * *", "suspend": true, "jobTemplate": {
                "metadata": {"labels": labels}, "spec": job}})),
        ),
    ]
}

/// Makes a CronJob due: its last time was long ago.
async fn make_due(world: &World, path: &str) {
    let past = json!({"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}});
    world.must(Admin, &format!("PATCH {path}/status"), past).await;
    world.must(Mallory, &format!("PATCH {path}"), json!({"spec": {"suspend": false}})).await;
}

/// The conditions and events of the workloads of a name in a namespace, and of the workloads that these create.
async fn said(world: &World, kind: &str, name: &str) -> String {
    let events = world.must(Mallory, "GET /api/v1/namespaces/lair/events", Value::Null).await;
    let events = events["items"].as_array().unwrap().iter();
    let of = |event: &&Value| {
        let object = &event["involvedObject"];
        object["kind"] == kind && object["name"].as_str().unwrap_or_default().starts_with(name)
    };
    let told = events.filter(of).map(|event| event["message"].as_str().unwrap_or_default());
    told.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kind_of_workload_makes_a_pod_that_its_account_may_not_have() {
    let world = World::new().await;
    world.must(Admin, "POST /api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
    let spec = json!({"containers": [{"name": "c", "image": "a", "securityContext": {"privileged": true}}]});
    for (place, object) in all_kinds("evil", &spec) {
        let (root, resource) = place.split_once(' ').unwrap();
        let path = format!("/{root}/namespaces/lair/{resource}");
        let reply = world.send(Mallory, &format!("POST {path}"), &object).await;
        assert_eq!(reply.code, 201, "{resource}: {}", reply.text());
        let warnings: Vec<&str> = reply.head.lines().filter(|line| line.starts_with("warning:")).collect();
        let of_scc: Vec<_> =
            warnings.iter().filter(|line| line.contains("its pods would be refused")).collect();
        assert!(
            of_scc.len() == 1 && of_scc[0].contains("privileged"),
            "{resource}: one warning, which names the nearest SCC: {warnings:?}"
        );
        if resource == "cronjobs" {
            make_due(&world, &format!("{path}/evil")).await;
        }
    }
    let makers =
        ["ReplicationController", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"].map(|kind| (kind, "evil"));
    for (kind, name) in makers.into_iter().chain([("ReplicaSet", "evil-"), ("Job", "evil-")]) {
        let refused = "unable to validate against any security context constraint";
        let mut told = String::new();
        for _ in 0..300 {
            told = said(&world, kind, name).await;
            if told.contains(refused) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(told.contains(refused) && told.contains("privileged"), "{kind}/{name}: {told:?}");
    }
    assert_eq!(pods(&world, "lair", "evil").await, 0);
    let deployment = "GET /apis/apps/v1/namespaces/lair/deployments/evil";
    let conditions = world.must(Mallory, deployment, Value::Null).await["status"]["conditions"].clone();
    assert!(conditions.to_string().contains("ReplicaFailure"), "{conditions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_whose_account_has_the_right_gets_no_warning_and_its_pods() {
    let world = World::new().await;
    world.must(Admin, "POST /api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
    world
        .must(Admin, "POST /api/v1/namespaces/lair/serviceaccounts", json!({"metadata": {"name": "root"}}))
        .await;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"metadata": {"name": "root"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:openshift:scc:privileged"},
        "subjects": [{"kind": "ServiceAccount", "name": "root", "namespace": "lair"}]});
    world.must(Admin, &format!("POST {RBAC}/namespaces/lair/rolebindings"), binding).await;
    let spec = json!({"serviceAccountName": "root",
        "containers": [{"name": "c", "image": "a", "securityContext": {"privileged": true}}]});
    for (place, mut object) in all_kinds("granted", &spec) {
        let (root, resource) = place.split_once(' ').unwrap();
        let name = format!("granted-{resource}");
        let text = object.to_string().replace("\"granted\"", &format!("\"{name}\""));
        object = serde_json::from_str(&text).unwrap();
        let path = format!("/{root}/namespaces/lair/{resource}");
        let reply = world.send(Mallory, &format!("POST {path}"), &object).await;
        assert_eq!(reply.code, 201, "{resource}: {}", reply.text());
        assert!(!reply.head.contains("would be refused"), "{resource}: {}", reply.head);
        if resource == "cronjobs" {
            make_due(&world, &format!("{path}/{name}")).await;
        }
        until_pods(&world, "lair", &name, 1).await;
    }
}

/// A set of one user gets its pod while others get theirs.
async fn made_by(world: &World, identity: Who, name: &str) {
    world.must(identity, "POST /apis/apps/v1/namespaces/victim/replicasets", set(name, 1)).await;
    until_pods(world, "victim", name, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_while_a_workload_has_much_left_to_do() {
    let world = World::new().await;
    let claim = |n| json!({"metadata": {"name": format!("c{n}")}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let mut huge = set("huge", i64::from(i32::MAX));
    huge["spec"]["podManagementPolicy"] = "Parallel".into();
    huge["spec"]["serviceName"] = "x".into();
    huge["spec"]["volumeClaimTemplates"] = (0..2000).map(claim).collect();
    world.must(Mallory, "POST /apis/apps/v1/namespaces/lair/statefulsets", huge).await;
    let claims = "GET /api/v1/namespaces/lair/persistentvolumeclaims?limit=1";
    while world.must(Mallory, claims, Value::Null).await["items"][0].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Its run makes a million objects, unless it is told to end.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), world.end()).await;
    assert!(ended.is_ok(), "the server goes on with the workload");
}
