//! Files that claim to be backups.

use serde_json::{Value, json};

use super::world::Who::{Admin, Mallory};
use super::world::{World, private};

const PATH: &str = "/palisade/v1/backup";

/// A backup, changed by SQL.
async fn changed(world: &World, sql: &str) -> Vec<u8> {
    let good = world.send(Admin, &format!("GET {PATH}"), &Value::Null).await;
    assert_eq!(good.code, 200);
    let folder = private();
    let file = folder.path().join("backup");
    std::fs::write(&file, good.body).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    std::fs::read(&file).unwrap()
}

/// A store of 12 KB whose view has no end.
fn endless() -> Vec<u8> {
    let folder = private();
    let file = folder.path().join("backup");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch(
            "PRAGMA application_id = 1347179332; PRAGMA user_version = 1;
             CREATE TABLE compacted (revision INTEGER NOT NULL) STRICT;
             CREATE VIEW versions AS WITH RECURSIVE n(revision) AS (SELECT 1 UNION ALL SELECT revision + 1 FROM n)
             SELECT revision, 'pods' AS resource, '' AS namespace, 'a' AS name, 1 AS created, 0 AS deleted, x'' AS value FROM n",
        )
        .unwrap();
    drop(connection);
    std::fs::read(&file).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_backup_is_refused_and_stops_nobody() {
    let world = World::new().await;
    let newest =
        world.must(Admin, "GET /api/v1/namespaces", Value::Null).await["metadata"]["resourceVersion"].clone();
    let set =
        |what: &str| format!("UPDATE versions SET {what} WHERE resource = 'namespaces' AND name = 'lair'");
    let cases = [
        ("a view without end", endless()),
        (
            "a trigger",
            changed(&world, "CREATE TRIGGER t AFTER INSERT ON versions BEGIN DELETE FROM versions; END")
                .await,
        ),
        ("a view", changed(&world, "CREATE VIEW v AS SELECT 1").await),
        ("an object that is none", changed(&world, &set("value = CAST('nonsense' AS BLOB)")).await),
        ("an object of another name", changed(&world, &set("name = 'other'")).await),
        ("an object of another namespace", changed(&world, &set("namespace = 'shop'")).await),
        ("an object of no kind", changed(&world, &set("resource = 'nothing'")).await),
        (
            "an object that does not fit its kind",
            changed(
                &world,
                &set("value = CAST('{\"metadata\": {\"name\": \"lair\", \"labels\": 7}}' AS BLOB)"),
            )
            .await,
        ),
        (
            "a deep object",
            changed(
                &world,
                &format!(
                    "UPDATE versions SET value = CAST('{}' AS BLOB) WHERE name = 'lair'",
                    "[".repeat(100_000)
                ),
            )
            .await,
        ),
        ("no revision left", changed(&world, "UPDATE sqlite_sequence SET seq = 9223372036854775807").await),
        ("nonsense", b"nonsense".to_vec()),
        ("nothing", Vec::new()),
    ];
    let kind = [("content-type", "application/vnd.sqlite3")];
    for (what, bytes) in &cases {
        let reply = world.send_as(Admin, &format!("POST {PATH}"), &kind, bytes).await;
        assert_eq!(reply.code, 400, "{what}: {}", reply.text());
        let found = world.must(Admin, "GET /api/v1/namespaces", Value::Null).await;
        assert_eq!(found["metadata"]["resourceVersion"], newest, "{what}");
    }
    let good = world.send(Admin, &format!("GET {PATH}"), &Value::Null).await.body;
    assert_eq!(world.send_as(Mallory, &format!("POST {PATH}"), &kind, &good).await.code, 403);
    world.must(Admin, "POST /api/v1/namespaces/shop/configmaps", json!({"metadata": {"name": "new"}})).await;
    let reply = world.send_as(Admin, &format!("POST {PATH}"), &kind, &good).await;
    assert_eq!(reply.code, 200, "{}", reply.text());
    assert_eq!(world.send(Admin, "GET /api/v1/namespaces/shop/configmaps/new", &Value::Null).await.code, 404);
    // Nothing of all this stays behind.
    let left = world
        .data()
        .read_dir()
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("transfer-"))
        .count();
    assert_eq!(left, 0);
}
