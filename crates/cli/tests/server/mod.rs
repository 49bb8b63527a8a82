//! A server in a process of its own, with a home folder for its users.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// `palisade serve`, until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) home: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a free port, with the SCCs of a set.
    pub(crate) fn start(set: &str) -> Self {
        let home = tempfile::tempdir().expect("there is room for a folder");
        link(home.path());
        let child = serve(home.path(), Some(set), &[]);
        Self { child, home }
    }

    /// Starts a server whose clock [`clock`](Self::clock) sets; `None` if libfaketime is missing.
    pub(crate) fn with_clock() -> Option<Self> {
        const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
        let home = tempfile::tempdir().expect("there is room for a folder");
        let file = home.path().join("clock").display().to_string();
        let environment = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        Path::new(LIBRARY).exists().then(|| {
            std::fs::write(&file, "+0").expect("the clock can be set");
            let child = serve(home.path(), Some("4"), &environment);
            link(home.path());
            Self { child, home }
        })
    }

    /// Starts another server for the same user, on data in a folder of the home folder.
    pub(crate) fn second(&self, data: &str) -> Process {
        Process(serve_in(self.home.path(), data, Some("4"), &[]))
    }

    /// Sets the server's clock: by how much it is ahead, as `+3h` or `-2d`.
    pub(crate) fn clock(&self, ahead: &str) {
        self.write("clock", ahead);
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.home.path().join(".kube/config")
    }

    /// Runs a line of a shell with `oc` as this program, in the home folder.
    pub(crate) fn shell(&self, line: &str) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new("timeout")
            .args(["60", "sh", "-c", line])
            .stdin(Stdio::null())
            .env("HOME", self.home.path())
            .env("PATH", format!("{}:{path}", self.home.path().display()))
            .env_remove("KUBECONFIG")
            .current_dir(self.home.path())
            .output()
            .expect("there is a shell")
    }

    /// Runs a command line that must succeed; returns its output.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = self.shell(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{line}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command line that must fail; returns its exit code and its output.
    pub(crate) fn fail(&self, line: &str) -> (i32, String) {
        let output = self.shell(line);
        let code = output.status.code().expect("it ends by itself");
        assert_ne!(code, 0, "{line}");
        (code, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Waits for an action of the server itself: until a command line succeeds.
    pub(crate) fn soon(&self, line: &str) {
        let start = std::time::Instant::now();
        while !self.shell(line).status.success() {
            assert!(start.elapsed().as_secs() < 20, "{line}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.home.path().join(name), text).expect("the file can be written");
    }

    /// Kills the server as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("it ends");
    }

    /// Starts a server that ended, on the data that it left, without naming a set.
    pub(crate) fn restart(&mut self) {
        self.child = serve(self.home.path(), None, &[]);
    }

    /// Asks the server to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().expect("kill runs").success());
        self.child.wait().expect("the server ends")
    }
}

/// Puts the program into a home folder, under both of its names.
fn link(home: &Path) {
    for name in ["oc", "palisade"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_palisade"), home.join(name)).expect("a link");
    }
}

/// Starts the program on the data of a home folder; returns once it serves.
fn serve(home: &Path, set: Option<&str>, environment: &[(&str, &str)]) -> Child {
    serve_in(home, "data", set, environment)
}

fn serve_in(home: &Path, data: &str, set: Option<&str>, environment: &[(&str, &str)]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_palisade"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(home.join(data))
        .args(set.map(|set| format!("--scc-set={set}")))
        .env("HOME", home)
        .env_remove("KUBECONFIG")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut line).expect("the server says where it is");
    // Its further output is read too, so that the pipe is never closed.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    assert!(line.starts_with("Serving the Kubernetes API on https://127.0.0.1:"), "{line}");
    child
}

/// A process that ends when it is dropped.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
