//! `kill -9` at random moments under concurrent writers: what was acknowledged is there, nothing is half there,
//! and no revision is used twice.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use palisade_store::{Key, Revision, Store};

const FOLDER: &str = "PALISADE_CRASH_TEST_FOLDER";
const ROUNDS: u64 = 200;

/// A value that shows when part of it is missing.
fn value(writer: u64, number: u64) -> Vec<u8> {
    format!("{writer}:{number};").repeat(40).into_bytes()
}

/// Not a test by itself: the process that is killed. It writes until then, and prints what was acknowledged.
#[test]
fn writer_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Store::open(folder.as_ref()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_u64 {
            let store = store.clone();
            scope.spawn(move || write_forever(&store, writer));
        }
    });
}

fn write_forever(store: &Store, writer: u64) {
    let key = Key::new("things", "crash", format!("writer-{writer}"));
    let mut number = 0;
    loop {
        number += 1;
        let value = value(writer, number);
        let revision = match store.get(&key).unwrap() {
            None => store.create(&key, &value).unwrap(),
            Some(_) if number % 7 == 0 => {
                store.delete(&key, None).unwrap();
                continue;
            }
            Some(object) => store.update(&key, object.revision, &value).unwrap(),
        };
        // One write, so that a line is there or is not.
        let line = format!("ack {revision} {writer} {number}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

/// All that the store holds of history, by revision.
fn history(store: &Store) -> HashMap<Revision, (Key, Vec<u8>)> {
    let mut watch = store.watch("things", None, Revision::default()).unwrap();
    let mut history = HashMap::new();
    loop {
        let events = watch.next(Duration::ZERO).unwrap();
        if events.is_empty() {
            return history;
        }
        for event in events {
            let is_whole = event.value == value_of(&event.value);
            assert!(is_whole, "a value is half there at revision {}", event.revision);
            assert!(history.insert(event.revision, (event.key, event.value)).is_none());
        }
    }
}

/// The required value, by its prefix.
fn value_of(found: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(found).unwrap();
    let (first, _) = text.split_once(';').unwrap();
    let (writer, number) = first.split_once(':').unwrap();
    value(writer.parse().unwrap(), number.parse().unwrap())
}

/// Lets writers run for a while, kills them, and gives what they had acknowledged.
fn killed_writers(folder: &std::path::Path, time: Duration) -> Vec<(Revision, u64, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["writer_process", "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || stdout.split(b'\n').map_while(Result::ok).collect::<Vec<_>>());
    std::thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = reader.join().unwrap();
    // Lines are written whole; what came last is none if it was cut off.
    let acknowledged = lines.iter().filter_map(|line| {
        let text = std::str::from_utf8(line).ok()?.strip_prefix("ack ")?;
        let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
        Some((Revision::new(numbers.next()??)?, numbers.next()??, numbers.next()??))
    });
    acknowledged.collect()
}

#[test]
fn nothing_that_was_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen: HashMap<Revision, (Key, Vec<u8>)> = HashMap::new();
    let (mut count, mut slowest) = (0, Duration::ZERO);
    for round in 0..ROUNDS {
        // Between a start that is cut off and some hundreds of writes.
        let acknowledged = killed_writers(folder.path(), Duration::from_millis(5 + (round * 37) % 60));
        let start = Instant::now();
        let store = Store::open(folder.path()).unwrap();
        slowest = slowest.max(start.elapsed());
        let history = history(&store);
        for (revision, writer, number) in &acknowledged {
            let (_, found) =
                history.get(revision).unwrap_or_else(|| panic!("round {round}: {revision} is lost"));
            assert_eq!(*found, value(*writer, *number), "round {round}: {revision} is another write");
        }
        for (revision, entry) in &seen {
            assert_eq!(history.get(revision), Some(entry), "round {round}: {revision} changed");
        }
        count += acknowledged.len();
        seen = history;
        if round % 20 == 19 {
            // Forget, so that the next rounds see whether the counter survives that as well.
            let newest = store.revision();
            store.compact(newest).unwrap();
            seen.clear();
            assert_eq!(store.revision(), newest);
            drop(store);
            assert_eq!(Store::open(folder.path()).unwrap().revision(), newest);
            std::fs::remove_dir_all(folder.path()).unwrap();
        }
    }
    println!("{count} acknowledged writes, {ROUNDS} kills, slowest start {slowest:?}");
    assert!(count > 1000, "{count}");
}
