//! What a server needs for 1,000 Deployments of three pods, for objects of a custom resource beside ConfigMaps, and for 100
//! definitions: `cargo bench -p palisade-apiserver --bench serve [-- NUMBER [FOLDER]]`.
//!
//! Without a folder for its data the server waits for no disk. Its client runs in the same process; times of the processor
//! and memory are those of both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a measurement that cannot go on has failed"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::StreamExt;
use http::Request;
use kube::Client;
use palisade_apiserver::{Config, Ephemeral};
use serde_json::{Value, json};

/// Requests that the client sends at once.
const AT_ONCE: usize = 8;
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/many/deployments";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_measured = arguments.iter().any(|argument| argument == "--bench");
    let mut given = arguments.iter().filter(|argument| !argument.starts_with('-'));
    let number = given.next().map(|number| number.parse().unwrap());
    let number = number.unwrap_or(if is_measured { 1000 } else { 20 });
    let config = Config { data: given.next().map(PathBuf::from), ..Config::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Ephemeral::start(config).await.unwrap();
        let world = World(client(&server).await);
        world.post("/api/v1/namespaces", json!({"metadata": {"name": "many"}})).await;
        world.deployments(number).await;
        world.definitions(100).await;
        world.objects(2 * number).await;
        server.stop().await;
    });
}

async fn client(server: &Ephemeral) -> Client {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(server.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

struct World(Client);

impl World {
    async fn send(&self, method: &str, path: &str, body: String) -> Value {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.0.request(request.body(body.into_bytes()).unwrap()).await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) {
        self.send("POST", path, body.to_string()).await;
    }

    /// Creates objects, some at once.
    async fn create(&self, path: &str, count: usize, object: impl Fn(usize) -> Value) {
        let requests = (0..count).map(|at| self.post(path, object(at)));
        futures::stream::iter(requests).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Whether all Deployments have their pods, and a status that says so.
    async fn are_settled(&self) -> bool {
        let list = self.send("GET", DEPLOYMENTS, String::new()).await;
        list["items"].as_array().unwrap().iter().all(|object| {
            object["status"]["replicas"] == 3
                && object["status"]["observedGeneration"] == object["metadata"]["generation"]
        })
    }

    async fn deployments(&self, count: usize) {
        let (begin, used) = (Instant::now(), processor());
        self.create(DEPLOYMENTS, count, deployment).await;
        let created = begin.elapsed();
        while !self.are_settled().await {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        println!(
            "{count} Deployments of three pods: created in {:.1} s, settled after {:.1} s, {:.1} s of processor time",
            created.as_secs_f64(),
            begin.elapsed().as_secs_f64(),
            (processor() - used).as_secs_f64(),
        );
    }

    async fn definitions(&self, count: usize) {
        let before = memory();
        self.create(DEFINITIONS, count, definition).await;
        println!("{count} definitions: {} KiB more", memory().saturating_sub(before));
    }

    /// Creates objects of the last definition and ConfigMaps, in turns.
    async fn objects(&self, count: usize) {
        let (mut custom, mut maps) = ((Duration::ZERO, Duration::ZERO), (Duration::ZERO, Duration::ZERO));
        const TURNS: usize = 10;
        for turn in 0..TURNS {
            let name = |at: usize| format!("o{turn}-{at}");
            let path = "/apis/bench.example.com/v1/namespaces/many/kind0s";
            let object = |at| json!({"apiVersion": "bench.example.com/v1", "kind": "Kind0", "metadata": {"name": name(at)}, "spec": fields()});
            add(&mut custom, timed(self.create(path, count / TURNS, object)).await);
            let map = |at| json!({"metadata": {"name": name(at)}, "data": fields()});
            add(
                &mut maps,
                timed(self.create("/api/v1/namespaces/many/configmaps", count / TURNS, map)).await,
            );
        }
        for (what, (time, used)) in [("custom objects", custom), ("ConfigMaps", maps)] {
            let rate = count as f64 / time.as_secs_f64();
            println!(
                "{count} {what}: {rate:.0} a second, {:.2} ms of processor time each",
                used.as_secs_f64() * 1000.0 / count as f64
            );
        }
        println!(
            "rate of custom objects to that of ConfigMaps: {:.2}",
            maps.0.as_secs_f64() / custom.0.as_secs_f64()
        );
    }
}

fn deployment(at: usize) -> Value {
    let labels = json!({"app": format!("d{at}")});
    json!({"metadata": {"name": format!("d{at}")}, "spec": {"replicas": 3, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}})
}

fn fields() -> Value {
    (0..20)
        .map(|at| (format!("field{at}"), format!("value {at}").into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A definition with 60 fields that are described, about 20 kB of JSON.
fn definition(at: usize) -> Value {
    let described = json!({"type": "string", "maxLength": 100, "description": "x".repeat(250)});
    let fields: serde_json::Map<_, _> = (0..60).map(|at| (format!("field{at}"), described.clone())).collect();
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}});
    json!({"metadata": {"name": format!("kind{at}s.bench.example.com")}, "spec": {
        "group": "bench.example.com", "scope": "Namespaced", "names": {"plural": format!("kind{at}s"), "kind": format!("Kind{at}")},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

fn add(sum: &mut (Duration, Duration), more: (Duration, Duration)) {
    *sum = (sum.0 + more.0, sum.1 + more.1);
}

/// The time that something takes, by the clock and of the processor.
async fn timed(work: impl Future<Output = ()>) -> (Duration, Duration) {
    let (begin, used) = (Instant::now(), processor());
    work.await;
    (begin.elapsed(), processor() - used)
}

/// The time of the processor that this process has used.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// The private memory of this process, in KiB.
fn memory() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
