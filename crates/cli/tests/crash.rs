//! A server that is killed at any moment, while others write, keeps every acknowledged write.
#![cfg(all(feature = "cluster", feature = "serve"))]
#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};

use server::Server;

/// Says how many times the server is killed; more than here by default, for a long run by hand.
const ROUNDS: &str = "PALISADE_CRASH_ROUNDS";

/// Clients that write at the same time.
const WRITERS: usize = 4;

async fn client(home: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(home.join("data/admin.kubeconfig")).expect("the server wrote it");
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("it can be used");
    // A repeated write could be acknowledged for the first try.
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

fn object(name: &str) -> ConfigMap {
    let data =
        BTreeMap::from([("name".to_owned(), name.to_owned()), ("filling".to_owned(), "x".repeat(500))]);
    let mut object = ConfigMap { data: Some(data), ..ConfigMap::default() };
    object.metadata.name = Some(name.to_owned());
    object
}

/// Writes until the server ends; returns the acknowledged names and revisions.
async fn write(client: Client, prefix: String) -> Vec<(String, String)> {
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let mut acknowledged = Vec::new();
    loop {
        let name = format!("{prefix}-{}", acknowledged.len());
        match api.create(&PostParams::default(), &object(&name)).await {
            Ok(created) => acknowledged.push((name, created.resource_version().expect("it has one"))),
            Err(kube::Error::Api(status)) => panic!("refused: {status}"),
            Err(_) => return acknowledged,
        }
    }
}

/// Lets clients write for a while, and kills the server meanwhile.
async fn round(server: &mut Server, number: u64) -> Vec<(String, String)> {
    let client = client(server.home.path()).await;
    let writers = (0..WRITERS).map(|writer| write(client.clone(), format!("r{number}-w{writer}")));
    let writers: Vec<_> = writers.map(tokio::spawn).collect();
    // Moments that fall anywhere, and the same in every run.
    tokio::time::sleep(Duration::from_millis(50 + number * 7919 % 250)).await;
    server.kill();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.expect("the writer was refused nothing"));
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_kill() {
    let rounds = std::env::var(ROUNDS).map_or(20, |text| text.parse().expect("a number of rounds"));
    let mut server = Server::start("4");
    let mut acknowledged = BTreeMap::new();
    let mut revisions = BTreeSet::new();
    let mut slowest = Duration::ZERO;
    for number in 0..rounds {
        for (name, revision) in round(&mut server, number).await {
            assert!(revisions.insert(revision.clone()), "{revision} was given twice");
            acknowledged.insert(name, revision);
        }
        let start = Instant::now();
        server.restart();
        slowest = slowest.max(start.elapsed());
    }
    assert!(!acknowledged.is_empty(), "nothing was written");
    println!("{rounds} kills, {} acknowledged, slowest restart {slowest:?}", acknowledged.len());

    let api: Api<ConfigMap> = Api::namespaced(client(server.home.path()).await, "default");
    let kept = api.list(&ListParams::default()).await.expect("it can be listed");
    for object in kept.items.iter().filter(|object| object.name_any().starts_with('r')) {
        let named = object.data.as_ref().and_then(|data| data.get("name"));
        assert_eq!(named, Some(&object.name_any()), "half an object");
    }
    let kept: BTreeMap<_, _> =
        kept.iter().map(|object| (object.name_any(), object.resource_version())).collect();
    for (name, revision) in acknowledged {
        assert_eq!(kept.get(&name), Some(&Some(revision)), "{name} was acknowledged");
    }
}
