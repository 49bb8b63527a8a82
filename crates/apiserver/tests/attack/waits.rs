//! Requests that wait for a webhook which does not answer: what they hold is left to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::hooks::{Answer, Hostile, define, path};
use super::world::PASSWORD;
use super::world::Who::{Admin, Alice};
use super::world::World;

/// Tokens of users, each with a project of the user's name.
async fn users(world: &World, count: usize) -> Vec<(String, String)> {
    let mut users = Vec::new();
    for at in 0..count {
        let name = format!("user-{at}");
        world.make_user(&name, PASSWORD).await;
        let token = world.login(&name, PASSWORD).await.unwrap();
        let line = "POST /apis/project.openshift.io/v1/projectrequests";
        let reply = world.with_token(&token, line, &json!({"metadata": {"name": name}})).await;
        assert_eq!(reply.code, 201, "{}", reply.text());
        users.push((name, token));
    }
    users
}

/// A webhook for config maps with a label.
fn hook(hostile: &Hostile, label: &str) -> Value {
    hook_of(hostile, label, ["", "v1", "configmaps"])
}

/// A webhook for objects of a kind with a label.
fn hook_of(hostile: &Hostile, label: &str, [group, version, plural]: [&str; 3]) -> Value {
    json!({"name": format!("{label}.{plural}.example.io"), "sideEffects": "None", "timeoutSeconds": 30, "failurePolicy": "Fail",
        "admissionReviewVersions": ["v1"], "clientConfig": hostile.client(), "objectSelector": {"matchLabels": {"is": label}},
        "rules": [{"operations": ["*"], "apiGroups": [group], "apiVersions": [version], "resources": [plural]}]})
}

/// A config map of so many entries, each of which weighs some ten times its text.
fn map(label: &str, entries: usize) -> Value {
    let data: Map<String, Value> = (0..entries).map(|at| (format!("k{at}"), "".into())).collect();
    json!({"metadata": {"generateName": "m-", "labels": {"is": label}}, "data": data})
}

/// Sends requests as users. Acts once each of them has reached the webhook or was answered, and before the webhook answers.
async fn meanwhile(
    world: &World,
    hostile: &Hostile,
    requests: &[(&str, String, Value)],
    act: impl AsyncFnOnce(),
) {
    let answered = AtomicUsize::new(0);
    let send = |(token, line, body): &(&str, String, Value)| {
        let (token, line, body) = ((*token).to_owned(), line.clone(), body.clone());
        let answered = &answered;
        async move {
            let reply = world.with_token(&token, &line, &body).await;
            answered.fetch_add(1, Ordering::SeqCst);
            reply.code
        }
    };
    let settled = async {
        while hostile.asked() + answered.load(Ordering::SeqCst) < requests.len() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(hostile.asked() > 0, "nobody waits");
        act().await;
    };
    tokio::select! {
        codes = join_all(requests.iter().map(send)) => panic!("nothing waits any more: {codes:?}"),
        () = settled => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_requests_that_wait_for_a_webhook_take_no_memory_from_others() {
    let world = World::apart().await;
    let (hostile, honest) = (Hostile::start().await, Hostile::start().await);
    hostile.says(Answer::Silence);
    honest.says(Answer::Review(json!({"allowed": true})));
    let configuration =
        json!({"metadata": {"name": "h"}, "webhooks": [hook(&hostile, "slow"), hook(&honest, "quick")]});
    world.must(Admin, &path("validating"), configuration).await;
    // What weighs more than the share of a user passes a webhook, too.
    world.must(Alice, "POST /api/v1/namespaces/shop/configmaps", map("quick", 30_000)).await;
    let users = users(&world, 5).await;
    // One that is as large as any of a user may be, then some that are not slow, of each user.
    let sizes = [40_000, 5_000, 5_000, 5_000, 5_000, 5_000];
    let requests: Vec<_> = users
        .iter()
        .flat_map(|(name, token)| {
            let line = format!("POST /api/v1/namespaces/{name}/configmaps");
            sizes.map(|size| (token.as_str(), line.clone(), map("slow", size)))
        })
        .collect();
    meanwhile(&world, &hostile, &requests, async || {
        for label in ["none", "quick"] {
            let made = world.must(Alice, "POST /api/v1/namespaces/shop/configmaps", map(label, 1000)).await;
            let name = made["metadata"]["name"].as_str().unwrap();
            world.must(Alice, &format!("GET /api/v1/namespaces/shop/configmaps/{name}"), Value::Null).await;
        }
        world.must(Alice, "POST /api/v1/namespaces/shop/configmaps", map("none", 5000)).await;
    })
    .await;
    let (_, most) = world.memory();
    println!("{most} MB, {} requests wait", hostile.asked());
    assert!(most < 256, "{most} MB");
}

/// Requests that are as large as any of a user may be wait for the webhook, those of three users at once.
#[tokio::test(flavor = "multi_thread")]
async fn large_requests_wait_for_a_webhook_within_their_memory() {
    let world = World::apart().await;
    let hostile = Hostile::start().await;
    hostile.says(Answer::Silence);
    let configuration = json!({"metadata": {"name": "h"}, "webhooks": [hook(&hostile, "slow")]});
    world.must(Admin, &path("validating"), configuration).await;
    let users = users(&world, 5).await;
    let large = |(name, token): &'_ (String, String)| {
        let line = format!("POST /api/v1/namespaces/{name}/configmaps");
        (token.clone(), line, map("slow", 40_000))
    };
    let requests: Vec<_> = users.iter().map(large).collect();
    let requests: Vec<_> =
        requests.iter().map(|(token, line, body)| (token.as_str(), line.clone(), body.clone())).collect();
    meanwhile(&world, &hostile, &requests, async || {
        assert_eq!(hostile.asked(), 3);
        world.must(Alice, "POST /api/v1/namespaces/shop/configmaps", map("none", 5000)).await;
    })
    .await;
    let (_, most) = world.memory();
    println!("{most} MB");
    assert!(most < 256, "{most} MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_that_hangs_takes_no_places_from_others() {
    let world = World::new().await;
    let hostile = Hostile::start().await;
    hostile.says(Answer::Converted(|_| {}));
    define(&world, &hostile).await;
    let rules =
        json!([{"verbs": ["get", "list"], "apiGroups": ["hold.example.com"], "resources": ["widgets"]}]);
    let role = json!({"metadata": {"name": "widgets",
        "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}, "rules": rules});
    world.must(Admin, "POST /apis/rbac.authorization.k8s.io/v1/clusterroles", role).await;
    let users = users(&world, 4).await;
    for (name, _) in &users {
        let widget =
            json!({"apiVersion": "hold.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
        let line = format!("POST /apis/hold.example.com/v1/namespaces/{name}/widgets");
        world.must(Admin, &line, widget).await;
    }
    hostile.says(Answer::Silence);
    let requests: Vec<_> = users
        .iter()
        .flat_map(|(name, token)| {
            let line = format!("GET /apis/hold.example.com/v2/namespaces/{name}/widgets");
            let of_one = (0..14).map({
                let line = line.clone();
                move |_| format!("{line}/w")
            });
            let lists = (0..2).map(move |_| line.clone());
            of_one.chain(lists).map(move |line| (token.as_str(), line, Value::Null))
        })
        .collect();
    meanwhile(&world, &hostile, &requests, async || {
        world.must(Alice, "GET /api/v1/namespaces/shop/configmaps/kube-root-ca.crt", Value::Null).await;
        world.must(Alice, "POST /api/v1/namespaces/shop/configmaps", map("none", 1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_waits_for_no_webhook_and_what_was_read_before_is_not_written() {
    const BACKUP: &str = "/palisade/v1/backup";
    let world = World::new().await;
    let (hostile, users) = (Hostile::start().await, users(&world, 1).await);
    let (name, token) = &users[0];
    let line = format!("/api/v1/namespaces/{name}/configmaps");
    let one = json!({"metadata": {"name": "one", "labels": {"is": "slow"}}, "data": {"at": "backup"}});
    world.must(Admin, &format!("POST {line}"), one.clone()).await;
    let configuration = json!({"metadata": {"name": "h"}, "webhooks": [hook(&hostile, "slow")]});
    world.must(Admin, &path("validating"), configuration).await;
    let backup = world.send(Admin, &format!("GET {BACKUP}"), &Value::Null).await.body;
    let answers = Arc::new(Semaphore::new(0));
    hostile.says(Answer::Later(Arc::clone(&answers)));
    let changed = json!({"metadata": {"name": "one", "labels": {"is": "slow"}}, "data": {"at": "after"}});
    let requests = [
        ("PUT", format!("{line}/one"), changed.clone()),
        ("POST", line.clone(), json!({"metadata": {"name": "two", "labels": {"is": "slow"}}})),
        ("DELETE", format!("{line}/one"), Value::Null),
    ];
    let sent = join_all(requests.iter().map(async |(method, path, body)| {
        let reply = world.with_token(token, &format!("{method} {path}"), body).await;
        (*method, reply.code, reply.text())
    }));
    let restored = async {
        while hostile.asked() < requests.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let kind = [("content-type", "application/vnd.sqlite3")];
        let reply = world.send_as(Admin, &format!("POST {BACKUP}"), &kind, &backup).await;
        assert_eq!(reply.code, 200, "{}", reply.text());
        // Nobody has answered so far.
        assert_eq!(hostile.asked(), requests.len());
        answers.add_permits(requests.len());
    };
    let (sent, ()) = tokio::join!(sent, restored);
    for (method, code, said) in sent {
        assert!(code == 503 && said.contains("a backup was restored"), "{method}: {code} {said}");
    }
    let found = world.must(Admin, &format!("GET {line}"), Value::Null).await;
    let found: Vec<&Value> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["metadata"]["name"] != "kube-root-ca.crt")
        .filter(|item| item["metadata"]["name"] != "openshift-service-ca.crt")
        .map(|item| &item["data"])
        .collect();
    assert_eq!(found, [&json!({"at": "backup"})]);
}

/// A pod with a label.
fn pod(name: &str, label: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"is": label}}, "spec": {"containers": [{"name": "c", "image": "a"}]}})
}

/// A definition with a label.
fn definition(plural: &str, label: &str) -> Value {
    let version = json!({"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object"}}});
    json!({"metadata": {"name": format!("{plural}.waits.example.com"), "labels": {"is": label}}, "spec": {
        "group": "waits.example.com", "scope": "Namespaced", "names": {"plural": plural, "kind": plural}, "versions": [version]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn evictions_and_definitions_that_wait_for_a_webhook_hold_no_lock() {
    const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    const EVICT: &str = "POST /api/v1/namespaces/shop/pods";
    let world = World::new().await;
    let hostile = Hostile::start().await;
    hostile.says(Answer::Silence);
    let eviction =
        |name: &str| json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    for (name, label) in [("p", "slow"), ("q", "none")] {
        world.must(Admin, "POST /api/v1/namespaces/shop/pods", pod(name, label)).await;
    }
    let kinds = [["", "v1", "pods"], ["apiextensions.k8s.io", "v1", "customresourcedefinitions"]];
    let hooks = kinds.map(|kind| hook_of(&hostile, "slow", kind));
    world.must(Admin, &path("validating"), json!({"metadata": {"name": "h"}, "webhooks": hooks})).await;
    let rules = json!([{"verbs": ["create"], "apiGroups": ["apiextensions.k8s.io"], "resources": ["*"]}]);
    let role = json!({"metadata": {"name": "definer"}, "rules": rules});
    world.must(Admin, "POST /apis/rbac.authorization.k8s.io/v1/clusterroles", role).await;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"metadata": {"name": "definer"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "definer"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "alice"}]});
    world.must(Admin, "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await;
    let requests = [
        (world.token(Alice), format!("{EVICT}/p/eviction"), eviction("p")),
        (world.token(Alice), format!("POST {DEFINITIONS}"), definition("slows", "slow")),
    ];
    meanwhile(&world, &hostile, &requests, async || {
        assert_eq!(hostile.asked(), 2);
        world.must(Admin, &format!("{EVICT}/q/eviction"), eviction("q")).await;
        let quick = world.must(Admin, &format!("POST {DEFINITIONS}"), definition("quicks", "none")).await;
        let change = json!({"metadata": {"annotations": {"a": "b"}}});
        let name = quick["metadata"]["name"].as_str().unwrap();
        world.must(Admin, &format!("PATCH {DEFINITIONS}/{name}"), change).await;
    })
    .await;
}

/// Sends requests which a webhook lets wait until all of them do; their codes, the smallest first.
async fn at_once(world: &World, hostile: &Hostile, line: &str, bodies: &[Value]) -> Vec<u16> {
    let answers = Arc::new(Semaphore::new(0));
    hostile.says(Answer::Later(Arc::clone(&answers)));
    let sent = join_all(bodies.iter().map(async |body| world.send(Admin, line, body).await.code));
    let released = async {
        while hostile.asked() < bodies.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answers.add_permits(bodies.len());
    };
    let (mut codes, ()) = tokio::join!(sent, released);
    codes.sort_unstable();
    codes
}

/// What a namespace, or the cluster, has room for once is not had twice by those that were allowed at one moment.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_webhook_lets_go_at_once_pass_no_bound() {
    const DEFINITIONS: &str = "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let world = World::new().await;
    let hostile = Hostile::start().await;
    let plurals = ["resourcequotas", "limitranges"];
    for plural in plurals {
        let line = format!("POST /api/v1/namespaces/shop/{plural}");
        for at in 0..99 {
            let made = json!({"metadata": {"name": format!("q{at}")}, "spec": {"limits": []}});
            world.must(Admin, &format!("{line}?fieldValidation=Ignore"), made).await;
        }
    }
    let definitions = ["apiextensions.k8s.io", "v1", "customresourcedefinitions"];
    let kinds = plurals.map(|plural| ["", "v1", plural]).into_iter().chain([definitions]);
    let hooks: Vec<Value> = kinds.map(|kind| hook_of(&hostile, "slow", kind)).collect();
    world.must(Admin, &path("validating"), json!({"metadata": {"name": "h"}, "webhooks": hooks})).await;
    for plural in plurals {
        let line = format!("POST /api/v1/namespaces/shop/{plural}?fieldValidation=Ignore");
        let body =
            json!({"metadata": {"generateName": "r-", "labels": {"is": "slow"}}, "spec": {"limits": []}});
        assert_eq!(at_once(&world, &hostile, &line, &vec![body; 4]).await, [201, 403, 403, 403], "{plural}");
    }
    // Two definitions of one kind: one is given the name.
    let mut second = definition("seconds", "slow");
    second["spec"]["names"]["kind"] = json!("firsts");
    let codes = at_once(&world, &hostile, DEFINITIONS, &[definition("firsts", "slow"), second]).await;
    assert_eq!(codes, [201, 201]);
    let mut named = Vec::new();
    for plural in ["firsts", "seconds"] {
        let line = format!("{}/{plural}.waits.example.com", DEFINITIONS.replace("POST", "GET"));
        let found = world.must(Admin, &line, Value::Null).await;
        named.push(found["status"]["conditions"][0]["status"].as_str().unwrap_or_default().to_owned());
    }
    named.sort_unstable();
    assert_eq!(named, ["False", "True"], "NamesAccepted");
}
