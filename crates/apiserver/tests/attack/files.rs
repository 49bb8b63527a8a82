//! Files that another user of the same machine can read, write, or put in the way.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use palisade_apiserver::Server;

use super::world::Who::Admin;
use super::world::{World, config, private};

fn all(path: &Path, found: &mut Vec<(PathBuf, u32)>) {
    let meta = std::fs::symlink_metadata(path).unwrap();
    found.push((path.to_owned(), meta.mode() & 0o777));
    if meta.is_dir() {
        for entry in path.read_dir().unwrap() {
            all(&entry.unwrap().path(), found);
        }
    }
}

fn exposed(path: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    all(path, &mut found);
    assert!(!found.is_empty());
    found.retain(|(path, mode)| *mode != if path.is_dir() { 0o700 } else { 0o600 });
    found
}

/// The world is made under an umask that takes nothing away.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_server_are_private() {
    let world = World::new().await;
    let backup = world.send(Admin, "GET /palisade/v1/backup", &serde_json::Value::Null).await;
    assert_eq!(backup.code, 200);
    assert_eq!(exposed(&world.data()), []);
    assert_eq!(exposed(&world.folder.path().join("audit.log")), []);
    // Permissions that an older server left open are tightened at the next start.
    let folder = world.end().await;
    let data = folder.path().join("data");
    for name in ["store.sqlite", "pki", "lock"] {
        std::fs::set_permissions(data.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let world = World::start(folder, |_| {}).await;
    assert_eq!(exposed(&world.data()), []);
}

/// Opening a pipe for writing waits for a reader.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_the_place_of_the_audit_log_is_refused_and_not_waited_for() {
    let folder = private();
    let pipe = folder.path().join("audit.log");
    let made = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
    assert!(made.success());
    let start = tokio::spawn(Server::start(config(&folder.path().join("data"))));
    let started = tokio::time::timeout(std::time::Duration::from_secs(60), start).await;
    assert!(started.expect("it does not wait").unwrap().is_err());
}

/// An ephemeral server's folder is private too.
#[tokio::test(flavor = "multi_thread")]
async fn folders_that_go_again_are_private() {
    let before = open_stores();
    let mut config = config(&private().path().join("unused"));
    config.data = None;
    config.audit = None;
    let server = Server::start(config).await.unwrap();
    let mut new = open_stores();
    new.retain(|path| !before.contains(path) && path.starts_with(std::env::temp_dir()));
    assert!(!new.is_empty());
    let own: Vec<PathBuf> = new.iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    let open: Vec<&PathBuf> = own
        .iter()
        .filter(|path| std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 != 0))
        .collect();
    assert_eq!(open, Vec::<&PathBuf>::new());
    drop(server);
}

/// The stores that this process has open.
fn open_stores() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let paths = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    paths.filter(|path| path.ends_with("store.sqlite")).collect()
}

/// Files that another user could have written, or owns, are not used.
#[tokio::test(flavor = "multi_thread")]
async fn files_writable_by_other_users_are_refused() {
    let world = World::new().await;
    let folder = world.end().await;
    let data = folder.path().join("data");
    let set = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    let refused = async |what: &str| {
        let start = Server::start(config(&data)).await;
        let error = start.err().unwrap_or_else(|| panic!("{what}: the server starts"));
        let mut said = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            said.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        assert!(said.contains("may write it") || said.contains("owned by user"), "{what}: {said}");
    };
    for (name, mode) in
        [("", 0o777), ("pki", 0o770), ("pki/ca.key", 0o666), ("pki/sa.key", 0o606), ("store.sqlite", 0o660)]
    {
        let path = data.join(name);
        let before = std::fs::metadata(&path).unwrap().mode();
        set(&path, mode);
        refused(name).await;
        set(&path, before & 0o777);
    }
    set(&folder.path().join("audit.log"), 0o622);
    refused("audit.log").await;
    set(&folder.path().join("audit.log"), 0o600);
    if rustix::process::geteuid().is_root() {
        for name in ["", "pki", "pki/ca.key", "store.sqlite"] {
            let path = data.join(name);
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            refused(name).await;
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
    } else {
        println!("skipped: only root can give files away");
    }
    World::start(folder, |_| {}).await;
}
