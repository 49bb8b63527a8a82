//! Sources of workloads and of their policy.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::PolicyArgs;

/// Sources of workloads other than files.
#[cfg(feature = "cluster")]
const BESIDE: [&str; 3] = ["paths", "must_gather", "cluster"];
#[cfg(not(feature = "cluster"))]
const BESIDE: [&str; 2] = ["paths", "must_gather"];

/// The workloads and the policy of a command on many workloads.
#[derive(Debug, ClapArgs)]
pub(crate) struct InputArgs {
    /// The workloads: files or folders of manifests, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH", required_unless_present_any = BESIDE)]
    pub(crate) files: Vec<PathBuf>,
    /// The same without -f
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of `oc adm must-gather`: its SCCs, namespaces, roles and bindings are the policy, its workloads are looked at
    #[arg(long, value_name = "DIR", conflicts_with_all = ["policy", "scc_set"])]
    pub(crate) must_gather: Option<PathBuf>,
    /// Read the policy and the workloads from the cluster of the kubeconfig; -n takes one namespace
    #[cfg(feature = "cluster")]
    #[arg(long, conflicts_with_all = ["policy", "scc_set", "must_gather", "files", "paths"])]
    pub(crate) cluster: bool,
    /// Path to the kubeconfig. Default: $KUBECONFIG, else ~/.kube/config
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use. Default: its current context
    #[cfg(feature = "cluster")]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    pub(crate) context: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Namespace of objects without one
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
}
