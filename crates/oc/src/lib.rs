//! The verbs of oc and kubectl, over any Kubernetes API server.
//!
//! [`Verb`] is a part of a command line that clap parses; [`run`] runs it. `palisade get pods`, or `oc get pods` under
//! the other name of the program, is run in these steps:
//!
//! 1. `args` parses the words into types: an invalid output format, JSONPath or dry run is an error here.
//! 2. `args::ConnectArgs::open` opens a session ([`palisade_client::Session`]).
//! 3. `targets` looks up the kinds and names in the server's discovery.
//! 4. The module of the verb (`get`) makes its requests, and prints by `output` and `table`.
//! 5. `error` words failures, and determines the exit code: 1 for a refusal, 2 for a command that cannot work.

mod apply;
mod args;
mod backup;
mod can_i;
mod create;
mod custom_columns;
mod delete;
mod describe;
mod dry_run;
mod edit;
mod error;
mod exec;
mod format;
mod get;
mod grant;
mod jsonpath;
mod label;
mod login;
mod logs;
mod objects;
mod output;
mod patch;
mod project;
mod projects;
mod prompt;
mod ranges;
mod rules;
mod scc_review;
mod sort;
mod table;
mod targets;
mod user;
mod value;
mod who_can;
mod whoami;

use clap::{ArgMatches, FromArgMatches, Subcommand};
use palisade_console::Exit;

use args::{AdmCommand, AuthCommand, Command, PolicyCommand};
use error::{Error, Outcome};
use label::Map;

/// A verb with its arguments.
#[derive(Debug)]
pub struct Verb(Command);

impl FromArgMatches for Verb {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Command::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Subcommand for Verb {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        Command::augment_subcommands(command)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Command::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Command::has_subcommand(name)
    }
}

/// Runs a verb. A failure is printed to standard error.
#[must_use]
pub fn run(verb: Verb) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(verb.0)),
        Err(error) => Err(Error::Runtime(error)),
    };
    outcome.unwrap_or_else(|error| error.report())
}

async fn dispatch(command: Command) -> Outcome {
    match command {
        Command::Login(args) => login::run(&args).await,
        Command::Whoami(args) => whoami::run(&args).await,
        Command::Project(args) => project::switch(&args).await,
        Command::Projects(args) => projects::run(&args).await,
        Command::NewProject(args) => project::create(&args).await,
        Command::Get(args) => get::run(&args).await,
        Command::Describe(args) => describe::run(&args).await,
        Command::Create(args) => create::run(&args).await,
        Command::Apply(args) => apply::run(&args).await,
        Command::Delete(args) => delete::run(&args).await,
        Command::Label(args) => label::run(&args, Map::Labels).await,
        Command::Annotate(args) => label::run(&args, Map::Annotations).await,
        Command::Patch(args) => patch::run(&args).await,
        Command::Edit(args) => edit::run(&args).await,
        Command::Logs(args) => logs::run(&args).await,
        Command::Exec(args) => exec::run(&args).await,
        Command::Auth { command: AuthCommand::CanI(args) } => can_i::run(&args).await,
        Command::Auth { command: AuthCommand::Whoami(args) } => whoami::run(&args).await,
        Command::Adm { command: AdmCommand::Ranges(args) } => ranges::run(&args).await,
        Command::Adm { command: AdmCommand::Policy { command } } | Command::Policy { command } => {
            policy(&command).await
        }
        Command::Backup(args) => backup::save(&args).await,
        Command::Restore(args) => backup::restore(&args).await,
        Command::User { command } => user::run(&command).await,
    }
}

async fn policy(command: &PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::AddSccToUser(args) => grant::add_to_users(args).await,
        PolicyCommand::AddSccToGroup(args) => grant::add_to_groups(args).await,
        PolicyCommand::RemoveSccFromUser(args) => grant::remove_from_users(args).await,
        PolicyCommand::RemoveSccFromGroup(args) => grant::remove_from_groups(args).await,
        PolicyCommand::WhoCan(args) => who_can::run(args).await,
        PolicyCommand::SccSubjectReview(args) => scc_review::by_subject(args).await,
        PolicyCommand::SccReview(args) => scc_review::by_account(args).await,
    }
}
