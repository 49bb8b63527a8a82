//! The command line of `create`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConnectArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CreateArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CreateCommand>,
    /// File or folder of objects, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// yaml, json or name: print what was made
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// What every way of creating by name has.
#[derive(Debug, Args)]
pub(crate) struct MakeArgs {
    /// Its name
    pub(crate) name: String,
    /// yaml, json or name: print what was made
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) output: Option<String>,
    /// client: send nothing; server: keep nothing
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(crate) dry_run: String,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CreateCommand {
    /// Make a service account
    #[command(alias = "sa")]
    Serviceaccount(MakeArgs),
    /// Make a namespace
    #[command(alias = "ns")]
    Namespace(MakeArgs),
    /// Make a role
    Role(RoleArgs),
    /// Make a cluster role
    Clusterrole(RoleArgs),
    /// Bind a role in a namespace
    Rolebinding(BindingArgs),
    /// Bind a role everywhere
    Clusterrolebinding(BindingArgs),
    /// Make a token of a service account
    Token(TokenArgs),
    /// Make a ConfigMap
    #[command(alias = "cm")]
    Configmap(ConfigArgs),
    /// Make a Secret
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// What may be done; may be repeated
    #[arg(long, value_name = "VERB", value_delimiter = ',', required = true)]
    pub(crate) verb: Vec<String>,
    /// With what: RESOURCE, RESOURCE.GROUP or RESOURCE/SUBRESOURCE; may be repeated
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',')]
    pub(crate) resource: Vec<String>,
    /// With objects of which names; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) resource_name: Vec<String>,
    /// With which paths that are no resources (cluster roles); may be repeated
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(crate) non_resource_url: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct BindingArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// The role of the namespace
    #[arg(long, value_name = "NAME", conflicts_with = "clusterrole")]
    pub(crate) role: Option<String>,
    /// The cluster role
    #[arg(long, value_name = "NAME")]
    pub(crate) clusterrole: Option<String>,
    /// For this user; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) user: Vec<String>,
    /// For this group; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) group: Vec<String>,
    /// For this service account, NAMESPACE:NAME; may be repeated
    #[arg(long, value_name = "NAMESPACE:NAME", value_delimiter = ',')]
    pub(crate) serviceaccount: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Of which service account
    pub(crate) name: String,
    /// How long it is good for, as 600s, 10m or 1h
    #[arg(long, value_name = "TIME")]
    pub(crate) duration: Option<String>,
    /// For whom it is; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) audience: Vec<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// What a `ConfigMap` or a `Secret` holds.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// An entry; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) from_literal: Vec<String>,
    /// A file, or all files of a folder, under their names or another; may be repeated
    #[arg(long, value_name = "[KEY=]PATH")]
    pub(crate) from_file: Vec<String>,
    /// A file with lines of KEY=VALUE; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) from_env_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Of entries
    Generic(SecretArgs),
    /// Of a certificate and its key
    Tls(TlsArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// What it is for. Default: Opaque
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    #[command(flatten)]
    pub(crate) make: MakeArgs,
    /// File with the certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: PathBuf,
    /// File with its key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}
