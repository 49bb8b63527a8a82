//! The command line of the verbs. Names and flags are those of oc.

use std::path::PathBuf;

use clap::{Args, Subcommand};

mod create;
mod policy;

pub(crate) use create::{
    BindingArgs, ConfigArgs, CreateArgs, CreateCommand, MakeArgs, RoleArgs, SecretCommand, SourceArgs,
    TlsArgs, TokenArgs,
};
pub(crate) use policy::{AdmCommand, GrantArgs, PolicyCommand, SubjectReviewArgs, WhoCanArgs};

/// Which server, as whom, in which namespace.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ConnectArgs {
    /// File with servers, users and contexts. Default: $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Default: its current one
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) context: Option<String>,
    /// Namespace. Default: the context's
    #[arg(short, long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) namespace: Option<String>,
    /// Address of the server
    #[arg(short = 's', long, value_name = "URL", help_heading = "Connection")]
    pub(crate) server: Option<String>,
    /// Token to show to the server
    #[arg(long, value_name = "TOKEN", help_heading = "Connection")]
    pub(crate) token: Option<String>,
    /// Do not check the server's certificate
    #[arg(long, help_heading = "Connection")]
    pub(crate) insecure_skip_tls_verify: bool,
    /// Ask as this user
    #[arg(long = "as", value_name = "USER", help_heading = "Connection")]
    pub(crate) as_user: Option<String>,
    /// Ask as a member of this group; may be repeated
    #[arg(long = "as-group", value_name = "GROUP", help_heading = "Connection")]
    pub(crate) as_groups: Vec<String>,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one a run")]
pub(crate) enum ClusterCommand {
    /// Log in to a server: as a user that the kubeconfig knows, with a token, or with a password
    Login(LoginArgs),
    /// Say who you are
    Whoami(WhoamiArgs),
    /// Say or change the current project
    Project(ProjectArgs),
    /// List the projects that you may see
    Projects(ConnectOnly),
    /// Make a project and change to it
    NewProject(NewProjectArgs),
    /// Show objects
    Get(GetArgs),
    /// Show an object in full, with what belongs to it
    Describe(DescribeArgs),
    /// Create objects, from files or by name
    Create(CreateArgs),
    /// Make objects as files say, by server-side apply
    Apply(ApplyArgs),
    /// Delete objects
    Delete(DeleteArgs),
    /// Change labels: key=value sets, key- removes
    Label(LabelArgs),
    /// Change annotations: key=value sets, key- removes
    Annotate(LabelArgs),
    /// Change a part of an object
    Patch(PatchArgs),
    /// Change an object in your editor
    Edit(EditArgs),
    /// Show what a container has written
    Logs(LogsArgs),
    /// Run a command in a container; its exit code is the command's
    Exec(ExecArgs),
    /// Ask what you may do
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
    /// Administer
    Adm {
        #[command(subcommand)]
        command: AdmCommand,
    },
    /// Work on who may use which SCC
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Write all objects of a Palisade server to a file, while it serves
    Backup(BackupArgs),
    /// Make a Palisade server hold again what a backup holds, while it serves
    ///
    /// Objects that the backup lacks are deleted. Whoever watches sees each change; versions go on counting.
    Restore(BackupArgs),
    /// Make users who can log in with a password
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConnectOnly {
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Address of the server. Default: the kubeconfig's current one
    #[arg(value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Name of the user
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// Password of the user; asked for where it is needed and not given
    #[arg(short, long)]
    pub(crate) password: Option<String>,
    /// File with the certificate that the server's is signed with
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate_authority: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// Print the token
    #[arg(short = 't', long)]
    pub(crate) show_token: bool,
    /// Print the context
    #[arg(short = 'c', long)]
    pub(crate) show_context: bool,
    /// Print the server's address
    #[arg(long)]
    pub(crate) show_server: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    /// Which project to change to
    pub(crate) name: Option<String>,
    /// Print only the name
    #[arg(short = 'q', long)]
    pub(crate) short: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NewProjectArgs {
    /// Its name
    pub(crate) name: String,
    /// Its name for people
    #[arg(long, default_value = "")]
    pub(crate) display_name: String,
    /// What it is for
    #[arg(long, default_value = "")]
    pub(crate) description: String,
    /// Do not change to it
    #[arg(long)]
    pub(crate) skip_config_write: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// TYPE[,TYPE…] [NAME…], or TYPE/NAME…
    #[arg(value_name = "TYPE [NAME…]")]
    pub(crate) what: Vec<String>,
    /// Objects of these files
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// yaml, json, wide, name, jsonpath=TEMPLATE or custom-columns=NAME:PATH,…
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// Objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    /// Objects with these fields
    #[arg(long, value_name = "FIELDS")]
    pub(crate) field_selector: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Then go on with what happens
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Leave out the line with the columns' names
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Show the labels too
    #[arg(long)]
    pub(crate) show_labels: bool,
    /// In the order of what is at a path, as .metadata.name
    #[arg(long, value_name = "PATH", conflicts_with = "watch")]
    pub(crate) sort_by: Option<String>,
    /// Keep metadata.managedFields in yaml and json
    #[arg(long)]
    pub(crate) show_managed_fields: bool,
    /// What is not there is no error
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// What the server answers to a path, as it is
    #[arg(long, value_name = "PATH", conflicts_with_all = ["what", "files"])]
    pub(crate) raw: Option<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// TYPE [NAME…], or TYPE/NAME…
    #[arg(value_name = "TYPE [NAME…]", required = true)]
    pub(crate) what: Vec<String>,
    /// Objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// File or folder of objects, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// yaml, json or name: print what came of it
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    /// Under which name the fields are yours
    #[arg(long, value_name = "NAME", default_value = "palisade")]
    pub(crate) field_manager: String,
    /// Take fields from other managers
    #[arg(long)]
    pub(crate) force_conflicts: bool,
    /// Apply on the server, which is always so
    #[arg(long, hide = true)]
    pub(crate) server_side: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// TYPE NAME…, or TYPE/NAME…
    #[arg(value_name = "TYPE [NAME…]")]
    pub(crate) what: Vec<String>,
    /// Objects of these files; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// Objects with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    /// All objects of the type
    #[arg(long)]
    pub(crate) all: bool,
    /// What is not there is no error
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Give the pod one second to end
    #[arg(long)]
    pub(crate) now: bool,
    /// How many seconds to give it
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<u64>,
    /// background, foreground or orphan: what becomes of what it owns
    #[arg(long, value_name = "HOW", default_value = "background")]
    pub(crate) cascade: String,
    /// Do not wait until it is gone
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) wait: bool,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// TYPE NAME or TYPE/NAME, then key=value or key-
    #[arg(value_name = "TYPE NAME KEY=VALUE…", required = true)]
    pub(crate) what: Vec<String>,
    /// Change what is there already
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PatchArgs {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required = true)]
    pub(crate) what: Vec<String>,
    /// The patch, JSON or YAML
    #[arg(short, long, value_name = "PATCH", required_unless_present = "patch_file")]
    pub(crate) patch: Option<String>,
    /// File with the patch
    #[arg(long, value_name = "FILE")]
    pub(crate) patch_file: Option<PathBuf>,
    /// How it is written
    #[arg(long = "type", value_name = "strategic|merge|json", default_value = "strategic")]
    pub(crate) kind: String,
    /// Which part of the object it is for
    #[arg(long, value_name = "NAME")]
    pub(crate) subresource: Option<String>,
    /// yaml, json or name: print what came of it
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required = true)]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Of which pod
    pub(crate) pod: String,
    /// Of which container
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Go on with what it writes
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Of the container that ran before this one
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// With the time of each line
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Only of the last so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) since_seconds: Option<u64>,
    /// Only the last lines
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: palisade exec -it web -c app -- sh")]
pub(crate) struct ExecArgs {
    /// In which pod
    pub(crate) pod: String,
    /// In which container. Default: the pod's first
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass stdin on
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Stdin is a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Command and arguments, after --
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Ask whether you may: exit code 0 is yes, 1 is no
    CanI(CanIArgs),
    /// Say who you are
    Whoami(WhoamiArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CanIArgs {
    /// VERB TYPE, VERB TYPE/NAME, or VERB /PATH
    #[arg(value_name = "VERB TYPE", num_args = 2..=3, required_unless_present = "list")]
    pub(crate) what: Vec<String>,
    /// List all that you may do in the namespace
    #[arg(long, conflicts_with = "what")]
    pub(crate) list: bool,
    /// Which part of the object
    #[arg(long, value_name = "NAME")]
    pub(crate) subresource: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Say it by the exit code only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user, or give one another password (asked for, or read from stdin)
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
