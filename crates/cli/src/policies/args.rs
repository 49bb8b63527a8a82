//! The arguments of `palisade policies`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use palisade_k8s::KernelVersion;
use palisade_policies::Mode;
use palisade_scc::BuiltinSet;

#[cfg(feature = "serve")]
use crate::cluster::ClusterArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum PoliciesCommand {
    Compile(CompileArgs),
    #[cfg(feature = "serve")]
    Apply(ApplyArgs),
    #[cfg(feature = "serve")]
    Status(StatusArgs),
    #[cfg(feature = "serve")]
    Remove(RemoveArgs),
}

/// The source of SCCs.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Source {
    /// SCCs: files or folders of YAML or JSON, or - for stdin
    #[arg(value_name = "SCCS")]
    pub(crate) files: Vec<PathBuf>,
    /// Built-in SCCs, to which those of the files are added: 4 (thirteen) or 3 (seven)
    #[arg(long, value_name = "3|4")]
    pub(crate) scc_set: Option<BuiltinSet>,
}

/// Print SCCs as a MutatingAdmissionPolicy and a ValidatingAdmissionPolicy, each with its binding
///
/// They decide as `palisade admit` does, inside of the API server, from Kubernetes 1.36 on. Parts that they cannot
/// decide are reported on stderr. Without SCCs it is the built-in set 4.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade policies compile | kubectl apply --server-side -f -
  palisade policies compile sccs.yaml --exempt calico-system > policies.yaml
  kubectl get scc -o yaml | palisade policies compile -")]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// Also print the roles and bindings that grant the SCCs: those of the built-in set, and of files or folders
    #[arg(long, value_name = "PATH", num_args = 0..)]
    pub(crate) rbac: Option<Vec<PathBuf>>,
}

/// An administrator's options.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Choices {
    /// Kernel of the nodes, which determines the safe sysctls. Default: a current one
    #[arg(long, value_name = "MAJOR.MINOR")]
    pub(crate) kernel: Option<KernelVersion>,
    /// Namespace to exempt in addition to those that SCC exempts; may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) exempt: Vec<String>,
    /// Also check exec and attach. Takes at most 13 SCCs, and time that grows with the number of pods in the namespace
    #[arg(long)]
    pub(crate) exec: bool,
    /// The treatment of a pod that no SCC admits
    #[arg(long, value_enum, default_value_t = ModeArg::Enforce)]
    pub(crate) mode: ModeArg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// It is refused; other pods get the defaults of their SCC
    Enforce,
    /// Its author is warned, and the audit log records it; no pod is changed
    Warn,
    /// The audit log records it; no pod is changed
    Audit,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Enforce => Self::Enforce,
            ModeArg::Warn => Self::Warn,
            ModeArg::Audit => Self::Audit,
        }
    }
}

/// Compile SCCs and apply the policies to a cluster: those of the files or sets, else those of the cluster
///
/// The cluster is that of KUBECONFIG. Before any change the API server checks all objects in a dry run. The validating
/// policy comes first, so that no pod is admitted undecided.
#[cfg(feature = "serve")]
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  palisade policies apply --scc-set 4
  palisade policies apply --watch                 the cluster's SCCs, again whenever they change")]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) choices: Choices,
    /// Keep running, and apply again whenever the SCCs of the cluster have changed
    #[arg(long, conflicts_with_all = ["files", "scc_set"])]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Check that a cluster's policies are those of these SCCs; exits with 1 if any has drifted
///
/// Pass the SCCs, kernel and exemptions that were given to `apply`.
#[cfg(feature = "serve")]
#[derive(Debug, ClapArgs)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Remove the policies from a cluster, the validating one last
#[cfg(feature = "serve")]
#[derive(Debug, ClapArgs)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}
