//! Workload controllers compared with a recording of kube-controller-manager 1.36 (openshift/kubernetes 8e16b12f): the pods, replica
//! sets, revisions, status and events at the end of each scenario.
//!
//! `tools/scenarios/record.py` makes the recording, and documents how the phases of pods are set. Not compared are random parts of
//! names, times and UIDs, which differ in each run, and the steps in which a replica set grows or shrinks, which depend on when its
//! pods become ready. Where Palisade differs on purpose, the recording holds its outcome too, with the reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::time::{Duration, Instant};

use http::Request;
use kube::Client;
use palisade_apiserver::Config;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Time in which what is made must have become what was recorded: many scenarios go on at once, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(300);
/// Scenarios that go on at once.
const AT_ONCE: usize = 20;
/// Time between two looks, and how many of them must see the same before a stage is over.
const PAUSE: Duration = Duration::from_millis(400);
const QUIET: usize = 3;

#[derive(Deserialize)]
struct Scenario {
    name: String,
    look: Vec<String>,
    stages: Vec<Stage>,
    theirs: Map<String, Value>,
    #[serde(default)]
    ours: Map<String, Value>,
    why: Option<String>,
}

#[derive(Deserialize)]
struct Stage {
    #[serde(rename = "do")]
    requests: Vec<(String, String, Value)>,
    /// The phase that pods get.
    play: String,
    /// Labels of pods that are let alone.
    #[serde(default)]
    but: Map<String, Value>,
}

struct World {
    client: Client,
    namespace: String,
}

impl World {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, kube::Error> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let (path, body) =
            [path.to_owned(), body.to_string()].map(|text| text.replace("{ns}", &self.namespace)).into();
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        self.client.request(request.body(body.into_bytes()).unwrap()).await
    }

    async fn items(&self, kind: &str) -> Vec<Value> {
        let group = match kind {
            "pods" | "events" | "replicationcontrollers" => "/api/v1",
            "jobs" => "/apis/batch/v1",
            _ => "/apis/apps/v1",
        };
        let list = self.send("GET", &format!("{group}/namespaces/{{ns}}/{kind}"), &json!({})).await.unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Sets the phase of pods as nodes would. Returns whether any pod was changed.
    async fn play(&self, stage: &Stage) -> bool {
        let mut is_busy = false;
        for pod in self.items("pods").await {
            let path =
                format!("/api/v1/namespaces/{{ns}}/pods/{}", pod["metadata"]["name"].as_str().unwrap());
            let labels = &pod["metadata"]["labels"];
            let is_left = !stage.but.is_empty() && stage.but.iter().all(|(key, value)| labels[key] == *value);
            // The pod may be gone already: its controller deletes it, too.
            if pod["metadata"].get("deletionTimestamp").is_some() {
                is_busy = true;
                let _ = self.send("DELETE", &format!("{path}?gracePeriodSeconds=0"), &json!({})).await;
            } else if !stage.play.is_empty() && !is_left && pod["status"]["phase"] == "Pending" {
                is_busy = true;
                let _ = self
                    .send("PATCH", &format!("{path}/status"), &json!({"status": status(&stage.play)}))
                    .await;
            }
        }
        is_busy
    }

    /// The objects of these kinds and the events, without the parts that differ in each run.
    async fn seen(&self, kinds: &[String], clean: &Clean) -> Map<String, Value> {
        let mut found = Map::new();
        for kind in kinds {
            let items = self.items(kind).await;
            let items = items
                .iter()
                .filter(|item| kind != "pods" || item["metadata"].get("deletionTimestamp").is_none());
            let items: Vec<Value> = items.map(|item| summary(kind, item)).collect();
            found.insert(kind.clone(), clean.of(&Value::Array(items), &self.namespace));
        }
        let events = self.items("events").await;
        let events = events.iter().map(|event| {
            let field =
                |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let [kind, reason, of, message] =
                ["/type", "/reason", "/involvedObject/kind", "/message"].map(field);
            json!(format!("{kind} {reason} {of}: {message}"))
        });
        let mut events = clean.of(&events.collect(), &self.namespace);
        events.as_array_mut().unwrap().dedup();
        found.insert("events".to_owned(), events);
        found
    }

    /// Runs a scenario. Returns the differences at its end, if there are any.
    async fn run(&self, scenario: &Scenario, clean: &Clean) -> Option<String> {
        self.send("POST", "/api/v1/namespaces", &json!({"metadata": {"name": self.namespace}}))
            .await
            .unwrap();
        let (last, stages) = scenario.stages.split_last().unwrap();
        for stage in stages {
            self.begin(stage).await;
            self.settle(stage, scenario, clean).await;
        }
        self.begin(last).await;
        let expected = |kind: &String| scenario.ours.get(kind).or_else(|| scenario.theirs.get(kind));
        let since = Instant::now();
        loop {
            self.play(last).await;
            let seen = self.seen(&scenario.look, clean).await;
            let differing: Vec<&String> =
                seen.keys().filter(|kind| seen.get(*kind) != expected(kind)).collect();
            if differing.is_empty() {
                return None;
            }
            if since.elapsed() > PATIENCE {
                let lines = differing.iter().map(|kind| {
                    format!(
                        "{}: {kind}\n  expected {}\n  found    {}",
                        scenario.name,
                        json!(expected(kind)),
                        seen[*kind]
                    )
                });
                return Some(lines.collect::<Vec<_>>().join("\n"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn begin(&self, stage: &Stage) {
        for (method, path, body) in &stage.requests {
            self.send(method, path, body).await.unwrap();
        }
    }

    /// Plays until nothing has happened for a while.
    async fn settle(&self, stage: &Stage, scenario: &Scenario, clean: &Clean) {
        let (mut last, mut quiet) = (Map::new(), 0);
        let since = Instant::now();
        while quiet < QUIET && since.elapsed() < PATIENCE {
            let is_busy = self.play(stage).await || !self.is_observed(scenario).await;
            let now = self.seen(&scenario.look, clean).await;
            quiet = if is_busy || now != last { 0 } else { quiet + 1 };
            last = now;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether controllers have seen the newest generation of all that they look after.
    async fn is_observed(&self, scenario: &Scenario) -> bool {
        for kind in
            scenario.look.iter().filter(|kind| !matches!(kind.as_str(), "pods" | "controllerrevisions"))
        {
            let items = self.items(kind).await;
            let is_observed = |item: &Value| match kind.as_str() {
                "jobs" => item["status"].get("conditions").or(item["status"].get("startTime")).is_some(),
                _ => item["status"]["observedGeneration"] == item["metadata"]["generation"],
            };
            if !items.iter().all(is_observed) {
                return false;
            }
        }
        true
    }
}

fn status(phase: &str) -> Value {
    let then = "2026-01-01T00:00:00Z";
    let ready = if phase == "Running" { "True" } else { "False" };
    let mut status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": then}]});
    if matches!(phase, "Succeeded" | "Failed") {
        let code = i64::from(phase == "Failed");
        status["containerStatuses"] = json!([{"name": "c", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "startedAt": then, "finishedAt": then}}}]);
    }
    status
}

/// The compared fields of an object.
fn summary(kind: &str, item: &Value) -> Value {
    let metadata = &item["metadata"];
    let mut summary = Map::new();
    for field in ["labels", "annotations", "ownerReferences", "finalizers"] {
        if metadata.get(field).is_some_and(|value| !value.is_null()) {
            summary.insert(field.to_owned(), metadata[field].clone());
        }
    }
    summary.entry("annotations").or_insert_with(|| json!({}));
    summary.insert("name".to_owned(), metadata["name"].clone());
    if kind == "pods" {
        summary.insert("phase".to_owned(), item["status"]["phase"].clone());
        return Value::Object(summary);
    }
    summary.insert("generation".to_owned(), metadata["generation"].clone());
    for field in ["spec", "status", "revision"] {
        if let Some(value) = item.get(field) {
            summary.insert(field.to_owned(), value.clone());
        }
    }
    Value::Object(summary)
}

/// Takes away what is of other times, other objects and other servers.
struct Clean {
    uid: Regex,
    hash: Regex,
    suffix: Regex,
    step: Regex,
}

impl Clean {
    const DROPPED: [&str; 14] = [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "lastTransitionTime",
        "lastUpdateTime",
        "startTime",
        "completionTime",
        "lastProbeTime",
        "template",
        "kubectl.kubernetes.io/last-applied-configuration",
        "openshift.io/scc",
        "seccomp.security.alpha.kubernetes.io/pod",
        "security.openshift.io/validated-scc-subject-type",
    ];

    fn new() -> Self {
        let pattern = |pattern: &str| Regex::new(pattern).unwrap();
        Self {
            uid: pattern("[0-9a-f]{8}-[0-9a-f-]{27}"),
            hash: pattern(r"\b[bcdfghjklmnpqrstvwxz2456789]{8,10}\b"),
            suffix: pattern(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b"),
            step: pattern(r"from \d+ to \d+|\(combined from similar events\): "),
        }
    }

    fn of(&self, value: &Value, namespace: &str) -> Value {
        match value {
            Value::Object(map) => {
                let mut map = map.clone();
                if map.get("ownerReferences").is_some_and(|owners| owners[0]["kind"] == "Deployment") {
                    map.remove("generation");
                    map.get_mut("status")
                        .and_then(|status| status.as_object_mut()?.remove("observedGeneration"));
                }
                let kept = map.iter().filter(|(name, _)| !Self::DROPPED.contains(&name.as_str()));
                kept.map(|(name, inner)| (self.text(name, namespace), self.of(inner, namespace)))
                    .collect::<Map<_, _>>()
                    .into()
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.of(item, namespace)).collect();
                items.sort_by_cached_key(sorted);
                items.into()
            }
            Value::String(text) => self.text(text, namespace).into(),
            other => other.clone(),
        }
    }

    fn text(&self, text: &str, namespace: &str) -> String {
        let text = text.replace(namespace, "NS");
        let text = self.uid.replace_all(&text, "UID");
        let text = self.hash.replace_all(&text, "HASH");
        let text = self.step.replace_all(&text, "");
        self.suffix.replace_all(&text, "-POD").into_owned()
    }
}

/// JSON with sorted names: the order of lists is that of these.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> =
                map.iter().map(|(name, value)| format!("{}:{}", json!(name), sorted(value))).collect();
            fields.sort();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// The recording, with its lists in the order in which they are compared.
fn recorded(clean: &Clean) -> Vec<Scenario> {
    let lines = include_str!("scenarios/controllers.ndjson").lines();
    let mut scenarios: Vec<Scenario> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    for scenario in &mut scenarios {
        for outcome in [&mut scenario.theirs, &mut scenario.ours] {
            outcome.values_mut().for_each(|value| *value = clean.of(value, "NS"));
            outcome.get_mut("events").and_then(Value::as_array_mut).into_iter().for_each(Vec::dedup);
        }
        assert_eq!(
            scenario.ours.is_empty(),
            scenario.why.is_none(),
            "{}: every difference has its reason",
            scenario.name
        );
    }
    scenarios
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_do_alike() {
    let client = start::start(Config::default()).await;
    let clean = std::sync::Arc::new(Clean::new());
    let scenarios = recorded(&clean);
    assert!(scenarios.len() >= 40, "{}", scenarios.len());
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut running = tokio::task::JoinSet::new();
    for (number, scenario) in scenarios.into_iter().enumerate() {
        let world = World { client: client.clone(), namespace: format!("s{number}n1") };
        let (clean, places) = (std::sync::Arc::clone(&clean), std::sync::Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire().await;
            world.run(&scenario, &clean).await
        });
    }
    let problems: Vec<String> = running.join_all().await.into_iter().flatten().collect();
    assert!(problems.is_empty(), "{} differ\n{}", problems.len(), problems.join("\n"));
}
