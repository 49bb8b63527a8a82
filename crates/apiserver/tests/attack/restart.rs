//! What a server that was killed left unfinished.

use std::time::Duration;

use palisade_store::{Key, Store};
use serde_json::{Value, json};

use super::world::Who::Admin;
use super::world::World;

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

/// Writes an object as a server that was killed right afterwards.
fn mark(store: &Store, name: &str, finalizer: &str) {
    let key = Key::new("configmaps", "shop", name);
    let found = store.get(&key).unwrap().unwrap();
    let mut object: Value = serde_json::from_slice(&found.value).unwrap();
    object["metadata"]["finalizers"] = json!([finalizer]);
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    store.update(&key, found.revision, object.to_string().as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_of_owners_go_on_after_a_restart() {
    let world = World::new().await;
    let owners = ["leaves", "takes", "gone"];
    for name in owners {
        let owner = world.must(Admin, &format!("POST {MAPS}"), json!({"metadata": {"name": name}})).await;
        let reference =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": owner["metadata"]["uid"]});
        let owned = json!({"metadata": {"name": format!("of-{name}"), "ownerReferences": [reference]}});
        world.must(Admin, &format!("POST {MAPS}"), owned).await;
    }
    let folder = world.end().await;
    let store = Store::open(&folder.path().join("data")).unwrap();
    mark(&store, "leaves", "orphan");
    mark(&store, "takes", "foregroundDeletion");
    store.delete(&Key::new("configmaps", "shop", "gone"), None).unwrap();
    drop(store);
    let world = World::start(folder, |_| {}).await;
    let expected = [("leaves", 404), ("takes", 404), ("of-leaves", 200), ("of-takes", 404), ("of-gone", 404)];
    let mut found = Vec::new();
    for _ in 0..300 {
        found.clear();
        for (name, _) in expected {
            found.push((name, world.send(Admin, &format!("GET {MAPS}/{name}"), &Value::Null).await.code));
        }
        if found == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(found, expected);
    let left = world.must(Admin, &format!("GET {MAPS}/of-leaves"), Value::Null).await;
    assert!(left["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty), "{left}");
}
