//! Python's `kubernetes` client, the real one of its registry, against a server.
#![cfg(all(feature = "cluster", feature = "serve"))]
#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation is a failed test")]

mod server;

use std::path::{Path, PathBuf};
use std::process::Command;

use server::Server;

/// The client's version: its requests and its parsing are tested.
const CLIENT: &str = "kubernetes==37.0.2";

/// A Python that has the client, in the build folder: made once.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT);
    let python = folder.join("bin/python");
    let has_it = || Command::new(&python).args(["-c", "import kubernetes"]).output();
    if !has_it().is_ok_and(|output| output.status.success()) {
        succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", CLIENT]));
    }
    python
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}{said}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_script_with_pythons_client_is_served() {
    let server = Server::start("4");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/client.py");
    succeeds(
        Command::new("timeout").arg("120").arg(python()).arg(script).env("KUBECONFIG", server.kubeconfig()),
    );
}
