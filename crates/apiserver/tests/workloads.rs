//! Workloads: their pods, their status, and the reported condition where a pod is refused. The test plays the node: it
//! makes pods ready and ends them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::time::Duration;

use http::Request;
use kube::{Client, Error};
use palisade_apiserver::Config;
use serde_json::{Value, json};

struct World(Client);

const SHOP: &str = "namespaces/shop";

impl World {
    async fn start() -> Self {
        let world = Self(start::start(Config::default()).await);
        world.post("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
        world
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Result<Value, Error> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        self.0.request(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, json!({})).await.unwrap()
    }

    async fn pods(&self) -> Vec<Value> {
        let list = self.get(&format!("/api/v1/{SHOP}/pods")).await;
        let pods = list["items"].as_array().unwrap().iter();
        pods.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none()).cloned().collect()
    }

    /// Says of a pod how it is, as its node would.
    async fn report(&self, pod: &Value, phase: &str) {
        self.try_report(pod, phase).await.unwrap();
    }

    async fn try_report(&self, pod: &Value, phase: &str) -> Result<Value, Error> {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let ready = if phase == "Running" { "True" } else { "False" };
        let status = json!({"status": {"phase": phase, "conditions": [
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
        self.send("PATCH", &format!("/api/v1/{SHOP}/pods/{name}/status"), status).await
    }

    /// Makes pods ready, and removes those that are being deleted, until a condition holds.
    async fn until(&self, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..150 {
            let list = self.get(&format!("/api/v1/{SHOP}/pods")).await;
            for pod in list["items"].as_array().unwrap() {
                if pod["metadata"].get("deletionTimestamp").is_some() {
                    let name = pod["metadata"]["name"].as_str().unwrap();
                    let _ = self
                        .send(
                            "DELETE",
                            &format!("/api/v1/{SHOP}/pods/{name}?gracePeriodSeconds=0"),
                            json!({}),
                        )
                        .await;
                } else if pod["status"]["phase"] == "Pending" {
                    let _ = self.try_report(pod, "Running").await;
                }
            }
            last = self.get(path).await;
            if holds(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{what}: {last:#}");
    }
}

fn template(image: &str, more: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": image}]});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({"metadata": {"labels": {"app": "web"}}, "spec": spec})
}

fn deployment(name: &str, template: Value) -> Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}})
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_makes_its_pods_rolls_over_and_back() {
    let world = World::start().await;
    let all = format!("/apis/apps/v1/{SHOP}/deployments");
    let path = format!("{all}/web");
    world.post(&all, deployment("web", template("a:1", json!({})))).await;
    let is_done = |object: &Value| {
        let status = &object["status"];
        status["observedGeneration"] == object["metadata"]["generation"]
            && status["availableReplicas"] == object["spec"]["replicas"]
            && status["updatedReplicas"] == object["spec"]["replicas"]
            && status["replicas"] == object["spec"]["replicas"]
    };
    let made = world.until(&path, "three pods are available", is_done).await;
    assert_eq!(condition(&made, "Available").unwrap()["status"], "True");
    assert_eq!(condition(&made, "Progressing").unwrap()["reason"], "NewReplicaSetAvailable");
    let pods = world.pods().await;
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        // By the pod's own account, as the controller has no SCC.
        assert_eq!(pod["metadata"]["annotations"]["openshift.io/scc"], "restricted-v2");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
    }
    world
        .send("PATCH", &path, json!({"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}))
        .await
        .unwrap();
    world
        .until(&path, "it has rolled over", |object| {
            is_done(object) && object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        })
        .await;
    assert!(world.pods().await.iter().all(|pod| pod["metadata"]["annotations"]["v"] == "2"));
    let sets = world.get(&format!("/apis/apps/v1/{SHOP}/replicasets")).await;
    assert_eq!(sets["items"].as_array().unwrap().len(), 2);

    world
        .send("PATCH", &path, json!({"spec": {"template": {"metadata": {"annotations": {"v": null}}}}}))
        .await
        .unwrap();
    world
        .until(&path, "it has rolled back", |object| {
            is_done(object) && object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        })
        .await;
    let sets = world.get(&format!("/apis/apps/v1/{SHOP}/replicasets")).await;
    assert_eq!(sets["items"].as_array().unwrap().len(), 2, "the first form is the newest again");

    let scale =
        world.send("PATCH", &format!("{path}/scale"), json!({"spec": {"replicas": 1}})).await.unwrap();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(1)));
    world.until(&path, "one pod is left", |object| object["spec"]["replicas"] == 1 && is_done(object)).await;

    let budget = json!({"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    world.post(&format!("/apis/policy/v1/{SHOP}/poddisruptionbudgets"), budget).await;
    let pod = world.pods().await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let eviction = json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": pod}});
    match world.send("POST", &format!("/api/v1/{SHOP}/pods/{pod}/eviction"), eviction).await {
        Err(Error::Api(status)) => assert_eq!(status.code, 429, "{}", status.message),
        other => panic!("{other:?}"),
    }
    world.send("DELETE", &path, json!({})).await.unwrap();
    let left = world
        .until(&format!("/api/v1/{SHOP}/pods"), "its pods go with it", |list| {
            list["items"].as_array().unwrap().is_empty()
        })
        .await;
    assert_eq!(left["kind"], "PodList");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pod_is_said_where_its_owner_looks() {
    let world = World::start().await;
    let all = format!("/apis/apps/v1/{SHOP}/deployments");
    world.post(&all, deployment("web", template("a:1", json!({"hostNetwork": true})))).await;
    let path = format!("{all}/web");
    let refused = world
        .until(&path, "its failure is said", |object| condition(object, "ReplicaFailure").is_some())
        .await;
    let failure = condition(&refused, "ReplicaFailure").unwrap();
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("FailedCreate")));
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.contains("unable to validate against any security context constraint")
            && message.contains("hostNetwork"),
        "{message}"
    );
    let events = world.get(&format!("/api/v1/{SHOP}/events")).await;
    let failed = events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == "FailedCreate");
    assert_eq!(failed.count(), 1, "one event, which counts: {events}");
    // The right that is missing is given: the pods come without a further word.
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"metadata": {"name": "web"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:openshift:scc:hostnetwork-v2"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "shop"}]});
    world.post(&format!("/apis/{group}/v1/{SHOP}/rolebindings"), binding).await;
    let made =
        world.until(&path, "its pods are made", |object| object["status"]["availableReplicas"] == 3).await;
    assert!(condition(&made, "ReplicaFailure").is_none(), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_and_stateful_sets_count() {
    let world = World::start().await;
    let jobs = format!("/apis/batch/v1/{SHOP}/jobs");
    let job = json!({"metadata": {"name": "sum"}, "spec": {"completions": 2, "parallelism": 1,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}});
    world.post(&jobs, job).await;
    for _ in 0..150 {
        for pod in world.pods().await.iter().filter(|pod| pod["status"]["phase"] == "Pending") {
            world.report(pod, "Succeeded").await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        if condition(&world.get(&format!("{jobs}/sum")).await, "Complete").is_some() {
            break;
        }
    }
    let done = world.get(&format!("{jobs}/sum")).await;
    assert_eq!(done["status"]["succeeded"], 2, "{done}");
    assert!(done["status"]["completionTime"].is_string());
    assert_eq!(world.pods().await.len(), 2);

    let sets = format!("/apis/apps/v1/{SHOP}/statefulsets");
    let set = json!({"metadata": {"name": "db"}, "spec": {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": {"app": "web"}},
        "template": template("a:1", json!({"containers": [{"name": "app", "image": "a:1",
            "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]})), "volumeClaimTemplates": [{"metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}});
    world.post(&sets, set).await;
    world
        .until(&format!("{sets}/db"), "two pods are ready", |object| object["status"]["readyReplicas"] == 2)
        .await;
    let mut names: Vec<String> =
        world.pods().await.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    names.retain(|name| name.starts_with("db"));
    names.sort();
    assert_eq!(names, ["db-0", "db-1"]);
    let claims = world.get(&format!("/api/v1/{SHOP}/persistentvolumeclaims")).await;
    assert_eq!(claims["items"].as_array().unwrap().len(), 2);
}

/// The objects of the example files, in the order of their names and places.
fn examples() -> Vec<Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let folders = ["realistic", "workshop"].map(|name| std::fs::read_dir(folder.join(name)).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml")).collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts.flat_map(|text| palisade_k8s::manifest::read(&text).unwrap()).map(|node| node.to_json()).collect()
}

/// The path of the objects of an example's kind.
fn collection(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap();
    let resource = palisade_api::kind::RESOURCES.iter().find(|resource| resource.kind() == kind).unwrap();
    let version = resource.api_version();
    let root = if version.contains('/') { "apis" } else { "api" };
    let inside = object
        .pointer("/metadata/namespace")
        .map_or(String::new(), |namespace| format!("namespaces/{}/", namespace.as_str().unwrap()));
    format!("/{root}/{version}/{inside}{}", resource.plural())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_accepted_and_their_pods_made() {
    let world = World::start().await;
    for name in ["backup", "ci", "ingress"] {
        world.post("/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
    }
    let mut all = examples();
    all.sort_by_key(|object| object["kind"] != "Namespace");
    for mut object in all {
        // The group that serves SCCs today; older files name the core group.
        if object["kind"] == "SecurityContextConstraints" {
            object["apiVersion"] = "security.openshift.io/v1".into();
        }
        let sent = collection(&object);
        let made = world.send("POST", &sent, object.clone()).await;
        assert!(made.is_ok(), "{sent}: {made:?}\n{object:#}");
    }
    let set = format!("/apis/apps/v1/{SHOP}/statefulsets/orders-db");
    let made = world.until(&set, "its pods are ready", |set| set["status"]["readyReplicas"] == 3).await;
    assert!(made.pointer("/spec/template/spec/volumes/1").is_none(), "the template is stored as it was sent");
    for pod in world.pods().await {
        let claim = format!("data-{}", pod["metadata"]["name"].as_str().unwrap());
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        assert!(
            volumes.iter().any(|volume| volume["name"] == "data"
                && volume["persistentVolumeClaim"]["claimName"] == claim.as_str()),
            "{pod:#}"
        );
        world.get(&format!("/api/v1/{SHOP}/persistentvolumeclaims/{claim}")).await;
    }
    assert_eq!(world.pods().await.len(), 3);
    let deployment = "/apis/apps/v1/namespaces/backup/deployments/backup-operator";
    world.until(deployment, "its pod is made", |object| object["status"]["replicas"] == 1).await;
}

/// A CronJob whose last time was an hour ago, so that it is due.
async fn late_cron(world: &World, name: &str, more: Value) -> (String, Value) {
    let all = format!("/apis/batch/v1/{SHOP}/cronjobs");
    let template = template("a:1", json!({"restartPolicy": "Never"}));
    let mut spec = json!({"schedule": "* * * * *", "suspend": true, "jobTemplate": {
        "metadata": {"labels": {"of": name}}, "spec": {"template": template}}});
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    let made = world.post(&all, json!({"metadata": {"name": name}, "spec": spec})).await;
    let path = format!("{all}/{name}");
    let long_ago = json!({"status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}});
    world.send("PATCH", &format!("{path}/status"), long_ago).await.unwrap();
    (path, made)
}

async fn awaken(world: &World, path: &str) {
    world.send("PATCH", path, json!({"spec": {"suspend": false}})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_starts_a_job_at_its_time_and_notes_its_end() {
    let world = World::start().await;
    let more =
        json!({"timeZone": "Europe/Berlin", "successfulJobsHistoryLimit": 0, "concurrencyPolicy": "Forbid"});
    let (path, _) = late_cron(&world, "tick", more).await;
    awaken(&world, &path).await;
    let has_one = |object: &Value| object["status"]["active"].as_array().is_some_and(|all| all.len() == 1);
    let cron = world.until(&path, "a job is active", has_one).await;
    let name = cron["status"]["active"][0]["name"].as_str().unwrap();
    let time: jiff::Timestamp = cron["status"]["lastScheduleTime"].as_str().unwrap().parse().unwrap();
    assert_eq!(name, format!("tick-{}", time.as_second() / 60));
    let job = world.get(&format!("/apis/batch/v1/{SHOP}/jobs/{name}")).await;
    assert_eq!(job["metadata"]["ownerReferences"][0]["name"], "tick");
    assert_eq!(job["metadata"]["labels"]["of"], "tick");
    let local =
        job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"].as_str().unwrap();
    assert!(local.ends_with("+01:00") || local.ends_with("+02:00"), "{local}");

    let of_job = format!("/api/v1/{SHOP}/pods?labelSelector=batch.kubernetes.io/job-name={name}");
    let is_there = |list: &Value| list["items"].as_array().is_some_and(|all| !all.is_empty());
    let pods = world.until(&of_job, "it has a pod", is_there).await;
    let one = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|pod| pod["metadata"]["ownerReferences"][0]["name"] == name);
    world.report(one.unwrap(), "Succeeded").await;
    // By now the next minute may have its own.
    let is_noted = |object: &Value| object["status"]["lastSuccessfulTime"].is_string();
    let cron = world.until(&path, "its end is noted", is_noted).await;
    let active = cron["status"]["active"].as_array().cloned().unwrap_or_default();
    assert!(active.iter().all(|one| one["name"] != name), "{cron:#}");
    let jobs = format!("/apis/batch/v1/{SHOP}/jobs");
    let is_gone = |list: &Value| {
        let mut names = list["items"].as_array().unwrap().iter().map(|job| &job["metadata"]["name"]);
        names.all(|found| found != name)
    };
    world.until(&jobs, "no history is kept", is_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_job_keeps_to_its_concurrency_policy() {
    let world = World::start().await;
    let jobs = format!("/apis/batch/v1/{SHOP}/jobs");
    for (policy, stays) in [("Forbid", true), ("Replace", false), ("Allow", true)] {
        let name = policy.to_lowercase();
        let (path, cron) = late_cron(&world, &name, json!({"concurrencyPolicy": policy})).await;
        // A job of an earlier time, which is still at work.
        let old = format!("{name}-1");
        let owner = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": cron["metadata"]["uid"],
            "controller": true}]);
        let job = json!({"metadata": {"name": old, "ownerReferences": owner},
            "spec": {"template": template("a:1", json!({"restartPolicy": "Never"}))}});
        let job = world.post(&jobs, job).await;
        let active = json!([{"kind": "Job", "apiVersion": "batch/v1", "namespace": "shop", "name": old,
            "uid": job["metadata"]["uid"]}]);
        world.send("PATCH", &format!("{path}/status"), json!({"status": {"active": active}})).await.unwrap();
        awaken(&world, &path).await;
        let is_decided = |list: &Value| {
            let says = |event: &&Value| {
                event["involvedObject"]["name"] == name.as_str()
                    && ["JobAlreadyActive", "SuccessfulCreate"]
                        .iter()
                        .any(|reason| event["reason"] == *reason)
            };
            list["items"].as_array().unwrap().iter().any(|event| says(&event))
        };
        world.until(&format!("/api/v1/{SHOP}/events"), policy, is_decided).await;
        let found = world.send("GET", &format!("{jobs}/{old}"), json!({})).await;
        assert_eq!(found.is_ok(), stays, "{policy}");
        let list = world.get(&format!("{jobs}?labelSelector=of={name}")).await;
        assert_eq!(list["items"].as_array().unwrap().is_empty(), policy == "Forbid", "{policy}");
        world.send("PATCH", &path, json!({"spec": {"suspend": true}})).await.unwrap();
    }
    let refused = [
        ("spec.schedule", json!({"schedule": "* * * *"})),
        ("spec.schedule", json!({"schedule": "TZ=UTC * * * * *"})),
        ("spec.timeZone", json!({"timeZone": "Mars/Base"})),
        ("spec.startingDeadlineSeconds", json!({"startingDeadlineSeconds": -1})),
        ("spec.concurrencyPolicy", json!({"concurrencyPolicy": "Perhaps"})),
    ];
    for (field, change) in refused {
        let path = format!("/apis/batch/v1/{SHOP}/cronjobs/forbid");
        let error = world.send("PATCH", &path, json!({"spec": change})).await.unwrap_err();
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_is_the_same_in_both_versions() {
    let world = World::start().await;
    let [first, second] =
        ["v1", "v2"].map(|version| format!("/apis/autoscaling/{version}/{SHOP}/horizontalpodautoscalers"));
    let scaler = json!({"metadata": {"name": "web"}, "spec": {"minReplicas": 2, "maxReplicas": 5,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "targetCPUUtilizationPercentage": 60}});
    let made = world.post(&first, scaler).await;
    assert_eq!(
        (&made["apiVersion"], &made["spec"]["targetCPUUtilizationPercentage"]),
        (&json!("autoscaling/v1"), &json!(60))
    );
    let found = world.get(&format!("{second}/web")).await;
    assert_eq!(found["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60, "{found:#}");
    // What the first version has no field for is in an annotation, and a change by it keeps that.
    let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
    let metrics = json!([found["spec"]["metrics"][0], memory]);
    world.send("PATCH", &format!("{second}/web"), json!({"spec": {"metrics": metrics}})).await.unwrap();
    let list = world.get(&first).await;
    let seen = &list["items"][0];
    assert_eq!(
        (&list["apiVersion"], &seen["kind"]),
        (&json!("autoscaling/v1"), &json!("HorizontalPodAutoscaler"))
    );
    let said = seen["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap();
    assert!(said.contains("memory") && said.contains("1Gi"), "{said}");
    let change = json!({"spec": {"maxReplicas": 7, "targetCPUUtilizationPercentage": 70}});
    let changed = world.send("PATCH", &format!("{first}/web"), change).await.unwrap();
    assert_eq!(
        (&changed["apiVersion"], &changed["spec"]["maxReplicas"]),
        (&json!("autoscaling/v1"), &json!(7))
    );
    let found = world.get(&format!("{second}/web")).await;
    let targets: Vec<&Value> = found["spec"]["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|metric| &metric["resource"]["name"])
        .collect();
    assert_eq!(targets, ["memory", "cpu"], "{found:#}");
    assert!(found["metadata"]["annotations"].get("autoscaling.alpha.kubernetes.io/metrics").is_none());
    let groups = world.get("/apis/autoscaling").await;
    let versions: Vec<&Value> =
        groups["versions"].as_array().unwrap().iter().map(|version| &version["version"]).collect();
    assert_eq!(
        (versions, &groups["preferredVersion"]["version"]),
        (vec![&json!("v2"), &json!("v1")], &json!("v2"))
    );
    // A status is no way to change what is aimed at.
    let annotations = json!({"autoscaling.alpha.kubernetes.io/metrics": "[]"});
    let status = json!({"metadata": {"annotations": annotations}, "status": {"currentReplicas": 3, "desiredReplicas": 3}});
    world.send("PATCH", &format!("{first}/web/status"), status).await.unwrap();
    let found = world.get(&format!("{second}/web")).await;
    assert_eq!(found["spec"]["metrics"].as_array().unwrap().len(), 2, "{found:#}");
    let refused = json!({"metadata": {"name": "bad"}, "spec": {"maxReplicas": 1, "minReplicas": 3,
        "scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
    let error = world.send("POST", &first, refused).await.unwrap_err();
    assert!(error.to_string().contains("spec.maxReplicas"), "{error}");
    world.send("DELETE", &format!("{first}/web"), json!({})).await.unwrap();
    assert!(world.send("GET", &format!("{second}/web"), json!({})).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_rolled_back_by_its_revisions() {
    let world = World::start().await;
    world.post("/api/v1/nodes", json!({"metadata": {"name": "a"}})).await;
    let revisions = format!("/apis/apps/v1/{SHOP}/controllerrevisions");
    for (kind, spec) in
        [("statefulsets", json!({"replicas": 1, "serviceName": "web"})), ("daemonsets", json!({}))]
    {
        let mut set = json!({"metadata": {"name": kind}, "spec": spec});
        let labels = json!({"app": kind});
        let mut form = template("a:1", json!({}));
        form["metadata"]["labels"] = labels.clone();
        set["spec"]["selector"] = json!({"matchLabels": labels});
        set["spec"]["template"] = form;
        world.post(&format!("/apis/apps/v1/{SHOP}/{kind}"), set).await;
        let path = format!("/apis/apps/v1/{SHOP}/{kind}/{kind}");
        let is_done = |object: &Value| {
            let status = &object["status"];
            let done = ["updatedReplicas", "updatedNumberScheduled"].iter().any(|field| status[field] == 1);
            let ready = ["readyReplicas", "numberReady"].iter().any(|field| status[field] == 1);
            done && ready && status["observedGeneration"] == object["metadata"]["generation"]
        };
        world.until(&path, "its pod is ready", is_done).await;
        let image = |tag: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": tag}]}}}});
        world.send("PATCH", &path, image("a:2")).await.unwrap();
        world.until(&path, "it has rolled over", is_done).await;
        let of_kind = format!("{revisions}?labelSelector=app={kind}");
        let list = world.get(&of_kind).await;
        let mut all = list["items"].as_array().unwrap().clone();
        all.sort_by_key(|revision| revision["revision"].as_i64());
        assert_eq!(
            all.iter().map(|one| one["revision"].as_i64().unwrap()).collect::<Vec<_>>(),
            [1, 2],
            "{list:#}"
        );
        // As kubectl rollout undo does.
        let request = Request::builder().method("PATCH").uri(&path);
        let request = request.header("content-type", "application/strategic-merge-patch+json");
        let undone: Value =
            world.0.request(request.body(all[0]["data"].to_string().into_bytes()).unwrap()).await.unwrap();
        assert_eq!(undone["spec"]["template"]["spec"]["containers"][0]["image"], "a:1", "{undone:#}");
        world.until(&path, "it has rolled back", is_done).await;
        let is_third = |list: &Value| {
            let numbers = list["items"].as_array().unwrap().iter();
            let mut numbers: Vec<i64> = numbers.map(|one| one["revision"].as_i64().unwrap()).collect();
            numbers.sort_unstable();
            numbers == [2, 3]
        };
        world.until(&of_kind, "the first form is the newest again", is_third).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_keeps_to_its_bounds_and_says_that_there_are_no_metrics() {
    let world = World::start().await;
    let deployments = format!("/apis/apps/v1/{SHOP}/deployments");
    let all = format!("/apis/autoscaling/v2/{SHOP}/horizontalpodautoscalers");
    world.post(&deployments, deployment("web", template("a:1", json!({})))).await;
    let scaler = |name: &str, target: &str, kind: &str, least: i64| {
        json!({"metadata": {"name": name}, "spec": {"minReplicas": least, "maxReplicas": 6,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": target}}})
    };
    world.post(&all, scaler("web", "web", "Deployment", 5)).await;
    let has_five = |object: &Value| object["spec"]["replicas"] == 5;
    world.until(&format!("{deployments}/web"), "it is scaled to the least", has_five).await;
    // At the next look the scale fits, so the condition has changed by then.
    let is_scaled = |object: &Value| {
        let able = condition(object, "AbleToScale").is_some_and(|able| able["status"] == "True");
        able && object["status"]["desiredReplicas"] == 5 && object["status"]["lastScaleTime"].is_string()
    };
    world.until(&format!("{all}/web"), "the autoscaler says so", is_scaled).await;
    world.post(&all, scaler("idle", "web", "Deployment", 1)).await;
    let is_blind = |object: &Value| {
        condition(object, "ScalingActive").is_some_and(|active| active["reason"] == "FailedGetResourceMetric")
    };
    world.until(&format!("{all}/idle"), "there are no metrics", is_blind).await;
    // Missing targets, targets without a scale, and unknown kinds.
    for (name, target, kind) in
        [("gone", "gone", "Deployment"), ("set", "web", "DaemonSet"), ("odd", "web", "Car")]
    {
        world.post(&all, scaler(name, target, kind, 2)).await;
        let is_lost = |object: &Value| {
            condition(object, "AbleToScale").is_some_and(|able| able["reason"] == "FailedGetScale")
        };
        world.until(&format!("{all}/{name}"), name, is_lost).await;
    }
}
