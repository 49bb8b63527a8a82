//! The store against a model that keeps everything, and at its edges.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use palisade_store::{Change, Event, Key, Revision, Store, StoreError, Write};
use proptest::prelude::*;

/// Takes every object of a backup.
const ANY: fn(&Key, &[u8]) -> Result<(), String> = |_, _| Ok(());

/// A client's request.
#[derive(Clone, Debug)]
enum Step {
    Create(u8, u8),
    Update(u8, u8),
    UpdateStale(u8),
    Delete(u8),
    Compact(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, any::<u8>()).prop_map(|(key, value)| Step::Create(key, value)),
        6 => (0..6_u8, any::<u8>()).prop_map(|(key, value)| Step::Update(key, value)),
        1 => (0..6_u8).prop_map(Step::UpdateStale),
        3 => (0..6_u8).prop_map(Step::Delete),
        1 => any::<u8>().prop_map(Step::Compact),
    ]
}

/// Two namespaces of one resource, and another resource.
fn key(number: u8) -> Key {
    let (resource, namespace) = [("pods", "a"), ("pods", "b"), ("nodes", "")][usize::from(number % 3)];
    Key::new(resource, namespace, format!("n{}", number / 3))
}

/// The effect of a write: the object, its new value, and its old one.
type Happened = (Change, Key, Vec<u8>, Option<Vec<u8>>);

/// The state after each write, from the one before all.
#[derive(Default)]
struct Model {
    states: Vec<BTreeMap<Key, (u64, Vec<u8>)>>,
    events: Vec<Happened>,
    compacted: u64,
}

impl Model {
    fn now(&self) -> BTreeMap<Key, (u64, Vec<u8>)> {
        self.states.last().cloned().unwrap_or_default()
    }

    fn write(&mut self, change: Change, key: &Key, value: Option<Vec<u8>>) {
        let mut state = self.now();
        let revision = self.states.len() as u64 + 1;
        let old = state.remove(key).map(|(_, value)| value);
        let shown = value.clone().or_else(|| old.clone()).unwrap();
        if let Some(value) = value {
            state.insert(key.clone(), (revision, value));
        }
        self.events.push((change, key.clone(), shown, old));
        self.states.push(state);
    }

    fn apply(&mut self, store: &Store, step: &Step) {
        match step {
            Step::Create(number, value) => {
                match (store.create(&key(*number), &[*value]), self.now().get(&key(*number))) {
                    (Ok(revision), None) => {
                        self.write(Change::Created, &key(*number), Some(vec![*value]));
                        assert_eq!(revision.number(), self.states.len() as u64);
                    }
                    (Err(StoreError::Exists(_)), Some(_)) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Update(number, value) => {
                let Some((revision, _)) = self.now().get(&key(*number)).cloned() else { return };
                store.update(&key(*number), Revision::new(revision).unwrap(), &[*value]).unwrap();
                self.write(Change::Updated, &key(*number), Some(vec![*value]));
            }
            Step::UpdateStale(number) => {
                let stale = store.update(&key(*number), Revision::default(), b"x");
                match self.now().get(&key(*number)) {
                    Some((actual, _)) => assert!(
                        matches!(&stale, Err(StoreError::Conflict { actual: a, .. }) if a.number() == *actual),
                        "{stale:?}"
                    ),
                    None => assert!(matches!(stale, Err(StoreError::Missing(_))), "{stale:?}"),
                }
            }
            Step::Delete(number) => {
                match (store.delete(&key(*number), None), self.now().get(&key(*number))) {
                    (Ok(last), Some((_, value))) => {
                        assert_eq!(last.value, *value);
                        self.write(Change::Deleted, &key(*number), None);
                    }
                    (Err(StoreError::Missing(_)), None) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Compact(share) => {
                let until = self.states.len() as u64 * u64::from(*share) / 255;
                store.compact(Revision::new(until).unwrap()).unwrap();
                self.compacted = self.compacted.max(until);
            }
        }
    }
}

/// Pages of two, of one moment.
fn list(
    store: &Store,
    resource: &str,
    namespace: Option<&str>,
    revision: u64,
) -> Result<Vec<(Key, u64)>, StoreError> {
    let start = palisade_store::Cursor {
        revision: Revision::new(revision).unwrap(),
        namespace: String::new(),
        name: String::new(),
    };
    let (mut all, mut after) = (Vec::new(), Some(start));
    while let Some(cursor) = after {
        let page = store.list(resource, namespace, Some(2), Some(&cursor))?;
        assert!(page.objects.len() <= 2);
        all.extend(page.objects.into_iter().map(|object| (object.key, object.revision.number())));
        after = page.next;
    }
    Ok(all)
}

fn check(store: &Store, model: &Model) {
    let newest = model.states.len() as u64;
    for revision in 0..=newest {
        let empty = BTreeMap::new();
        let state = revision.checked_sub(1).map_or(&empty, |at| &model.states[at as usize]);
        for (resource, namespace) in [("pods", None), ("pods", Some("a")), ("nodes", None)] {
            let wanted = |key: &Key| key.resource == resource && namespace.is_none_or(|n| n == key.namespace);
            let expected: Vec<_> = state
                .iter()
                .filter(|(key, _)| wanted(key))
                .map(|(key, (at, _))| (key.clone(), *at))
                .collect();
            match list(store, resource, namespace, revision) {
                Ok(found) => assert_eq!(found, expected, "{resource} {namespace:?} at {revision}"),
                Err(StoreError::Compacted { .. }) => assert!(revision < model.compacted),
                Err(error) => panic!("{error}"),
            }
            check_watch(store, model, (resource, namespace), revision);
        }
        check_touched(store, model, revision);
    }
}

fn check_touched(store: &Store, model: &Model, after: u64) {
    let (found, until) = match store.touched(Revision::new(after).unwrap()) {
        Ok(found) => found,
        Err(StoreError::Compacted { .. }) => return assert!(after < model.compacted),
        Err(error) => panic!("{error}"),
    };
    let events = model.events.iter().skip(after as usize);
    let expected: BTreeSet<String> = events.map(|(_, key, ..)| key.namespace.clone()).collect();
    assert_eq!((found.len(), until), (expected.len(), store.revision()), "each once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

fn check_watch(store: &Store, model: &Model, (resource, namespace): (&str, Option<&str>), after: u64) {
    let mut watch = match store.watch(resource, namespace, Revision::new(after).unwrap()) {
        Ok(watch) => watch,
        Err(StoreError::Compacted { .. }) => return assert!(after < model.compacted),
        Err(error) => panic!("{error}"),
    };
    let found = watch.next(Duration::ZERO).unwrap();
    let expected: Vec<Event> = (1..)
        .zip(&model.events)
        .filter(|(revision, (_, key, ..))| {
            *revision > after && key.resource == resource && namespace.is_none_or(|n| n == key.namespace)
        })
        .map(|(revision, (change, key, value, previous))| Event {
            revision: Revision::new(revision).unwrap(),
            change: *change,
            key: key.clone(),
            value: value.clone(),
            previous: previous.clone(),
        })
        .collect();
    assert_eq!(found, expected);
    assert_eq!(watch.seen(), store.revision());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_as_a_model_that_keeps_everything(steps in prop::collection::vec(step(), 1..40)) {
        let store = Store::ephemeral().unwrap();
        let mut model = Model::default();
        for step in &steps {
            model.apply(&store, step);
        }
        check(&store, &model);
    }
}

#[test]
fn concurrent_writers_lose_nothing_and_a_watch_sees_each_write_once() {
    let store = Store::ephemeral().unwrap();
    let key = Key::new("counters", "", "one");
    let first = store.create(&key, b"0").unwrap();
    let mut watch = store.watch("counters", None, first).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| increment(&store, &key)));
        }
        let mut seen = Vec::new();
        while seen.len() < 400 {
            seen.extend(watch.next(Duration::from_secs(10)).unwrap());
        }
        let values: Vec<u32> =
            seen.iter().map(|e| std::str::from_utf8(&e.value).unwrap().parse().unwrap()).collect();
        assert_eq!(values, (1..=400).collect::<Vec<_>>());
        assert!(seen.is_sorted_by(|a, b| a.revision < b.revision));
    });
    assert_eq!(store.get(&key).unwrap().unwrap().value, b"400");
}

/// Reads, adds one and writes, until no other write came between.
fn increment(store: &Store, key: &Key) {
    loop {
        let object = store.get(key).unwrap().unwrap();
        let number: u32 = std::str::from_utf8(&object.value).unwrap().parse().unwrap();
        match store.update(key, object.revision, (number + 1).to_string().as_bytes()) {
            Ok(_) => return,
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Locked(_))));
    drop(store);
    assert!(Store::open(folder.path()).is_ok());
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    std::fs::write(&file, b"not a database, but long enough to look like one to somebody").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign(_))));
    assert!(std::fs::read(&file).unwrap().starts_with(b"not a database"));
    std::fs::remove_file(&file).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE somebodys (x)").unwrap();
    drop(other);
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Foreign(_))));
    std::fs::remove_file(&file).unwrap();
    drop(Store::open(folder.path()).unwrap());
    rusqlite::Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StoreError::Newer { found: 2, known: 1, .. })));
}

#[test]
fn a_backup_of_a_store_in_use_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("data")).unwrap();
    let keys: Vec<_> = (0..50).map(|at| Key::new("pods", "a", format!("p{at}"))).collect();
    for key in &keys {
        store.create(key, b"x").unwrap();
    }
    let backup = folder.path().join("backup");
    store.backup(&backup).unwrap();
    assert!(matches!(store.backup(&backup), Err(StoreError::Occupied(_))));
    let at_backup = store.revision();
    store.delete(&keys[0], None).unwrap();
    let restored = Store::from_backup(&backup, &folder.path().join("restored"), &ANY).unwrap();
    assert_eq!(restored.revision(), at_backup);
    assert_eq!(restored.list("pods", None, None, None).unwrap().objects.len(), 50);
    assert!(matches!(
        Store::from_backup(&backup, &folder.path().join("data"), &ANY),
        Err(StoreError::Occupied(_))
    ));
    std::fs::write(folder.path().join("junk"), "junk").unwrap();
    let broken = folder.path().join("broken");
    assert!(matches!(
        Store::from_backup(&folder.path().join("junk"), &broken, &ANY),
        Err(StoreError::Foreign(_))
    ));
    assert!(!broken.join("store.sqlite").exists());
}

#[test]
fn a_store_in_use_holds_again_what_a_backup_holds() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("data")).unwrap();
    let key = |name: &str| Key::new("pods", "a", name);
    for name in ["kept", "changed", "deleted", "remade"] {
        store.create(&key(name), b"1").unwrap();
    }
    let backup = folder.path().join("backup");
    store.backup(&backup).unwrap();
    let changed = store.get(&key("changed")).unwrap().unwrap();
    store.update(&key("changed"), changed.revision, b"2").unwrap();
    store.delete(&key("deleted"), None).unwrap();
    store.delete(&key("remade"), None).unwrap();
    store.create(&key("remade"), b"2").unwrap();
    store.create(&key("new"), b"2").unwrap();
    let before = store.revision();
    let mut watch = store.watch("pods", None, before).unwrap();
    let after = store.restore(&backup, &ANY).unwrap();
    assert!(after > before, "no revision is used twice");
    let listed = store.list("pods", None, None, None).unwrap().objects;
    let found: Vec<_> = listed.iter().map(|o| (o.key.name.as_str(), o.value.as_slice())).collect();
    let all = ["changed", "deleted", "kept", "remade"].map(|name| (name, &b"1"[..]));
    assert_eq!(found, all);
    let events = watch.next(Duration::ZERO).unwrap();
    let mut seen: Vec<_> = events.iter().map(|event| (event.key.name.as_str(), event.change)).collect();
    seen.sort_by_key(|(name, _)| *name);
    assert_eq!(
        seen,
        [
            ("changed", Change::Updated),
            ("deleted", Change::Created),
            ("new", Change::Deleted),
            ("remade", Change::Deleted),
            ("remade", Change::Created),
        ]
    );
    // An unchanged value is not written.
    assert_eq!(store.restore(&backup, &ANY).unwrap(), after);
    std::fs::write(folder.path().join("junk"), "junk").unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    for junk in ["junk", "empty"] {
        assert!(
            matches!(store.restore(&folder.path().join(junk), &ANY), Err(StoreError::Foreign(_))),
            "{junk}"
        );
    }
    assert_eq!(store.revision(), after);
    // The leftovers of a crash during a backup are removed at the next start.
    let left = store.transfer_file().unwrap();
    std::fs::write(&left, "half").unwrap();
    drop((store, watch));
    Store::open(&folder.path().join("data")).unwrap();
    assert!(!left.exists());
}

#[test]
fn the_future_cannot_be_asked_for() {
    let store = Store::ephemeral().unwrap();
    let future = Revision::new(5).unwrap();
    assert!(matches!(store.watch("pods", None, future), Err(StoreError::Future { .. })));
    assert!(matches!(store.compact(future), Err(StoreError::Future { .. })));
    assert_eq!(Revision::new(u64::MAX), None);
}

#[test]
fn a_slow_watch_ends_when_what_it_has_not_seen_is_forgotten() {
    let store = Store::ephemeral().unwrap();
    let key = Key::new("pods", "a", "p");
    let first = store.create(&key, b"1").unwrap();
    let mut watch = store.watch("pods", None, first).unwrap();
    let second = store.update(&key, first, b"2").unwrap();
    store.update(&key, second, b"3").unwrap();
    store.compact(store.revision()).unwrap();
    assert!(matches!(watch.next(Duration::ZERO), Err(StoreError::Compacted { .. })));
    assert_eq!(store.get(&key).unwrap().unwrap().value, b"3");
}

/// A file system of its own, as small as asked; none where this process may not mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder.path());
        mount.stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let Some(disk) = SmallDisk::new("4m") else {
        println!("skipped: this process may not mount a small file system");
        return;
    };
    let filler = disk.0.path().join("filler");
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let store = Store::open(&disk.0.path().join("data")).unwrap();
    let key = |at: usize| Key::new("pods", "a", format!("p{at}"));
    let written = (0..10_000).take_while(|at| store.create(&key(*at), &[7; 4000]).is_ok()).count();
    assert!((10..2000).contains(&written), "{written}");
    assert!(store.create(&key(written), &[7; 4000]).is_err());
    assert_eq!(store.list("pods", None, None, None).unwrap().objects.len(), written);
    let newest = store.revision();
    // Room again: it goes on by itself, and no revision was used up twice.
    std::fs::remove_file(&filler).unwrap();
    let revision = store.create(&key(written), &[7; 4000]).unwrap();
    assert!(revision > newest);
    drop(store);
    let store = Store::open(&disk.0.path().join("data")).unwrap();
    assert_eq!(store.list("pods", None, None, None).unwrap().objects.len(), written + 1);
}

#[test]
fn a_write_too_large_for_the_disk_takes_no_other_with_it() {
    let Some(disk) = SmallDisk::new("8m") else {
        println!("skipped: this process may not mount a small file system");
        return;
    };
    let store = Store::open(&disk.0.path().join("data")).unwrap();
    let huge = vec![7; 16 << 20];
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let store = &store;
            scope.spawn(move || {
                for at in 0..20 {
                    store.create(&Key::new("pods", "a", format!("p{writer}-{at}")), &[7; 100]).unwrap();
                }
            });
        }
        for at in 0..5 {
            let refused = store.create(&Key::new("pods", "a", format!("huge{at}")), &huge);
            assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        }
    });
    assert_eq!(store.list("pods", None, None, None).unwrap().objects.len(), 6 * 20);
    // Each is one revision, and the refused are none.
    assert_eq!(store.revision().number(), 6 * 20);
}

/// Whoever fills a disk can empty it again, and then others can write.
#[test]
fn a_full_disk_has_room_again_when_what_fills_it_is_deleted() {
    let Some(disk) = SmallDisk::new("80m") else {
        println!("skipped: this process may not mount a small file system");
        return;
    };
    let store = Store::open(&disk.0.path().join("data")).unwrap();
    let key = |at: usize| Key::new("configmaps", "a", at.to_string());
    let large = vec![b'x'; 1 << 20];
    let count = (0..100).take_while(|at| store.create(&key(*at), &large).is_ok()).count();
    assert!(count > 20 && count < 80, "{count}");
    let mut watch = store.watch("configmaps", None, store.revision()).unwrap();
    for at in 0..count {
        store.delete(&key(at), None).unwrap();
    }
    // A watch is told what was deleted.
    let deleted = watch.next(Duration::ZERO).unwrap();
    assert!(!deleted.is_empty());
    assert!(deleted.iter().all(|event| event.change == Change::Deleted && event.value == large));
    let is_room = (0..100).any(|_| {
        store.tidy().unwrap();
        store.create(&Key::new("configmaps", "b", "others"), &large).is_ok()
    });
    assert!(is_room);
}

/// A deletion in the history of a backup is no object that a check could refuse, and holds nothing of what was deleted.
#[test]
fn a_backup_with_deletions_is_restored() {
    let folder = tempfile::Builder::new().permissions(private_mode()).tempdir().unwrap();
    let data = folder.path().join("data");
    let store = Store::open(&data).unwrap();
    let key = |name: &str| Key::new("palisade/passwords", "uid", name);
    for name in ["kept", "gone"] {
        store.create(&Key::new("pods", "a", name), b"{}").unwrap();
    }
    store.delete(&Key::new("pods", "a", "gone"), None).unwrap();
    let backup = folder.path().join("backup");
    store.backup(&backup).unwrap();
    store.create(&key("later"), b"the hash of later").unwrap();
    let check = |_: &Key, bytes: &[u8]| if bytes.is_empty() { Err("it is empty".to_owned()) } else { Ok(()) };
    store.restore(&backup, &check).unwrap();
    assert_eq!(store.list("pods", None, None, None).unwrap().objects.len(), 1);
    assert!(store.get(&key("later")).unwrap().is_none());
    drop(store);
    let bytes = std::fs::read(data.join("store.sqlite")).unwrap();
    assert!(!bytes.windows(8).any(|window| window == b"the hash"), "it is overwritten");
}

#[test]
fn of_many_who_create_the_same_one_does() {
    let store = Store::ephemeral().unwrap();
    let key = Key::new("pods", "a", "same");
    let created = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16).map(|_| scope.spawn(|| store.create(&key, b"x").is_ok())).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).filter(|created| *created).count()
    });
    assert_eq!((created, store.revision().number()), (1, 1));
}

#[test]
fn a_page_of_large_objects_ends_early() {
    let store = Store::ephemeral().unwrap();
    let large = vec![7; palisade_store::PAGE_BYTES / 3];
    for at in 0..8 {
        store.create(&Key::new("pods", "a", format!("p{at}")), &large).unwrap();
    }
    store.create(&Key::new("pods", "b", "huge"), &vec![7; palisade_store::PAGE_BYTES * 2]).unwrap();
    let (mut counts, mut after) = (Vec::new(), None);
    loop {
        let page = store.list("pods", None, Some(100), after.as_ref()).unwrap();
        counts.push(page.objects.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(counts, [3, 3, 2, 1]);
    assert_eq!(store.list("pods", None, None, None).unwrap().objects.len(), 9);
}

#[test]
fn old_versions_of_large_objects_go_and_give_their_room_back() {
    let folder = tempfile::Builder::new().permissions(private_mode()).tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let key = Key::new("configmaps", "a", "large");
    let mut revision = store.create(&key, &vec![b'x'; 1 << 20]).unwrap();
    for at in 0..150_u8 {
        revision = store.update(&key, revision, &vec![at; 1 << 20]).unwrap();
        store.tidy().unwrap();
    }
    let size = || std::fs::metadata(folder.path().join("store.sqlite")).unwrap().len() >> 20;
    assert!(size() < 110, "{} MB", size());
    store.compact(revision).unwrap();
    store.compact(revision).unwrap();
    assert!(size() < 20, "{} MB", size());
    assert_eq!(store.get(&key).unwrap().unwrap().value, vec![149; 1 << 20]);
}

/// Forgetting 24 MB of old versions is done in parts, and writes are made between them.
#[test]
fn writes_go_on_while_old_versions_are_forgotten() {
    let folder = tempfile::Builder::new().permissions(private_mode()).tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let key = Key::new("configmaps", "a", "large");
    let mut revision = store.create(&key, &vec![b'x'; 1 << 20]).unwrap();
    for at in 0..24_u8 {
        revision = store.update(&key, revision, &vec![at; 1 << 20]).unwrap();
    }
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let (until, made) = (std::sync::atomic::Ordering::SeqCst, std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(until) {
                let name = format!("small-{}", made.load(until));
                store.create(&Key::new("configmaps", "a", name), b"small").unwrap();
                made.fetch_add(1, until);
            }
        });
        let before = made.load(until);
        store.compact(revision).unwrap();
        let meanwhile = made.load(until) - before;
        is_done.store(true, until);
        assert!(meanwhile >= 12, "{meanwhile} writes were made");
    });
}

#[test]
fn old_secrets_of_the_server_are_not_kept() {
    let folder = tempfile::Builder::new().permissions(private_mode()).tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let put = |value: &str| {
        let key = Key::new("palisade/passwords", "uid", "bob");
        store.transact(vec![Write::Put { key, value: value.as_bytes().to_vec() }]).unwrap();
    };
    put("the old hash of bob");
    put("the new hash of bob");
    store.delete(&Key::new("palisade/passwords", "uid", "bob"), None).unwrap();
    drop(store);
    let bytes = std::fs::read(folder.path().join("store.sqlite")).unwrap();
    for gone in ["the old hash", "the new hash"] {
        assert!(!bytes.windows(gone.len()).any(|window| window == gone.as_bytes()), "{gone}");
    }
}

fn private_mode() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o700)
}
