//! `palisade oci`.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Args as ClapArgs;

/// Be an OCI runtime that puts Palisade's seccomp filter into crun's containers
///
/// Takes crun's command line: create, start, state, kill, delete, run, exec and the rest. Engines start it under
/// the name palisade-oci, with its settings in palisade-oci.json beside that link.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade oci run --bundle /path/to/bundle NAME     a container without an engine
  podman --runtime /path/to/palisade-oci run …       with a link of that name to this program

Each container's profile is compiled and proved; what starts without its filter is killed.")]
pub(crate) struct OciArgs {
    /// What an engine says to its runtime
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

/// Does what an engine asks of its runtime, if this is started under that name: there clap has no say.
#[cfg(target_os = "linux")]
pub(crate) fn handle(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let name = words.next()?;
    let is_handler = Path::new(&name).file_name().is_some_and(|name| name == palisade_oci::settings::HANDLER);
    is_handler.then(|| palisade_oci::run(Path::new(&name), words.collect()).into())
}

#[cfg(target_os = "linux")]
pub(crate) fn run(args: OciArgs) -> crate::Outcome {
    std::process::exit(palisade_oci::run(&std::env::current_exe()?, args.words).into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn handle(_: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: OciArgs) -> crate::Outcome {
    Err("only Linux has containers to hold".into())
}
