//! `palisade seccomp record`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Record the syscalls of a command or a container as a profile
///
/// By user notification: names, ABIs, and the selecting arguments of syscalls such as socket and prctl, which the
/// profile keeps while they are few. A container is recorded from its next start by palisade-oci until it ends;
/// syscalls that its own profile denies stay denied.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade seccomp record -o profile.json -- ./server --once
  palisade seccomp record --runs runs.json -o profile.json -- ./server --again      adds a run to those before
  palisade seccomp record -o profile.json 4f1c… &  podman start 4f1c…

For a container, the profile of a command lacks what its runtime does between the filter and the program.")]
#[command(group(clap::ArgGroup::new("workload").required(true).args(["container", "command"])))]
pub(crate) struct RecordArgs {
    /// Container: its whole id, or its name or the beginning of its id if it exists already
    pub(crate) container: Option<String>,
    /// The file to write the profile to. Default: stdout
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// A file of earlier runs, to which this one is added; it is created if it is missing
    #[arg(long, value_name = "FILE")]
    pub(crate) runs: Option<PathBuf>,
    /// The `state` folder of the handler's settings
    #[arg(long, value_name = "DIR", default_value = "/run/palisade/oci")]
    pub(crate) state: PathBuf,
    /// Command and arguments
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &RecordArgs) -> crate::Outcome {
    Err("recording syscalls needs Linux".into())
}

#[cfg(target_os = "linux")]
pub(crate) fn run(args: &RecordArgs) -> crate::Outcome {
    use palisade_oci::container::Containers;
    use palisade_oci::recorder;
    let mut recording = before(args)?;
    let mut code = None;
    match (&args.container, args.command.as_slice()) {
        (Some(name), _) => {
            let containers = Containers::of(&args.state)?;
            let id = containers.find(name).map_or_else(|| name.clone(), |container| container.id);
            let waiting = recorder::container(&containers, &id)?;
            anstream::eprintln!("waiting for palisade-oci to start {id}");
            recording.merge(waiting.record()?);
        }
        (None, [program, rest @ ..]) => {
            let mut command = std::process::Command::new(program);
            command.args(rest);
            let (run, status) = recorder::command(command)?;
            recording.merge(run);
            code = Some(status).filter(|status| !status.success());
        }
        (None, []) => return Err("a container or a command is missing".into()),
    }
    for (arch, number) in recording.unknown() {
        anstream::eprintln!(
            "{}: number {number} of {arch:#x} is in no table, so the profile does not name it",
            crate::paint::warning("warning")
        );
    }
    let profile = format!("{:#}\n", recording.profile());
    match &args.out {
        Some(path) => {
            std::fs::write(path, profile).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => std::io::Write::write_all(&mut anstream::stdout().lock(), profile.as_bytes())?,
    }
    if let Some(path) = &args.runs {
        let text = serde_json::to_vec(&recording)?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let s = if recording.runs == 1 { "" } else { "s" };
    anstream::eprintln!("{} syscalls in {} run{s}", recording.len(), recording.runs);
    if let Some(status) = code {
        anstream::eprintln!("{}: the command ended with {status}", crate::paint::warning("warning"));
    }
    Ok(crate::exit::Exit::Fine)
}

#[cfg(target_os = "linux")]
fn before(args: &RecordArgs) -> Result<palisade_oci::recording::Recording, crate::Failure> {
    let Some(path) = &args.runs else { return Ok(Default::default()) };
    match std::fs::read(path) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()).into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Default::default()),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}
