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
    assert_eq!(std::fs::canonicalize(link).unwrap(), std::fs::canonicalize(PALISADE).unwrap());
    assert!(install("--podman").stdout.is_empty());
    assert_eq!(Command::new(PALISADE).args(["oci", "install"]).output().unwrap().status.code(), Some(2));
}
