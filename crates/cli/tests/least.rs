//! `palisade scc generate` and `palisade seccomp minimize`: their output works when it is applied.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

/// Runs in a folder; the exit code, standard output and standard error.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.current_dir(folder).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const WORKLOADS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      serviceAccountName: web
      volumes: [{name: cache, emptyDir: {}}]
      containers:
      - {name: app, image: web, securityContext: {runAsUser: 1000, capabilities: {add: [CHOWN]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: tool, namespace: shop}
spec:
  serviceAccountName: tool
  hostNetwork: true
  containers: [{name: app, image: tool}]
";

const GRANT: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: too-much, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:openshift:scc:privileged'}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), WORKLOADS).unwrap();
    std::fs::write(folder.path().join("grant.yaml"), GRANT).unwrap();
    folder
}

#[test]
fn generated_sccs_admit_the_workloads() {
    let folder = folder();
    let (code, _, _) = run(folder.path(), &["review", "-f", "all.yaml"]);
    assert_eq!(code, 1, "they are refused without");
    let (code, objects, told) = run(folder.path(), &["scc", "generate", "-f", "all.yaml"]);
    assert_eq!(code, 0, "{told}");
    std::fs::write(folder.path().join("least.yaml"), &objects).unwrap();
    let (code, reviewed, _) =
        run(folder.path(), &["review", "-f", "all.yaml", "-f", "least.yaml", "-o", "json"]);
    assert_eq!(code, 0, "{reviewed}");
    let reviewed: Value = serde_json::from_str(&reviewed).unwrap();
    let chosen: Vec<&str> =
        reviewed["items"].as_array().unwrap().iter().map(|item| item["scc"].as_str().unwrap()).collect();
    assert_eq!(chosen, ["shop-web", "shop-tool"]);
    assert!(objects.contains("allowHostNetwork: true") && objects.contains("uid: 1000"), "{objects}");
    let (code, list, _) =
        run(folder.path(), &["scc", "generate", "-f", "all.yaml", "-o", "json", "--per", "namespace"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!((code, list["items"].as_array().unwrap().len()), (0, 3));
    assert_eq!(list["items"][2]["subjects"].as_array().unwrap().len(), 2);
}

#[test]
fn each_value_is_explained_by_a_workload() {
    let folder = folder();
    let (code, table, _) = run(folder.path(), &["scc", "generate", "-f", "all.yaml", "--explain"]);
    assert_eq!(code, 0);
    for row in ["emptyDir", "CHOWN", "1000"] {
        let line = table.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("{row}: {table}"));
        assert!(line.ends_with("deployment/web"), "{line}");
    }
    assert!(table.contains("Host network is not allowed to be used"), "{table}");
}

#[test]
fn an_audit_tells_what_is_too_much() {
    let folder = folder();
    let args = ["scc", "generate", "-f", "all.yaml", "-f", "grant.yaml", "--audit"];
    let (code, text, _) = run(folder.path(), &args);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("holds privileged by") && text.contains("privileged containers"), "{text}");
    assert!(text.contains("deployment/web: privileged -> shop-web"), "{text}");
    assert!(text.ends_with("1 of 2 accounts hold more than their pods need\n"), "{text}");
}

#[test]
fn recordings_make_a_profile_that_denies_what_they_lack() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("one.strace", "read(0, 0x1, 1) = 0\nsocket(0x2, 0x1, 0) = 3\n");
    write("two.strace", "read(0, 0x1, 1) = 0\nread(0, 0x1, 1) = 0\nwrite(1, 0x1, 1) = 1\n");
    let args = ["seccomp", "minimize", "one.strace", "two.strace", "--arch", "x86_64"];
    let (code, profile, told) = run(folder.path(), &args);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("the last recording added 1"), "{told}");
    write("least.json", &profile);
    for (call, allowed) in [
        (&["read"][..], true),
        (&["socket", "2", "1", "0"], true),
        (&["socket", "16", "3", "0"], false),
        (&["mount"], false),
    ] {
        let call =
            [&["seccomp", "simulate", "least.json"], call, &["--abi", "x86_64", "--arch", "x86_64"]].concat();
        let (_, text, _) = run(folder.path(), &call);
        assert_eq!(text.contains("ALLOW"), allowed, "{call:?}: {text}");
    }
    assert!(profile.contains("one.strace 1, two.strace 2"), "{profile}");
    let (code, table, _) = run(folder.path(), &[&args[..], &["--holdout"]].concat());
    assert_eq!(code, 1, "{table}");
    assert!(table.lines().any(|line| line.starts_with("two.strace") && line.ends_with("write")), "{table}");
    write("denied.json", "{\"syscall\":\"mount\",\"abi\":\"x86_64\",\"count\":2}\n");
    let args = [
        "seccomp",
        "minimize",
        "--base",
        "least.json",
        "denied.json",
        "--arch",
        "x86_64",
        "-o",
        "wider.json",
    ];
    let (code, _, told) = run(folder.path(), &args);
    assert_eq!(code, 0, "{told}");
    let changed: Vec<&str> = told.lines().filter(|line| line.contains("->")).collect();
    assert!(matches!(changed.as_slice(), [line] if line.contains("mount")), "{told}");
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let folder = folder();
    std::fs::write(folder.path().join("empty.strace"), "").unwrap();
    for (file, expected) in
        [("empty.strace", "empty.strace: no line is a recording"), ("/dev/null", "/dev/null: it is a device")]
    {
        let (code, _, told) = run(folder.path(), &["seccomp", "minimize", file]);
        assert_eq!(code, 2);
        assert!(told.contains(expected), "{told}");
    }
    let (code, _, _) = run(folder.path(), &["seccomp", "minimize", "missing"]);
    assert_eq!(code, 2);
    let (code, _, told) = run(folder.path(), &["scc", "generate", "-f", "all.yaml", "--base", "nowhere"]);
    assert_eq!(code, 2);
    assert!(told.contains("nowhere"), "{told}");
}

/// Two hundred workloads are one file of less than 300 KB that loads nothing and runs nothing.
#[test]
fn a_review_page_is_small_and_still() {
    let folder = tempfile::tempdir().unwrap();
    let one = |index: usize| {
        WORKLOADS
            .replace("name: web,", &format!("name: web-{index},"))
            .replace("name: tool,", &format!("name: tool-{index},"))
    };
    let all: Vec<String> = (0..100).map(one).collect();
    std::fs::write(folder.path().join("all.yaml"), all.join("---")).unwrap();
    let (code, page, _) = run(folder.path(), &["review", "-f", "all.yaml", "-o", "html"]);
    assert_eq!(code, 1);
    assert!(page.len() < 300_000, "{} bytes", page.len());
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    assert_eq!(page.matches("<details").count(), 200);
    assert_eq!(page.matches("<th scope=\"row\">").count(), 200);
    // Every link of the table leads somewhere.
    for link in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
}

#[test]
fn hostile_names_do_not_leave_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = WORKLOADS.replace("name: web,", "name: '<script>alert(1)</script>\"''&',");
    std::fs::write(folder.path().join("all.yaml"), hostile).unwrap();
    let (_, page, told) = run(folder.path(), &["review", "-f", "all.yaml", "-o", "html"]);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{told}{page}");
}

/// Runs a script in a container of Debian's static busybox, under a profile.
fn contain(folder: &Path, runtime: &str, profile: &str, script: &str) -> (Option<i32>, String) {
    let bundle = tempfile::tempdir_in(folder).unwrap();
    let rootfs = bundle.path().join("rootfs");
    for name in ["bin", "proc", "tmp", "dev", "sys", "etc"] {
        std::fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    std::fs::copy("/usr/bin/busybox", rootfs.join("bin/busybox")).unwrap();
    let mut seccomp: Value = serde_json::from_str(profile).unwrap();
    for entry in seccomp["syscalls"].as_array_mut().unwrap() {
        // The runtime's own form has no comments.
        entry.as_object_mut().unwrap().remove("comment");
    }
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {"cwd": "/tmp", "user": {"uid": 0, "gid": 0}, "args": ["/bin/busybox", "sh", "-c", script],
            "env": ["PATH=/bin"], "noNewPrivileges": true, "capabilities": {}},
        "root": {"path": rootfs},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}],
            "seccomp": {"defaultAction": seccomp["defaultAction"], "architectures": seccomp["architectures"],
                "syscalls": seccomp["syscalls"]}},
    });
    std::fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
    // crun refuses to start if a second cgroup hierarchy is mounted, whether it uses it or not.
    let options = if runtime == "crun" { "--cgroup-manager=disabled" } else { "" };
    let line = format!(
        "umount /sys/fs/cgroup/unified 2>/dev/null; exec {runtime} {options} --root {root} run --bundle {bundle} least-{id}",
        root = folder.join(runtime).display(),
        bundle = bundle.path().display(),
        id = std::process::id(),
    );
    let mut command = std::process::Command::new("timeout");
    let output = command
        .args(["120", "unshare", "--mount", "--propagation", "private", "sh", "-c", &line])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_minimized_profile_starts_its_program_in_a_container() {
    let has = |line: &str| std::process::Command::new("sh").args(["-c", line]).status().unwrap().success();
    if !has("test $(id -u) = 0 && test -x /usr/bin/busybox") {
        return println!(
            "SKIPPED: containers of busybox are made by root: apt-get install busybox-static crun runc"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "echo one > data; cat data; rm data; exit 7";
    for name in ["one.json", "two.json"] {
        let (code, _, told) = run(
            folder.path(),
            &["seccomp", "record", "-o", name, "--", "/usr/bin/busybox", "sh", "-c", script],
        );
        assert_eq!(code, 0, "{told}");
    }
    for runtime in ["crun", "runc"] {
        if !has(&format!("command -v {runtime} >/dev/null")) {
            println!("SKIPPED: {runtime} is missing: apt-get install {runtime}");
            continue;
        }
        let args = ["seccomp", "minimize", "one.json", "two.json", "--siblings", "--runtime", runtime];
        let (code, profile, told) = run(folder.path(), &args);
        assert_eq!(code, 0, "{told}");
        let (code, said) = contain(folder.path(), runtime, &profile, script);
        assert_eq!((code, said.contains("one")), (Some(7), true), "{runtime}: {said}");
        // Syscalls that no recording shows are refused.
        let (_, said) = contain(folder.path(), runtime, &profile, "busybox mkdir new");
        assert!(said.contains("Operation not permitted"), "{runtime}: {said}");
    }
}
