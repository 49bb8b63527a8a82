//! The command line of `auth`, `adm` and `policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConnectArgs, ConnectOnly, WhoamiArgs};
use crate::dry_run::DryRun;

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Check whether an action is allowed; the exit code is 0 for yes, 1 for no
    CanI(CanIArgs),
    /// Print the name of the current user
    Whoami(WhoamiArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CanIArgs {
    /// VERB TYPE [NAME], VERB TYPE/NAME, or VERB /PATH
    #[arg(value_name = "VERB TYPE", num_args = 2..=3, required_unless_present = "list")]
    pub(crate) what: Vec<String>,
    /// List all actions that are allowed in the namespace
    #[arg(long, conflicts_with = "what")]
    pub(crate) list: bool,
    /// Subresource, such as log or exec
    #[arg(long, value_name = "NAME")]
    pub(crate) subresource: Option<String>,
    /// Check the action in all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Print nothing; answer by the exit code
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdmCommand {
    /// List the user IDs, groups and SELinux levels of namespaces, and report those that are shared or missing
    Ranges(ConnectOnly),
    /// Manage the right to use SCCs
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Allow users or service accounts to use an SCC
    AddSccToUser(GrantArgs),
    /// Allow groups to use an SCC
    AddSccToGroup(GrantArgs),
    /// Remove the right to use an SCC from users or service accounts
    RemoveSccFromUser(GrantArgs),
    /// Remove the right to use an SCC from groups
    RemoveSccFromGroup(GrantArgs),
    /// List the users and groups that may perform an action
    WhoCan(WhoCanArgs),
    /// Check which SCC admits a pod for a user or a service account
    SccSubjectReview(SubjectReviewArgs),
    /// Check which service accounts may run a pod
    SccReview(SubjectReviewArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Name of the SCC
    pub(crate) scc: String,
    /// Names of users or groups
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Service account of the namespace; may be repeated
    #[arg(short = 'z', long = "serviceaccount", value_name = "NAME")]
    pub(crate) accounts: Vec<String>,
    /// Extent of the change
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) dry_run: DryRun,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WhoCanArgs {
    /// Verb of the action
    pub(crate) verb: String,
    /// Resource of the action
    pub(crate) resource: String,
    /// Name of the object
    pub(crate) name: Option<String>,
    /// Check the action in all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SubjectReviewArgs {
    /// File or folder of workloads, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Service account of the pod; scc-review takes several
    #[arg(short = 'z', long = "serviceaccount", value_name = "NAME")]
    pub(crate) accounts: Vec<String>,
    /// User on whose behalf the review is done (scc-subject-review)
    #[arg(short, long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Groups of the user (scc-subject-review)
    #[arg(short, long = "groups", value_name = "NAME", value_delimiter = ',')]
    pub(crate) groups: Vec<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
