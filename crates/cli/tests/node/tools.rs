//! The commands that an administrator runs on a node, with pods that run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::up::Up;

const PROFILE: &str = "localhost/example-explorer-profile.json";
const PAUSE: &str = "palisade.invalid/pause:1";

/// The exit code, stdout and stderr of a command on the node.
fn on_node(up: &Up, words: &[&str]) -> (Option<i32>, String, String) {
    let folder = up.node_dir().display().to_string();
    let out = up.palisade(&[words, ["--node-dir", &folder].as_slice()].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

/// Needs the pods `plain` and `file-profile`.
pub(crate) fn check(up: &Up) {
    executes(up);
    inspects(up);
    sees_denials(up);
    manages_images(up);
}

fn executes(up: &Up) {
    let out = up.palisade(&["exec", "plain", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((out.status.code(), out.stdout.as_slice()), (Some(7), b"out\n".as_slice()), "{out:?}");
    assert!(out.stderr.starts_with(b"err\n"), "{out:?}");
}

fn inspects(up: &Up) {
    let (code, out, err) = on_node(up, &["inspect", "default/file-profile/c", "-o", "json"]);
    assert_eq!(code, Some(0), "{err}");
    let seen: Value = serde_json::from_str(&out).unwrap();
    let [seen] = seen.as_array().unwrap().as_slice() else { panic!("one container: {seen}") };
    assert_eq!(seen["container"]["filter"]["profile"], PROFILE);
    assert_eq!((&seen["kernel"]["seccomp"], &seen["kernel"]["uid"]), (&json!(2), &json!(0)));
    let (_, text, _) = on_node(up, &["inspect", "plain"]);
    assert!(text.contains("none: unconfined") && text.contains("Seccomp 0"), "{text}");
    let (_, all, _) = on_node(up, &["inspect"]);
    assert!(all.contains(PROFILE) && all.contains("default/plain/c"), "{all}");
}

/// A process that ends when it is dropped.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sees_denials(up: &Up) {
    if let Err(error) = palisade_sys::audit::AuditLog::open() {
        eprintln!("skipped: denied syscalls are not reported here: {error}");
        return;
    }
    let mut watch = Watch(
        Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(["denials", "file-profile", "--watch", "-o", "json", "--node-dir"])
            .arg(up.node_dir())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let (send, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut said = None;
    up.until("a denial is seen", |up| {
        // Without login ids, a process that ends at once often cannot be attributed to its container. The profile
        // forbids to open files for writing, so that nothing is redirected.
        up.inside("file-profile", "for _ in 1 2 3 4 5 6 7 8; do mkdir /tmp/x; done");
        said = seen.try_iter().find(|line| line.contains("\"mkdir\""));
        said.is_some()
    });
    drop(watch);
    let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
    assert_eq!((&said["syscall"], &said["profile"]), (&json!("mkdir"), &json!(PROFILE)), "{said}");
    assert_eq!(said["name"], "default/file-profile/c", "{said}");
}

fn manages_images(up: &Up) {
    let list = || on_node(up, &["image", "list"]).1;
    let name = "docker.io/library/sotrustworthy:latest";
    let all = list();
    let row = all.lines().find(|line| line.starts_with(name)).unwrap();
    let id = row.split_whitespace().nth(1).unwrap();
    assert!(all.starts_with("NAME") && id.len() == 12 && row.ends_with(" KiB"), "{all}");
    let archive = other_architecture(up);
    let (code, _, said) = on_node(up, &["image", "import", archive.to_str().unwrap()]);
    assert!(code == Some(2) && said.contains("holds no image for linux/"), "{said}");
    for (image, why) in [(PAUSE, "the node needs this image"), ("nothing:1", "no image \"nothing:1\"")] {
        let (code, _, said) = on_node(up, &["image", "rm", image]);
        assert!(code == Some(2) && said.contains(why), "{image}: {said}");
    }
    assert!(list().contains(PAUSE));
    let (code, out, _) = on_node(up, &["image", "rm", "evil:latest"]);
    assert_eq!((code, out.as_str()), (Some(0), "removed evil:latest\n"));
    assert!(!list().contains("evil"));
}

/// An image for machines of another architecture.
fn other_architecture(up: &Up) -> PathBuf {
    let (from, folder) = (up.folder.join("images/sotrustworthy.tar"), up.folder.join("s390x"));
    std::fs::create_dir(&folder).unwrap();
    let tar = |words: &[&str], path: &Path| {
        let mut tar = Command::new("tar");
        assert!(tar.arg("-C").arg(&folder).args(words).arg(path).status().unwrap().success());
    };
    tar(&["-x", "-f"], &from);
    let change = |file: &str, change: &dyn Fn(&mut Value)| {
        let path = folder.join(file);
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(&path, value.to_string()).unwrap();
    };
    change("config.json", &|config| config["architecture"] = json!("s390x"));
    change("manifest.json", &|manifest| manifest[0]["RepoTags"] = json!(["docker.io/library/other:latest"]));
    let archive = folder.join("other.tar");
    tar(&["--exclude=other.tar", "-c", ".", "-f"], &archive);
    archive
}
