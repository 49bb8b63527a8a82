//! Faults: a replica while the API server loses history, stops responding, contradicts itself or is down.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use harness::between::{Between, Fault, gone};
use harness::{
    NAMESPACE, Replica, api_server, authority, bind, create, host, namespace, patched, plain, pod, trusting,
};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use palisade_webhook::Mode;
use palisade_webhook::install::{CA_SECRET, Part, Settings, objects};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// An API server with the namespaces that the tests use.
async fn cluster() -> Client {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    cluster
}

/// A replica that reaches the API server through a stand-in.
async fn beside(cluster: &Client, between: &Between) -> Replica {
    Replica::with_mode(cluster, &between.client, Mode::Enforce).await
}

async fn mutate(replica: &Replica, object: Value) -> Value {
    replica.review("/mutate/pods", create("shop", object)).await
}

/// Waits until something holds; a loaded machine takes its time.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("in a minute it has not come true that {what}");
}

fn is_watch(target: &str, plural: &str) -> bool {
    target.contains(&format!("/{plural}?")) && target.contains("watch=true")
}

fn is_list(target: &str, plural: &str) -> bool {
    target.contains(&format!("/{plural}?")) && !target.contains("watch=true")
}

/// The withdrawal of a grant is seen by a watch or a list alone: there is no lookup before an admission.
#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_gone_are_listed_anew_without_a_hurry() {
    let cluster = cluster().await;
    let between = Between::before(&cluster).await;
    let bindings = bind(&cluster).await;
    let replica = beside(&cluster, &between).await;
    assert_eq!(mutate(&replica, host()).await["allowed"], true);

    let lists = Arc::new(AtomicUsize::new(0));
    let (counted, watches) = (Arc::clone(&lists), AtomicUsize::new(0));
    between.script(move |target| {
        if is_list(target, "rolebindings") {
            // A list whose second page has expired starts again, too.
            let first = counted.fetch_add(1, Ordering::AcqRel) == 0;
            let page = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBindingList",
                "metadata": {"resourceVersion": "1", "continue": "x"}, "items": []});
            return match target.contains("continue=") {
                true => Some(Fault::Say(410, gone())),
                false => first.then_some(Fault::Say(200, page)),
            };
        }
        // As a status, and as an event of a watch that began well.
        is_watch(target, "rolebindings").then(|| match watches.fetch_add(1, Ordering::AcqRel) % 2 {
            0 => Fault::Say(410, gone()),
            _ => Fault::Lines(vec![json!({"type": "ERROR", "object": gone()}).to_string()]),
        })
    });
    bindings.delete("agent", &DeleteParams::default()).await.unwrap();
    until("the end of the grant is noticed", || async { mutate(&replica, host()).await["allowed"] == false })
        .await;
    let before = lists.load(Ordering::Acquire);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let hurry = lists.load(Ordering::Acquire) - before;
    assert!(hurry <= 4, "{hurry} lists in three seconds");
    assert!(replica.get("/readyz").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_never_comes_is_asked_for_again() {
    let cluster = cluster().await;
    let between = Between::before(&cluster).await;
    let asked = AtomicUsize::new(0);
    between.script(move |target| {
        let first = is_list(target, "rolebindings") && asked.fetch_add(1, Ordering::AcqRel) == 0;
        first.then_some(Fault::Silence)
    });
    let replica = beside(&cluster, &between).await;
    assert_eq!(mutate(&replica, plain()).await["allowed"], true);
}

/// The definition of the cluster may be laxer than ours, or edited: an object of a watch need not be a valid SCC.
#[tokio::test(flavor = "multi_thread")]
async fn an_scc_that_breaks_takes_no_other_with_it() {
    let cluster = cluster().await;
    let between = Between::before(&cluster).await;
    bind(&cluster).await;
    let broken = [
        json!({"metadata": {"name": "restricted-v2"}, "runAsUser": {"type": "Sometimes"}}),
        json!({"metadata": {"name": "restricted-v2"}, "volumes": 7}),
        json!({"metadata": {"name": "restricted-v2"}, "priority": "high"}),
        json!({"metadata": {"name": "restricted-v2"}, "allowedCapabilities": [null, {}]}),
        json!({"metadata": {"name": ""}}),
        json!({"metadata": {}}),
    ];
    let watches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&watches);
    let count = broken.len();
    between.script(move |target| {
        if !is_watch(target, "securitycontextconstraints") {
            return None;
        }
        let mut object = broken.get(counted.fetch_add(1, Ordering::AcqRel))?.clone();
        object["apiVersion"] = "security.openshift.io/v1".into();
        object["kind"] = "SecurityContextConstraints".into();
        Some(Fault::Lines(vec![json!({"type": "MODIFIED", "object": object}).to_string()]))
    });
    let replica = beside(&cluster, &between).await;
    until("all were brought", || async { watches.load(Ordering::Acquire) > count }).await;
    let admitted = mutate(&replica, host()).await;
    assert_eq!(admitted["auditAnnotations"]["chosen"], "hostnetwork-v2", "{admitted}");
    let refused = mutate(&replica, plain()).await;
    assert_ne!(refused["auditAnnotations"]["chosen"], "restricted-v2", "{refused}");
    assert!(replica.get("/readyz").await.is_ok());

    // Mended, it counts again.
    let mended = json!({"metadata": {"annotations": {"mended": "yes"}}});
    let sccs: Api<kube::api::DynamicObject> = Api::all_with(
        cluster.clone(),
        &kube::api::ApiResource {
            group: "security.openshift.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "security.openshift.io/v1".to_owned(),
            kind: "SecurityContextConstraints".to_owned(),
            plural: "securitycontextconstraints".to_owned(),
        },
    );
    sccs.patch("restricted-v2", &PatchParams::default(), &Patch::Merge(&mended)).await.unwrap();
    until("restricted-v2 is back", || async {
        mutate(&replica, plain()).await["auditAnnotations"]["chosen"] == "restricted-v2"
    })
    .await;
}

/// Opens a connection, and sends the head of a review and the beginning of its body, of which `length` bytes are promised.
async fn begin(replica: &Replica, authority: &str, length: usize, body: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    let connection = TcpStream::connect(replica.address).await.unwrap();
    let name = replica.address.ip().into();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut connection = connector.connect(name, connection).await.unwrap();
    let head = format!(
        "POST /mutate/pods HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    connection
}

/// The code of the answer, and whether it allows the request.
async fn end(mut connection: TlsStream<TcpStream>) -> (u16, Option<bool>) {
    let mut answer = Vec::new();
    // A server that closes a connection with unread data may not complete TLS.
    drop(connection.read_to_end(&mut answer).await);
    let text = String::from_utf8_lossy(&answer);
    let allowed = text.contains("\"allowed\":true").then_some(true);
    let refused = text.contains("\"allowed\":false").then_some(false);
    (text.split(' ').nth(1).unwrap().parse().unwrap(), allowed.or(refused))
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_huge_requests_stop_nobody_else() {
    let cluster = cluster().await;
    let replica = Replica::start(&cluster).await;
    let trusted = authority(&cluster).await;
    let mut slow = Vec::new();
    // An address has 50 connections at most.
    for _ in 0..40 {
        slow.push(begin(&replica, &trusted, 1000, b"{\"kind\":").await);
    }
    let review = |object: &Value| {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": create("shop", object.clone())});
        Bytes::from(review.to_string())
    };
    let many: Vec<Value> = (0..20_000).map(|n| json!({"name": format!("c{n}"), "image": "x"})).collect();
    let long = pod(json!({"containers": [{"name": "app", "image": "x".repeat(9 << 20)}]}));
    let cases = [
        ("20,000 containers", review(&pod(json!({"containers": many}))), (200, Some(false))),
        ("9 MiB", review(&long), (413, None)),
        ("nested", Bytes::from("[".repeat(1 << 20)), (400, None)),
        (
            "nested where a pod is",
            {
                let deep = "[".repeat(50_000) + &"]".repeat(50_000);
                let text = String::from_utf8(review(&json!("HERE")).to_vec()).unwrap();
                Bytes::from(text.replace("\"HERE\"", &deep))
            },
            (200, Some(false)),
        ),
        ("keys twice", Bytes::from_static(b"{\"request\": {}, \"request\": {\"uid\": \"1\"}}"), (400, None)),
    ];
    for (case, body, expected) in cases {
        let connection = begin(&replica, &trusted, body.len(), &body).await;
        assert_eq!(end(connection).await, expected, "{case}");
        assert_eq!(mutate(&replica, plain()).await["allowed"], true, "after {case}");
    }
    // Later, since it takes the share of an address.
    let promised = begin(&replica, &trusted, 9 << 20, b"{").await;
    assert_eq!(end(promised).await, (413, None), "too much is promised, and does not come");
    // Endless ones are cut off.
    for connection in slow {
        assert_eq!(end(connection).await, (400, None));
    }
}

/// The SCC annotation decides nothing by itself, so a pod that one replica admitted by an old policy is stopped by the
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_that_disagree_let_in_only_what_the_cluster_permits() {
    let cluster = cluster().await;
    let knows = Replica::start(&cluster).await;
    let between = Between::before(&cluster).await;
    between.script(|target| target.contains("watch=true").then_some(Fault::Quiet));
    let lags = beside(&cluster, &between).await;

    // A grant, a namespace: one replica has seen them, the other looks them up before it refuses.
    let bindings = bind(&cluster).await;
    until("the grant is seen", || async { mutate(&knows, host()).await["allowed"] == true }).await;
    let made = patched(&host(), &mutate(&knows, host()).await);
    for (path, object) in [("/validate/pods", made.clone()), ("/mutate/pods", host())] {
        let answer = lags.review(path, create("shop", object)).await;
        assert_eq!(answer["allowed"], true, "{path}: {answer}");
    }
    namespace(&cluster, "fresh").await;
    let made_there = knows.review("/mutate/pods", create("fresh", plain())).await;
    let made_there = patched(&plain(), &made_there);
    let answer = lags.review("/validate/pods", create("fresh", made_there)).await;
    assert_eq!(answer["allowed"], true, "{answer}");

    // A withdrawal: a replica that has not seen it admits a little longer, and the one that has refuses the same pod.
    bindings.delete("agent", &DeleteParams::default()).await.unwrap();
    until("the withdrawal is seen", || async { mutate(&knows, host()).await["allowed"] == false }).await;
    let refused = knows.review("/validate/pods", create("shop", made)).await;
    assert_eq!(refused["allowed"], false, "{refused}");
}

/// Refusals come in bursts. They share their questions to the API server, and a grant that no watch tells of counts soon.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_in_a_burst_share_their_questions_and_do_not_last() {
    const BURST: usize = 25;
    let cluster = cluster().await;
    let between = Between::before(&cluster).await;
    let replica = beside(&cluster, &between).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = |allowed: bool| {
        let counted = Arc::clone(&asked);
        let answer = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
            "spec": {}, "status": {"allowed": allowed}});
        move |target: &str| {
            target.contains("/subjectaccessreviews").then(|| {
                counted.fetch_add(1, Ordering::AcqRel);
                Fault::Say(201, answer.clone())
            })
        }
    };
    between.script(answer(false));
    assert_eq!(mutate(&replica, host()).await["allowed"], false);
    let each = asked.load(Ordering::Acquire);
    assert!((1..=4).contains(&each), "{each} questions of one refusal");
    let burst = futures::future::join_all((0..BURST).map(|_| mutate(&replica, host()))).await;
    assert!(burst.iter().all(|answer| answer["allowed"] == false));
    let all = asked.load(Ordering::Acquire);
    // A question is asked again by another if the review that asked it has waited its time.
    assert!(all < each * BURST, "{all} questions, {each} of a single refusal");

    between.script(answer(true));
    until("the grant counts", || async { mutate(&replica, host()).await["allowed"] == true }).await;
}

/// The bundle of a webhook configuration, in PEM.
async fn bundle(cluster: &Client) -> Vec<String> {
    let configurations = Api::<ValidatingWebhookConfiguration>::all(cluster.clone());
    let found = configurations.get("palisade").await.unwrap();
    let hook = found.webhooks.unwrap_or_default().remove(0);
    let text = hook.client_config.ca_bundle.map(|bundle| String::from_utf8(bundle.0).unwrap());
    let end = "-----END CERTIFICATE-----\n";
    text.iter().flat_map(|text| text.split_inclusive(end)).map(str::to_owned).collect()
}

async fn answers(replica: &Replica, trusted: &[String]) -> bool {
    if trusted.is_empty() {
        return false;
    }
    let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
    trusting(replica.address, trusted).request_text(request).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_somebody_replaces_is_followed_by_all_replicas() {
    let cluster = cluster().await;
    let configurations = Api::<ValidatingWebhookConfiguration>::all(cluster.clone());
    let webhooks = serde_json::from_value(objects(Part::Webhooks, &Settings::default()).remove(0)).unwrap();
    configurations.create(&PostParams::default(), &webhooks).await.unwrap();
    let (first, second) =
        (Replica::start(&cluster).await, Replica::named(&cluster, &cluster, "replica-2").await);
    let all_answer = || async {
        let trusted = bundle(&cluster).await;
        answers(&first, &trusted).await && answers(&second, &trusted).await
    };
    until("the bundle is there", all_answer).await;
    let old = bundle(&cluster).await;

    // An announced authority is trusted before it signs: connections of clients with that bundle go on throughout.
    let secrets = Api::<Secret>::namespaced(cluster.clone(), NAMESPACE);
    let mut secret = secrets.get(CA_SECRET).await.unwrap();
    let next = palisade_https::Authority::new("next").unwrap().pair();
    let bytes = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
    let data = secret.data.as_mut().unwrap();
    data.insert("next.crt".to_owned(), bytes(&next.certificate));
    data.insert("next.key".to_owned(), bytes(&next.key));
    // By a clock that is ten minutes behind: that it was announced long ago is not believed.
    data.insert("next.made".to_owned(), bytes("2026-01-01T00:00:00Z"));
    let made = data["made"].clone();
    secrets.replace(CA_SECRET, &PostParams::default(), &secret).await.unwrap();
    until("both are in the bundle", || async { bundle(&cluster).await.len() == 2 }).await;
    let both = bundle(&cluster).await;
    assert_eq!(both, [old[0].clone(), next.certificate.clone()]);
    assert!(answers(&first, &both).await && answers(&second, &both).await);
    assert_eq!(authority(&cluster).await, old[0], "it signs before API servers can know it");

    // It signs: every replica presents it in time, and no client that trusts both is turned away meanwhile.
    let mut secret = secrets.get(CA_SECRET).await.unwrap();
    secret.data = Some(
        [
            ("ca.crt", bytes(&next.certificate)),
            ("ca.key", bytes(&next.key)),
            ("made", made),
            ("previous.crt", bytes(&old[0])),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
    );
    secrets.replace(CA_SECRET, &PostParams::default(), &secret).await.unwrap();
    until("both replicas present it", || async {
        assert!(answers(&first, &both).await && answers(&second, &both).await);
        let new = &both[1..];
        answers(&first, new).await && answers(&second, new).await
    })
    .await;

    // Thrown away altogether, it is made anew.
    secrets.delete(CA_SECRET, &DeleteParams::default()).await.unwrap();
    until("a new authority is in the bundle, and presented", || async {
        let trusted = bundle(&cluster).await;
        trusted.len() == 1 && answers(&first, &trusted).await && answers(&second, &trusted).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_start_at_once() {
    let cluster = api_server().await;
    let between = Between::before(&cluster).await;
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    between.script(move |target| match is_up.load(Ordering::Acquire) {
        true => None,
        false if target.contains("watch") => Some(Fault::Silence),
        false => Some(Fault::Say(
            503,
            json!({"kind": "Status", "apiVersion": "v1", "code": 503, "message": "starting"}),
        )),
    });
    let mut replicas = Vec::new();
    for n in 1..=3 {
        replicas.push(Replica::started(&between.client, &format!("replica-{n}"), Mode::Enforce).await);
    }
    // Alive, so that they are not restarted, and not ready, for a stated reason.
    for (address, _) in &replicas {
        let (code, _) = harness::ask(*address, "/livez").await;
        assert_eq!(code, 200);
        let (code, why) = harness::ask(*address, "/readyz").await;
        assert_eq!((code, why.contains("authority has not been read")), (503, true), "{why}");
    }
    // The API server comes, and after it the namespace of the installation.
    up.store(true, Ordering::Release);
    namespace(&cluster, NAMESPACE).await;
    let trusted = [authority(&cluster).await];
    for (address, _) in &replicas {
        let client = trusting(*address, &trusted);
        until("a replica is ready", || async {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(request).await.is_ok()
        })
        .await;
    }
    let leads = || async {
        let mut leads = 0;
        for (address, _) in &replicas {
            let request = http::Request::get("/status").body(Vec::new()).unwrap();
            let status: Value = trusting(*address, &trusted).request(request).await.unwrap();
            leads += usize::from(status["leads"] == true);
        }
        leads == 1
    };
    until("one of them leads", leads).await;
    // Namespaces that were created without a leader get their ranges later.
    let namespaces: Api<Namespace> = Api::all(cluster.clone());
    until("ranges are given", || async {
        let found = namespaces.get(NAMESPACE).await.unwrap();
        found.metadata.annotations.is_some_and(|all| all.contains_key("openshift.io/sa.scc.uid-range"))
    })
    .await;
}
