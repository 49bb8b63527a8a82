//! The command line of the verbs that read.

use std::path::PathBuf;

use clap::Args;

use super::ConnectArgs;
use crate::format::Format;
use crate::jsonpath::Path;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  palisade get pods,services -A
  palisade get pod web -o yaml
  palisade get pods -l app=web --sort-by .metadata.creationTimestamp
  palisade get pods -o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'")]
pub(crate) struct GetArgs {
    /// TYPE[,TYPE…] [NAME…], or TYPE/NAME…
    #[arg(value_name = "TYPE [NAME…]")]
    pub(crate) what: Vec<String>,
    /// File or folder that names the objects to get, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// Output format: json, yaml, name, wide, jsonpath=TEMPLATE, jsonpath-file=FILE, custom-columns=NAME:PATH,… or custom-columns-file=FILE
    #[arg(short, long, value_name = "FORMAT", default_value = "", hide_default_value = true)]
    pub(crate) output: Format,
    /// Label selector to filter on: =, ==, != , in, notin (as -l key1=value1,key2=value2)
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    /// Field selector to filter on: =, == and != (as --field-selector key1=value1,key2=value2)
    #[arg(long, value_name = "FIELDS")]
    pub(crate) field_selector: Option<String>,
    /// List the objects of all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// After listing or getting the objects, watch for changes
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// Do not print headers
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Show all labels as the last column
    #[arg(long)]
    pub(crate) show_labels: bool,
    /// Sort a list by the field at this JSONPath, such as .metadata.name
    #[arg(long, value_name = "PATH", conflicts_with = "watch")]
    pub(crate) sort_by: Option<Path>,
    /// Keep metadata.managedFields in JSON and YAML
    #[arg(long)]
    pub(crate) show_managed_fields: bool,
    /// Exit with 0 if an object does not exist
    #[arg(long)]
    pub(crate) ignore_not_found: bool,
    /// Print the server's answer to a request for this path
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
    /// Label selector to filter on
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub(crate) selector: Option<String>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Name of the pod, with or without pod/
    pub(crate) pod: String,
    /// Container whose logs are printed. Default: the only one
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Stream the logs as they are written
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print the logs of the previous instance of the container
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// Begin each line with its timestamp
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// Only return logs of the last seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) since_seconds: Option<u64>,
    /// Number of recent lines to print. Default: all
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: palisade exec -it web -c app -- sh")]
pub(crate) struct ExecArgs {
    /// Name of the pod, with or without pod/
    pub(crate) pod: String,
    /// Container to run the command in. Default: the first one of the pod
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// Pass stdin to the container
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Allocate a terminal for the command
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Command and its arguments, after --
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
