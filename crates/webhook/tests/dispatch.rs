//! The webhooks called by an API server: the output of `palisade install`, applied to one whose decisions on SCC are
//! those of webhooks, and a replica that answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use palisade_apiserver::Decider;
use palisade_webhook::install::{Part, Settings, objects};
use palisade_webhook::operate::{self, State};
use palisade_webhook::{Config, Server};
use serde_json::{Value, json};

const NAMESPACE: &str = "palisade-system";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

struct Cluster {
    client: Client,
}

impl Cluster {
    async fn start(replica: std::net::SocketAddr) -> Self {
        let services = [(format!("{NAMESPACE}/palisade"), replica)];
        let config = palisade_apiserver::Config {
            decider: Decider::Webhooks,
            webhook_services: services.into_iter().collect(),
            ..palisade_apiserver::Config::default()
        };
        let server = palisade_apiserver::Server::start(config).await.unwrap();
        let text = server.admin_kubeconfig(&format!("https://{}", server.address().unwrap()));
        tokio::spawn(server.run(std::future::pending()));
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(Kubeconfig::from_yaml(&text).unwrap(), &options);
        Self { client: Client::try_from(config.await.unwrap()).unwrap() }
    }

    async fn send(&self, method: &str, path: &str, user: &str, body: &Value) -> Result<Value, Error> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = if user.is_empty() { request } else { request.header("impersonate-user", user) };
        self.client.request(request.body(body.to_string().into_bytes()).unwrap()).await
    }

    /// Whether `palisade status` says that requests come back from the webhooks, and what it says.
    async fn status_of_requests(&self) -> (State, String) {
        let lines = operate::status(&self.client, NAMESPACE).await.unwrap();
        let line = lines.into_iter().find(|line| line.topic == "requests").unwrap();
        (line.state, line.text)
    }

    async fn create(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, "", &body).await.unwrap()
    }

    /// Waits until both configurations know the certificate authority.
    async fn until_announced(&self) {
        for _ in 0..200 {
            let mut known = 0;
            for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
                let found = self
                    .send("GET", &format!("{REGISTRATION}/{kind}/palisade"), "", &json!({}))
                    .await
                    .unwrap();
                let webhooks = found["webhooks"].as_array().unwrap();
                known +=
                    usize::from(webhooks.iter().all(|hook| hook["clientConfig"]["caBundle"].is_string()));
            }
            if known == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the bundle is not announced");
    }
}

fn code(result: &Result<Value, Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(Error::Api(status)) => status.code,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_asks_and_does_as_it_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap();
    drop(free);
    let cluster = Cluster::start(listen).await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": NAMESPACE}})).await;
    for object in objects(Part::Webhooks, &Settings::default()) {
        let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
        cluster.create(&format!("{REGISTRATION}/{plural}"), object).await;
    }
    let pods = "/api/v1/namespaces/shop/pods";
    let plain =
        json!({"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "app", "image": "x"}]}});

    // Namespaces can be created without an answer; pods cannot: no replica answers yet.
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
    let refused = cluster.send("POST", pods, "", &plain).await;
    assert_eq!(code(&refused), 500, "{refused:?}");
    let (state, said) = cluster.status_of_requests().await;
    assert!(state == State::Fails && said.contains("failed calling webhook"), "{said}");

    let config = Config {
        listen,
        namespace: NAMESPACE.to_owned(),
        identity: "replica-1".to_owned(),
        clients: None,
        names: Vec::new(),
        mode: palisade_webhook::Mode::Enforce,
        reports: None,
    };
    let server = Server::start(cluster.client.clone(), config).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(server.run(async { drop(stopped.await) }));
    cluster.until_announced().await;
    let (state, said) = cluster.status_of_requests().await;
    assert_eq!(state, State::Holds, "{said}");

    let group = "rbac.authorization.k8s.io";
    let binding = json!({"metadata": {"name": "joe"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "name": "joe", "apiGroup": group}]});
    cluster.create(&format!("/apis/{group}/v1/namespaces/shop/rolebindings"), binding).await;
    let made = cluster.send("POST", pods, "joe", &plain).await.unwrap();
    assert_eq!(made["metadata"]["annotations"]["openshift.io/scc"], "restricted-v2", "{made}");
    assert!(made["spec"]["securityContext"]["fsGroup"].as_u64().unwrap() >= 1_000_000_000, "{made}");
    let namespace = cluster.send("GET", "/api/v1/namespaces/shop", "", &json!({})).await.unwrap();
    assert!(namespace["metadata"]["annotations"]["openshift.io/sa.scc.uid-range"].is_string(), "{namespace}");

    let mut host = plain.clone();
    host["metadata"]["name"] = "host".into();
    host["spec"]["hostNetwork"] = true.into();
    let refused = cluster.send("POST", pods, "joe", &host).await;
    assert_eq!(code(&refused), 403);
    let said = format!("{refused:?}");
    assert!(
        said.contains("admission webhook \\\"pods.palisade.openshift.io\\\" denied the request"),
        "{said}"
    );
    assert!(said.contains("unable to validate against any security context constraint"), "{said}");

    // The webhook checks SCCs, too; objects that the server's own rules would refuse reach it first.
    let sccs = "/apis/security.openshift.io/v1/securitycontextconstraints";
    let scc = json!({"metadata": {"name": "odd"}, "runAsUser": {"type": "Sometimes"}, "seLinuxContext": {"type": "RunAsAny"},
        "fsGroup": {"type": "RunAsAny"}, "supplementalGroups": {"type": "RunAsAny"}});
    let refused = cluster.send("POST", sccs, "", &scc).await;
    assert_eq!(code(&refused), 422, "{refused:?}");

    // Processes in a container, for users for whom SCC would admit the pod.
    let mut host = host;
    host["metadata"]["name"] = "host".into();
    cluster.create(pods, host).await;
    let exec = cluster
        .send("POST", "/api/v1/namespaces/shop/pods/host/exec?command=sh&container=app", "joe", &json!({}))
        .await;
    assert_eq!(code(&exec), 403, "{exec:?}");
    drop(stop);
}
