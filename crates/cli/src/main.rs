//! The `palisade` command.
//!
//! Its default features can be left out: `cluster` (the verbs of oc) and `serve` (the API server). The rest reviews
//! SCCs and compiles seccomp profiles, without an HTTP stack or a Kubernetes client.

mod admit;
mod args;
#[cfg(feature = "serve")]
mod cluster;
mod denials;
mod exit;
#[cfg(feature = "cluster")]
mod flags_first;
mod gathered;
mod handler;
mod import;
mod inspect;
#[cfg(feature = "cluster")]
mod live;
#[cfg(feature = "serve")]
mod log;
mod manual;
#[cfg(feature = "serve")]
mod node;
#[cfg(feature = "serve")]
mod node_profiles;
mod oci;
#[cfg(feature = "serve")]
mod operate;
#[cfg(feature = "serve")]
mod place;
mod policies;
mod policy;
mod record;
mod review;
mod scc;
mod seccomp;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod stop;
mod understood;
#[cfg(feature = "serve")]
mod webhook;
mod wrapped;

use palisade_console::{files, paint};

use args::{Command, SccCommand};
use exit::Exit;

fn main() -> std::process::ExitCode {
    if let Some(code) = oci::handle(std::env::args_os()) {
        return code;
    }
    let args = args::parse();
    let result = match args.command {
        Command::Admit(args) => admit::run(&args),
        Command::Review(args) => review::run(&args),
        Command::Scc { command } => match command {
            SccCommand::Lint(args) => scc::lint::run(&args),
            SccCommand::Order(args) => scc::order::run(&args),
            SccCommand::Diff(args) => scc::diff::run(&args),
            SccCommand::Impact(args) => scc::impact::run(&args),
            SccCommand::Generate(args) => scc::generate::run(&args),
            SccCommand::WhoCan(args) => scc::who_can::run(&args),
        },
        Command::Policies { command } => policies::run(&command),
        Command::Import { command } => import::run(&command),
        Command::Seccomp { command } => seccomp::run(&command),
        Command::Denials(args) => denials::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Oci(args) => oci::run(&args),
        #[cfg(feature = "cluster")]
        Command::Cluster(verb) => Ok(palisade_oc::run(verb)),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(args, None),
        #[cfg(feature = "serve")]
        Command::Up(args) => serve::run(args.serve, Some(args.node)),
        #[cfg(feature = "serve")]
        Command::Node(args) => node::run(args),
        #[cfg(feature = "serve")]
        Command::Down(args) => node::down(&args),
        #[cfg(feature = "serve")]
        Command::Image { command } => node::image(command),
        #[cfg(feature = "serve")]
        Command::Webhook(args) => webhook::serve(args),
        #[cfg(feature = "serve")]
        Command::NodeProfiles(args) => node_profiles::run(args),
        #[cfg(feature = "serve")]
        Command::Install(args) => webhook::install(&args),
        #[cfg(feature = "serve")]
        Command::Uninstall(args) => operate::uninstall(&args),
        #[cfg(feature = "serve")]
        Command::Status(args) => operate::status(&args),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(&folder),
    };
    result.unwrap_or_else(|error| exit::report(&*error)).into()
}

/// An error that ends a command with exit code 2.
type Failure = Box<dyn std::error::Error>;

/// The result of a command.
type Outcome = Result<Exit, Failure>;
