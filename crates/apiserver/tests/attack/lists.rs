//! Options of lists and watches that contradict each other, and the results of valid ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::world::Who::Admin;
use super::world::{Reply, World};

const MAPS: &str = "GET /api/v1/namespaces/shop/configmaps";

async fn ask(world: &World, query: &str) -> Reply {
    world.send(Admin, &format!("{MAPS}?{query}"), &Value::Null).await
}

async fn events(world: &World, query: &str) -> Vec<Value> {
    let reply = ask(world, &format!("watch=true&timeoutSeconds=1&{query}")).await;
    assert_eq!(reply.code, 200, "{query}: {}", reply.text());
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The type of each event, and for a bookmark whether it ends the initial ones.
fn shown(events: &[Value]) -> String {
    let one = |event: &Value| {
        let is_end = event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
        format!("{}{}", event["type"].as_str().unwrap(), if is_end { "(end)" } else { "" })
    };
    events.iter().map(one).collect::<Vec<_>>().join(" ")
}

async fn three_maps(world: &World) -> Vec<u64> {
    let mut revisions = Vec::new();
    for name in ["a", "b", "c"] {
        let made = world
            .must(Admin, "POST /api/v1/namespaces/shop/configmaps", json!({"metadata": {"name": name}}))
            .await;
        revisions.push(made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap());
    }
    revisions
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_start_where_their_options_say() {
    let world = World::new().await;
    let revisions = three_maps(&world).await;
    let (first, future) = (revisions[0], revisions[2] + 1_000_000);
    let names = |reply: Reply| -> Vec<String> {
        let list = reply.json();
        let items = list["items"].as_array().unwrap_or_else(|| panic!("{list}"));
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .filter(|name| name.len() == 1)
            .collect()
    };
    for (query, wanted) in [
        (String::new(), "abc"),
        ("resourceVersion=0".to_owned(), "abc"),
        (format!("resourceVersion={first}"), "abc"),
        (format!("resourceVersion={first}&resourceVersionMatch=NotOlderThan"), "abc"),
        (format!("resourceVersion={first}&resourceVersionMatch=Exact"), "a"),
        // Pages from a revision are of that revision, as they were before `resourceVersionMatch` existed.
        (format!("resourceVersion={first}&limit=10"), "a"),
        (format!("resourceVersion={first}&limit=10&resourceVersionMatch=NotOlderThan"), "abc"),
    ] {
        assert_eq!(names(ask(&world, &query).await).concat(), wanted, "{query}");
    }
    let page = ask(&world, "limit=1").await.json();
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(names(ask(&world, &format!("continue={token}&resourceVersion=0")).await).concat(), "bc");
    for (query, code, text) in [
        (
            format!("continue={token}&resourceVersion={first}"),
            400,
            "specifying resource version is not allowed when using continue",
        ),
        (
            format!("continue={token}&resourceVersion={first}&resourceVersionMatch=Exact"),
            422,
            "forbidden when continue is provided",
        ),
        ("continue=nonsense".to_owned(), 400, "continue key is not valid"),
        ("resourceVersion=abc".to_owned(), 400, "invalid resource version"),
        ("resourceVersion=-1&limit=5".to_owned(), 400, "invalid resource version"),
        (format!("resourceVersion={future}"), 504, "Too large resource version"),
        (format!("resourceVersion={future}&limit=3"), 504, "Too large resource version"),
        (format!("resourceVersion={future}&resourceVersionMatch=Exact"), 504, "Too large resource version"),
        ("sendInitialEvents=true".to_owned(), 422, "sendInitialEvents is forbidden for list"),
        ("limit=x".to_owned(), 400, "limit"),
        ("resourceVersionMatch=Exact".to_owned(), 422, "forbidden unless resourceVersion is provided"),
    ] {
        let reply = ask(&world, &query).await;
        assert_eq!(reply.code, code, "{query}: {}", reply.text());
        assert!(reply.text().contains(text), "{query}: {}", reply.text());
    }
    let deleted = world
        .send(Admin, "DELETE /api/v1/namespaces/shop/configmaps?resourceVersionMatch=Exact", &Value::Null)
        .await;
    assert_eq!(deleted.code, 422, "{}", deleted.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_start_where_their_options_say() {
    let world = World::new().await;
    let revisions = three_maps(&world).await;
    let (first, last) = (revisions[0], revisions[2]);
    let all = "ADDED ADDED ADDED ADDED";
    for (query, wanted) in [
        (String::new(), all.to_owned()),
        ("resourceVersion=0".to_owned(), all.to_owned()),
        ("allowWatchBookmarks=true".to_owned(), format!("{all} BOOKMARK(end)")),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(), all.to_owned()),
        ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true".to_owned(), format!("{all} BOOKMARK(end)")),
        (format!("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion={last}"), format!("{all} BOOKMARK(end)")),
        (format!("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={}", last + 1_000_000), "ERROR".to_owned()),
        (format!("resourceVersion={first}"), "ADDED ADDED".to_owned()),
        (format!("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion={first}"), "ADDED ADDED".to_owned()),
        (format!("resourceVersion={first}&limit=1&continue=x"), "ADDED ADDED".to_owned()),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan".to_owned(), String::new()),
        ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0&allowWatchBookmarks=true".to_owned(), String::new()),
    ] {
        assert_eq!(shown(&events(&world, &query).await), wanted, "{query}");
    }
    for query in [
        "sendInitialEvents=true",
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "resourceVersionMatch=NotOlderThan&resourceVersion=0",
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
    ] {
        let reply = ask(&world, &format!("watch=true&timeoutSeconds=1&{query}")).await;
        assert_eq!(reply.code, 422, "{query}: {}", reply.text());
    }
    assert_eq!(ask(&world, "watch=true&resourceVersion=abc").await.code, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_of_any_size_are_deleted() {
    let world = World::new().await;
    let label = json!({"of": "test"});
    let selected = "/api/v1/namespaces/shop/configmaps?labelSelector=of%3Dtest";
    for (count, size) in [(3, 10), (12, 900_000)] {
        for number in 0..count {
            let map = json!({"metadata": {"name": format!("large-{number}"), "labels": label}, "data": {"a": "x".repeat(size)}});
            world.must(Admin, "POST /api/v1/namespaces/shop/configmaps", map).await;
        }
        let reply = world.send(Admin, &format!("HEAD {selected}"), &Value::Null).await;
        assert_eq!(reply.code, 200, "{count}");
        let said = world.must(Admin, &format!("DELETE {selected}&limit=1"), Value::Null).await;
        assert_eq!(said["items"].as_array().map(Vec::len), Some(1));
        let said = world.must(Admin, &format!("DELETE {selected}"), Value::Null).await;
        // A short list of deleted objects is returned; a long one is answered by a status.
        match said["kind"].as_str() {
            Some("ConfigMapList") => {
                assert_eq!((said["items"].as_array().map(Vec::len), size), (Some(2), 10))
            }
            kind => assert_eq!((kind, &said["status"], size), (Some("Status"), &json!("Success"), 900_000)),
        }
        let left = world.must(Admin, &format!("GET {selected}"), Value::Null).await;
        assert_eq!(left["items"], json!([]));
    }
    let others = world.must(Admin, MAPS, Value::Null).await;
    assert_ne!(others["items"], json!([]));
}

/// Clients of Kubernetes ask for all objects at once, in protobuf.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_whole_in_every_form_and_never_held() {
    let world = World::apart().await;
    let mut last = String::new();
    for number in 0..4 {
        let map = json!({"metadata": {"name": format!("large-{number}"), "labels": {"odd": (number % 2).to_string()}},
            "data": {"text": "x y\n".repeat(225_000)}});
        let made = world.must(Admin, "POST /api/v1/namespaces/shop/configmaps", map).await;
        last = made["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    }
    // Of one moment, as something else may be written meanwhile.
    let moment = format!("resourceVersion={last}&resourceVersionMatch=Exact");
    let message = palisade_api::schema::message("ConfigMap").unwrap();
    for query in ["", "&labelSelector=odd%3D1", "&labelSelector=none", "&limit=1"] {
        let ask = async |accept: &str| {
            let reply =
                world.send_as(Admin, &format!("{MAPS}?{moment}{query}"), &[("accept", accept)], b"").await;
            assert_eq!(reply.code, 200, "{accept} {query}: {}", reply.text());
            assert_eq!(reply.header("content-type"), Some(accept), "{query}");
            reply
        };
        let list = ask("application/json").await.json();
        let protobuf = ask("application/vnd.kubernetes.protobuf").await.body;
        assert!(
            protobuf == palisade_api::protobuf::encode_list(&list, message),
            "{query}: {}",
            protobuf.len()
        );
        let yaml = ask("application/yaml").await;
        assert!(yaml.text() == palisade_k8s::yaml::write(&list), "{query}: {}", yaml.body.len());
    }
    let (_, most) = world.memory();
    assert!(most < 256, "{most} MB");
}

/// Those who administer a namespace of a deleted one's name see nothing of that, though its versions are still kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_shows_nothing_of_a_former_one() {
    let world = World::new().await;
    let create = json!({"metadata": {"name": "former"}});
    world.must(Admin, "POST /api/v1/namespaces", create.clone()).await;
    let secret = json!({"metadata": {"name": "key"}, "stringData": {"key": "former"}});
    let made = world.must(Admin, "POST /api/v1/namespaces/former/secrets", secret).await;
    let before: u64 = made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    world.must(Admin, "DELETE /api/v1/namespaces/former", Value::Null).await;
    while world.send(Admin, "GET /api/v1/namespaces/former", &Value::Null).await.code != 404 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let made = world.must(Admin, "POST /api/v1/namespaces", create).await;
    let created = made["metadata"]["resourceVersion"].as_str().unwrap();
    let token = URL_SAFE_NO_PAD.encode(json!([before, "former", "a"]).to_string());
    for (query, code) in [
        (format!("resourceVersion={before}&resourceVersionMatch=Exact"), 410),
        (format!("resourceVersion={before}&limit=10"), 410),
        (format!("continue={token}"), 410),
        (format!("watch=true&timeoutSeconds=1&resourceVersion={before}"), 410),
        (format!("resourceVersion={before}"), 200),
        (format!("resourceVersion={created}&resourceVersionMatch=Exact"), 200),
        (format!("watch=true&timeoutSeconds=1&resourceVersion={created}"), 200),
    ] {
        let line = format!("GET /api/v1/namespaces/former/secrets?{query}");
        let reply = world.send(Admin, &line, &Value::Null).await;
        assert_eq!(reply.code, code, "{query}: {}", reply.text());
        assert!(!reply.text().contains("Zm9ybWVy"), "{query}: {}", reply.text());
    }
}
