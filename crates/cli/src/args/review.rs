//! The arguments of `palisade review`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{Output, PolicyArgs};

/// Show which SCC would admit workloads, and why the others would not
///
/// Reads manifests and the output of `helm template`: pods, templates and every kind of workload. SCCs, service
/// accounts, roles, bindings and namespaces among them count as policy. No cluster is contacted without --cluster.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A workload's pods are created by its controller, not by you: a pod that is admitted when you create it may be refused
when a Deployment does. Both verdicts are shown, by user and by service account.

Examples:
  palisade review -f deployment.yaml
  helm template ./chart | palisade review -f - -n shop -z builder
  palisade review -f pod.yaml --as alice --as-group team-a --policy cluster/
  palisade review -f . -o sarif > palisade.sarif")]
pub(crate) struct ReviewArgs {
    /// File or folder of manifests, or - for stdin; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    #[cfg_attr(feature = "serve", arg(required_unless_present_any = ["paths", "must_gather", "cluster"]))]
    #[cfg_attr(not(feature = "serve"), arg(required_unless_present_any = ["paths", "must_gather"]))]
    pub(crate) files: Vec<PathBuf>,
    /// The same without -f
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of `oc adm must-gather`: its SCCs, namespaces, roles and bindings are the policy, its workloads are reviewed
    #[arg(long, value_name = "DIR", conflicts_with_all = ["policy", "scc_set"])]
    pub(crate) must_gather: Option<PathBuf>,
    /// Review the pods that run in the cluster of KUBECONFIG, by its SCCs, or by a built-in set where it has none
    #[cfg(feature = "serve")]
    #[arg(long, conflicts_with_all = ["files", "paths", "must_gather", "policy", "namespace", "serviceaccount", "user", "output", "show_pod"])]
    pub(crate) cluster: bool,
    #[cfg(feature = "serve")]
    #[command(flatten)]
    pub(crate) live: crate::cluster::ClusterArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Namespace of objects without one
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Service account of the pods, whatever they specify
    #[arg(short = 'z', long, value_name = "NAME")]
    pub(crate) serviceaccount: Option<String>,
    /// The user who creates the pods; those of a workload are created by its controller. Default: an unknown user
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// A group of --as; may be repeated. system:authenticated is always among them
    #[arg(long = "as-group", value_name = "GROUP", requires = "user")]
    pub(crate) groups: Vec<String>,
    /// The output format
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Also print each pod as it would run
    #[arg(long)]
    pub(crate) show_pod: bool,
}
