//! The command line of the verbs that change objects.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::ConnectArgs;
use crate::dry_run::DryRun;
use crate::format::Format;

/// Options of every verb that writes objects and can print them.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Output format of the written objects: json, yaml, name, jsonpath=TEMPLATE, …
    #[arg(short, long, value_name = "FORMAT", default_value = "", hide_default_value = true)]
    pub(crate) output: Format,
    /// Extent of the change
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) dry_run: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// File or folder of objects, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    /// Name of the manager that owns the applied fields
    #[arg(long, value_name = "NAME", default_value = "palisade")]
    pub(crate) field_manager: String,
    /// Take over fields that other managers own
    #[arg(long)]
    pub(crate) force_conflicts: bool,
    /// Accepted for compatibility with kubectl: apply always runs on the server
    #[arg(long, hide = true)]
    pub(crate) server_side: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// The deletion of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cascade {
    /// Dependents are deleted after the object
    #[default]
    #[value(alias = "true")]
    Background,
    /// Dependents are deleted before the object
    Foreground,
    /// Dependents stay
    #[value(alias = "false")]
    Orphan,
}

impl Cascade {
    /// The `propagationPolicy` of `DeleteOptions`.
    pub(crate) fn policy(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// TYPE NAME…, or TYPE/NAME…
    #[arg(value_name = "TYPE [NAME…]", required_unless_present = "files")]
    pub(crate) what: Vec<String>,
    /// File or folder that names the objects to delete, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// Label selector to filter on
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    /// Delete all objects of the types, in the namespace
    #[arg(long)]
    pub(crate) all: bool,
    /// Treat an object that does not exist as deleted
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Signal for immediate shutdown: the same as --grace-period=1
    #[arg(long, conflicts_with = "grace_period")]
    pub(crate) now: bool,
    /// Seconds that the object has to terminate. Default: the object's own grace period
    #[arg(long, value_name = "SECONDS")]
    pub(crate) grace_period: Option<u64>,
    /// The deletion of the dependents of a deleted object
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) cascade: Cascade,
    /// Whether to wait until the objects are deleted
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) wait: bool,
    /// Extent of the change
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) dry_run: DryRun,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// TYPE NAME or TYPE/NAME, then KEY=VALUE or KEY-
    #[arg(value_name = "TYPE NAME KEY=VALUE…", required = true)]
    pub(crate) what: Vec<String>,
    /// Allow values to be overwritten
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Extent of the change
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) dry_run: DryRun,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// The type of a patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatchType {
    /// Strategic merge patch: lists merge by their keys
    #[default]
    Strategic,
    /// JSON merge patch, RFC 7386: lists are replaced
    Merge,
    /// JSON patch, RFC 6902: a list of operations
    Json,
}

impl PatchType {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PatchArgs {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required = true)]
    pub(crate) what: Vec<String>,
    /// The patch, as JSON or YAML
    #[arg(short, long, value_name = "PATCH", required_unless_present = "patch_file")]
    pub(crate) patch: Option<String>,
    /// File with the patch
    #[arg(long, value_name = "FILE", conflicts_with = "patch")]
    pub(crate) patch_file: Option<PathBuf>,
    /// The type of the patch
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t)]
    pub(crate) kind: PatchType,
    /// Patch this subresource of the object
    #[arg(long, value_name = "NAME")]
    pub(crate) subresource: Option<String>,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// The editor is $KUBE_EDITOR, else $EDITOR, else vi. The text is in a folder that only you can read, which is removed
/// afterwards.
#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// TYPE NAME or TYPE/NAME
    #[arg(value_name = "TYPE NAME", required = true)]
    pub(crate) what: Vec<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
