//! Crashes: whatever is killed, pods go on or are started again, and nothing is left behind.

use std::process::Command;

use serde_json::json;

use crate::lost::Lost;
use crate::up::{Up, missing};

#[test]
fn pods_outlive_crashes() {
    if let Some(why) = missing() {
        eprintln!("skipped: {why}");
        return;
    }
    let lost = Lost::begin();
    let mut up = Up::start("10.85.13.0/24");
    for name in ["one", "two"] {
        up.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "sotrustworthy:latest"}]}}));
    }
    let running = |up: &Up| {
        up.until("pods run", |up| {
            up.ask(&[
                "get",
                "pods",
                "-o",
                "jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}",
            ])
            .split_whitespace()
            .count()
                == 2
        });
    };
    running(&up);
    let ids = |up: &Up| {
        up.must(&["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}"])
    };
    let before = ids(&up);
    // The agent and the API server: one process. The engine stays, and with it the containers.
    up.kill();
    up.run();
    running(&up);
    assert_eq!(ids(&up), before, "containers are taken up");
    // The engine.
    let engine = process(&up, "containerd.toml");
    kill(&[engine]);
    up.until("the engine is back", |up| {
        process(up, "containerd.toml") != engine && process(up, "containerd.toml") != 0
    });
    assert_eq!(up.inside("one", "echo yes"), "yes");
    assert_eq!(ids(&up), before, "containers are taken up");
    // A container's shim, and its containers with it: started again.
    let all = shims(&up);
    assert!(all.len() >= 2, "{all:?}");
    kill(&all);
    up.until("other containers run", |up| {
        let now = ids(up);
        now.split_whitespace().count() == 2 && now.split_whitespace().all(|id| !before.contains(id))
    });
    running(&up);
    // Everything at once; a pod is deleted meanwhile, as far as the API knows.
    kill(&[process(&up, "containerd.toml")]);
    kill(&shims(&up));
    up.kill();
    up.run();
    running(&up);
    up.must(&["delete", "pod", "one", "--force", "--grace-period=0"]);
    up.until("one is gone", |up| std::fs::read_dir(up.node_dir().join("pods")).unwrap().count() == 1);
    lost.check();
}

fn processes(pattern: impl Fn(&str) -> bool) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let found = all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        pattern(&String::from_utf8_lossy(&line).replace('\0', " ")).then_some(pid)
    });
    found.collect()
}

fn process(up: &Up, file: &str) -> u32 {
    let path = up.node_dir().join(file).display().to_string();
    processes(|line| line.starts_with("/") && line.contains(&path)).first().copied().unwrap_or(0)
}

fn shims(up: &Up) -> Vec<u32> {
    let socket = std::fs::read_to_string(up.node_dir().join("containerd.toml")).unwrap();
    let socket =
        socket.lines().find_map(|line| line.strip_prefix("address = ")).unwrap().trim_matches('"').to_owned();
    processes(|line| line.contains("containerd-shim") && line.contains(&socket))
}

fn kill(pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
}
