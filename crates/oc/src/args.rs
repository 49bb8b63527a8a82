//! The command line of the verbs. Names and flags are those of oc and kubectl.

use std::path::PathBuf;

use clap::{Args, Subcommand};

mod connect;
mod create;
mod policy;
mod read;
mod write;

pub(crate) use connect::{ConnectArgs, ConnectOnly};
pub(crate) use create::{
    BindingArgs, ConfigArgs, CreateArgs, CreateCommand, MakeArgs, RoleArgs, SecretCommand, SourceArgs,
    TlsArgs, TokenArgs,
};
pub(crate) use policy::{
    AdmCommand, AuthCommand, CanIArgs, GrantArgs, PolicyCommand, SubjectReviewArgs, WhoCanArgs,
};
pub(crate) use read::{DescribeArgs, ExecArgs, GetArgs, LogsArgs};
pub(crate) use write::{ApplyArgs, DeleteArgs, EditArgs, LabelArgs, PatchArgs};

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one is made in a run")]
pub(crate) enum Command {
    /// Log in to a server and save the login in the kubeconfig
    Login(LoginArgs),
    /// Print the name of the current user
    Whoami(WhoamiArgs),
    /// Print the current project or switch to another
    Project(ProjectArgs),
    /// List the projects that you may see
    Projects(ConnectOnly),
    /// Request a new project and switch to it
    NewProject(NewProjectArgs),
    /// Display one or many objects
    Get(GetArgs),
    /// Show the details of an object or a group of objects
    Describe(DescribeArgs),
    /// Create objects from files or by name
    Create(CreateArgs),
    /// Apply configuration files to objects, by server-side apply
    Apply(ApplyArgs),
    /// Delete objects by files, names or labels
    Delete(DeleteArgs),
    /// Update the labels of objects: KEY=VALUE sets, KEY- removes
    Label(LabelArgs),
    /// Update the annotations of objects: KEY=VALUE sets, KEY- removes
    Annotate(LabelArgs),
    /// Update fields of an object with a patch
    Patch(PatchArgs),
    /// Edit an object in an editor
    Edit(EditArgs),
    /// Print the logs of a container
    Logs(LogsArgs),
    /// Run a command in a container; the exit code is the command's
    Exec(ExecArgs),
    /// Inspect authorization
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
    /// Administer a cluster
    Adm {
        #[command(subcommand)]
        command: AdmCommand,
    },
    /// Manage the right to use SCCs
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Save all objects of a Palisade server in a file, while it serves
    Backup(BackupArgs),
    /// Restore all objects of a Palisade server from a backup, while it serves
    ///
    /// Objects that the backup does not have are deleted. Watches see each change, and resource versions go on
    /// increasing.
    Restore(BackupArgs),
    /// Manage users that log in with a password
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// File of the backup
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  palisade login -u ann https://api.example.org:6443   with a password, which is asked for
  palisade login --token=$TOKEN                        to the current server, with a token")]
pub(crate) struct LoginArgs {
    /// Address of the server. Default: the server of the current context
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Username for the server
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// Password for the server. Default: prompt
    #[arg(short, long)]
    pub(crate) password: Option<String>,
    /// File with the certificate authority of the server
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// Print the token of the current session
    #[arg(short = 't', long)]
    pub(crate) show_token: bool,
    /// Print the name of the current context
    #[arg(short = 'c', long)]
    pub(crate) show_context: bool,
    /// Print the address of the current server
    #[arg(long)]
    pub(crate) show_server: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    /// Project to switch to. Default: print the current one
    pub(crate) name: Option<String>,
    /// Print only the name of the project
    #[arg(short = 'q', long)]
    pub(crate) short: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NewProjectArgs {
    /// Name of the project
    pub(crate) name: String,
    /// Display name of the project
    #[arg(long, default_value = "")]
    pub(crate) display_name: String,
    /// Description of the project
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// Do not switch to the project
    #[arg(long)]
    pub(crate) skip_config_write: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user, or change the password of one; the password is read from a prompt, or from stdin
    Add(UserArgs),
    /// Delete a user
    Remove(UserArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    /// Name of the user
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
