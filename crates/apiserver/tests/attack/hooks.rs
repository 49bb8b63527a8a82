//! Webhooks that are hostile, and conversions of custom resources: whatever they answer, nobody gets more by it than a
//! refusal, and others' requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::world::Who::{Admin, Alice};
use super::world::World;

/// The answer of a hostile server to a request that it has read.
#[derive(Clone)]
pub(super) enum Answer {
    /// Nothing, for as long as anybody waits.
    Silence,
    /// A head, and then a byte a second.
    Drip,
    /// More bytes than anybody wants, for as long as they are read.
    Flood,
    /// These bytes; then it closes the connection.
    Raw(String),
    /// An answer with this JSON.
    Json(Value),
    /// A review whose response has this and the right UID.
    Review(Value),
    /// A review that allows the request, as soon as there is a permit.
    Later(Arc<tokio::sync::Semaphore>),
    /// Objects in the wanted version, after this change to each.
    Converted(fn(&mut Value)),
}

/// A server that presents a certificate which webhooks' configurations trust.
pub(super) struct Hostile {
    url: String,
    bundle: String,
    answer: Arc<std::sync::Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl Hostile {
    pub(super) async fn start() -> Self {
        let authority = palisade_https::Authority::new("webhook of an attacker").unwrap();
        let pair = authority.server("hook", ["127.0.0.1"], 30).unwrap();
        let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let answer = Arc::new(std::sync::Mutex::new(Answer::Silence));
        let asked = Arc::new(AtomicUsize::new(0));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, answers, count) = (acceptor.clone(), Arc::clone(&answers), Arc::clone(&count));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        drop(serve(stream, &answers, &count).await);
                    }
                });
            }
        });
        Self { url, bundle: STANDARD.encode(authority.certificate()), answer, asked }
    }

    pub(super) fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
        self.asked.store(0, Ordering::SeqCst);
    }

    /// The requests that have come since it was told what to say.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(super) fn client(&self) -> Value {
        json!({"url": format!("{}/x", self.url), "caBundle": self.bundle})
    }
}

fn reviewed(request: &Value, mut response: Value) -> Value {
    response["uid"] = request["uid"].clone();
    review(&response)
}

/// Reads one request and answers it.
async fn serve(
    mut stream: tokio_rustls::server::TlsStream<TcpStream>,
    answers: &std::sync::Mutex<Answer>,
    count: &AtomicUsize,
) -> std::io::Result<()> {
    let mut found = Vec::new();
    let body = loop {
        let mut piece = vec![0; 64 * 1024];
        let read = stream.read(&mut piece).await?;
        found.extend_from_slice(&piece[..read]);
        let end = found.windows(4).position(|four| four == b"\r\n\r\n");
        let head = String::from_utf8_lossy(&found[..end.unwrap_or(0)]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        match (end, length.unwrap_or(0)) {
            (Some(end), length) if found.len() >= end + 4 + length => break found.split_off(end + 4),
            _ if read == 0 => return Ok(()),
            _ => {}
        }
    };
    count.fetch_add(1, Ordering::SeqCst);
    let answer = answers.lock().unwrap().clone();
    let request = serde_json::from_slice::<Value>(&body).unwrap_or_default()["request"].take();
    let json = |value: Value| {
        let text = value.to_string();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )
    };
    let text = match answer {
        Answer::Silence => return std::future::pending().await,
        Answer::Drip => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                stream.write_all(b" ").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Answer::Flood => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'['; 64 * 1024]).await?;
            }
        }
        Answer::Raw(text) => text,
        Answer::Json(value) => json(value),
        Answer::Review(response) => json(reviewed(&request, response)),
        Answer::Later(permits) => {
            permits.acquire().await.unwrap().forget();
            json(reviewed(&request, json!({"allowed": true})))
        }
        Answer::Converted(change) => {
            let objects = request["objects"].as_array().into_iter().flatten().cloned().map(|mut object| {
                object["apiVersion"] = request["desiredAPIVersion"].clone();
                change(&mut object);
                object
            });
            let objects: Value = objects.collect();
            json(json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response":
                {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}}))
        }
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn patch(operations: Value) -> Answer {
    let patch = STANDARD.encode(operations.to_string());
    Answer::Review(json!({"allowed": true, "patchType": "JSONPatch", "patch": patch}))
}

/// A patch of one operation.
fn add(path: &str, value: Value) -> Answer {
    patch(json!([{"op": "add", "path": path, "value": value}]))
}

const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1";

/// The request that makes a configuration of a kind.
pub(super) fn path(kind: &str) -> String {
    format!("POST {HOOKS}/{kind}webhookconfigurations")
}

/// Any refusal.
const REFUSED: u16 = 0;

fn review(response: &Value) -> Value {
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
}

/// Answers with texts that nobody wants to read.
fn long_answers() -> Vec<(&'static str, Answer, u16, &'static str)> {
    let long = "x".repeat(1 << 19);
    let said = json!({"message": long, "reason": long, "details": {"causes": [{"message": long}]}});
    let notes = json!({"a": long, long.as_str(): "a"});
    vec![
        (
            "to fill the client's screen",
            Answer::Review(json!({"allowed": false, "status": said, "auditAnnotations": notes})),
            400,
            "xxx... (524288 bytes in all)",
        ),
        ("to fill it by mistake", Answer::Json(review(&json!({"uid": long}))), 500, "xxx... ("),
        (
            "to fill it with warnings",
            Answer::Review(json!({"allowed": true, "warnings": [long, long]})),
            201,
            "\"p-",
        ),
    ]
}

/// The webhook's answer, its author's aim, and the code and a text of the response to the creation of a pod.
fn answers(victim: &str) -> Vec<(&'static str, Answer, u16, &'static str)> {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let many = Value::Array(vec![json!([]); 1_300_000]);
    vec![
        ("to hold a request up", Answer::Silence, 500, "context deadline exceeded"),
        ("to hold it up byte by byte", Answer::Drip, 500, "context deadline exceeded"),
        ("to fill the memory", Answer::Flood, 500, "larger than"),
        (
            "to fill it with values",
            Answer::Json(json!({"kind": "AdmissionReview", "x": many})),
            500,
            "failed calling webhook",
        ),
        (
            "to overflow the stack",
            Answer::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{deep}", deep.len())),
            500,
            "failed calling webhook",
        ),
        (
            "to be believed by half",
            Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"kind\":".to_owned()),
            500,
            "failed calling webhook",
        ),
        (
            "to end a head with nothing",
            Answer::Raw("HTTP/1.1 200 OK\r\nx: ".to_owned()),
            500,
            "failed calling webhook",
        ),
        ("to say no HTTP", Answer::Raw("\0\0\0".to_owned()), 500, "failed calling webhook"),
        (
            "to send the server elsewhere",
            Answer::Raw(format!(
                "HTTP/1.1 307 Temporary Redirect\r\nlocation: {victim}/x\r\ncontent-length: 0\r\n\r\n"
            )),
            500,
            "redirects are not followed",
        ),
        (
            "to answer another's review",
            Answer::Json(review(&json!({"uid": "guessed", "allowed": true}))),
            500,
            "expected response.uid",
        ),
        (
            "to make a pod privileged",
            add("/spec/containers/0/securityContext", json!({"privileged": true})),
            403,
            "security context constraint",
        ),
        (
            "to give it the host's files",
            add("/spec/volumes/-", json!({"name": "h", "hostPath": {"path": "/"}})),
            403,
            "security context constraint",
        ),
        (
            "to say that it is Windows",
            patch(
                json!([{"op": "add", "path": "/spec/os", "value": {"name": "windows"}}, {"op": "add", "path": "/spec/hostPID", "value": true}]),
            ),
            REFUSED,
            "spec",
        ),
        (
            "to say which SCC it has",
            patch(
                json!([{"op": "add", "path": "/metadata/annotations", "value": {"openshift.io/scc": "privileged"}}, {"op": "add", "path": "/spec/hostNetwork", "value": true}]),
            ),
            403,
            "security context constraint",
        ),
        (
            "to move it to another namespace",
            add("/metadata/namespace", json!("kube-system")),
            201,
            "\"namespace\":\"shop\"",
        ),
        ("to make it another kind", add("/kind", json!("Secret")), 201, "\"kind\":\"Pod\""),
        (
            "to grow it without end",
            patch(Value::Array(
                (0..9000)
                    .map(|_| json!({"op": "copy", "from": "/spec", "path": "/spec/containers/0/x"}))
                    .collect(),
            )),
            500,
            "failed calling webhook",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_webhooks_get_no_more_than_a_refusal() {
    let world = World::apart().await;
    let (hostile, victim) = (Hostile::start().await, Hostile::start().await);
    for (kind, first) in [("mutating", true), ("validating", false)] {
        let hook = json!({"name": "h.example.io", "sideEffects": "None", "timeoutSeconds": 1, "failurePolicy": "Fail",
            "admissionReviewVersions": ["v1"], "clientConfig": hostile.client(),
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]});
        let path = format!("{HOOKS}/{kind}webhookconfigurations");
        world
            .must(Admin, &format!("POST {path}"), json!({"metadata": {"name": "h"}, "webhooks": [hook]}))
            .await;
        for (what, answer, code, text) in answers(&victim.url).into_iter().chain(long_answers()) {
            let is_patch = matches!(&answer, Answer::Review(response) if response.get("patch").is_some());
            if is_patch && !first {
                continue;
            }
            hostile.says(answer);
            let pod = json!({"metadata": {"generateName": "p-"}, "spec": {"volumes": [], "containers": [{"name": "c", "image": "a"}]}});
            let reply = world.send(Alice, "POST /api/v1/namespaces/shop/pods?dryRun=All", &pod).await;
            let is_right = reply.code == code || code == REFUSED && reply.code >= 400;
            assert!(is_right && reply.text().contains(text), "{what}: {} {}", reply.code, reply.text());
            let size = reply.text().len();
            assert!(size < 80 << 10, "{what}: {size} bytes");
            assert_eq!(hostile.asked.load(Ordering::SeqCst), 1, "{what}");
        }
        world.must(Admin, &format!("DELETE {path}/h"), Value::Null).await;
    }
    assert_eq!(victim.asked.load(Ordering::SeqCst), 0, "a redirect was followed");
    let (_, most) = world.memory();
    assert!(most < 256, "{most} MB");
}

/// A user whose exec requests wait for a webhook holds a part of the places that requests have, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn exec_requests_that_wait_have_a_users_part() {
    let world = World::new().await;
    let hostile = Hostile::start().await;
    hostile.says(Answer::Silence);
    let hook = json!({"name": "h.example.io", "sideEffects": "None", "timeoutSeconds": 30, "failurePolicy": "Fail",
        "admissionReviewVersions": ["v1"], "clientConfig": hostile.client(),
        "rules": [{"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/exec"]}]});
    let path = format!("POST {HOOKS}/validatingwebhookconfigurations");
    world.must(Admin, &path, json!({"metadata": {"name": "h"}, "webhooks": [hook]})).await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
    world.must(Alice, "POST /api/v1/namespaces/shop/pods", pod).await;
    let head = format!(
        "POST /api/v1/namespaces/shop/pods/p/exec?command=sh HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
        world.token(Alice)
    );
    assert_eq!(world.first_of(17, Alice, &head).await, "HTTP/1.1 429");
}

/// URLs by which a configuration would lead the server elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_reached_by_https_and_nothing_else() {
    let world = World::new().await;
    for (url, text) in [
        ("http://169.254.169.254/latest/meta-data", "https"),
        ("file:///etc/shadow", "https"),
        ("https://user:secret@127.0.0.1/", "user"),
        ("https://127.0.0.1/?x=y", "query"),
        ("https://127.0.0.1/#x", "fragment"),
        ("https://", ""),
        ("https://127.0.0.1\r\nx: y/", ""),
    ] {
        let hook = json!({"name": "h.example.io", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"url": url}});
        for kind in ["mutating", "validating"] {
            let line = format!("POST {HOOKS}/{kind}webhookconfigurations");
            let body = json!({"metadata": {"name": "h"}, "webhooks": [hook]});
            let reply = world.send(Admin, &line, &body).await;
            assert!(
                reply.code == 422 && reply.text().contains(text),
                "{url}: {} {}",
                reply.code,
                reply.text()
            );
        }
    }
}

const WIDGETS: &str = "/apis/hold.example.com";

/// A definition of two versions, which a hostile server converts.
pub(super) async fn define(world: &World, hostile: &Hostile) {
    let version = |name: &str, is_kept: bool| {
        json!({"name": name, "served": true, "storage": is_kept, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "maximum": 9}}}}}}})
    };
    let definition = json!({"metadata": {"name": "widgets.hold.example.com"}, "spec": {"group": "hold.example.com",
        "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [version("v1", true), version("v2", false)],
        "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": hostile.client()}}}});
    world.must(Admin, "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_conversions_change_nothing_but_what_they_may() {
    let world = World::apart().await;
    let hostile = Hostile::start().await;
    hostile.says(Answer::Converted(|_| {}));
    define(&world, &hostile).await;
    let maps = format!("{WIDGETS}/v1/namespaces/shop/widgets");
    let widget = json!({"apiVersion": "hold.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 5}});
    let made = world.must(Admin, &format!("POST {maps}"), widget).await;
    let other = format!("{WIDGETS}/v2/namespaces/shop/widgets/w");
    let cases: Vec<(&str, Answer, u16, &str)> = vec![
        (
            "another name",
            Answer::Converted(|object| object["metadata"]["name"] = json!("x")),
            500,
            "same name",
        ),
        (
            "another namespace",
            Answer::Converted(|object| object["metadata"]["namespace"] = json!("kube-system")),
            500,
            "same namespace",
        ),
        ("another UID", Answer::Converted(|object| object["metadata"]["uid"] = json!("0")), 500, "same uid"),
        (
            "another kind",
            Answer::Converted(|object| object["kind"] = json!("ClusterRoleBinding")),
            500,
            "invalid kind",
        ),
        (
            "owners and finalizers",
            Answer::Converted(|object| {
                object["metadata"]["ownerReferences"] =
                    json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}]);
                object["metadata"]["finalizers"] = json!(["x.io/y"]);
            }),
            200,
            "\"name\":\"w\"",
        ),
        (
            "fields that the schema lacks",
            Answer::Converted(|object| object["spec"] = json!({"size": 5, "more": "x"})),
            200,
            "\"spec\":{\"size\":5}",
        ),
        (
            "half of it",
            Answer::Raw("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".to_owned()),
            500,
            "conversion webhook",
        ),
        ("a flood", Answer::Flood, 500, "larger than"),
        (
            "elsewhere",
            Answer::Raw(
                "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                    .to_owned(),
            ),
            500,
            "redirects are not followed",
        ),
    ];
    for (what, answer, code, text) in cases {
        hostile.says(answer);
        let reply = world.send(Admin, &format!("GET {other}"), &Value::Null).await;
        assert!(reply.code == code && reply.text().contains(text), "{what}: {} {}", reply.code, reply.text());
        assert!(
            !reply.text().contains("x.io/y") && !reply.text().contains("more"),
            "{what}: {}",
            reply.text()
        );
    }
    // Nothing of it was written.
    let kept = world.must(Admin, &format!("GET {maps}/w"), Value::Null).await;
    assert_eq!(
        (&kept["spec"], &kept["metadata"]["resourceVersion"]),
        (&json!({"size": 5}), &made["metadata"]["resourceVersion"])
    );
    let (_, most) = world.memory();
    assert!(most < 256, "{most} MB");
}
