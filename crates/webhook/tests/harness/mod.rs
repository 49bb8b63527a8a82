//! An API server in this process, a replica beside it, and reviews as an API server sends them.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and no test file uses all of this"
)]

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use palisade_webhook::install::CA_SECRET;
use palisade_webhook::{Config, Mode, Server};
use serde_json::{Value, json};

/// How the administrator of a new API server in this process, whose decisions are its own, reaches it.
pub async fn api_server_config() -> kube::Config {
    let server = palisade_apiserver::Server::start(palisade_apiserver::Config::default()).await.unwrap();
    let text = server.admin_kubeconfig(&format!("https://{}", server.address().unwrap()));
    tokio::spawn(server.run(std::future::pending()));
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config
}

/// A new API server, as its administrator sees it.
pub async fn api_server() -> Client {
    Client::try_from(api_server_config().await).unwrap()
}

pub const NAMESPACE: &str = "palisade-system";

/// A running replica, and what an API server would know to reach it.
pub struct Replica {
    pub client: Client,
    pub stop: tokio::sync::oneshot::Sender<()>,
}

impl Replica {
    pub async fn start(cluster: &Client) -> Self {
        Self::with_mode(cluster, cluster, Mode::Enforce).await
    }

    /// A replica that reaches the cluster by a client of its own, with a default mode.
    pub async fn with_mode(cluster: &Client, own: &Client, mode: Mode) -> Self {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            namespace: NAMESPACE.to_owned(),
            identity: "replica-1".to_owned(),
            names: vec!["127.0.0.1".to_owned()],
            mode,
        };
        let server = Server::start(own.clone(), config).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(server.run(async { drop(stopped.await) }));
        let secret = Api::<Secret>::namespaced(cluster.clone(), NAMESPACE).get(CA_SECRET).await.unwrap();
        let authority = String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap();
        let der = authority.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
        // An answer of 503 is an answer.
        config.default_retry = false;
        config.root_cert = Some(vec![STANDARD.decode(der).unwrap()]);
        let replica = Self { client: Client::try_from(config).unwrap(), stop };
        replica.until_ready().await;
        replica
    }

    pub async fn until_ready(&self) {
        for _ in 0..100 {
            if self.get("/readyz").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the replica does not become ready");
    }

    pub async fn get(&self, path: &str) -> Result<String, kube::Error> {
        self.client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await
    }

    pub async fn review(&self, path: &str, request: Value) -> Value {
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let request = http::Request::post(path).body(serde_json::to_vec(&review).unwrap()).unwrap();
        let answer: Value = self.client.request(request).await.unwrap();
        answer["response"].clone()
    }
}

pub async fn namespace(cluster: &Client, name: &str) {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(cluster.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

/// A request to create a pod, by somebody who has no SCC but those of everybody.
pub fn create(namespace: &str, pod: Value) -> Value {
    json!({
        "uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": namespace, "name": "web",
        "userInfo": {"username": "alice", "groups": ["system:authenticated"]}, "object": pod,
    })
}

pub fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec})
}

pub fn patched(object: &Value, response: &Value) -> Value {
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut patched = object.clone();
    json_patch::patch(&mut patched, &patch).unwrap();
    patched
}
