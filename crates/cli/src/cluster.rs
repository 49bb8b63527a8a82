//! The verbs of oc and kubectl, against any Kubernetes API server.

mod access;
mod apply;
pub(crate) mod args;
mod backup;
mod change;
mod create;
mod custom;
mod delete;
mod describe;
mod exec;
mod file;
mod get;
mod grant;
mod jsonpath;
mod kind;
mod login;
mod output;
mod project;
mod ranges;
mod session;
mod user;
mod yaml;

use args::{AdmCommand, AuthCommand, ClusterCommand, PolicyCommand};

pub(crate) use session::ClusterError;

/// Runs a verb.
pub(crate) fn run(command: ClusterCommand) -> crate::Outcome {
    match command {
        ClusterCommand::Login(args) => login::login(&args),
        ClusterCommand::Whoami(args) => login::whoami(&args),
        ClusterCommand::Project(args) => project::switch(&args),
        ClusterCommand::Projects(args) => project::list(&args),
        ClusterCommand::NewProject(args) => project::create(&args),
        ClusterCommand::Get(args) => get::run(&args),
        ClusterCommand::Describe(args) => describe::run(&args),
        ClusterCommand::Create(args) => create::run(&args),
        ClusterCommand::Apply(args) => apply::run(&args),
        ClusterCommand::Delete(args) => delete::run(&args),
        ClusterCommand::Label(args) => change::label(&args, "labels"),
        ClusterCommand::Annotate(args) => change::label(&args, "annotations"),
        ClusterCommand::Patch(args) => change::patch(&args),
        ClusterCommand::Edit(args) => change::edit(&args),
        ClusterCommand::Logs(args) => get::logs(&args),
        ClusterCommand::Exec(args) => exec::run(&args),
        ClusterCommand::Auth { command: AuthCommand::CanI(args) } => access::can_i(&args),
        ClusterCommand::Auth { command: AuthCommand::Whoami(args) } => login::whoami(&args),
        ClusterCommand::Adm { command: AdmCommand::Ranges(args) } => ranges::run(&args),
        ClusterCommand::Backup(args) => backup::save(&args),
        ClusterCommand::Restore(args) => backup::restore(&args),
        ClusterCommand::Adm { command: AdmCommand::Policy { command } }
        | ClusterCommand::Policy { command } => policy(&command),
        ClusterCommand::User { command } => user::run(&command),
    }
}

fn policy(command: &PolicyCommand) -> crate::Outcome {
    match command {
        PolicyCommand::AddSccToUser(args) => grant::add_to_users(args),
        PolicyCommand::AddSccToGroup(args) => grant::add_to_groups(args),
        PolicyCommand::RemoveSccFromUser(args) => grant::remove_from_users(args),
        PolicyCommand::RemoveSccFromGroup(args) => grant::remove_from_groups(args),
        PolicyCommand::WhoCan(args) => access::who_can(args),
        PolicyCommand::SccSubjectReview(args) => access::subject_review(args),
        PolicyCommand::SccReview(args) => access::review(args),
    }
}
