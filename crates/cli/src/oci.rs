//! `palisade oci`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

/// Act as an OCI runtime that sets Palisade's seccomp filter on crun's containers
///
/// Accepts crun's command line: create, start, state, kill, delete, run, exec and the rest. Engines run it under the
/// name palisade-oci, with its settings in palisade-oci.json beside that link; `install` creates both.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade oci install --podman --write              then: podman --runtime palisade run …
  palisade oci run --bundle /path/to/bundle NAME     a container without an engine

Each container's profile is compiled and proved; what starts without its filter is killed. See docs/oci.md.")]
pub(crate) struct OciArgs {
    #[command(subcommand)]
    command: OciCommand,
}

#[derive(Debug, Subcommand)]
enum OciCommand {
    Install(InstallArgs),
    #[command(external_subcommand)]
    Runtime(Vec<OsString>),
}

/// Print or write the configuration of an engine that starts containers with Palisade
///
/// A link to this program with settings beside it, the engine's configuration, and for Kubernetes a RuntimeClass, which
/// is always printed, since it is for the cluster.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade oci install --containerd                  print everything
  palisade oci install --containerd --write && systemctl restart containerd
  palisade oci install --containerd | kubectl apply -f -     the RuntimeClass alone is on stdout as YAML

containerd's block goes to the end of /etc/containerd/config.toml between two marks, with the runtime runc if the file has no
runtime: containerd's own counts only as long as the file defines none. Settings that are there stay. To remove it: the
block, or 50-palisade.conf in /etc/crio/crio.conf.d or /etc/containers/containers.conf.d, and /usr/local/lib/palisade.")]
#[command(group(clap::ArgGroup::new("engine").required(true).args(["containerd", "crio", "podman"])))]
pub(crate) struct InstallArgs {
    /// For containerd: a runtime handler of its CRI plugin
    #[arg(long)]
    containerd: bool,
    /// For CRI-O: a file in /etc/crio/crio.conf.d
    #[arg(long)]
    crio: bool,
    /// For podman: a file in /etc/containers/containers.conf.d
    #[arg(long)]
    podman: bool,
    /// Write the files instead of printing them
    #[arg(long)]
    write: bool,
    /// Copy this program to usr/local/lib/palisade below --root, with the link and the settings, and print the engine's
    /// configuration: as an image does for the node that it runs on
    #[arg(long, conflicts_with = "write")]
    copy: bool,
    /// Folder of the image of a node, in place of /: the files are written below it, with this program and the paths that
    /// they have on the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Handles an engine's command line, which clap does not parse.
#[cfg(target_os = "linux")]
pub(crate) fn handle(mut words: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let name = words.next()?;
    let words: Vec<_> = words.collect();
    if Path::new(&name).file_name().is_some_and(|name| name == palisade_oci::settings::HANDLER) {
        return Some(palisade_oci::run(Path::new(&name), words).into());
    }
    let is_own = |word: &OsString| ["install", "help", "--help", "-h"].iter().any(|own| word == own);
    match words.as_slice() {
        [oci, rest @ ..] if oci == "oci" && rest.first().is_some_and(|first| !is_own(first)) => {
            let program = std::env::current_exe().unwrap_or_default();
            Some(palisade_oci::run(&program, rest.to_vec()).into())
        }
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn handle(_: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    None
}

#[cfg(target_os = "linux")]
pub(crate) fn run(args: &OciArgs) -> crate::Outcome {
    match &args.command {
        OciCommand::Install(args) => install(args),
        OciCommand::Runtime(words) => Err(format!(
            "oci {}: this is the first word of a command line",
            words.join(" ".as_ref()).display()
        )
        .into()),
    }
}

#[cfg(target_os = "linux")]
fn install(args: &InstallArgs) -> crate::Outcome {
    use palisade_oci::install::{Engine, Installation, below};
    use std::io::Write;
    let engine = match (args.containerd, args.crio) {
        (true, _) => Engine::Containerd,
        (_, true) => Engine::Crio,
        _ => Engine::Podman,
    };
    let program = std::env::current_exe()?;
    let installation = Installation::new(engine);
    let there = |path: &Path| below(&args.root, path).display().to_string();
    let (link, parts) = (there(&installation.link), [&installation.settings, &installation.engine]);
    let mut out = palisade_console::terminal::out();
    if args.write {
        let target = installation.write(&args.root, &program)?;
        anstream::eprintln!("{link} leads to {}", target.display());
        for part in parts {
            anstream::eprintln!("{} is there", there(&part.path));
        }
    } else if args.copy {
        installation.place(&args.root, &program)?;
        let part = &installation.engine;
        anstream::eprintln!("{link} is there\n# {}\n{}", part.path.display(), part.text);
    } else {
        anstream::eprintln!("# ln -s {} {link}", program.display());
        for part in parts {
            anstream::eprintln!("# {}\n{}", there(&part.path), part.text);
        }
    }
    if let Some(class) = &installation.runtime_class {
        write!(out, "{class}")?;
    }
    Ok(crate::exit::Exit::Fine)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &OciArgs) -> crate::Outcome {
    Err("only Linux has containers to hold".into())
}
