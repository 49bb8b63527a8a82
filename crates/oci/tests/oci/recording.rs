//! Recordings of commands and containers, and the profiles that they give.

use std::process::Command;

use palisade_oci::container::Containers;
use palisade_oci::recorder;
use serde_json::json;

use crate::common::{Place, str, text};

fn shell(script: &str) -> Command {
    let mut command = Command::new("/usr/bin/busybox");
    command.args(["sh", "-c", script]);
    command
}

#[test]
fn a_command_runs_under_its_own_recording() {
    let place = Place::new(json!({}));
    let (first, status) = recorder::command(shell("echo one > /dev/null; exit 3")).unwrap();
    assert_eq!(status.code(), Some(3));
    assert!(first.len() > 5, "{first:?}");
    let (second, _) = recorder::command(shell("cat /etc/hostname > /dev/null; mkdir -p /tmp; true")).unwrap();
    let mut both = first;
    both.merge(second);
    assert_eq!(both.runs, 2);
    assert_eq!(both.unknown().count(), 0);
    // crun's syscalls after it has loaded a filter are not in a recording of a command.
    let mut profile = both.profile();
    let needs = json!({"names": ["setresuid", "setresgid", "capset", "prctl", "read", "write", "close", "openat", "execve"], "action": "SCMP_ACT_ALLOW"});
    profile["syscalls"].as_array_mut().unwrap().push(needs);
    let bundle = place.bundle("b", "echo one > /dev/null; cat /etc/hostname; chmod 600 /data/a", |config| {
        config["linux"]["seccomp"] = profile;
        config["process"]["noNewPrivileges"] = json!(true);
    });
    let output = place.run(&["run", "--bundle", str(&bundle), "recorded-command"]);
    assert!(text(&output).contains("chmod: /data/a: Operation not permitted"), "{}", text(&output));
}

#[test]
fn a_container_is_recorded_from_its_start() {
    let place = Place::new(json!({}));
    let script = "cd /data; chmod 600 a; mv a b; mv b a; exit 5";
    let bundle = place.bundle("b", script, |_| {});
    let containers = Containers::of(&place.path("state")).unwrap();
    let waiting = recorder::container(&containers, "recorded").unwrap();
    assert!(recorder::container(&containers, "recorded").is_err(), "two recorders of one container");
    let recorder = std::thread::spawn(move || waiting.record().unwrap());
    let output = place.run(&["run", "--bundle", str(&bundle), "recorded"]);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let recording = recorder.join().unwrap();
    let profile = recording.profile();
    for name in ["chmod", "rename", "execve", "setresuid"] {
        assert!(profile.to_string().contains(&format!("\"{name}\"")), "{name} in {profile}");
    }
    // The profile is enough for the same container, and for nothing else.
    for (id, script, problem) in [("same", script, false), ("other", "mkdir /data/new", true)] {
        let bundle = place.bundle(id, script, |config| config["linux"]["seccomp"] = profile.clone());
        let output = place.run(&["run", "--bundle", str(&bundle), id]);
        assert_eq!(text(&output).contains("Operation not permitted"), problem, "{}", text(&output));
    }
}
