//! The webhooks called by an API server: the output of `palisade install`, applied to one whose decisions on SCC are
//! those of webhooks, and a replica that answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::net::SocketAddr;
use std::time::Duration;

use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use palisade_apiserver::Decider;
use palisade_webhook::install::{Part, Settings, objects};
use palisade_webhook::operate::{self, Extent, State};
use palisade_webhook::{Config, MissingProfile, Mode, Server};
use serde_json::{Value, json};
use tokio::sync::oneshot;

const NAMESPACE: &str = "palisade-system";
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";

struct Cluster {
    client: Client,
}

impl Cluster {
    async fn start(replica: SocketAddr) -> Self {
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

    /// The warnings of the answer to a dry run.
    async fn warnings(&self, path: &str, body: &Value) -> String {
        let request = Request::post(format!("{path}?dryRun=All")).header("content-type", "application/json");
        let body = kube::client::Body::from(body.to_string().into_bytes());
        let response = self.client.send(request.body(body).unwrap()).await.unwrap();
        assert!(response.status().is_success(), "{}", response.status());
        let warnings = response.headers().get_all("warning").iter();
        warnings.map(|warning| String::from_utf8_lossy(warning.as_bytes()).into_owned()).collect()
    }

    /// Whether `palisade status` says that requests come back from the webhooks, and what it says.
    async fn status_of_requests(&self) -> (State, String) {
        let lines = operate::status(&self.client, NAMESPACE, &[]).await.unwrap();
        let line = lines.into_iter().find(|line| line.topic == "requests").unwrap();
        (line.state, line.text)
    }

    async fn create(&self, path: &str, body: Value) -> Value {
        self.send("POST", path, "", &body).await.unwrap()
    }

    /// A replica that the webhooks know, until its end is dropped.
    async fn replica(&self, listen: SocketAddr, missing_profile: MissingProfile) -> oneshot::Sender<()> {
        let config = Config {
            listen,
            namespace: NAMESPACE.to_owned(),
            identity: "replica-1".to_owned(),
            clients: None,
            names: Vec::new(),
            mode: Mode::Enforce,
            missing_profile,
            reports: None,
        };
        let server = Server::start(self.client.clone(), config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.run(async { drop(stopped.await) }));
        self.until_announced().await;
        stop
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

/// An API server with the webhooks of an installation, and the address that a replica is to listen on.
async fn configured() -> (Cluster, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap();
    drop(free);
    let cluster = Cluster::start(listen).await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": NAMESPACE}})).await;
    for object in objects(Part::Webhooks, &Settings::default()) {
        let plural = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
        cluster.create(&format!("{REGISTRATION}/{plural}"), object).await;
    }
    (cluster, listen)
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
    let (cluster, listen) = configured().await;
    let pods = "/api/v1/namespaces/shop/pods";
    let plain =
        json!({"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "app", "image": "x"}]}});

    // Namespaces can be created without an answer; pods cannot: no replica answers yet.
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
    let refused = cluster.send("POST", pods, "", &plain).await;
    assert_eq!(code(&refused), 500, "{refused:?}");
    let (state, said) = cluster.status_of_requests().await;
    assert!(state == State::Fails && said.contains("failed calling webhook"), "{said}");

    let stop = cluster.replica(listen, MissingProfile::Warn).await;
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

/// Waits until an answer is the expected one: replicas follow the nodes' objects.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not so: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_avoid_nodes_that_lack_their_profile_or_wait_until_one_has_it() {
    let digest = "1".repeat(64);
    let path = format!("palisade/{digest}.json");
    let pods = "/api/v1/namespaces/shop/pods";
    let pod = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "x"}],
            "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": path}}}})
    };
    let node = |name: &str, state: &str| {
        let label = format!("profile.palisade.openshift.io/{}", "1".repeat(40));
        let labels = if state == "Ready" { json!({label: "ready"}) } else { json!({}) };
        json!({"apiVersion": "palisade.openshift.io/v1", "kind": "NodeSeccompProfiles",
            "metadata": {"name": name, "labels": labels}, "status": {"profiles": [
                {"digest": digest, "state": state, "names": ["web"], "message": "no space"}]}})
    };
    let nodes = "/apis/palisade.openshift.io/v1/nodeseccompprofiles";
    for treatment in [MissingProfile::Affinity, MissingProfile::Refuse] {
        let (cluster, listen) = configured().await;
        cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
        for definition in objects(Part::Definitions, &Settings::default()) {
            if definition["spec"]["names"]["kind"] == "NodeSeccompProfiles" {
                cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
            }
        }
        until("the definition is served", async || cluster.send("GET", nodes, "", &json!({})).await.is_ok())
            .await;
        cluster.create(nodes, node("full", "Failed")).await;
        let _stop = cluster.replica(listen, treatment).await;
        if treatment == MissingProfile::Refuse {
            let said = async || format!("{:?}", cluster.send("POST", pods, "", &pod("early")).await);
            until("the reason is known", async || said().await.contains("it failed on full: no space")).await;
            assert!(said().await.contains("Forbidden"), "{}", said().await);
            cluster.create(nodes, node("good", "Ready")).await;
            cluster.create(pods, pod("late")).await;
            refused_elsewhere(&cluster, &pod("elsewhere"), &node).await;
            continue;
        }
        // Without a node that has it there is only a warning.
        let warned = async || cluster.warnings(pods, &pod("early")).await;
        until("the reason is known", async || warned().await.contains("it failed on full: no space")).await;
        cluster.create(pods, pod("early")).await;
        cluster.create(nodes, node("good", "Ready")).await;
        let affinity = async || {
            let made = cluster.send("POST", &format!("{pods}?dryRun=All"), "", &pod("late")).await.unwrap();
            made["spec"]["affinity"]["nodeAffinity"].clone()
        };
        until("the other node is known", async || !affinity().await.is_null()).await;
        let avoided = json!([{"key": "metadata.name", "operator": "NotIn", "values": ["full"]}]);
        let required = &affinity().await["requiredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(required["nodeSelectorTerms"], json!([{"matchFields": avoided}]));

        // The same if it is the SCC that sets the profile.
        let any = json!({"type": "RunAsAny"});
        let sccs = "/apis/security.openshift.io/v1/securitycontextconstraints";
        let scc = json!({"metadata": {"name": "web"}, "priority": 100, "runAsUser": any, "seLinuxContext": any, "fsGroup": any,
            "supplementalGroups": any, "volumes": ["*"], "groups": ["system:authenticated"],
            "seccompProfiles": [format!("localhost/{path}")]});
        cluster.create(sccs, scc).await;
        let plain =
            json!({"metadata": {"name": "set"}, "spec": {"containers": [{"name": "app", "image": "x"}]}});
        let made = async || cluster.send("POST", &format!("{pods}?dryRun=All"), "", &plain).await.unwrap();
        until("the SCC is known", async || made().await.to_string().contains(&path)).await;
        let required = &made().await["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(required["nodeSelectorTerms"], json!([{"matchFields": avoided}]));
    }
}

/// Many nodes have the profile, more than the webhook asks for, and none that the pod fits.
async fn refused_elsewhere(cluster: &Cluster, pod: &Value, node: &(impl Fn(&str, &str) -> Value + Sync)) {
    for n in 0..25 {
        let mut node = node(&format!("n{n}"), "Ready");
        node["metadata"]["labels"]["topology.kubernetes.io/zone"] = "a".into();
        cluster.create("/apis/palisade.openshift.io/v1/nodeseccompprofiles", node).await;
    }
    let mut pod = pod.clone();
    let zone = json!({"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["c"]});
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({"nodeSelectorTerms": [{"matchExpressions": [zone]}]});
    let refused = cluster.send("POST", "/api/v1/namespaces/shop/pods?dryRun=All", "", &pod).await;
    assert!(format!("{refused:?}").contains("no node that fits the pod"), "{refused:?}");
    assert!(refused.is_err(), "{refused:?}");
}

/// The webhooks refuse everything meanwhile, so they go first.
#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_removal_takes_no_replica_and_keeps_sccs() {
    let (cluster, _) = configured().await;
    cluster.create("/api/v1/namespaces", json!({"metadata": {"name": "shop"}})).await;
    let pods = "/api/v1/namespaces/shop/pods";
    let plain =
        json!({"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "app", "image": "x"}]}});
    assert_eq!(code(&cluster.send("POST", pods, "", &plain).await), 500);
    let mut removed = Vec::new();
    let mut say = |line: &str| removed.push(line.to_owned());
    operate::remove(&cluster.client, &Settings::default(), Extent::All, &[], &mut say).await.unwrap();
    let kinds: Vec<&str> = removed.iter().take(2).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(kinds, ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"], "{removed:?}");
    cluster.create(pods, plain).await;
    let sccs = "/apis/security.openshift.io/v1/securitycontextconstraints/restricted-v2";
    cluster.send("GET", sccs, "", &json!({})).await.unwrap();
}
