//! The handler's treatment of a runtime command.

use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use palisade_k8s::KernelVersion;
use palisade_sys::process::{Confinement, Process};
use rustix::fs::{CWD, FileType, Mode, fchmod, makedev, mknodat, unlink};
use sha2::{Digest, Sha256};

use crate::arguments::{Arguments, Verb};
use crate::cache::replace;
use crate::container::{Applied, Container, Containers, state_pid};
use crate::error::Error;
use crate::held::{Verdict, Waiting};
use crate::rewrite::Config;
use crate::settings::Settings;

/// The largest config.json, in bytes.
const MAX_CONFIG: u64 = 16 * 1024 * 1024;

/// The command by which `run` has its container looked at from outside.
const WATCH: &str = "watch-container";

/// Does what a runtime's command line says. Does not return where the runtime takes over; else gives the exit
/// code. `handler` is the path by which this program was started, beside which its settings are.
#[must_use]
pub fn run(handler: &Path, words: Vec<OsString>) -> u8 {
    if let [first, rest @ ..] = words.as_slice()
        && first == WATCH
    {
        return watch(rest);
    }
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(error) => return report(None, &error),
    };
    match Handler::new(handler, &arguments).and_then(|handler| handler.run()) {
        Ok(code) => code,
        Err(error) => report(Some(&arguments), &error),
    }
}

struct Handler<'a> {
    settings: Settings,
    runtime: PathBuf,
    arguments: &'a Arguments,
}

impl<'a> Handler<'a> {
    fn new(handler: &Path, arguments: &'a Arguments) -> Result<Self, Error> {
        let settings = Settings::beside(handler)?;
        let runtime = match &settings.runtime {
            Some(runtime) => runtime.clone(),
            None => installed(&["crun", "runc"]).ok_or(Error::NoRuntime)?,
        };
        Ok(Self { settings, runtime, arguments })
    }

    fn run(&self) -> Result<u8, Error> {
        match self.arguments.verb {
            Verb::Create => {
                self.create()?;
                self.hand_over()
            }
            Verb::Run => {
                let container = self.create()?;
                hide_unified_cgroups()?;
                if let Some(filter) = &container.filter {
                    self.watch(&container, filter)?;
                }
                Err(self.exec())
            }
            Verb::Start => self.start(),
            Verb::Delete => self.delete(),
            Verb::Kill => {
                self.refuse_lost()?;
                self.hand_over()
            }
            Verb::Exec => {
                if let Some(login_id) = self.known().ok().flatten().and_then(|container| container.login_id) {
                    set_login_id(login_id)?;
                }
                self.hand_over()
            }
            Verb::Other => self.hand_over(),
        }
    }

    /// Puts the filter into the bundle, and notes what the container must have.
    fn create(&self) -> Result<Container, Error> {
        let bundle = absolute(self.arguments.bundle.as_deref().unwrap_or(Path::new(".")))?;
        let path = bundle.join(self.arguments.config.as_deref().unwrap_or(Path::new("config.json")));
        let id = self
            .arguments
            .id
            .clone()
            .ok_or_else(|| Error::Arguments("a container's id is missing".to_owned()))?;
        let (text, mode) = read_config(&path)?;
        let mut config = Config::read(&text, &self.settings, kernel()?)?;
        let containers = Containers::of(&self.settings.state)?;
        config.record_to(containers.recorder(&id));
        let compiled = config.source.clone().map(|source| containers.cache().compiled(source)).transpose()?;
        let inherited = Confinement::read("self").map_err(|error| Error::file("/proc/self/status", error))?;
        let filter = compiled.as_ref().map(|(key, compiled)| Applied {
            profile: config.source.as_ref().map(|source| source.name.clone()).unwrap_or_default(),
            key: key.clone(),
            digest: compiled.digest.clone(),
            instructions: compiled.instructions,
            log: compiled.log,
            spec_allow: compiled.spec_allow,
            inherited: inherited.filters.unwrap_or_default(),
        });
        let login_id = match self.settings.login_ids {
            true => Some(next_login_id(&self.settings.state)?),
            false => None,
        };
        let container = Container {
            id,
            name: name(&config),
            root: self.arguments.root.clone(),
            bundle,
            pid_file: self.arguments.pid_file.as_deref().map(absolute).transpose()?,
            runtime: self.runtime.clone(),
            cgroup: config.cgroup(),
            login_id,
            filter,
        };
        let new = config.with(compiled.as_ref().map(|(_, compiled)| compiled))?;
        replace(&path, mode, &new)?;
        containers.put(&container)?;
        if let Some(login_id) = login_id {
            set_login_id(login_id)?;
        }
        Ok(container)
    }

    fn known(&self) -> Result<Option<Container>, Error> {
        let containers = Containers::of(&self.settings.state)?;
        let id = self.arguments.id.as_deref().unwrap_or_default();
        Ok(containers.get(self.arguments.root.as_deref(), id))
    }

    /// Starts the container and sees to it that it is held.
    fn start(&self) -> Result<u8, Error> {
        let id = self.arguments.id.clone().unwrap_or_default();
        let container = self.known()?.ok_or_else(|| {
            let folder = self.settings.state.display();
            Error::Arguments(format!(
                "container {id:?} is not known in {folder}, so nobody could tell whether it is held"
            ))
        })?;
        hide_unified_cgroups()?;
        let Some(filter) = &container.filter else { return Err(self.exec()) };
        let pid = container.pid();
        // If the process has ended, the runtime reports it.
        let Some(waiting) = pid.and_then(|pid| Waiting::new(pid).ok()) else { return Err(self.exec()) };
        let status = self.wait_for_runtime()?;
        if !status.success() {
            return Ok(code(status));
        }
        hold(&waiting, filter, &id).map(|()| 0)
    }

    fn delete(&self) -> Result<u8, Error> {
        hide_unified_cgroups()?;
        let lost = if self.arguments.force { Ok(()) } else { self.refuse_lost() };
        let status = lost.is_ok().then(|| self.wait_for_runtime()).transpose()?;
        if let (true, Some(id)) = (status.is_none_or(|status| status.success()), &self.arguments.id) {
            Containers::of(&self.settings.state)?.remove(self.arguments.root.as_deref(), id);
        }
        lost.map(|()| status.map_or(0, code))
    }

    /// Says that a container does not exist whose state the runtime has lost, as after a crash. crun says that a file cannot be
    /// opened, which containerd takes for a failure, and tries again for ever.
    fn refuse_lost(&self) -> Result<(), Error> {
        let (Some(root), Some(id)) = (&self.arguments.root, &self.arguments.id) else { return Ok(()) };
        let folder = root.join(id);
        // The files of crun, and of runc and youki.
        let has_state = ["status", "state.json"].iter().any(|name| folder.join(name).exists());
        match has_state || self.is_alive() {
            true => Ok(()),
            false => Err(Error::Lost(id.clone())),
        }
    }

    /// Whether the first process of the container has not ended.
    fn is_alive(&self) -> bool {
        let pid = self.known().ok().flatten().and_then(|container| container.pid());
        let process = pid.and_then(|pid| Process::open(pid).ok());
        process.is_some_and(|process| process.is_alive().unwrap_or(true))
    }

    /// Starts a process that checks a container which `run` starts in the foreground.
    fn watch(&self, container: &Container, filter: &Applied) -> Result<(), Error> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(crate::settings::HANDLER)
            .arg(WATCH)
            .arg(std::process::id().to_string())
            .arg(&self.runtime)
            .arg(&container.id)
            .arg(filter.inherited.to_string());
        command.args(&container.root);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let wrong = |source| Error::Runtime { runtime: PathBuf::from("/proc/self/exe"), source };
        palisade_sys::process::spawn_detached(command).map_err(wrong)
    }

    fn hand_over(&self) -> Result<u8, Error> {
        hide_unified_cgroups()?;
        Err(self.exec())
    }

    /// Becomes the runtime; comes back only with the reason why not.
    fn exec(&self) -> Error {
        let source = match self.command() {
            Ok(mut command) => command.exec(),
            Err(source) => source,
        };
        Error::Runtime { runtime: self.runtime.clone(), source }
    }

    fn wait_for_runtime(&self) -> Result<ExitStatus, Error> {
        let wrong = |source| Error::Runtime { runtime: self.runtime.clone(), source };
        self.command().and_then(|mut command| command.status()).map_err(wrong)
    }

    fn command(&self) -> std::io::Result<Command> {
        let mut command = Command::new(&self.runtime);
        command.args(&self.arguments.all);
        let [stdin, stdout, stderr] =
            [is_device(&std::io::stdin())?, is_device(&std::io::stdout())?, is_device(&std::io::stderr())?];
        if !(stdin || stdout || stderr) {
            return Ok(command);
        }
        // Without the right to make a device node, the owner of the node's own cannot be changed either.
        let Ok(null) = null_of_its_own() else { return Ok(command) };
        if stdin {
            command.stdin(null.try_clone()?);
        }
        if stdout {
            command.stdout(null.try_clone()?);
        }
        if stderr {
            command.stderr(null);
        }
        Ok(command)
    }
}

/// A null device without a name, which may come to belong to anybody.
fn null_of_its_own() -> std::io::Result<File> {
    let name = format!("/dev/.palisade-null-{}", std::process::id());
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, &name, FileType::CharacterDevice, mode, makedev(1, 3))?;
    let opened = File::options().read(true).write(true).open(&name);
    unlink(&name)?;
    let null = opened?;
    // Whatever the umask is: the container may open it anew.
    fchmod(&null, mode)?;
    Ok(null)
}

/// Whether a stream is a device that is not a terminal, such as /dev/null, which engines give to containers without input.
/// crun 1.8 makes the user of an `exec` the owner of its streams, and of the node's /dev/null with them
/// (src/libcrun/container.c, `maybe_chown_std_streams`).
fn is_device(stream: &(impl AsFd + IsTerminal)) -> std::io::Result<bool> {
    let file = File::from(stream.as_fd().try_clone_to_owned()?);
    Ok(!stream.is_terminal() && file.metadata()?.file_type().is_char_device())
}

/// Kills a started container that its filter does not hold.
fn hold(waiting: &Waiting, filter: &Applied, id: &str) -> Result<(), Error> {
    match waiting.verdict(filter) {
        Verdict::Held | Verdict::Ended => Ok(()),
        Verdict::NotHeld(reason) => {
            let reason = match waiting.kill() {
                Ok(()) => reason,
                Err(error) => format!("{reason}; killing it failed: {error}"),
            };
            Err(Error::NotHeld { id: id.to_owned(), reason })
        }
    }
}

/// The other end of [`Handler::watch`]: `STARTER RUNTIME ID INHERITED [ROOT]`, where the starter is the process
/// that `run` is.
fn watch(words: &[OsString]) -> u8 {
    let [starter, runtime, id, inherited, root @ ..] = words else { return 1 };
    let (id, root) = (id.to_string_lossy(), root.first().map(Path::new));
    let starter = starter.to_string_lossy().parse().ok().and_then(|pid| Waiting::new(pid).ok());
    let pid = loop {
        // In this order: a starter that ends may have left a container that goes on.
        let goes_on = starter.as_ref().is_some_and(Waiting::is_alive);
        match state_pid(Path::new(runtime), root, &id) {
            Some(pid) => break pid,
            None if !goes_on => return 0,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let Ok(waiting) = Waiting::new(pid) else { return 0 };
    // crun's `run` is the parent of a container that still runs crun's code; runc runs another copy of itself.
    let waiting = match starter.filter(|_| Path::new(runtime).file_name().is_some_and(|name| name == "crun"))
    {
        Some(starter) => waiting.with_program_of(&starter),
        None => waiting,
    };
    let filter = Applied {
        profile: String::new(),
        key: String::new(),
        digest: String::new(),
        instructions: 0,
        log: false,
        spec_allow: true,
        inherited: inherited.to_string_lossy().parse().unwrap_or_default(),
    };
    hold(&waiting, &filter, &id).map_or_else(|error| report(None, &error), |()| 0)
}

/// The name that engines give in annotations of their own making.
fn name(config: &Config) -> Option<String> {
    let text = |name: &str| config.annotation(name);
    let pod = text("io.kubernetes.cri.sandbox-name").or_else(|| text("io.kubernetes.pod.name"))?;
    let namespace =
        text("io.kubernetes.cri.sandbox-namespace").or_else(|| text("io.kubernetes.pod.namespace"))?;
    let container = text("io.kubernetes.cri.container-name").or_else(|| text("io.kubernetes.container.name"));
    Some(format!("{namespace}/{pod}/{}", container.as_deref().unwrap_or("POD")))
}

fn read_config(path: &Path) -> Result<(Vec<u8>, u32), Error> {
    use std::io::Read;
    let io = |error| Error::file(path, error);
    let file = std::fs::File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    let mut text = Vec::new();
    file.take(MAX_CONFIG + 1).read_to_end(&mut text).map_err(io)?;
    match text.len() as u64 > MAX_CONFIG {
        true => Err(Error::Config(format!("larger than {MAX_CONFIG} bytes"))),
        false => Ok((text, mode)),
    }
}

/// The running kernel's major and minor version.
fn kernel() -> Result<(u32, u32), Error> {
    let path = "/proc/sys/kernel/osrelease";
    let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    let version: KernelVersion =
        text.trim().parse().map_err(|error| Error::file(path, std::io::Error::other(error)))?;
    Ok((version.major, version.minor))
}

/// An audit login id that no container of this machine has had since its start.
fn next_login_id(state: &Path) -> Result<u32, Error> {
    use std::io::{Read, Seek};
    const FIRST: u32 = 0x4000_0000;
    // Handlers with a state of their own begin at places of their own, so that none takes another's container for its own.
    let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
    let place = digest.iter().take(2).fold(0, |place, byte| place << 8 | u32::from(*byte)) % 0xb000;
    let path = state.join("login-id");
    let io = |error| Error::file(&path, error);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    file.lock().map_err(io)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(io)?;
    let next = text
        .trim()
        .parse::<u32>()
        .unwrap_or(FIRST + (place << 16))
        .wrapping_add(1)
        .clamp(FIRST, u32::MAX - 2);
    file.rewind().and_then(|()| file.set_len(0)).and_then(|()| write!(file, "{next}")).map_err(io)?;
    Ok(next)
}

fn set_login_id(id: u32) -> Result<(), Error> {
    std::fs::write("/proc/self/loginuid", id.to_string()).map_err(Error::LoginId)
}

/// Hides the cgroups that crun refuses: it is started in a mount namespace without them.
fn hide_unified_cgroups() -> Result<(), Error> {
    use palisade_sys::namespace;
    if !namespace::has_hybrid_cgroups() {
        return Ok(());
    }
    match namespace::hide_unified_cgroups() {
        // Without the right to it, the runtime says what it needs.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(|error| Error::file("/sys/fs/cgroup/unified", error)),
    }
}

/// The first of some programs that is installed.
pub(crate) fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(usual.map(PathBuf::from)).collect();
    names.iter().find_map(|name| {
        let paths = folders.iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(name));
        paths
            .into_iter()
            .find(|path| path.metadata().is_ok_and(|about| about.is_file() && about.mode() & 0o111 != 0))
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| Error::file(path, error))
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(1)
}

/// Says why, on stderr and in the log that the engine reads, in the form that it asked for.
fn report(arguments: Option<&Arguments>, error: &Error) -> u8 {
    let _ = writeln!(std::io::stderr(), "palisade-oci: {error}");
    if let Some((arguments, path)) = arguments.and_then(|a| a.log.as_ref().map(|path| (a, path))) {
        let time = jiff::Timestamp::now();
        let text = format!("palisade-oci: {error}");
        let line = match arguments.log_json {
            true => serde_json::json!({"msg": text, "level": "error", "time": time.to_string()}).to_string(),
            false => format!("{time}: {text}"),
        };
        let path = path.to_string_lossy();
        let path = path.strip_prefix("file:").unwrap_or(&path);
        if !path.starts_with("syslog:") && !path.starts_with("journald:") {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            let _ = file.and_then(|mut file| writeln!(file, "{line}"));
        }
    }
    1
}
