//! Escapes from a container, none of which succeeds.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::controls::pod;
use crate::up::Up;

/// A program that ends with its effective user ID as its code: `geteuid`, `exit`.
const EUID: [u8; 18] = [0xb8, 0x6b, 0, 0, 0, 0x0f, 0x05, 0x89, 0xc7, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05, 0, 0];

/// Makes an ELF file of machine code for x86-64.
fn program(code: &[u8]) -> Vec<u8> {
    let (base, head) = (0x40_0000_u64, 120_u64);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    file.extend((base + head).to_le_bytes());
    file.extend(64_u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for value in [0, base, base, head + code.len() as u64, head + code.len() as u64, 0x1000] {
        file.extend(value.to_le_bytes());
    }
    file.extend(code);
    file
}

/// One member of an archive.
fn member(name: &str, kind: u8, mode: u32, link: &str, data: &[u8]) -> Vec<u8> {
    let mut head = [0_u8; 512];
    let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", data.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(157, link);
    put(257, "ustar\x0000");
    if kind == b'4' {
        // The numbers of a device are in the place of its link's target.
        let (major, minor) = link.split_once(':').unwrap();
        put(157, &"\0".repeat(link.len()));
        for (at, number) in [(329, major), (337, minor)] {
            put(at, &format!("{:07o}", number.parse::<u32>().unwrap()));
        }
    }
    head[156] = kind;
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut all = head.to_vec();
    all.extend(data);
    all.resize(all.len().next_multiple_of(512), 0);
    all
}

/// The numbers of the machine's first disk.
fn disk() -> String {
    let text = std::fs::read_to_string("/proc/partitions").unwrap();
    let line = text.lines().nth(2).unwrap_or("8 0 1 sda");
    line.split_whitespace().take(2).collect::<Vec<_>>().join(":")
}

/// The file that every way out tries to write on the machine.
fn mark(up: &Up) -> String {
    format!("escaped-{}", up.folder.file_name().unwrap().to_str().unwrap())
}

/// Writes an image whose layer has links that lead out of it; with `outside`, files whose names do.
fn image(up: &Up, name: &str, outside: bool) -> PathBuf {
    let busybox =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find_map(|path| std::fs::read(path).ok()).unwrap();
    let up_there = "../../../../../../../../../..";
    let mut layer = Vec::new();
    layer.extend(member("bin/", b'5', 0o755, "", b""));
    layer.extend(member("tmp/", b'5', 0o777, "", b""));
    layer.extend(member("bin/busybox", b'0', 0o755, "", &busybox));
    for applet in ["sh", "cat", "sleep", "echo", "id", "ls"] {
        layer.extend(member(&format!("bin/{applet}"), b'2', 0o777, "busybox", b""));
    }
    layer.extend(member("bin/euid", b'0', 0o4755, "", &program(&EUID)));
    layer.extend(member("disk", b'4', 0o666, &disk(), b""));
    layer.extend(member("root-link", b'2', 0o777, "/", b""));
    layer.extend(member("up-link", b'2', 0o777, up_there, b""));
    layer.extend(member("message", b'2', 0o777, &format!("{up_there}/etc/hostname"), b""));
    let mark = mark(up);
    layer.extend(member(&format!("up-link/{mark}-1"), b'0', 0o644, "", b"out"));
    if outside {
        layer.extend(member("hard", b'1', 0o644, "root-link/etc/hostname", b""));
        layer.extend(member(&format!("{up_there}/{mark}-2"), b'0', 0o644, "", b"out"));
    }
    layer.extend([0; 1024]);
    let folder = up.folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("layer.tar"), &layer).unwrap();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sleep", "2147483647"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", crate::registry::digest(&folder.join("layer.tar")))]}});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{"Config": "config.json", "RepoTags": [format!("docker.io/library/{name}:latest")], "Layers": ["layer.tar"]}]);
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let archive = folder.join("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&folder).arg("-cf").arg(&archive).args(["manifest.json", "config.json", "layer.tar"]);
    assert!(tar.status().unwrap().success());
    archive
}

fn import(up: &Up, archive: &Path) -> std::process::Output {
    let (archive, folder) = (archive.to_str().unwrap(), up.node_dir());
    up.palisade(&["image", "import", archive, "--node-dir", folder.to_str().unwrap()])
}

/// Imports the images, and gives the pods.
pub(crate) fn objects(up: &Up) -> Vec<Value> {
    let out = import(up, &image(up, "evil", false));
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    // Names that lead outside are refused, or stay inside.
    import(up, &image(up, "worse", true));
    let evil = |name: &str, spec: Value, container: Value| {
        let mut made = pod(name, spec, container);
        made["spec"]["containers"][0]["image"] = json!("evil:latest");
        made
    };
    let never = || json!({"restartPolicy": "Never"});
    let held = json!({"runAsUser": 1000, "allowPrivilegeEscalation": false});
    let mut named = pod(
        "names-a-filter",
        json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
        json!({}),
    );
    named["metadata"]["annotations"] = json!({
        // A program that allows everything.
        "run.oci.seccomp_bpf_data": "BgAAAAAA/38=",
        "run.oci.seccomp.receiver": "/tmp/receiver",
        "io.palisade/seccomp-profile": "unconfined",
        "io.palisade/seccomp-record": "/tmp/socket",
    });
    let path = format!("/up-link/{}-3", mark(up));
    vec![
        named,
        evil("setuid", never(), json!({"command": ["/bin/euid"], "securityContext": held})),
        evil(
            "setuid-free",
            never(),
            json!({"command": ["/bin/euid"], "securityContext": {"runAsUser": 1000}}),
        ),
        evil(
            "linked-mount",
            json!({"volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"volumeMounts": [{"name": "v", "mountPath": path}], "terminationMessagePath": "/message"}),
        ),
        evil("linked-folder", json!({}), json!({"workingDir": format!("/up-link/{}-4", mark(up))})),
        evil(
            "own-exe",
            json!({}),
            json!({"command": ["sh", "-c", "while sleep 0.02; do for it in /proc/[0-9]*/exe; do (echo x >$it) 2>/dev/null; done; done"]}),
        ),
        pod("sees-processes", json!({"hostPID": true}), json!({})),
        pod("has-token", json!({"automountServiceAccountToken": true}), json!({})),
    ]
}

/// The number of processes that a pod may have.
fn processes_of(uid: &str) -> String {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = [root.join("pids"), root.to_owned()];
    let nodes =
        hierarchies.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let mut limits =
        nodes.filter_map(|node| std::fs::read_to_string(node.path().join(format!("pod{uid}/pids.max"))).ok());
    limits.next().unwrap_or_default().trim().to_owned()
}

pub(crate) fn check(up: &Up) {
    let before = ["/usr/bin/crun", env!("CARGO_BIN_EXE_palisade")]
        .map(|path| crate::registry::digest(Path::new(path)));
    let phase = |pod: &str| up.ask(&["get", "pod", pod, "-o", "jsonpath={.status.phase}"]);
    let running = |pod: &str| up.until(pod, |_| phase(pod) == "Running");
    let code = |pod: &str| {
        up.until(pod, |_| matches!(phase(pod).as_str(), "Failed" | "Succeeded"));
        up.must(&[
            "get",
            "pod",
            pod,
            "-o",
            "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}",
        ])
    };
    // A filter of the pod's own choice.
    running("names-a-filter");
    let held =
        "grep Seccomp: /proc/self/status | tr -d '\\t'; unshare -m true 2>&1 | grep -o 'not permitted'";
    assert_eq!(up.inside("names-a-filter", held), "Seccomp:2\nnot permitted");
    // A program of root's: 1000 is 232 as a code.
    assert_eq!((code("setuid").as_str(), code("setuid-free").as_str()), ("232", "0"));
    // Devices, mounts, processes.
    let device = "read -r _; read -r _; read -r major minor _; mknod /tmp/disk b $major $minor && dd if=/tmp/disk count=1 of=/dev/null 2>&1 | grep -o 'not permitted'";
    assert_eq!(up.inside("plain", &format!("{{ {device}; }} </proc/partitions")), "not permitted");
    // A device that the image brings.
    running("own-exe");
    let disk = up.inside("own-exe", "ls -l /disk; cat /disk 2>&1 >/dev/null");
    assert!(disk.starts_with('b') && disk.contains("not permitted"), "{disk}");
    let mount = "for it in '-t proc none' '-o bind /dev'; do mount $it /tmp 2>&1 | grep -c -E 'denied|not permitted|must be'; done";
    assert_eq!(up.inside("plain", mount), "1\n1");
    let own = std::process::id();
    assert_eq!(up.inside("plain", &format!("test -e /proc/{own}/status || echo unseen")), "unseen");
    running("sees-processes");
    let others = format!(
        "cat /proc/{own}/environ 2>&1 | grep -o 'Permission denied'; ls /proc/1/root/ 2>&1 | grep -o 'Permission denied'"
    );
    assert_eq!(up.inside("sees-processes", &others), "Permission denied\nPermission denied");
    // Processes without end.
    let uid = up.must(&["get", "pod", "plain", "-o", "jsonpath={.metadata.uid}"]);
    assert_eq!(processes_of(&uid), "4096");
    // The runtime, while it is inside.
    running("own-exe");
    for _ in 0..3 {
        up.ask(&["exec", "own-exe", "--", "/proc/self/exe"]);
        up.ask(&["exec", "own-exe", "--", "sh", "-c", "sleep 0.1"]);
    }
    let after = ["/usr/bin/crun", env!("CARGO_BIN_EXE_palisade")]
        .map(|path| crate::registry::digest(Path::new(path)));
    assert_eq!(before, after, "a program of the machine was written");
    // Links and names of images, mounts, messages.
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    for pod in ["linked-mount", "linked-folder"] {
        up.until(pod, |up| {
            phase(pod) == "Running"
                || up
                    .ask(&[
                        "get",
                        "events",
                        "--field-selector",
                        &format!("involvedObject.name={pod},type=Warning"),
                    ])
                    .contains("Failed")
        });
    }
    for place in 1..=4 {
        for folder in ["/", "/var/tmp", up.node_dir().to_str().unwrap()] {
            let path = Path::new(folder).join(format!("{}-{place}", mark(up)));
            assert!(!path.exists(), "{} was made on the machine", path.display());
        }
    }
    assert_eq!(std::fs::read_to_string("/etc/hostname").unwrap_or_default(), name);
    // A token outlives its pod nowhere.
    running("has-token");
    let token =
        up.must(&["exec", "has-token", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token"]);
    let who = || {
        let server = up.must(&["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"]);
        let out = Command::new("kubectl")
            .args(["--kubeconfig", "/dev/null", "--insecure-skip-tls-verify", "--server", &server])
            .args(["--token", &token, "auth", "whoami"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    };
    assert!(who().contains("system:serviceaccount:default:default"), "{}", who());
    up.must(&["delete", "pod", "has-token", "--grace-period=1"]);
    let said = who();
    assert!(said.contains("Unauthorized") || said.contains("must be logged in"), "{said}");
}
