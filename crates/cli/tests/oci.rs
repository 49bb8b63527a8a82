//! `palisade oci` and its other name.
#![cfg(target_os = "linux")]

use std::process::Command;

const PALISADE: &str = env!("CARGO_BIN_EXE_palisade");

#[test]
fn it_answers_as_the_runtime_that_it_hands_over_to() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("palisade-oci");
    std::os::unix::fs::symlink(PALISADE, &link).unwrap();
    let crun = Command::new("crun").arg("--version").output().expect("crun is missing: apt-get install crun");
    let by_name = Command::new(&link).arg("--version").output().unwrap();
    assert_eq!(by_name.stdout, crun.stdout);
    let by_verb = Command::new(PALISADE).args(["oci", "--version"]).output().unwrap();
    assert_eq!(by_verb.stdout, crun.stdout);
    let wrong = Command::new(&link).args(["create", "--bundel", "x", "y"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&wrong.stderr), "palisade-oci: unknown option --bundel\n");
}

#[test]
fn an_engine_is_set_up_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let install = |engine: &str| {
        let mut command = Command::new(PALISADE);
        command.args(["oci", "install", engine, "--write", "--root"]).arg(folder.path());
        command.output().unwrap()
    };
    let containerd = install("--containerd");
    assert!(containerd.status.success());
    let class = String::from_utf8(containerd.stdout).unwrap();
    assert!(class.starts_with("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\n"), "{class}");
    let link = folder.path().join("usr/local/lib/palisade/containerd/palisade-oci");
    assert_eq!(std::fs::read_link(link).unwrap().to_str(), Some("/usr/local/lib/palisade/palisade"));
    let copy = std::fs::read(folder.path().join("usr/local/lib/palisade/palisade")).unwrap();
    assert!(copy == std::fs::read(PALISADE).unwrap());
    assert!(install("--podman").stdout.is_empty());
    assert_eq!(Command::new(PALISADE).args(["oci", "install"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_command_is_recorded_and_runs_under_its_profile() {
    let folder = tempfile::tempdir().unwrap();
    let (profile, runs) = (folder.path().join("profile.json"), folder.path().join("runs.json"));
    let record = |script: &str| {
        let mut command = Command::new(PALISADE);
        command.args(["seccomp", "record", "-o"]).arg(&profile).arg("--runs").arg(&runs);
        let output = command.args(["--", "sh", "-c", script]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(record("ls / > /dev/null; true").contains("in 1 run\n"));
    assert!(record("cat /etc/passwd > /dev/null; true").contains("in 2 runs"));
    for (script, works) in
        [("ls / > /dev/null; cat /etc/passwd > /dev/null; true", true), ("mkdir /tmp/palisade-never", false)]
    {
        let mut command = Command::new(PALISADE);
        let output =
            command.args(["seccomp", "run"]).arg(&profile).args(["--", "sh", "-c", script]).output().unwrap();
        assert_eq!(output.status.success(), works, "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!std::path::Path::new("/tmp/palisade-never").exists());
}

#[test]
fn inspecting_an_unknown_container_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let run = |words: &[&str]| {
        let output = Command::new(PALISADE).args(words).arg("--state").arg(&state).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["inspect"]), (Some(0), String::new()));
    for words in [["inspect", "stranger"], ["denials", "stranger"]] {
        let (code, text) = run(&words);
        assert_eq!(code, Some(2));
        assert!(text.contains("no container \"stranger\" in "), "{text}");
    }
}
