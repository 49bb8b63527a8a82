//! Hand-made backups, and groups of writes that fail half-way.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use palisade_store::{Key, Store, StoreError, Write};
use rusqlite::Connection;

fn any(_: &Key, _: &[u8]) -> Result<(), String> {
    Ok(())
}

/// Makes all entries of the root of the table of versions lead to one page.
fn tie(file: &Path, to_itself: bool) {
    let connection = Connection::open(file).unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as usize;
    let (size, root) =
        (number("PRAGMA page_size"), number("SELECT rootpage FROM sqlite_schema WHERE name = 'versions'"));
    drop(connection);
    let mut bytes = std::fs::read(file).unwrap();
    let page = &mut bytes[(root - 1) * size..root * size];
    assert_eq!(page[0], 5, "the root must have pages below it");
    let at = |page: &[u8], place: usize| usize::from(u16::from_be_bytes([page[place], page[place + 1]]));
    let cells: Vec<usize> = (0..at(page, 3)).map(|cell| at(page, 12 + 2 * cell)).collect();
    assert!(cells.len() > 3);
    let mut target = <[u8; 4]>::try_from(&page[cells[0]..cells[0] + 4]).unwrap();
    if to_itself {
        target = u32::try_from(root).unwrap().to_be_bytes();
    }
    for cell in cells {
        page[cell..cell + 4].copy_from_slice(&target);
    }
    std::fs::write(file, bytes).unwrap();
}

/// A manipulation of a backup.
enum Harm {
    Sql(&'static str),
    Bytes(fn(&Path)),
}

#[test]
fn a_backup_is_read_as_data_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("data")).unwrap();
    for at in 0..200 {
        store.create(&Key::new("pods", "a", format!("p{at}")), &[b'x'; 300]).unwrap();
    }
    let good = folder.path().join("good");
    store.backup(&good).unwrap();
    let newest = store.revision();
    let endless = "DROP TABLE compacted; CREATE VIEW compacted AS WITH RECURSIVE n(revision) AS
        (SELECT 0 UNION ALL SELECT revision + 1 FROM n) SELECT max(revision) AS revision FROM n";
    let cases = [
        ("a trigger", Harm::Sql("CREATE TRIGGER t AFTER INSERT ON versions BEGIN DELETE FROM versions; END")),
        ("a view", Harm::Sql("CREATE VIEW v AS SELECT 1")),
        ("a view that never ends", Harm::Sql(endless)),
        ("another table", Harm::Sql("CREATE TABLE t (x)")),
        ("another index", Harm::Sql("CREATE INDEX i ON versions (value)")),
        (
            "a column that is computed",
            Harm::Sql("ALTER TABLE versions ADD COLUMN x BLOB AS (zeroblob(1000000000))"),
        ),
        ("no revision left", Harm::Sql("UPDATE sqlite_sequence SET seq = 9223372036854775807")),
        ("a counter that went back", Harm::Sql("UPDATE sqlite_sequence SET seq = 1")),
        ("a counter twice", Harm::Sql("INSERT INTO compacted VALUES (0)")),
        ("a creation in the future", Harm::Sql("UPDATE versions SET created = 1000000 WHERE revision = 7")),
        ("a revision below all", Harm::Sql("UPDATE versions SET revision = -7 WHERE revision = 7")),
        ("a tree that leads to one page", Harm::Bytes(|file| tie(file, false))),
        ("a tree that leads to itself", Harm::Bytes(|file| tie(file, true))),
        (
            "half a file",
            Harm::Bytes(|file| {
                let bytes = std::fs::read(file).unwrap();
                std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
            }),
        ),
    ];
    for (number, (what, harm)) in cases.iter().enumerate() {
        let file = folder.path().join(format!("bad{number}"));
        std::fs::copy(&good, &file).unwrap();
        match harm {
            Harm::Sql(sql) => Connection::open(&file).unwrap().execute_batch(sql).unwrap(),
            Harm::Bytes(change) => change(&file),
        }
        let begin = Instant::now();
        let refused = store.restore(&file, &any).unwrap_err();
        let is_named = matches!(refused, StoreError::Unfit { .. } | StoreError::Foreign(_));
        assert!(is_named, "{what}: {refused:?}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{what}: {:?}", begin.elapsed());
        let fresh = folder.path().join(format!("fresh{number}"));
        assert!(Store::from_backup(&file, &fresh, &any).is_err(), "{what}");
        assert!(!fresh.join("store.sqlite").exists(), "{what}");
    }
    assert_eq!(store.revision(), newest);
    // A backup that the owner of the objects refuses is not restored either, and nothing stays behind.
    let picky = |key: &Key, _: &[u8]| if key.name == "p7" { Err("not p7".to_owned()) } else { Ok(()) };
    let refused = store.restore(&good, &picky).unwrap_err();
    assert!(refused.to_string().ends_with("pods a/p7: not p7"), "{refused}");
    let left = |folder: &Path| folder.read_dir().unwrap().count();
    assert_eq!(left(&folder.path().join("data")), 4, "the store, its two logs, the lock");
    let restored = Store::from_backup(&good, &folder.path().join("restored"), &any).unwrap();
    assert_eq!(restored.revision(), newest);
    restored.create(&Key::new("pods", "a", "next"), b"x").unwrap();
}

#[test]
fn a_named_pipe_in_place_of_a_backup_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, data) = (folder.path().join("pipe"), folder.path().join("data"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(matches!(Store::from_backup(&pipe, &data, &any), Err(StoreError::Foreign(_))));
}

#[test]
fn all_writes_of_a_group_are_made_or_none() {
    let store = Store::ephemeral().unwrap();
    let key = |name: &str| Key::new("users", "", name);
    let token = |name: &str| Key::new("tokens", "ann", name);
    let put = |key: Key, value: &[u8]| Write::Put { key, value: value.to_vec() };
    store.transact(vec![put(key("ann"), b"1"), put(token("a"), b""), put(token("b"), b"")]).unwrap();
    let before = store.revision();
    let gone = || Write::Clear { resource: "tokens".to_owned(), namespace: "ann".to_owned() };
    let missing = Write::Delete { key: key("bob"), expected: None };
    assert!(matches!(store.transact(vec![gone(), missing]), Err(StoreError::Missing(_))));
    assert_eq!(store.revision(), before);
    assert_eq!(store.list("tokens", Some("ann"), None, None).unwrap().objects.len(), 2);
    let first = store.get(&key("ann")).unwrap().unwrap();
    store.transact(vec![put(key("ann"), b"2")]).unwrap();
    assert_eq!(store.get(&key("ann")).unwrap().unwrap().created, first.created);
    store.transact(vec![Write::Delete { key: key("ann"), expected: None }, gone()]).unwrap();
    assert!(store.list("tokens", None, None, None).unwrap().objects.is_empty());
    let newest = store.revision();
    assert_eq!(store.transact(vec![gone()]).unwrap(), newest, "without a change there is no write");
    assert_eq!(store.revision(), newest);
}
