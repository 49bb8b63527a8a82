//! The command line of `adm` and `policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConnectArgs, ConnectOnly};

#[derive(Debug, Subcommand)]
pub(crate) enum AdmCommand {
    /// Show which user IDs, groups and SELinux levels namespaces have, and which they share or lack
    Ranges(ConnectOnly),
    /// Work on who may use which SCC
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Let users or service accounts use an SCC
    AddSccToUser(GrantArgs),
    /// Let groups use an SCC
    AddSccToGroup(GrantArgs),
    /// No longer let users or service accounts use an SCC
    RemoveSccFromUser(GrantArgs),
    /// No longer let groups use an SCC
    RemoveSccFromGroup(GrantArgs),
    /// Say who may do something
    WhoCan(WhoCanArgs),
    /// Say which SCC would admit a pod for a user
    SccSubjectReview(SubjectReviewArgs),
    /// Say which service accounts could run a pod
    SccReview(SubjectReviewArgs),
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Which SCC
    pub(crate) scc: String,
    /// Names of users or groups
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Service account of the namespace; may be repeated
    #[arg(short = 'z', long = "serviceaccount", value_name = "NAME")]
    pub(crate) accounts: Vec<String>,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WhoCanArgs {
    /// What they may do
    pub(crate) verb: String,
    /// With what: a resource
    pub(crate) resource: String,
    /// With which object of it
    pub(crate) name: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SubjectReviewArgs {
    /// File of workloads, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Service account; may be repeated in scc-review
    #[arg(short = 'z', long = "serviceaccount", value_name = "NAME")]
    pub(crate) accounts: Vec<String>,
    /// User (scc-subject-review)
    #[arg(short, long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Groups of the user (scc-subject-review)
    #[arg(short, long = "groups", value_name = "NAME", value_delimiter = ',')]
    pub(crate) groups: Vec<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
