//! The container engine: containerd, started with a configuration of this node's own and supervised.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::cri::Cri;
use crate::cri::message::VersionRequest;
use crate::layout::Layout;
use crate::node::{ARCHITECTURE, has_selinux};
use crate::pause;
use crate::range::PodRange;

/// Folders of network plugins.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// The command that installs the packages of a node.
pub(crate) const INSTALL: &str = "apt-get install -y containerd crun containernetworking-plugins iptables";
/// The namespace of CRI's objects in containerd.
pub(crate) const NAMESPACE: &str = "k8s.io";

/// An error of finding or starting the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The node's folder has an agent.
    #[error(transparent)]
    Claim(#[from] crate::claim::ClaimError),
    /// Programs are missing.
    #[error("pods cannot run here: {0} missing; install with: {INSTALL}")]
    Missing(String),
    /// A file cannot be written.
    #[error("{0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The engine does not start.
    #[error("containerd does not start: {0}")]
    Start(String),
    /// An archive has images for other machines only.
    #[error(
        "{0}: it holds no image for linux/{ARCHITECTURE}, this machine's platform: pull or build it with --platform linux/{ARCHITECTURE}, then save it again"
    )]
    Platform(PathBuf),
    /// A program of the engine fails.
    #[error("{0}")]
    Program(String),
}

/// A program in the usual folders.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/bin"];
    let folders = path.split(':').filter(|folder| !folder.is_empty()).chain(usual);
    folders.map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// Settings of the engine.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    containerd: PathBuf,
    plugins: PathBuf,
    runtime: PathBuf,
}

impl Programs {
    /// Finds them, or returns the missing ones. `runtime` is the requested OCI runtime, if any.
    pub(crate) fn find(runtime: Option<&Path>) -> Result<Self, EngineError> {
        let containerd = find_program("containerd");
        let plugins = PLUGINS.into_iter().map(PathBuf::from).find(|folder| folder.join("bridge").is_file());
        let runtime =
            runtime.map(Path::to_owned).or_else(|| find_program("crun")).or_else(|| find_program("runc"));
        let missing: Vec<&str> = [
            ("containerd", containerd.is_none()),
            ("crun", runtime.is_none()),
            ("the CNI plugins", plugins.is_none()),
            ("iptables", find_program("iptables").is_none()),
        ]
        .into_iter()
        .filter_map(|(name, is_missing)| is_missing.then_some(name))
        .collect();
        match (containerd, plugins, runtime) {
            (Some(containerd), Some(plugins), Some(runtime)) if missing.is_empty() => {
                Ok(Self { containerd, plugins, runtime })
            }
            _ => Err(EngineError::Missing(missing.join(", "))),
        }
    }
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError + '_ {
    |error| EngineError::File(path.to_owned(), error)
}

/// Writes a file whole or not at all: a crash, or an engine that starts meanwhile, meets no half of it. A file that has
/// this text already stays: a node on a full disk starts again, so that its pods can be deleted.
fn write(path: &Path, text: &str) -> Result<(), EngineError> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(file_error(folder))?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, text).map_err(file_error(path))?;
    std::fs::rename(&new, path).map_err(file_error(path))
}

/// The engine's configuration. Features that this node does not use are disabled. On a busy machine a shim may take longer to answer
/// than the engine waits by default, which then ends its containers.
fn config(layout: &Layout, programs: &Programs, runtime: &Path) -> String {
    let quote = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
    format!(
        r#"version = 2
root = {root}
state = {state}
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
address = {socket}
[ttrpc]
address = {ttrpc}
[timeouts]
"io.containerd.timeout.shim.cleanup" = "30s"
"io.containerd.timeout.shim.load" = "30s"
"io.containerd.timeout.task.state" = "20s"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
restrict_oom_score_adj = true
enable_selinux = {has_selinux}
netns_mounts_under_state_dir = true
max_container_log_line_size = 16384
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = {plugins}
conf_dir = {networks}
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "palisade"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.palisade]
runtime_type = "io.containerd.runc.v2"
container_annotations = ["io.palisade/*"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.palisade.options]
BinaryName = {runtime}
Root = {runtime_root}
"#,
        root = quote(&layout.root().join("containerd")),
        state = quote(&layout.run().join("containerd")),
        socket = quote(&layout.socket()),
        ttrpc = quote(&layout.socket().with_extension("ttrpc")),
        has_selinux = has_selinux(),
        pause = pause::NAME,
        plugins = quote(&programs.plugins),
        networks = quote(&layout.network_config()),
        runtime = quote(runtime),
        runtime_root = quote(&layout.run().join("runtime")),
    )
}

/// The pods' network: a bridge on the node, addresses from `range`, forwarded ports of the node.
fn network(layout: &Layout, range: PodRange) -> String {
    let data = layout.run().join("addresses").display().to_string();
    serde_json::json!({
        "cniVersion": "0.4.0", "name": layout.network(),
        "plugins": [
            {"type": "bridge", "bridge": layout.bridge(), "isGateway": true, "ipMasq": true, "hairpinMode": true,
             "ipam": {"type": "host-local", "dataDir": data, "ranges": [[{"subnet": range.to_string()}]],
                      "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
        ],
    })
    .to_string()
}

/// crun refuses machines with both cgroup versions; it runs if the second is hidden.
fn wrapped(layout: &Layout, runtime: &Path) -> Result<PathBuf, EngineError> {
    let is_crun = runtime.file_name().is_some_and(|name| name == "crun");
    if !is_crun || !Path::new("/sys/fs/cgroup/unified").is_dir() {
        return Ok(runtime.to_owned());
    }
    use std::os::unix::fs::PermissionsExt;
    let path = layout.root().join("bin/crun");
    let text = format!(
        "#!/bin/sh\nexec unshare -m sh -c 'umount /sys/fs/cgroup/unified; exec \"$0\" \"$@\"' {} \"$@\"\n",
        runtime.display()
    );
    write(&path, &text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(file_error(&path))?;
    Ok(path)
}

/// The engine of a node.
#[derive(Debug)]
pub(crate) struct Engine {
    layout: Layout,
    programs: Programs,
    cri: Cri,
    /// `None` if a running one was found.
    child: Option<Child>,
}

/// Maximum time until an engine answers for the first time: it looks at each container first, and takes its time for those whose
/// shims are gone.
const START: Duration = Duration::from_secs(600);

impl Engine {
    /// Writes the configuration of the engine, and starts it unless it runs.
    pub(crate) async fn start(
        layout: &Layout,
        programs: Programs,
        range: PodRange,
    ) -> Result<Self, EngineError> {
        let runtime = wrapped(layout, &programs.runtime)?;
        write(&layout.engine_config(), &config(layout, &programs, &runtime))?;
        write(&layout.network_config().join("10-palisade.conflist"), &network(layout, range))?;
        for folder in [layout.pods(), layout.logs(), layout.profiles(), layout.run()] {
            std::fs::create_dir_all(&folder).map_err(file_error(&folder))?;
        }
        let cri = Cri::new(&layout.socket());
        let mut engine = Self { layout: layout.clone(), programs, cri, child: None };
        engine.ensure().await?;
        engine.import_pause().await?;
        Ok(engine)
    }

    pub(crate) fn cri(&self) -> &Cri {
        &self.cri
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    async fn answers(&self) -> bool {
        self.layout.socket().exists() && self.cri.version(VersionRequest::default()).await.is_ok()
    }

    /// Restarts the engine if it has ended.
    pub(crate) async fn ensure(&mut self) -> Result<(), EngineError> {
        if let Some(child) = &mut self.child
            && matches!(child.try_wait(), Ok(None))
        {
            return Ok(());
        }
        if self.answers().await {
            return Ok(());
        }
        // One that another agent started and that does not answer would be a second engine with the same containers.
        end_other(&self.layout).await;
        let log = self.layout.engine_log();
        let out = std::fs::File::create(&log).map_err(file_error(&log))?;
        let err = out.try_clone().map_err(file_error(&log))?;
        let child = Command::new(&self.programs.containerd)
            .arg("--config")
            .arg(self.layout.engine_config())
            .stdin(Stdio::null())
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            // A signal from the terminal is for the agent; the agent ends the engine itself.
            .process_group(0)
            .spawn()
            .map_err(|error| EngineError::Start(error.to_string()))?;
        let pid = child.id().unwrap_or_default();
        write(&self.layout.run().join("containerd.pid"), &pid.to_string())?;
        self.child = Some(child);
        self.wait().await
    }

    async fn wait(&mut self) -> Result<(), EngineError> {
        let until = tokio::time::Instant::now() + START;
        while tokio::time::Instant::now() < until {
            let status = self.child.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = status {
                return Err(EngineError::Start(format!(
                    "{status}; see {}",
                    self.layout.engine_log().display()
                )));
            }
            if self.answers().await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(EngineError::Start(format!("it does not answer; see {}", self.layout.engine_log().display())))
    }

    async fn import_pause(&self) -> Result<(), EngineError> {
        if self.cri.image(pause::NAME, false).await.is_ok_and(|found| found.image.is_some()) {
            return Ok(());
        }
        let path = self.layout.root().join("pause.tar");
        let archive = pause::archive().map_err(file_error(&path))?;
        std::fs::write(&path, archive).map_err(file_error(&path))?;
        let imported = import(&self.layout.socket(), &path).await;
        let _ = std::fs::remove_file(&path);
        imported.map(|_| ())
    }

    /// Restarts the engine, whoever started it; containers go on.
    pub(crate) async fn restart(&mut self) -> Result<(), EngineError> {
        match self.child {
            Some(_) => self.stop().await,
            None => end_other(&self.layout).await,
        }
        self.ensure().await
    }

    /// Ends the engine that this process started; containers go on.
    pub(crate) async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = child.id() {
            terminate(pid);
        }
        if tokio::time::timeout(Duration::from_secs(5), child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

/// Ends an engine that another process started: the one with this node's configuration.
pub(crate) async fn end_other(layout: &Layout) {
    let file = layout.run().join("containerd.pid");
    let pid = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let Some(pid) = pid else { return };
    let config = layout.engine_config().display().to_string();
    let is_ours = || {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&config)
    };
    if is_ours() {
        terminate(pid);
    }
    for _ in 0..250 {
        if !is_ours() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Signals a process to end.
pub(crate) fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Imports an archive into the engine on a socket, and returns the names of its images.
pub(crate) async fn import(socket: &Path, archive: &Path) -> Result<Vec<String>, EngineError> {
    let ctr =
        find_program("ctr").ok_or_else(|| EngineError::Missing("ctr, a part of containerd,".to_owned()))?;
    let output = Command::new(ctr)
        .args(["--address".as_ref(), socket.as_os_str()])
        .args(["--namespace", NAMESPACE, "images", "import"])
        .arg(archive)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| EngineError::Program(format!("ctr: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // Of Docker's archives, and of OCI's.
        let of_others = ["image might be filtered out", "no match for platform"];
        return Err(match of_others.iter().any(|words| said.contains(words)) {
            true => EngineError::Platform(archive.to_owned()),
            false => EngineError::Program(format!("{}: {said}", archive.display())),
        });
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = said.lines().filter_map(|line| line.strip_prefix("unpacking "));
    Ok(names.filter_map(|rest| rest.split_once(" (").map(|(name, _)| name.to_owned())).collect())
}
