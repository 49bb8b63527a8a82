//! Webhooks of admission and of conversion: a webhook in the test records its requests and answers as each case
//! requires.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response};
use kube::{Client, Error};
use palisade_apiserver::{Config, Decider};
use palisade_https::{Authority, Body, Limits, Listener, Tls};
use serde_json::{Value, json};

/// The behaviour of a webhook of the test.
#[derive(Clone)]
enum Behaviour {
    Allow,
    Deny(Value),
    Patch(Value),
    Say(Value),
    Status(u16, &'static str),
    Raw(Vec<u8>),
    Sleep,
    /// Converts, and then changes its response.
    Convert(fn(&mut Value)),
}

/// A webhook that answers by path and records the requests.
#[derive(Clone, Default)]
struct Recorder {
    answers: Arc<Mutex<HashMap<String, Behaviour>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    peers: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Recorder {
    fn on(&self, path: &str, behaviour: Behaviour) {
        self.answers.lock().unwrap().insert(path.to_owned(), behaviour);
    }

    fn take(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn paths(&self) -> Vec<String> {
        self.take().into_iter().map(|(path, _)| path).collect()
    }

    async fn answer(&self, peer: SocketAddr, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        self.peers.lock().unwrap().push(peer);
        let bytes = palisade_https::read(request.into_body(), 8 << 20, Duration::from_secs(5)).await.unwrap();
        let review: Value = serde_json::from_slice(&bytes).unwrap();
        let uid = review["request"]["uid"].clone();
        self.asked.lock().unwrap().push((path.clone(), review["request"].clone()));
        let behaviour = self.answers.lock().unwrap().get(&path).cloned().unwrap_or(Behaviour::Allow);
        let say = |mut response: Value| {
            response["uid"] = uid.clone();
            let review =
                json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
            Body::bytes(200, "application/json", review.to_string().into_bytes())
        };
        match behaviour {
            Behaviour::Allow => say(json!({"allowed": true})),
            Behaviour::Deny(status) => say(json!({"allowed": false, "status": status})),
            Behaviour::Patch(patch) => say(
                json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())}),
            ),
            Behaviour::Say(response) => say(response),
            Behaviour::Status(code, location) => {
                let mut response = Body::text(code, "sorry");
                if !location.is_empty() {
                    response.headers_mut().insert("location", location.parse().unwrap());
                }
                response
            }
            Behaviour::Convert(change) => {
                let mut response = json!({"uid": uid, "result": {"status": "Success"},
                                          "convertedObjects": converted(&review["request"])});
                change(&mut response);
                let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
                                    "response": response});
                Body::bytes(200, "application/json", review.to_string().into_bytes())
            }
            Behaviour::Raw(bytes) => Body::bytes(200, "application/json", bytes),
            Behaviour::Sleep => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                say(json!({"allowed": true}))
            }
        }
    }
}

/// Converts objects: the field `size` of version 1 is `length` in version 2.
fn converted(request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let names = if wanted.ends_with("v2") { ["size", "length"] } else { ["length", "size"] };
    let objects = request["objects"].as_array().unwrap().iter().cloned().map(|mut object| {
        object["apiVersion"] = wanted.into();
        let value = object["spec"].as_object_mut().unwrap().remove(names[0]);
        object["spec"][names[1]] = value.unwrap_or_default();
        object["metadata"]["annotations"]["converted"] = wanted.into();
        object
    });
    objects.collect()
}

/// A server, and a webhook that it reaches by a URL and as a service.
struct World {
    client: Client,
    hook: Recorder,
    url: String,
    bundle: String,
}

impl World {
    async fn start(decider: Decider) -> Self {
        Self::start_as(Config { decider, ..Config::default() }).await
    }

    async fn start_as(config: Config) -> Self {
        let authority = Authority::new("webhook of a test").unwrap();
        let pair = authority.server("hook", ["127.0.0.1", "hook.tools.svc"], 30).unwrap();
        let tls = Tls::new(&pair, None).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, Limits::default()).await.unwrap();
        let address = listener.address().unwrap();
        let hook = Recorder::default();
        let answers = hook.clone();
        let connect = move |peer: palisade_https::Peer| {
            let (answers, peer) = (answers.clone(), peer.address);
            move |request| {
                let answers = answers.clone();
                async move { answers.answer(peer, request).await }
            }
        };
        tokio::spawn(listener.run(connect, std::future::pending()));
        let services = [("tools/hook".to_owned(), address)];
        let config = Config { webhook_services: services.into_iter().collect(), ..config };
        let client = start::start(config).await;
        let bundle = STANDARD.encode(authority.certificate());
        Self { client, hook, url: format!("https://{address}"), bundle }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
        let patch = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header("content-type", patch);
        self.client.request(request.body(serde_json::to_vec(body).unwrap()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.send(Method::POST, path, body).await
    }

    fn webhook(&self, name: &str, path: &str, rules: Value, more: Value) -> Value {
        let mut webhook = json!({
            "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": rules,
            "clientConfig": {"url": format!("{}{path}", self.url), "caBundle": self.bundle},
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            webhook[field] = value.clone();
        }
        webhook
    }

    /// Puts one configuration in the place of all others.
    async fn configure(&self, kind: &str, name: &str, webhooks: Vec<Value>) {
        let path = format!("{REGISTRATION}/{}s", kind.to_lowercase());
        let object = json!({"metadata": {"name": name}, "webhooks": webhooks});
        self.post(&path, &object).await.unwrap();
    }

    async fn clear(&self) {
        for kind in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            self.send(Method::DELETE, &format!("{REGISTRATION}/{kind}"), &json!({})).await.unwrap();
        }
        self.hook.take();
        self.hook.answers.lock().unwrap().clear();
    }
}

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MUTATING: &str = "MutatingWebhookConfiguration";
const VALIDATING: &str = "ValidatingWebhookConfiguration";

fn rule(operations: &[&str], resources: &[&str]) -> Value {
    json!([{"operations": operations, "apiGroups": ["*"], "apiVersions": ["*"], "resources": resources}])
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"a": "1"}})
}

fn refusal(result: Result<Value, Error>) -> (u16, String) {
    match result {
        Err(Error::Api(status)) => (status.code, status.message),
        other => panic!("not refused: {other:?}"),
    }
}

/// Webhooks by their rules and other fields, and whether each is called when a config map is created.
fn selections() -> Vec<((Value, Value), bool)> {
    let all = rule(&["*"], &["configmaps"]);
    let with = |rules: &Value, more: Value| (rules.clone(), more);
    let condition = |text: &str| json!({"matchConditions": [{"name": "c", "expression": text}]});
    vec![
        (with(&all, json!({})), true),
        (with(&rule(&["CREATE"], &["*"]), json!({})), true),
        (with(&rule(&["UPDATE", "DELETE"], &["configmaps"]), json!({})), false),
        (with(&rule(&["CREATE"], &["configmaps/status", "secrets"]), json!({})), false),
        (
            with(
                &json!([{"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["*"]}]),
                json!({}),
            ),
            false,
        ),
        (
            with(
                &json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v2"], "resources": ["*"]}]),
                json!({}),
            ),
            false,
        ),
        (
            with(
                &json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"], "scope": "Cluster"}]),
                json!({}),
            ),
            false,
        ),
        (
            with(
                &json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["*"], "scope": "Namespaced"}]),
                json!({}),
            ),
            true,
        ),
        (with(&all, json!({"namespaceSelector": {"matchLabels": {"env": "test"}}})), true),
        (with(&all, json!({"namespaceSelector": {"matchLabels": {"env": "production"}}})), false),
        (
            with(
                &all,
                json!({"namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["default"]}]}}),
            ),
            false,
        ),
        (with(&all, json!({"objectSelector": {"matchLabels": {"app": "one"}}})), true),
        (with(&all, json!({"objectSelector": {"matchLabels": {"app": "other"}}})), false),
        (with(&all, condition("object.data.a == '1'")), true),
        (with(&all, condition("object.data.a == '2'")), false),
        (
            with(
                &all,
                condition(
                    "request.operation == 'CREATE' && request.namespace == 'default' && oldObject == null",
                ),
            ),
            true,
        ),
        (with(&all, condition("'system:masters' in request.userInfo.groups")), true),
        (
            with(
                &all,
                condition(
                    "authorizer.group('').resource('configmaps').namespace('default').check('delete').allowed()",
                ),
            ),
            true,
        ),
        // A condition that cannot be evaluated skips the webhook, where failures are ignored; a false condition takes
        // precedence.
        (
            with(
                &all,
                json!({"failurePolicy": "Ignore", "matchConditions": [{"name": "c", "expression": "object.none == 1"}]}),
            ),
            false,
        ),
        (
            with(
                &all,
                json!({"matchConditions": [
            {"name": "c", "expression": "object.none == 1"}, {"name": "d", "expression": "false"}]}),
            ),
            false,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_asked_by_their_rules_selectors_and_conditions() {
    let world = World::start(Decider::Server).await;
    world
        .send(Method::PATCH, "/api/v1/namespaces/default", &json!({"metadata": {"labels": {"env": "test"}}}))
        .await
        .unwrap();
    for ((rules, more), is_asked) in selections() {
        let webhook = world.webhook("a.example.com", "/a", rules.clone(), more.clone());
        world.configure(VALIDATING, "a", vec![webhook]).await;
        world.post(MAPS, &map("one")).await.unwrap();
        assert_eq!(world.hook.paths().len(), usize::from(is_asked), "{rules} {more}");
        world.clear().await;
        world.send(Method::DELETE, &format!("{MAPS}/one"), &json!({})).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_cannot_be_evaluated_refuses() {
    let world = World::start(Decider::Server).await;
    let more = json!({"matchConditions": [{"name": "c", "expression": "object.none == 1"}]});
    let webhook = world.webhook("a.example.com", "/a", rule(&["*"], &["configmaps"]), more);
    world.configure(VALIDATING, "a", vec![webhook]).await;
    assert_eq!(
        refusal(world.post(MAPS, &map("one")).await),
        (
            403,
            "configmaps \"one\" is forbidden: failed to evaluate match condition \"c\": no such key: none"
                .to_owned()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_says_what_is_done_by_whom_to_what() {
    let world = World::start(Decider::Server).await;
    let rules = rule(&["*"], &["*/*"]);
    let service = json!({"clientConfig": {"service": {"namespace": "tools", "name": "hook", "path": "/s"}, "caBundle": world.bundle}});
    world.configure(VALIDATING, "a", vec![world.webhook("a.example.com", "", rules, service)]).await;
    let asked = async |method: Method, path: &str, body: Value| {
        world.send(method, path, &body).await.unwrap();
        let asked = world.hook.take();
        assert_eq!(asked.len(), 1, "{path}: {asked:?}");
        assert_eq!(asked[0].0, "/s");
        asked[0].1.clone()
    };
    let created = asked(Method::POST, &format!("{MAPS}?dryRun=All&fieldManager=me"), map("one")).await;
    assert_eq!(created["operation"], "CREATE");
    assert_eq!(created["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(created["resource"], json!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!((&created["name"], &created["namespace"]), (&json!("one"), &json!("default")));
    assert_eq!(created["userInfo"]["username"], "system:admin");
    assert_eq!(created["dryRun"], true);
    assert_eq!(
        created["options"],
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me"})
    );
    assert_eq!((&created["object"]["data"]["a"], &created["oldObject"]), (&json!("1"), &Value::Null));
    asked(Method::POST, MAPS, map("one")).await;
    let patched = asked(Method::PATCH, &format!("{MAPS}/one"), json!({"data": {"a": "2"}})).await;
    assert_eq!(patched["operation"], "UPDATE");
    assert_eq!(
        (&patched["object"]["data"]["a"], &patched["oldObject"]["data"]["a"]),
        (&json!("2"), &json!("1"))
    );
    let deleted = asked(Method::DELETE, &format!("{MAPS}/one"), json!({})).await;
    assert_eq!((&deleted["operation"], &deleted["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(deleted["oldObject"]["data"]["a"], "2");
    let token = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = asked(Method::POST, token, json!({"spec": {}})).await;
    assert_eq!((&token["subResource"], &token["kind"]["kind"]), (&json!("token"), &json!("TokenRequest")));
    // Reviews, and configurations of webhooks themselves, go through none.
    world.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await.unwrap();
    world
        .send(Method::DELETE, &format!("{REGISTRATION}/validatingwebhookconfigurations/a"), &json!({}))
        .await
        .unwrap();
    assert_eq!(world.hook.paths(), Vec::<String>::new());
    // One connection has carried all of it.
    let mut peers = world.hook.peers.lock().unwrap().clone();
    peers.dedup();
    assert_eq!(peers.len(), 1, "{peers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_count_as_their_policy_says() {
    let world = World::start(Decider::Server).await;
    let url = &world.url;
    let head = "Internal error occurred: failed calling webhook \"a.example.com\": ";
    let post = format!("failed to call webhook: Post \"{url}/a?timeout=1s\": ");
    let huge = vec![b' '; 5 << 20];
    let other = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "1", "allowed": true}});
    let cases: Vec<(Behaviour, String)> = vec![
        (Behaviour::Status(500, ""), "failed to call webhook: an error on the server (\"sorry\") has prevented the request from succeeding".to_owned()),
        (Behaviour::Status(404, ""), "failed to call webhook: the server could not find the requested resource".to_owned()),
        (Behaviour::Status(302, "https://127.0.0.1:1/"), "failed to call webhook: the server could not be asked: it redirects, and redirects are not followed".to_owned()),
        (Behaviour::Raw(b"{}".to_vec()), "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got , Kind=".to_owned()),
        (Behaviour::Raw(huge), "failed to call webhook: the answer is larger than 4194304 bytes".to_owned()),
        (Behaviour::Raw(other.to_string().into_bytes()), "expected response.uid=".to_owned()),
        (Behaviour::Sleep, format!("{post}context deadline exceeded")),
    ];
    let rules = rule(&["CREATE"], &["configmaps"]);
    for (behaviour, why) in cases {
        for (policy, kind) in
            [("Fail", VALIDATING), ("Ignore", VALIDATING), ("Fail", MUTATING), ("Ignore", MUTATING)]
        {
            let more = json!({"failurePolicy": policy, "timeoutSeconds": 1});
            world.configure(kind, "a", vec![world.webhook("a.example.com", "/a", rules.clone(), more)]).await;
            world.hook.on("/a", behaviour.clone());
            let result = world.post(&format!("{MAPS}?dryRun=All"), &map("one")).await;
            if policy == "Fail" {
                let (code, message) = refusal(result);
                assert_eq!(code, 500);
                assert!(message.starts_with(&format!("{head}{why}")), "{message}");
            } else {
                result.unwrap();
            }
            world.clear().await;
        }
    }
    let unreachable = [
        (
            json!({"url": "https://127.0.0.1:1/a"}),
            "failed to call webhook: Post \"https://127.0.0.1:1/a?timeout=10s\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (
            json!({"service": {"namespace": "tools", "name": "none"}}),
            "failed to call webhook: Post \"https://none.tools.svc:443?timeout=10s\": service \"none\" not found",
        ),
        (
            json!({"url": format!("{url}/a")}),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
    ];
    for (client, why) in unreachable {
        world
            .configure(
                VALIDATING,
                "a",
                vec![world.webhook("a.example.com", "", rules.clone(), json!({"clientConfig": client}))],
            )
            .await;
        let (code, message) = refusal(world.post(MAPS, &map("one")).await);
        assert!(code == 500 && message.ends_with(why), "{message}");
        world.clear().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_order_and_are_seen_again_by_who_wants_to() {
    let world = World::start(Decider::Server).await;
    let rules = rule(&["CREATE"], &["configmaps"]);
    let hook = |name: &str, more: Value| {
        world.webhook(&format!("{name}.example.com"), &format!("/{name}"), rules.clone(), more)
    };
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    world.configure(MUTATING, "2", vec![hook("c", json!({}))]).await;
    world.configure(MUTATING, "1", vec![hook("a", again.clone()), hook("b", json!({}))]).await;
    let add =
        |key: &str| Behaviour::Patch(json!([{"op": "add", "path": format!("/data/{key}"), "value": "x"}]));
    for name in ["a", "b", "c"] {
        world.hook.on(&format!("/{name}"), add(name));
    }
    world.configure(VALIDATING, "v", vec![hook("v", json!({})), hook("w", json!({}))]).await;
    let made = world.post(MAPS, &map("one")).await.unwrap();
    assert_eq!(made["data"], json!({"a": "x", "b": "x", "c": "x"}));
    let asked = world.hook.take();
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths[..4], ["/a", "/b", "/c", "/a"], "a sees what b and c have changed");
    assert_eq!(asked[2].1["object"]["data"], json!({"a": "x", "b": "x"}));
    assert!(paths[4..].len() == 2 && asked[4].1["object"]["data"]["c"] == "x", "{paths:?}");

    // Patches that cannot be applied, or that make an invalid object.
    world.hook.on("/b", Behaviour::Patch(json!([{"op": "remove", "path": "/data/none"}])));
    assert_eq!(refusal(world.post(MAPS, &map("two")).await).0, 500);
    world.hook.on("/b", Behaviour::Patch(json!([{"op": "add", "path": "/data", "value": {"..": "x"}}])));
    assert_eq!(refusal(world.post(MAPS, &map("two")).await).0, 422);
    world.hook.on("/b", Behaviour::Patch(json!([{"op": "replace", "path": "/metadata/name", "value": "stolen"},
        {"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}, {"op": "add", "path": "/other", "value": 1}])));
    let made = world.post(MAPS, &map("two")).await.unwrap();
    assert_eq!(
        (&made["metadata"]["name"], &made["metadata"]["namespace"]),
        (&json!("two"), &json!("default"))
    );
    assert_eq!(made.get("other"), None);

    // Refusals, in their order, and the warnings and annotations of the answers.
    world.hook.on("/v", Behaviour::Deny(json!({"message": "first", "code": 403, "reason": "Forbidden"})));
    world.hook.on("/w", Behaviour::Deny(json!({})));
    let said = refusal(world.post(MAPS, &map("three")).await);
    assert_eq!(said, (403, "admission webhook \"v.example.com\" denied the request: first".to_owned()));
    world.hook.on(
        "/v",
        Behaviour::Say(
            json!({"allowed": true, "warnings": ["mind the gap"], "auditAnnotations": {"k": "v"}}),
        ),
    );
    let said = refusal(world.post(MAPS, &map("three")).await);
    assert_eq!(
        said,
        (400, "admission webhook \"w.example.com\" denied the request without explanation".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_reach_the_client_and_annotations_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let config = Config { decider: Decider::Server, audit: Some(log.clone()), ..Config::default() };
    let world = World::start_as(config).await;
    let rules = rule(&["CREATE"], &["configmaps"]);
    for (kind, name) in [(MUTATING, "m"), (VALIDATING, "v")] {
        let said =
            json!({"allowed": true, "warnings": [format!("mind {name}")], "auditAnnotations": {"why": name}});
        world.hook.on(&format!("/{name}"), Behaviour::Say(said));
        let hook =
            world.webhook(&format!("{name}.example.com"), &format!("/{name}"), rules.clone(), json!({}));
        world.configure(kind, name, vec![hook]).await;
    }
    let request = Request::post(MAPS).header("content-type", "application/json");
    let request = request.body(kube::client::Body::from(map("audited").to_string().into_bytes())).unwrap();
    let response = world.client.send(request).await.unwrap();
    assert_eq!(response.status(), 201);
    let warnings: Vec<&str> =
        response.headers().get_all("warning").iter().map(|warning| warning.to_str().unwrap()).collect();
    assert_eq!(warnings, ["299 - \"mind m\"", "299 - \"mind v\""]);
    // The line is written once the response is complete.
    for _ in 0..100 {
        let text = std::fs::read_to_string(&log).unwrap();
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut done = events.filter(|event| {
            (&event["stage"], &event["verb"], &event["objectRef"]["resource"])
                == (&json!("ResponseComplete"), &json!("create"), &json!("configmaps"))
        });
        if let Some(event) = done.find(|event| event["annotations"]["m.example.com/why"] == "m") {
            assert_eq!(event["annotations"]["v.example.com/why"], "v", "{event}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no line for the request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_deletion_leaves_the_object() {
    let world = World::start(Decider::Server).await;
    world.post(MAPS, &map("kept")).await.unwrap();
    let hook = world.webhook("a.example.com", "/a", rule(&["DELETE"], &["configmaps"]), json!({}));
    world.configure(VALIDATING, "a", vec![hook]).await;
    world.hook.on("/a", Behaviour::Deny(json!({"message": "it is needed", "code": 403})));
    let one = format!("{MAPS}/kept");
    for path in [one.clone(), format!("{MAPS}?labelSelector=app%3Dkept")] {
        let (code, message) = refusal(world.send(Method::DELETE, &path, &json!({})).await);
        assert_eq!(code, 403, "{path}");
        assert!(
            message.contains("admission webhook \"a.example.com\" denied the request: it is needed"),
            "{message}"
        );
        let asked = world.hook.take();
        assert_eq!(asked.len(), 1, "{path}");
        assert_eq!(asked[0].1["oldObject"]["metadata"]["name"], "kept");
        world.send(Method::GET, &one, &json!({})).await.unwrap();
    }
    world.hook.on("/a", Behaviour::Allow);
    world.send(Method::DELETE, &one, &json!({})).await.unwrap();
    assert_eq!(refusal(world.send(Method::GET, &one, &json!({})).await).0, 404);
}

/// Two slow webhooks take less than twice the time of one.
#[tokio::test(flavor = "multi_thread")]
async fn validating_webhooks_are_called_at_once() {
    let world = World::start(Decider::Server).await;
    let rules = rule(&["CREATE"], &["configmaps"]);
    let mut took = Vec::new();
    for names in [&["a"][..], &["a", "b", "c"]] {
        let hooks = names.iter().map(|name| {
            world.hook.on(&format!("/{name}"), Behaviour::Sleep);
            world.webhook(
                &format!("{name}.example.com"),
                &format!("/{name}"),
                rules.clone(),
                json!({"timeoutSeconds": 30}),
            )
        });
        world.configure(VALIDATING, "v", hooks.collect()).await;
        let start = std::time::Instant::now();
        world.post(&format!("{MAPS}?dryRun=All"), &map("one")).await.unwrap();
        took.push(start.elapsed());
        assert_eq!(world.hook.take().len(), names.len());
        world.clear().await;
    }
    assert!(took[1] < took[0] * 2, "one takes {:?}, three {:?}", took[0], took[1]);
}

/// SCC decides on the pod after webhooks: no webhook gives a user more than their SCCs do.
#[tokio::test(flavor = "multi_thread")]
async fn no_patch_leads_around_scc() {
    let world = World::start(Decider::Server).await;
    world.post("/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await.unwrap();
    for (group, role) in [("rbac.authorization.k8s.io", "admin")] {
        let binding = json!({"metadata": {"name": "joe"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "name": "joe", "apiGroup": group}]});
        world
            .post("/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings", &binding)
            .await
            .unwrap();
    }
    let rules = rule(&["CREATE"], &["pods"]);
    let hooks = vec![
        world.webhook("a.example.com", "/a", rules.clone(), json!({"reinvocationPolicy": "IfNeeded"})),
        world.webhook("b.example.com", "/b", rules, json!({})),
    ];
    world.configure(MUTATING, "m", hooks).await;
    let create = async || {
        let pod = json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
        let request = Request::post("/api/v1/namespaces/shop/pods")
            .header("impersonate-user", "joe")
            .header("content-type", "application/json");
        world.client.request::<Value>(request.body(pod.to_string().into_bytes()).unwrap()).await
    };
    let label =
        |name: &str| json!({"op": "add", "path": format!("/metadata/annotations/{name}"), "value": "x"});
    world.hook.on("/b", Behaviour::Patch(json!([label("b")])));
    let made = create().await.unwrap();
    assert_eq!(made["metadata"]["annotations"]["openshift.io/scc"], "restricted-v2");
    let breaches = [
        json!({"op": "add", "path": "/spec/hostNetwork", "value": true}),
        json!({"op": "add", "path": "/spec/containers/0/securityContext", "value": {"privileged": true}}),
        json!({"op": "add", "path": "/spec/volumes/-", "value": {"name": "h", "hostPath": {"path": "/"}}}),
    ];
    for breach in breaches {
        for path in ["/a", "/b"] {
            world.hook.on("/a", Behaviour::Patch(json!([label("a")])));
            world.hook.on("/b", Behaviour::Patch(json!([label("b")])));
            world.hook.on(path, Behaviour::Patch(json!([label("z"), breach])));
            let (code, message) = refusal(create().await);
            assert!(
                code == 403 && message.contains("unable to validate against any security context constraint"),
                "{message}"
            );
        }
    }
}

const WIDGETS: &str = "/apis/conversion.example.com";

/// Defines widgets of two versions, the first of which is kept.
async fn define_widgets(world: &World) {
    let version = |name: &str, field: &str, is_kept: bool| {
        json!({"name": name, "served": true, "storage": is_kept, "selectableFields": [{"jsonPath": format!(".spec.{field}")}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {field: {"type": "integer"}}}}}}})
    };
    let definition = json!({
        "metadata": {"name": "widgets.conversion.example.com"},
        "spec": {"group": "conversion.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version("v1", "size", true), version("v2", "length", false)],
            "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("{}/convert", world.url), "caBundle": world.bundle}}}},
    });
    world.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.unwrap();
}

fn widget(version: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("conversion.example.com/{version}"), "kind": "Widget",
           "metadata": {"name": name, "labels": {"app": "w"}}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_converts_what_is_read_listed_written_watched_and_patched() {
    let world = World::start(Decider::default()).await;
    world.hook.on("/convert", Behaviour::Convert(|_| {}));
    define_widgets(&world).await;
    let [one, two] = ["v1", "v2"].map(|version| format!("{WIDGETS}/{version}/namespaces/default/widgets"));
    let get = async |path: String| world.send(Method::GET, &path, &json!({})).await.unwrap();

    // An object written in another version is stored in the storage version, and answered as it was sent.
    let made = world.post(&two, &widget("v2", "a", json!({"length": 5}))).await.unwrap();
    assert_eq!(
        (&made["apiVersion"], &made["spec"]),
        (&json!("conversion.example.com/v2"), &json!({"length": 5}))
    );
    let asked: Vec<Value> =
        world.hook.take().into_iter().map(|(_, request)| request["desiredAPIVersion"].clone()).collect();
    assert_eq!(asked, ["conversion.example.com/v1", "conversion.example.com/v2"]);
    assert_eq!(get(format!("{one}/a")).await["spec"], json!({"size": 5}));
    assert_eq!(world.hook.take().len(), 0, "what is kept in a version is not converted to it");
    let read = get(format!("{two}/a")).await;
    assert_eq!(
        (&read["spec"], &read["metadata"]["annotations"]["converted"]),
        (&json!({"length": 5}), &json!("conversion.example.com/v2"))
    );

    // A list is converted in one request, and selected by its converted form.
    world.post(&one, &widget("v1", "b", json!({"size": 7}))).await.unwrap();
    world.hook.take();
    let listed = get(two.clone()).await;
    let specs: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["spec"]).collect();
    assert_eq!(specs, [&json!({"length": 5}), &json!({"length": 7})]);
    let asked = world.hook.take();
    assert_eq!((asked.len(), asked[0].1["objects"].as_array().unwrap().len()), (1, 2));
    let selected = get(format!("{two}?fieldSelector=spec.length%3D7")).await;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);

    // A patch sees the object in its own version.
    let patched =
        world.send(Method::PATCH, &format!("{two}/a"), &json!({"spec": {"length": 6}})).await.unwrap();
    assert_eq!(patched["spec"], json!({"length": 6}));
    assert_eq!(get(format!("{one}/a")).await["spec"], json!({"size": 6}));
    // Nothing changes by a patch of nothing.
    let again = world.send(Method::PATCH, &format!("{two}/a"), &json!({})).await.unwrap();
    assert_eq!(again["metadata"]["resourceVersion"], patched["metadata"]["resourceVersion"]);

    // A watch converts what there is and what happens.
    let stream = Request::get(format!("{two}?watch=true&timeoutSeconds=20")).body(Vec::new()).unwrap();
    let events = world.client.request_events::<Value>(stream).await.unwrap();
    futures::pin_mut!(events);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event =
            tokio::time::timeout(Duration::from_secs(60), futures::StreamExt::next(&mut events)).await;
        match event.unwrap().unwrap().unwrap() {
            kube::core::WatchEvent::Added(object) | kube::core::WatchEvent::Modified(object) => {
                seen.push(object["spec"]["length"].clone());
                if seen.len() == 2 {
                    let change = json!({"spec": {"size": 8}});
                    world.send(Method::PATCH, &format!("{one}/b"), &change).await.unwrap();
                }
            }
            _ => {}
        }
    }
    assert_eq!(seen, [6, 7, 8]);
    world.send(Method::DELETE, &format!("{two}/a"), &json!({})).await.unwrap();
}

/// An admission webhook for one version sees objects of the other in its own, and its patch is of that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_one_version_sees_objects_of_the_other_converted() {
    let world = World::start(Decider::default()).await;
    world.hook.on("/convert", Behaviour::Convert(|_| {}));
    define_widgets(&world).await;
    world.hook.on("/m", Behaviour::Patch(json!([{"op": "replace", "path": "/spec/size", "value": 9}])));
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["conversion.example.com"], "apiVersions": ["v1"], "resources": ["widgets"]}]);
    world.configure(MUTATING, "m", vec![world.webhook("m.example.com", "/m", rules, json!({}))]).await;
    let two = format!("{WIDGETS}/v2/namespaces/default/widgets");
    let made = world.post(&two, &widget("v2", "a", json!({"length": 5}))).await.unwrap();
    assert_eq!(made["spec"], json!({"length": 9}));
    let asked = world.hook.take();
    let (_, review) = asked.iter().find(|(path, _)| path == "/m").unwrap();
    assert_eq!(review["object"]["spec"], json!({"size": 5}));
    assert_eq!(review["kind"]["version"], "v1");
}

/// A webhook for one version is called for requests of another, unless it matches exactly.
#[tokio::test(flavor = "multi_thread")]
async fn a_match_may_be_exact() {
    let world = World::start(Decider::default()).await;
    world.hook.on("/convert", Behaviour::Convert(|_| {}));
    define_widgets(&world).await;
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["conversion.example.com"], "apiVersions": ["v1"], "resources": ["widgets"]}]);
    let specs = [("v1", json!({"size": 1})), ("v2", json!({"length": 1}))];
    for kind in [MUTATING, VALIDATING] {
        for (policy, called) in [("Exact", [true, false]), ("Equivalent", [true, true])] {
            let hook = world.webhook("a.example.com", "/a", rules.clone(), json!({"matchPolicy": policy}));
            world.configure(kind, "a", vec![hook]).await;
            for ((version, spec), called) in specs.iter().zip(called) {
                world.hook.take();
                let path = format!("{WIDGETS}/{version}/namespaces/default/widgets?dryRun=All");
                world.post(&path, &widget(version, "a", spec.clone())).await.unwrap();
                let asked = world.hook.take();
                let asked: Vec<_> = asked.iter().filter(|(path, _)| path == "/a").collect();
                assert_eq!(asked.len(), usize::from(called), "{kind} {policy} {version}");
                for (_, review) in asked {
                    assert_eq!(review["kind"]["version"], "v1");
                    assert_eq!(review["requestKind"]["version"], *version);
                }
            }
            let path = format!("{REGISTRATION}/{}s/a", kind.to_lowercase());
            world.send(Method::DELETE, &path, &json!({})).await.unwrap();
        }
    }
}

/// Of metadata a conversion changes labels and annotations; no answer, however it is, does more than fail the request.
#[tokio::test(flavor = "multi_thread")]
async fn no_conversion_leads_elsewhere() {
    let world = World::start(Decider::default()).await;
    world.hook.on("/convert", Behaviour::Convert(|_| {}));
    define_widgets(&world).await;
    let [one, two] = ["v1", "v2"].map(|version| format!("{WIDGETS}/{version}/namespaces/default/widgets/a"));
    let path = one.trim_end_matches("/a");
    let made = world.post(path, &widget("v1", "a", json!({"size": 5}))).await.unwrap();
    let get = async |path: &str| world.send(Method::GET, path, &json!({})).await;

    // Fields that a conversion webhook adds beside labels, annotations and the schema are dropped.
    world.hook.on(
        "/convert",
        Behaviour::Convert(|response| {
            let object = &mut response["convertedObjects"][0];
            object["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"}]);
            object["metadata"]["finalizers"] = json!(["x.io/y"]);
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            object["metadata"]["labels"] = json!({"app": "other"});
            object["spec"]["more"] = json!("x");
        }),
    );
    let read = get(&two).await.unwrap();
    let metadata = &read["metadata"];
    for field in ["ownerReferences", "finalizers", "deletionTimestamp"] {
        assert!(metadata[field].is_null(), "{metadata}");
    }
    assert_eq!((&metadata["uid"], &metadata["labels"]["app"]), (&made["metadata"]["uid"], &json!("other")));
    assert_eq!(read["spec"], json!({"length": 5}));

    type Change = fn(&mut Value);
    let hostile: [(&str, Change); 9] = [
        ("must have the same name", |response| {
            response["convertedObjects"][0]["metadata"]["name"] = json!("b")
        }),
        ("must have the same namespace", |response| {
            response["convertedObjects"][0]["metadata"]["namespace"] = json!("kube-system");
        }),
        ("must have the same uid", |response| {
            response["convertedObjects"][0]["metadata"]["uid"] = json!("0")
        }),
        ("invalid groupVersion", |response| response["convertedObjects"][0]["apiVersion"] = json!("v1")),
        ("invalid kind", |response| response["convertedObjects"][0]["kind"] = json!("ClusterRoleBinding")),
        ("returned 0 objects, expected 1", |response| response["convertedObjects"] = json!([])),
        ("returned 2 objects, expected 1", |response| {
            let object = response["convertedObjects"][0].clone();
            response["convertedObjects"] = json!([object, object]);
        }),
        ("expected response.uid", |response| response["uid"] = json!("guessed")),
        ("it cannot be", |response| {
            response["result"] = json!({"status": "Failure", "message": "it cannot be"})
        }),
    ];
    for (why, change) in hostile {
        world.hook.on("/convert", Behaviour::Convert(change));
        let (code, said) = refusal(get(&two).await);
        assert!(
            code == 500 && said.contains(why) && said.contains("conversion webhook for"),
            "{code} {said}"
        );
    }
    for (behaviour, why) in [
        (Behaviour::Status(302, "https://127.0.0.1:1/secret"), "redirects are not followed"),
        (Behaviour::Status(500, ""), "an error on the server"),
        (Behaviour::Raw(b"not json".to_vec()), "no JSON"),
        (Behaviour::Raw(vec![b' '; 5 << 20]), "larger than"),
        (Behaviour::Raw(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes()), "no JSON"),
    ] {
        world.hook.on("/convert", behaviour);
        let (code, said) = refusal(get(&two).await);
        assert!(code == 500 && said.contains(why), "{code} {said}");
    }
    // Its own version is there all the while, and nothing was written.
    let kept = get(&one).await.unwrap();
    assert_eq!(kept["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}
