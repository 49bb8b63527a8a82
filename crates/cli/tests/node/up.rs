//! A node of one test, with everything its own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::crash::socket;
use crate::service;

/// Long enough for a machine with much else to do; `PALISADE_PATIENCE` in seconds for a slower one.
pub(crate) fn patience() -> Duration {
    let seconds = std::env::var("PALISADE_PATIENCE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(180))
}

/// Whether nodes cannot be tested here. The reason is printed, and is a failure with `PALISADE_NODE=1`.
pub(crate) fn is_skipped() -> bool {
    let Some(why) = missing() else { return false };
    let is_must = std::env::var("PALISADE_NODE").is_ok_and(|value| value == "1");
    assert!(!is_must, "PALISADE_NODE=1, and nodes cannot be tested here: {why}");
    // The output of macros is captured by the test runner, which does not show it for a test that passes.
    let _ = writeln!(std::io::stderr(), "skipped: nodes cannot be tested here: {why}");
    true
}

/// The reason why nodes cannot be tested here, if any.
fn missing() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        return Some("containers take root".to_owned());
    }
    let programs = ["containerd", "ctr", "crun", "iptables", "kubectl", "busybox"];
    let plugins = ["/usr/lib/cni", "/opt/cni/bin"];
    let has_plugins = plugins.iter().any(|folder| Path::new(folder).join("bridge").exists());
    let gone = programs.into_iter().filter(|name| !has(name));
    let gone: Vec<_> = gone.chain((!has_plugins).then_some("the CNI plugins")).collect();
    (!gone.is_empty()).then(|| format!("{} missing", gone.join(", ")))
}

fn has(name: &str) -> bool {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"];
    folders.iter().any(|folder| Path::new(folder).join(name).exists())
}

/// A node with its API server.
pub(crate) struct Up {
    child: Option<Child>,
    pub(crate) folder: PathBuf,
    range: &'static str,
    set: &'static str,
    default_seccomp: &'static str,
    port: u16,
    _kept: tempfile::TempDir,
}

impl Up {
    /// Starts one with the addresses of `range`, and imports the workshop's images.
    pub(crate) fn start(range: &'static str) -> Self {
        Self::start_with(range, "3")
    }

    /// The same with the SCCs of a set.
    pub(crate) fn start_with(range: &'static str, set: &'static str) -> Self {
        Self::begin(range, set, "unconfined")
    }

    /// The same with a profile for pods that name none.
    pub(crate) fn start_confined(range: &'static str) -> Self {
        Self::begin(range, "3", "runtime/default")
    }

    fn begin(range: &'static str, set: &'static str, default_seccomp: &'static str) -> Self {
        let kept = tempfile::Builder::new().prefix("palisade-node-").tempdir_in("/var/tmp").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let folder = kept.path().to_owned();
        let mut up = Self { child: None, folder, range, set, default_seccomp, port, _kept: kept };
        up.run();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/workshop/build-images.sh");
        let images = up.folder.join("images");
        assert!(Command::new(script).arg(&images).status().unwrap().success());
        for image in ["explorer.tar", "sotrustworthy.tar"] {
            let path = images.join(image);
            let out = up.palisade(&[
                "image",
                "import",
                path.to_str().unwrap(),
                "--node-dir",
                up.node_dir().to_str().unwrap(),
            ]);
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        }
        up
    }

    /// Starts the process, and waits until the node is ready.
    pub(crate) fn run(&mut self) {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("up.log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_palisade"))
            .args(["up", "--scc-set", self.set, "--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--node-name", "here", "--pod-cidr", self.range])
            .args(["--default-seccomp", self.default_seccomp])
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .arg("--node-dir")
            .arg(self.node_dir())
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.until("the node is ready", |up| {
            up.ask(&["get", "node", "here", "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"])
                == "True"
        });
    }

    /// The characters that distinguish this node's bridge and networks from others'.
    pub(crate) fn id(&self) -> String {
        let socket = socket(self);
        let run = Path::new(&socket).parent().unwrap().file_name().unwrap();
        run.to_str().unwrap().strip_prefix("palisade-").unwrap().to_owned()
    }

    pub(crate) fn node_dir(&self) -> PathBuf {
        self.folder.join("node")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("data/admin.kubeconfig")
    }

    /// Kills the process as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn palisade(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command.args(args).env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null()).output().unwrap()
    }

    pub(crate) fn kubectl(&self) -> Command {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--cache-dir")
            .arg(self.folder.join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// The output of kubectl, whatever its exit code.
    pub(crate) fn ask(&self, args: &[&str]) -> String {
        let out = self.kubectl().args(args).output().unwrap();
        let all = [out.stdout, out.stderr].concat();
        String::from_utf8_lossy(&all).trim().to_owned()
    }

    /// Runs kubectl, which is to succeed.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let out = self.kubectl().args(args).output().unwrap();
        assert!(
            out.status.success(),
            "kubectl {args:?}: {}\n{}",
            String::from_utf8_lossy(&out.stderr),
            self.story()
        );
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    pub(crate) fn apply(&self, objects: &serde_json::Value) {
        let mut child = self
            .kubectl()
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(objects.to_string().as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Waits for something to come true.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < patience(), "not in time: {what}\n{}", self.story());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Logs and events, for the reader of a failure.
    pub(crate) fn story(&self) -> String {
        let log = std::fs::read_to_string(self.folder.join("up.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        let pods = self.ask(&["get", "pods", "-A", "-o", "wide"]);
        let events = self.ask(&["get", "events", "-A", "--field-selector", "type=Warning"]);
        format!("{pods}\n{events}\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// A pod's container's answer to a command.
    pub(crate) fn inside(&self, pod: &str, script: &str) -> String {
        self.ask(&["exec", pod, "--", "sh", "-c", &format!("{script}\ntrue")])
    }

    /// Ends everything, and checks that nothing is left on the machine.
    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
        let out = self.palisade(&["down", "--node-dir", self.node_dir().to_str().unwrap()]);
        if std::thread::panicking() {
            return;
        }
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let folder = self.node_dir().display().to_string();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&folder)).collect();
        assert!(left.is_empty(), "mounts are left: {left:?}");
        let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.contains(&folder) && entry.file_name() != std::process::id().to_string().as_str())
                .then_some(line)
        });
        let left: Vec<String> = processes.collect();
        assert!(left.is_empty(), "processes are left: {left:?}");
        let left = service::rules(self);
        assert!(left.is_empty(), "rules are left: {left:?}");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.down();
    }
}
