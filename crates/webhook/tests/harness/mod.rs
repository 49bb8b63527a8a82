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

pub mod between;

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use palisade_webhook::install::CA_SECRET;
use palisade_webhook::{Config, MissingProfile, Mode, Server};
use serde_json::{Value, json};

/// A kubeconfig of the administrator of a new API server in this process, which decides on SCC itself.
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

/// Stops a replica.
pub type Stop = tokio::sync::oneshot::Sender<()>;

/// A running replica, and how an API server reaches it.
pub struct Replica {
    pub client: Client,
    pub address: SocketAddr,
    pub stop: Stop,
}

impl Replica {
    pub async fn start(cluster: &Client) -> Self {
        Self::with_mode(cluster, cluster, Mode::Enforce).await
    }

    /// A replica with its own client for the cluster, and a default mode.
    pub async fn with_mode(cluster: &Client, own: &Client, mode: Mode) -> Self {
        Self::ready(cluster, Self::started(own, "replica-1", mode).await).await
    }

    /// A replica beside others.
    pub async fn named(cluster: &Client, own: &Client, identity: &str) -> Self {
        Self::ready(cluster, Self::started(own, identity, Mode::Enforce).await).await
    }

    /// A replica that runs and need not be ready: where it is, and its end.
    pub async fn started(own: &Client, identity: &str, mode: Mode) -> (SocketAddr, Stop) {
        Self::started_with(own, Self::config(identity, mode)).await
    }

    /// A replica that asks its clients for a certificate of an authority, in PEM.
    pub async fn asking(cluster: &Client, authority: String) -> Self {
        let config = Config { clients: Some(authority), ..Self::config("replica-1", Mode::Enforce) };
        Self::ready(cluster, Self::started_with(cluster, config).await).await
    }

    /// A replica with this treatment of missing profiles.
    pub async fn treating(cluster: &Client, own: &Client, missing_profile: MissingProfile) -> Self {
        let config = Config { missing_profile, ..Self::config("replica-1", Mode::Enforce) };
        Self::ready(cluster, Self::started_with(own, config).await).await
    }

    fn config(identity: &str, mode: Mode) -> Config {
        Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            namespace: NAMESPACE.to_owned(),
            identity: identity.to_owned(),
            names: vec!["127.0.0.1".to_owned()],
            clients: None,
            mode,
            missing_profile: MissingProfile::Warn,
            reports: Some(Duration::from_millis(300)),
        }
    }

    async fn started_with(own: &Client, config: Config) -> (SocketAddr, Stop) {
        let server = Server::start(own.clone(), config).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(server.run(async { drop(stopped.await) }));
        (address, stop)
    }

    async fn ready(cluster: &Client, (address, stop): (SocketAddr, Stop)) -> Self {
        let replica = Self { client: trusting(address, &[authority(cluster).await]), address, stop };
        replica.until_ready().await;
        replica
    }

    pub async fn until_ready(&self) {
        for _ in 0..600 {
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

/// A certificate of the authority, in PEM, once the Secret is there.
pub async fn authority(cluster: &Client) -> String {
    let secrets = Api::<Secret>::namespaced(cluster.clone(), NAMESPACE);
    for _ in 0..600 {
        if let Ok(secret) = secrets.get(CA_SECRET).await {
            return String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no replica makes an authority");
}

/// Asks as a kubelet's probe does, which verifies nothing: the code and the text of the answer.
pub async fn ask(address: SocketAddr, path: &str) -> (u16, String) {
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    config.accept_invalid_certs = true;
    config.default_retry = false;
    let client = Client::try_from(config).unwrap();
    let request = http::Request::get(path).body(kube::client::Body::empty()).unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

/// A client that trusts these authorities, with connections of its own.
pub fn trusting(address: SocketAddr, authorities: &[String]) -> Client {
    Client::try_from(trusting_config(address, authorities)).unwrap()
}

/// The configuration of such a client.
pub fn trusting_config(address: SocketAddr, authorities: &[String]) -> kube::Config {
    let der = |pem: &String| {
        let text = pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        STANDARD.decode(text).unwrap()
    };
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    // An answer of 503 is an answer.
    config.default_retry = false;
    config.root_cert = Some(authorities.iter().map(der).collect());
    config
}

pub async fn namespace(cluster: &Client, name: &str) {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(cluster.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

/// A request to create a pod, by a user with only the SCCs of all users.
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

/// A pod that every user may create.
pub fn plain() -> Value {
    pod(json!({"containers": [{"name": "app", "image": "x"}]}))
}

/// A pod that takes a grant.
pub fn host() -> Value {
    pod(
        json!({"serviceAccountName": "agent", "hostNetwork": true, "containers": [{"name": "app", "image": "x"}]}),
    )
}

/// Lets the service account of [`host`] use an SCC that admits it.
pub async fn bind(cluster: &Client) -> Api<RoleBinding> {
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "agent", "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:openshift:scc:hostnetwork-v2"},
        "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "shop"}],
    }))
    .unwrap();
    let bindings: Api<RoleBinding> = Api::namespaced(cluster.clone(), "shop");
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    bindings
}
