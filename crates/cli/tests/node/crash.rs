//! Crashes: whatever is killed, pods go on or are started again, and nothing is left behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::lost::Lost;
use crate::registry::digest;
use crate::up::{Up, is_skipped, patience};

#[test]
fn pods_outlive_crashes() {
    if is_skipped() {
        return;
    }
    let lost = Lost::begin();
    let mut up = Up::start_confined("10.85.13.0/24");
    let container = json!({"name": "c", "image": "sotrustworthy:latest"});
    let init = json!([{"name": "i", "image": "sotrustworthy:latest", "command": ["sleep", "1"]}]);
    for (name, init) in [("one", json!([])), ("two", init)] {
        up.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 1, "initContainers": init, "containers": [container]}}));
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
    // A pod without a profile has the node's.
    assert_eq!(up.inside("one", "grep Seccomp: /proc/self/status | tr -d '\\t'"), "Seccomp:2");
    ends(&up);
    has_its_range_alone(&up);
    leaves_nothing_without_an_engine(&up);
    waits_for_its_engine(&up);
    let ids = |up: &Up| {
        up.must(&["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].containerID}"])
    };
    let before = ids(&up);
    // The agent and the API server: one process. The engine stays, and with it the containers.
    up.kill();
    up.run();
    running(&up);
    assert_eq!(ids(&up), before, "containers are taken up");
    let asks = "nc -w 5 10.96.0.1 443 </dev/null && echo answered";
    up.until("pods reach the API", |up| up.inside("one", asks) == "answered");
    // The engine.
    let engine = process(&up, "containerd.toml");
    kill(&[engine]);
    up.until("the engine is back", |up| {
        process(up, "containerd.toml") != engine && process(up, "containerd.toml") != 0
    });
    // It listens a moment later.
    up.until("the engine answers", |up| up.inside("one", "echo yes") == "yes");
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
    let counts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}";
    let counts = up.must(&["get", "pods", "-o", counts]);
    assert!(counts.split_whitespace().all(|count| count != "0"), "restarts are counted: {counts}");
    let pods = rounds(&mut up);
    // Everything at once; a pod is deleted meanwhile, as far as the API knows.
    kill(&[process(&up, "containerd.toml")]);
    kill(&shims(&up));
    up.kill();
    up.run();
    up.until("all pods run", |up| held(up).running == pods);
    up.must(&["delete", "pod", "one", "--force", "--grace-period=0"]);
    up.until("one is gone", |up| std::fs::read_dir(up.node_dir().join("pods")).unwrap().count() == pods - 1);
    lost.check();
}

/// A pod whose shim was killed, and that is not to be started again, keeps neither address nor port; its log stays.
fn ends(up: &Up) {
    let before = shims(up);
    up.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "once"}, "spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": "sotrustworthy:latest", "command": ["sh", "-c", "echo words; exec sleep 4713"],
            "ports": [{"containerPort": 80, "hostPort": 18087}]}]}}));
    let phase = |up: &Up| up.ask(&["get", "pod", "once", "-o", "jsonpath={.status.phase}"]);
    up.until("once has said something", |up| up.ask(&["logs", "once"]) == "words");
    let rules = || {
        let rules = Command::new("iptables").args(["-w", "-t", "nat", "-S"]).output().unwrap();
        String::from_utf8_lossy(&rules.stdout).matches("--dport 18087").count()
    };
    assert_ne!(rules(), 0);
    kill(&shims(up).into_iter().filter(|pid| !before.contains(pid)).collect::<Vec<_>>());
    up.until("once has failed", |up| phase(up) == "Failed");
    up.until("its address and its port are free", |up| held(up).addresses == before.len() && rules() == 0);
    assert_eq!(up.ask(&["logs", "once"]), "words");
    up.must(&["delete", "pod", "once"]);
}

/// A second node of the machine with the same addresses is refused before anything of it starts.
fn has_its_range_alone(up: &Up) {
    let place = |name: &str| up.folder.join(name).display().to_string();
    let (node, data) = (place("second"), place("second-data"));
    let out = up.palisade(&[
        "up",
        "--listen",
        "127.0.0.1:0",
        "--node-dir",
        &node,
        "--data-dir",
        &data,
        "--pod-cidr",
        "10.85.13.128/25",
    ]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    let own = up.node_dir().display().to_string();
    let expected = format!(
        "--pod-cidr 10.85.13.128/25 overlaps 10.85.13.0/24, the range of this machine's node in {own}: give another range, as --pod-cidr 10.85.1.0/24"
    );
    assert!(!out.status.success() && said.contains(&expected), "{said}");
    assert!(!Path::new(&data).exists());
}

/// `down` removes also what a node leaves whose engine has never started.
fn leaves_nothing_without_an_engine(up: &Up) {
    let (node, data) = (up.folder.join("third"), up.folder.join("third-data"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["up", "--listen", "127.0.0.1:0", "--cri-socket", "/none", "--data-dir"])
        .args([data.as_os_str(), "--node-dir".as_ref(), node.as_os_str()])
        .env("KUBECONFIG", up.kubeconfig())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let run = up.folder.join("third-path");
    std::fs::write(&run, node.as_os_str().as_encoded_bytes()).unwrap();
    let run = PathBuf::from(format!("/run/palisade-{}", &digest(&run)[..6]));
    up.until("the third node begins", |_| run.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    let down = || up.palisade(&["down", "--node-dir", node.to_str().unwrap()]);
    let out = down();
    assert!(out.status.success() && !run.exists(), "{}", String::from_utf8_lossy(&out.stderr));
    // A folder that is gone, and one that is no node's.
    std::fs::remove_dir_all(&node).unwrap();
    std::fs::create_dir(&run).unwrap();
    assert!(down().status.success() && !run.exists() && !node.exists());
    std::fs::create_dir(&node).unwrap();
    assert!(down().status.success());
    assert_eq!(std::fs::read_dir(&node).unwrap().count(), 0);
}

/// A node whose engine does not start is not ready, and is once it does.
fn waits_for_its_engine(up: &Up) {
    let (node, data) = (up.folder.join("fourth"), up.folder.join("fourth-data"));
    let in_the_way = node.join("containerd.toml");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["up", "--listen", "127.0.0.1:0", "--pod-cidr", "10.85.16.0/24", "--node-name", "here"])
        .args(["--data-dir".as_ref(), data.as_os_str(), "--node-dir".as_ref(), node.as_os_str()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let config = data.join("admin.kubeconfig");
    let says = |words: &str| {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(&config).args([
            "get",
            "node",
            "here",
            "-o",
            "jsonpath={.status.conditions[*]}",
        ]);
        String::from_utf8_lossy(&kubectl.output().unwrap().stdout).contains(words)
    };
    up.until("the fourth node says why it has no engine", |_| says("/containerd.toml"));
    std::fs::remove_dir(&in_the_way).unwrap();
    up.until("the fourth node is ready", |_| says("NodeReady"));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(up.palisade(&["down", "--node-dir", node.to_str().unwrap()]).status.success());
}

/// Resources of pods on the machine.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    running: usize,
    shims: usize,
    folders: usize,
    addresses: usize,
    networks: usize,
    /// Orphaned processes of containers.
    orphans: usize,
    /// Containers that the rules of the machine's firewall are for.
    translated: usize,
}

fn held(up: &Up) -> Held {
    let path = "jsonpath={.items[*].status.containerStatuses[*].state.running.startedAt}";
    let run = PathBuf::from(socket(up)).parent().unwrap().to_owned();
    let networks = std::fs::read_dir(run.join("addresses")).into_iter().flatten().flatten();
    let names =
        networks.flat_map(|network| std::fs::read_dir(network.path()).into_iter().flatten().flatten());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let of_run = run.join("containerd").display().to_string();
    Held {
        running: up.ask(&["get", "pods", "-o", path]).split_whitespace().count(),
        shims: shims(up).len(),
        folders: std::fs::read_dir(up.node_dir().join("pods")).unwrap().count(),
        addresses: names.filter(|name| name.file_name().to_string_lossy().starts_with("10.")).count(),
        networks: mounts.lines().filter(|line| line.contains(&of_run) && line.contains("/netns/")).count(),
        orphans: orphans(&run),
        translated: translated(&run),
    }
}

/// Rounds in which something is killed, as many as `PALISADE_KILL_ROUNDS` specifies, with twenty pods; one round with
/// three by default. After each the machine has exactly the resources that the pods need. Returns the number of pods.
fn rounds(up: &mut Up) -> usize {
    let rounds = std::env::var("PALISADE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let pods = if rounds > 1 { 20 } else { 3 };
    for number in 2..pods {
        up.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("more-{number}")},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "sotrustworthy:latest"}]}}));
    }
    let expected = Held {
        running: pods,
        shims: pods,
        folders: pods,
        addresses: pods,
        networks: pods,
        orphans: 0,
        translated: pods,
    };
    for round in 0..rounds {
        settles(up, &expected, &format!("before round {round}"));
        // Shims one, all; the engine; the agent with the API server: each alone and with others.
        let all = shims(up);
        if round % 2 == 0 {
            kill(&[process(up, "containerd.toml")]);
        }
        match round % 3 {
            0 => kill(&all),
            1 => kill(all.get(..2).unwrap_or_default()),
            _ => {}
        }
        if round % 4 != 1 {
            up.kill();
            up.run();
        }
        eprintln!("round {round}");
    }
    settles(up, &expected, "after the last round");
    pods
}

/// Waits until exactly the resources that the pods need exist: leftovers of a crash are removed within some minutes.
fn settles(up: &Up, expected: &Held, when: &str) {
    let begun = std::time::Instant::now();
    while held(up) != *expected {
        if begun.elapsed() > 4 * patience() {
            assert_eq!(held(up), *expected, "{when}\n{}\n{}", up.story(), engine(up));
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

/// The engine's state, and the shims with their children, for the message of a failure.
fn engine(up: &Up) -> String {
    let socket = socket(up);
    let ctr = |what: &str| {
        let out = Command::new("ctr").args(["-a", &socket, "-n", "k8s.io", what, "ls"]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let shims = shims(up).into_iter().map(|pid| {
        ["-p", "--ppid"]
            .map(|of| {
                let mut ps = Command::new("ps");
                ps.args(["-o", "pid,ppid,stat,etime,args", of, &pid.to_string()]);
                String::from_utf8_lossy(&ps.output().unwrap().stdout).into_owned()
            })
            .concat()
    });
    format!("{}\n{}\n{}", shims.collect::<String>(), ctr("tasks"), ctr("containers"))
}

/// Processes in the node's cgroups whose parent is neither a shim nor in such a cgroup.
fn orphans(run: &Path) -> usize {
    let node = run.file_name().unwrap().to_str().unwrap().to_owned();
    let is_of_node = |pid: u32| {
        let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroups.contains(&format!("/{node}/"))
    };
    let shims = processes(|line| line.contains("containerd-shim"));
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let all = processes(|_| true).into_iter().filter(|pid| is_of_node(*pid));
    all.filter(|pid| parent(*pid).is_some_and(|parent| !shims.contains(&parent) && !is_of_node(parent)))
        .count()
}

/// Containers for which CNI has made rules in this node's network.
fn translated(run: &Path) -> usize {
    let network = format!("name: \\\"{}\\\" id: ", run.file_name().unwrap().to_str().unwrap());
    let rules = Command::new("iptables").args(["-w", "-t", "nat", "-S"]).output().unwrap();
    let rules = String::from_utf8_lossy(&rules.stdout).into_owned();
    let ids =
        rules.lines().filter_map(|line| line.split_once(&network)?.1.split('"').nth(1).map(str::to_owned));
    ids.collect::<std::collections::BTreeSet<_>>().len()
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

/// The socket of the engine.
pub(crate) fn socket(up: &Up) -> String {
    let text = std::fs::read_to_string(up.node_dir().join("containerd.toml")).unwrap();
    text.lines().find_map(|line| line.strip_prefix("address = ")).unwrap().trim_matches('"').to_owned()
}

fn shims(up: &Up) -> Vec<u32> {
    let socket = socket(up);
    processes(|line| line.contains("containerd-shim") && line.contains(&socket))
}

fn kill(pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
    }
}
