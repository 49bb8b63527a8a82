//! The rules of operation that SCC as a webhook keeps, each with what shows it.
//!
//! | rule | shown by |
//! |---|---|
//! | 1 nodes, leases, events and kube-system work with every replica dead | `install::webhooks`, `what_a_cluster_starts_with_is_never_asked_about`; by hand, docs/verification.md |
//! | 2 no wildcard rules, short timeouts, a shorter deadline within | `install::webhooks`, `users_wait_for_at_most_three_seconds…`; `rule_02_an_api_server_that_hangs_delays_an_answer_by_less_than_a_webhook_may_take` |
//! | 3 no objectSelector on CONNECT | `install::webhooks`, `users_wait_for_at_most_three_seconds…` |
//! | 4 mirror pods pass unmutated | `rule_04_mirror_pods_are_not_asked_about` |
//! | 5 an update without changes | `rule_05_an_update_that_changes_nothing_is_allowed_without_a_patch` |
//! | 6 the output applied again, with injectors before and after | `rule_06_injectors_may_come_before_or_after` |
//! | 7 no block of IDs is lost | tests/leader.rs, `rule_07_…`; `namespaces`, `blocks_of_creations_that_are_refused_later…` |
//! | 8 one look at the live cluster before a refusal | tests/replica.rs, `a_replica_answers_by_what_the_cluster_holds` |
//! | 9 a watch that died in silence is noticed within 30 s | `rule_09_a_watch_that_dies_in_silence_is_noticed` |
//! | 10 a second list takes at most 1.3 times the memory | tests/memory.rs |
//! | 11 leaves of its own, a bundle of old and new | `authority`, `a_new_authority_is_trusted_before_it_signs…` and `an_api_server_whose_clock_is_off…`; tests/faults.rs, `an_authority_that_somebody_replaces…`; by hand under load |
//! | 12 a stop loses no request | `rule_12_a_replica_that_leaves_says_so`; by hand under load |
//! | 13 limits of connections | crates/https, tests of `listener` |
//! | 14 a lease by own observation, one leader | `lease`, `a_lease_is_abandoned_when_it_was_seen_unchanged_for_its_duration`; tests/leader.rs, `rule_14_…` |
//! | 15 only the bundle is ours, one write | `secret`, `only_the_bundle_is_applied_and_only_where_it_differs`; tests/leader.rs, `rule_15_…` |
//! | 16 opt-outs | `rule_16_labels_and_modes_open_nothing_by_mistake`, `rule_16_the_guard_…`; the guard on a real API server by hand |
//! | 17, 18 the order of installation and removal | `operate::install`, `webhooks_that_let_pods_pass…`; tests/dispatch.rs, `rule_18_…`; by hand, docs/verification.md |
//! | 19 what an administrator may choose | `rule_19_values_reach_the_objects` |
//! | 20 few events, none in audit; one report a namespace | `rule_20_owners_are_told_once_and_namespaces_have_one_report`; `event` and `report`, tests of their limits |
//! | 21 no Secrets, no watch of pods | `rule_21_rights_hold_no_secrets_and_no_watch_of_pods` |
//! | 22 only new ephemeral containers are judged | `rule_22_only_new_ephemeral_containers_are_judged` |
//! | 23 files named by digest, whole or not there, while they are used; no finalizers | tests/profiles.rs, `rule_23_…`; `palisade_profiles`, tests of `folder` and `catalog` |
//! | 24 an agent writes the object of its node alone | tests/profiles.rs, `rule_24_…`; by hand, docs/verification.md |
//! | 25 profiles of CRI-O's annotations are judged | `rule_25_profiles_in_annotations_of_the_runtime_are_judged` |
//!
//! Faults of the API server are in tests/faults.rs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{
    NAMESPACE, Replica, api_server, api_server_config, bind, create, host, namespace, patched, plain, pod,
};
use k8s_openapi::api::core::v1::{Event, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::{Api, Client};
use palisade_api::cel::{Authorizer, Decision, Expression, Scope};
use palisade_webhook::install::{Part, Settings, objects};
use palisade_webhook::{MODE_LABEL, Mode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A replica beside an API server with a namespace `shop`.
async fn replica() -> (Client, Replica) {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;
    (cluster, replica)
}

/// An update of a pod, or of a subresource of it.
fn update(old: &Value, new: &Value, subresource: &str) -> Value {
    let mut request = create("shop", new.clone());
    request["operation"] = "UPDATE".into();
    request["subResource"] = subresource.into();
    request["oldObject"] = old.clone();
    request
}

/// Forwards connections to an API server, and can cut them off silently.
struct Cable {
    address: std::net::SocketAddr,
    /// Connections that were made before it was set get no more bytes.
    frozen: Arc<std::sync::Mutex<Arc<AtomicBool>>>,
}

impl Cable {
    async fn to(server: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let frozen = Arc::new(std::sync::Mutex::new(Arc::new(AtomicBool::new(false))));
        let current = Arc::clone(&frozen);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.unwrap();
                let frozen = Arc::clone(&current.lock().unwrap());
                let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(from_near, to_far, Arc::clone(&frozen)));
                tokio::spawn(carry(from_far, to_near, frozen));
            }
        });
        Self { address, frozen }
    }

    /// Cuts off the connections that there are; later ones work.
    fn freeze(&self) {
        let mut current = self.frozen.lock().unwrap();
        current.store(true, Ordering::Release);
        *current = Arc::new(AtomicBool::new(false));
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    frozen: Arc<AtomicBool>,
) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        while frozen.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// A replica whose connections to the API server go through such a forwarder.
async fn cabled() -> (Client, Cable, Replica) {
    let config = api_server_config().await;
    let cluster = Client::try_from(config.clone()).unwrap();
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let port = config.cluster_url.port_u16().unwrap();
    let cable = Cable::to(([127, 0, 0, 1], port).into()).await;
    let mut cabled = config;
    cabled.cluster_url = format!("https://{}", cable.address).parse().unwrap();
    cabled.default_retry = false;
    let own = Client::try_from(cabled).unwrap();
    let replica = Replica::with_mode(&cluster, &own, Mode::Enforce).await;
    (cluster, cable, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_02_an_api_server_that_hangs_delays_an_answer_by_less_than_a_webhook_may_take() {
    let (_cluster, cable, replica) = cabled().await;
    cable.freeze();
    for (object, allowed) in [(plain(), true), (host(), false)] {
        let began = Instant::now();
        let answer = replica.review("/mutate/pods", create("shop", object)).await;
        assert_eq!(answer["allowed"], allowed, "{answer}");
        assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    }
}

/// Whether each of the webhooks for pods is asked about a pod that a user of these groups creates.
fn asked(groups: &[&str], pod: &Value) -> Vec<bool> {
    let scope = Scope::default()
        .with("request", &json!({"operation": "CREATE", "userInfo": {"groups": groups}}))
        .with("object", pod);
    let configurations = objects(Part::Webhooks, &Settings::default());
    let webhooks = configurations.iter().flat_map(|object| object["webhooks"].as_array().unwrap());
    let for_pods = webhooks.filter(|webhook| webhook["name"].as_str().unwrap().starts_with("pods."));
    let holds = |condition: &Value| {
        let text = condition["expression"].as_str().unwrap();
        Expression::compile(text, &["request", "object"]).unwrap().holds(&scope).unwrap()
    };
    for_pods.map(|webhook| webhook["matchConditions"].as_array().unwrap().iter().all(holds)).collect()
}

/// A kubelet runs them already. Others who claim that annotation are asked about.
#[test]
fn rule_04_mirror_pods_are_not_asked_about() {
    let mut mirror = plain();
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "1"});
    let node = ["system:nodes", "system:authenticated"];
    for (groups, pod, expected) in [
        (&node[..], &mirror, false),
        (&node[..], &plain(), true),
        (&node[1..], &mirror, true),
        (&node[1..], &plain(), true),
    ] {
        assert_eq!(asked(groups, pod), [expected, expected], "{groups:?} {pod}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_05_an_update_that_changes_nothing_is_allowed_without_a_patch() {
    let (_cluster, replica) = replica().await;
    // One that SCC would refuse, were it new: it runs since before SCC came, and its finalizers must go.
    let mut new = host();
    new["metadata"]["finalizers"] = json!(["a/b"]);
    for (old, new) in [(host(), host()), (host(), new), (plain(), plain())] {
        let answer = replica.review("/validate/pods", update(&old, &new, "")).await;
        assert_eq!((&answer["allowed"], answer.get("patch")), (&json!(true), None), "{answer}");
    }
}

/// A name, and the change of a pod.
type Injector = (&'static str, fn(&mut Value));

/// The containers that injectors add to a pod: Istio (istio-proxy 1.2x), Linkerd (proxy and init, native sidecar) and
/// Vault (agent).
fn injectors() -> [Injector; 3] {
    [
        ("istio", |pod| {
            pod["metadata"]["annotations"]["sidecar.istio.io/status"] = "{}".into();
            add(
                pod,
                "initContainers",
                json!({"name": "istio-validation", "image": "proxyv2", "args": ["istio-iptables"]}),
            );
            add(
                pod,
                "containers",
                json!({"name": "istio-proxy", "image": "proxyv2", "ports": [{"containerPort": 15090}],
                "volumeMounts": [{"name": "istio-envoy", "mountPath": "/etc/istio/proxy"}]}),
            );
            add(pod, "volumes", json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}));
        }),
        ("linkerd", |pod| {
            pod["metadata"]["annotations"]["linkerd.io/proxy-version"] = "edge".into();
            add(
                pod,
                "initContainers",
                json!({"name": "linkerd-proxy", "image": "proxy", "restartPolicy": "Always",
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true}}),
            );
            add(
                pod,
                "volumes",
                json!({"name": "linkerd-identity-end-entity", "emptyDir": {"medium": "Memory"}}),
            );
        }),
        ("vault", |pod| {
            pod["metadata"]["annotations"]["vault.hashicorp.com/agent-inject-status"] = "injected".into();
            add(
                pod,
                "containers",
                json!({"name": "vault-agent", "image": "vault",
                "securityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true}}),
            );
            add(pod, "volumes", json!({"name": "vault-secrets", "emptyDir": {"medium": "Memory"}}));
        }),
    ]
}

fn add(pod: &mut Value, list: &str, item: Value) {
    match pod["spec"][list].as_array_mut() {
        Some(items) => items.push(item),
        None => pod["spec"][list] = json!([item]),
    }
}

/// The pod after the mutating webhook.
async fn mutated(replica: &Replica, pod: &Value) -> Value {
    let answer = replica.review("/mutate/pods", create("shop", pod.clone())).await;
    assert_eq!(answer["allowed"], true, "{answer}");
    if answer.get("patch").is_some() { patched(pod, &answer) } else { pod.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_06_injectors_may_come_before_or_after() {
    let (_cluster, replica) = replica().await;
    for (name, inject) in injectors() {
        let mut before = plain();
        before["metadata"]["annotations"] = json!({});
        inject(&mut before);
        let before = mutated(&replica, &before).await;

        // After ours; then the API server asks a second time, by reinvocationPolicy IfNeeded.
        let mut after = mutated(&replica, &plain()).await;
        inject(&mut after);
        let after = mutated(&replica, &after).await;
        assert_eq!(before["spec"], after["spec"], "{name}");
        for pod in [before, after] {
            assert_eq!(mutated(&replica, &pod).await, pod, "{name}: a third time changes something");
            let validated = replica.review("/validate/pods", create("shop", pod)).await;
            assert_eq!(validated["allowed"], true, "{name}: {validated}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_09_a_watch_that_dies_in_silence_is_noticed() {
    let (cluster, cable, replica) = cabled().await;
    let bindings = bind(&cluster).await;
    let admitted = replica.review("/mutate/pods", create("shop", host())).await;
    assert_eq!(admitted["allowed"], true, "{admitted}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    cable.freeze();
    bindings.delete("agent", &DeleteParams::default()).await.unwrap();
    let began = Instant::now();
    while replica.review("/mutate/pods", create("shop", host())).await["allowed"] == true {
        assert!(began.elapsed() < Duration::from_secs(40), "the end of the grant is not noticed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(31), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_12_a_replica_that_leaves_says_so() {
    let (_cluster, replica) = replica().await;
    let request = || http::Request::get("/livez").body(kube::client::Body::empty()).unwrap();
    let closes = |response: &http::Response<kube::client::Body>| {
        response.headers().get("connection").is_some_and(|value| value == "close")
    };
    assert!(!closes(&replica.client.send(request()).await.unwrap()));
    let Replica { client, stop, .. } = replica;
    stop.send(()).unwrap();
    for _ in 0..100 {
        let response = client.send(request()).await.unwrap();
        // HTTP/2 has no such header: there the connection itself signals it (GOAWAY) when the replica drains.
        if closes(&response) || response.version() == http::Version::HTTP_2 {
            assert_eq!(response.status(), 200);
            let ready = http::Request::get("/readyz").body(kube::client::Body::empty()).unwrap();
            assert_eq!(client.send(ready).await.unwrap().status(), 503);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not say that it leaves");
}

/// Whether the rendered guard permits a change of a namespace by a user without the verb `exempt`.
fn guard_permits(user: &str, old: &Value, new: &Value) -> bool {
    let settings = Settings { exempt: vec!["longhorn-system".to_owned()], ..Settings::default() };
    let rendered = objects(Part::Guard, &settings);
    let spec = &rendered[0]["spec"];
    assert_eq!(
        spec["matchConstraints"]["resourceRules"][0]["resources"],
        json!(["namespaces", "namespaces/status", "namespaces/finalize"])
    );
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let scope = || {
        let authorizer = Authorizer::new(|check| {
            assert_eq!((&*check.verb, &*check.resource), ("exempt", "securitycontextconstraints"));
            Decision { allowed: false, reason: String::new() }
        });
        Scope::default()
            .with("request", &json!({"operation": operation, "userInfo": {"username": user}}))
            .with("object", new)
            .with("oldObject", old)
            .with_authorizer(authorizer)
    };
    spec["validations"].as_array().unwrap().iter().all(|validation| {
        let text = validation["expression"].as_str().unwrap();
        let names = ["request", "object", "oldObject", "authorizer"];
        Expression::compile(text, &names).unwrap().holds(&scope()).unwrap()
    })
}

#[test]
fn rule_16_the_guard_keeps_labels_names_and_ranges() {
    let plain = |name: &str| json!({"metadata": {"name": name}});
    let labelled = |key: &str, value: &str| json!({"metadata": {"name": "shop", "labels": {key: value}}});
    let ranged = |range: &str| json!({"metadata": {"name": "shop", "annotations": {"openshift.io/sa.scc.uid-range": range, "a": range}}});
    let absent = Value::Null;
    for (old, new, expected) in [
        (&absent, plain("shop"), true),
        (&absent, plain("openshift-infra"), false),
        (&absent, plain("palisade-system"), false),
        (&absent, plain("longhorn-system"), false),
        (&absent, labelled("openshift.io/run-level", "0"), false),
        (&plain("shop"), labelled("team", "a"), true),
        (&plain("shop"), labelled("security.openshift.io/disable-securitycontextconstraints", "true"), false),
        (&plain("shop"), labelled(MODE_LABEL, "audit"), false),
        (&plain("shop"), labelled(MODE_LABEL, "enforce"), true),
        (&labelled(MODE_LABEL, "audit"), plain("shop"), false),
        (&plain("shop"), ranged("0/10"), true),
        (&ranged("0/10"), ranged("0/10"), true),
        (&ranged("0/10"), ranged("0/99"), false),
        (&ranged("0/10"), plain("shop"), false),
    ] {
        assert_eq!(guard_permits("eve", old, &new), expected, "{old} {new}");
    }
    let ours = "system:serviceaccount:palisade-system:palisade";
    assert!(guard_permits(ours, &ranged("0/10"), &ranged("0/99")));
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_16_labels_and_modes_open_nothing_by_mistake() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.clone());
    for (name, label) in
        [("none", None), ("wrong", Some("wran")), ("strict", Some("enforce")), ("soft", Some("warn"))]
    {
        let labels = label.map_or(json!({}), |label| json!({MODE_LABEL: label}));
        let object = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
        namespaces.create(&PostParams::default(), &object).await.unwrap();
    }
    let replica = Replica::start(&cluster).await;
    for (name, allowed) in [("none", false), ("wrong", false), ("strict", false), ("soft", true)] {
        let answer = replica.review("/mutate/pods", create(name, host())).await;
        assert_eq!(answer["allowed"], allowed, "{name}: {answer}");
        assert_eq!(
            answer["warnings"].as_array().map_or(0, Vec::len),
            usize::from(allowed),
            "{name}: {answer}"
        );
        let validated = replica.review("/validate/pods", create(name, host())).await;
        assert_eq!(validated["allowed"], allowed, "{name}: {validated}");
    }
    let unchanged = replica.review("/mutate/pods", create("soft", plain())).await;
    assert_eq!((&unchanged["allowed"], unchanged.get("patch")), (&json!(true), None), "{unchanged}");

    let lenient = Replica::with_mode(&cluster, &cluster, Mode::Audit).await;
    for (name, allowed) in [("none", true), ("strict", false), ("wrong", false)] {
        let answer = lenient.review("/mutate/pods", create(name, host())).await;
        assert_eq!((&answer["allowed"], answer.get("warnings")), (&json!(allowed), None), "{name}: {answer}");
        if allowed {
            let would = answer["auditAnnotations"]["would-be"].as_str().unwrap();
            assert!(would.starts_with("refused: "), "{would}");
        }
    }
}

#[test]
fn rule_19_values_reach_the_objects() {
    let settings = Settings {
        host_network: true.into(),
        port: 9443.into(),
        replicas: 2.into(),
        exempt: vec!["calico-system".to_owned()],
        reach: palisade_webhook::install::Reach::Url("https://scc.example:9443".to_owned()),
        ..Settings::default()
    };
    let server = objects(Part::Server, &settings);
    let of = |kind: &str| server.iter().find(|object| object["kind"] == kind).unwrap();
    let deployment = &of("Deployment")["spec"];
    assert_eq!(deployment["replicas"], 2);
    let pod = &deployment["template"]["spec"];
    assert_eq!(
        (&pod["hostNetwork"], &pod["priorityClassName"]),
        (&json!(true), &json!("system-cluster-critical"))
    );
    assert_eq!(pod["containers"][0]["ports"][0]["containerPort"], 9443);
    assert_eq!(of("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "privileged");
    let budget = &of("PodDisruptionBudget")["spec"];
    assert_eq!(
        (&budget["maxUnavailable"], &budget["unhealthyPodEvictionPolicy"]),
        (&json!(1), &json!("AlwaysAllow"))
    );
    assert!(of("ResourceQuota")["spec"].to_string().contains("system-cluster-critical"));
    for configuration in objects(Part::Webhooks, &settings) {
        assert_eq!(configuration["metadata"]["annotations"]["admissions.enforcer/disabled"], "true");
        for webhook in configuration["webhooks"].as_array().unwrap() {
            assert!(
                webhook["clientConfig"]["url"].as_str().unwrap().starts_with("https://scc.example:9443/")
            );
            let selector = &webhook["namespaceSelector"];
            assert!(selector.is_null() || selector.to_string().contains("calico-system"), "{selector}");
        }
    }
}

/// A pod of an owner that no SCC admits.
fn owned(owner: &str) -> Value {
    let mut object = host();
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner,
        "uid": format!("uid-of-{owner}"), "controller": true}]);
    object
}

/// Creates the definition of `openreports.io` reports, as another installation would.
async fn define_reports(cluster: &Client) {
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": {"name": "reports.openreports.io"},
        "spec": {"group": "openreports.io", "scope": "Namespaced",
            "names": {"plural": "reports", "singular": "report", "kind": "Report", "listKind": "ReportList"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    }))
    .unwrap();
    Api::all(cluster.clone()).create(&PostParams::default(), &definition).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_20_owners_are_told_once_and_namespaces_have_one_report() {
    let (cluster, replica) = replica().await;
    define_reports(&cluster).await;
    let audited: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "tried", "labels": {MODE_LABEL: "audit"}}}))
            .unwrap();
    Api::all(cluster.clone()).create(&PostParams::default(), &audited).await.unwrap();
    let second = Replica::named(&cluster, &cluster, "replica-2").await;
    let mut dry = create("shop", owned("dry"));
    dry["dryRun"] = true.into();
    for (replica, request) in [
        (&replica, create("shop", owned("a"))),
        (&replica, create("shop", owned("a"))),
        (&second, create("shop", owned("a"))),
        (&replica, dry),
        (&second, create("shop", owned("b"))),
        (&replica, create("tried", owned("c"))),
        (&replica, create("shop", plain())),
    ] {
        replica.review("/mutate/pods", request).await;
    }
    let events: Api<Event> = Api::namespaced(cluster.clone(), "shop");
    let reports = |namespace: &str| -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("openreports.io", "v1alpha1", "Report");
        Api::namespaced_with(cluster.clone(), namespace, &ApiResource::from_gvk(&kind))
    };
    // The last write shows that the others are complete.
    let names = |report: &DynamicObject| -> Vec<String> {
        let results = report.data["results"].as_array().unwrap().iter();
        let name = |result: &Value| result["resources"][0]["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = results.map(name).collect();
        names.sort();
        names
    };
    for (namespace, expected) in [("shop", vec!["a", "b"]), ("tried", vec!["c"])] {
        let mut tries = 0;
        loop {
            let listed = reports(namespace).list(&ListParams::default()).await.unwrap().items;
            assert!(listed.len() <= 1, "{listed:?}");
            if listed.first().is_some_and(|report| names(report) == expected) {
                break;
            }
            tries += 1;
            assert!(tries < 600, "{listed:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let mut told = Vec::new();
    for event in events.list(&ListParams::default()).await.unwrap().items {
        let reason = event.reason.unwrap_or_default();
        if reason.starts_with("Scc") {
            assert!(event.message.unwrap().contains("hostNetwork"));
            told.push((event.involved_object.name.unwrap(), reason, event.count.unwrap()));
        }
    }
    told.sort();
    let once = |owner: &str| (owner.to_owned(), "SccRefused".to_owned(), 1);
    assert_eq!(told, [once("a"), once("b")]);
    let tried: Api<Event> = Api::namespaced(cluster.clone(), "tried");
    let is_ours = |event: &Event| event.reason.as_ref().is_some_and(|reason| reason.starts_with("Scc"));
    assert!(!tried.list(&ListParams::default()).await.unwrap().items.iter().any(is_ours));
}

#[test]
fn rule_21_rights_hold_no_secrets_and_no_watch_of_pods() {
    let server = objects(Part::Server, &Settings::default());
    let roles = server.iter().filter(|object| object["kind"] == "ClusterRole");
    let mut rules = 0;
    for rule in roles.flat_map(|role| role["rules"].as_array().unwrap()) {
        rules += 1;
        let (resources, verbs) = (rule["resources"].to_string(), rule["verbs"].to_string());
        assert!(!resources.contains("secrets") && !resources.contains('*') && !verbs.contains('*'), "{rule}");
        let lists = verbs.contains("list") || verbs.contains("watch");
        assert!(!(lists && resources.contains("\"pods\"")), "{rule}");
    }
    assert!(rules > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_22_only_new_ephemeral_containers_are_judged() {
    let (_cluster, replica) = replica().await;
    let made = mutated(&replica, &plain()).await;
    let with = |containers: Value| {
        let mut pod = made.clone();
        pod["spec"]["ephemeralContainers"] = containers;
        pod
    };
    let good = json!({"name": "debug", "image": "x"});
    let bad = json!({"name": "root", "image": "x", "securityContext": {"privileged": true}});
    let answer =
        replica.review("/mutate/pods", update(&made, &with(json!([bad])), "ephemeralcontainers")).await;
    assert_eq!(answer["allowed"], false, "{answer}");
    let new = with(json!([good]));
    let answer = replica.review("/mutate/pods", update(&made, &new, "ephemeralcontainers")).await;
    assert_eq!(answer["allowed"], true, "{answer}");
    let new = if answer.get("patch").is_some() { patched(&new, &answer) } else { new };
    let validated = replica.review("/validate/pods", update(&made, &new, "ephemeralcontainers")).await;
    assert_eq!(validated["allowed"], true, "{validated}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_25_profiles_in_annotations_of_the_runtime_are_judged() {
    let (_cluster, replica) = replica().await;
    for key in [
        "seccomp-profile.kubernetes.cri-o.io/POD",
        "seccomp-profile.kubernetes.cri-o.io/app",
        "seccomp-profile.crio.io/app",
    ] {
        for (profile, allowed) in [("quay.io/evil/unconfined:1", false), ("runtime/default", true)] {
            let mut object = plain();
            object["metadata"]["annotations"] = json!({key: profile});
            let answer = replica.review("/mutate/pods", create("shop", object)).await;
            assert_eq!(answer["allowed"], allowed, "{key}={profile}: {answer}");
            assert!(allowed || answer["status"]["message"].as_str().unwrap().contains(key), "{answer}");
        }
    }
    // An artifact in a registry, by the field of Kubernetes 1.38, is a profile that restricted-v2 does not list.
    let oci = || json!({"seccompProfile": {"type": "OCI", "oci": {"reference": "quay.io/p@sha256:0"}}});
    for spec in [
        json!({"securityContext": oci(), "containers": [{"name": "app", "image": "x"}]}),
        json!({"containers": [{"name": "app", "image": "x", "securityContext": oci()}]}),
    ] {
        let answer = replica.review("/mutate/pods", create("shop", pod(spec))).await;
        let message = answer["status"]["message"].as_str().unwrap_or_default();
        assert!(answer["allowed"] == false && message.contains("OCI is not an allowed"), "{answer}");
    }
}
