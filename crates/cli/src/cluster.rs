//! The cluster that an administrator's command is for.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// The kubeconfig of the cluster.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct ClusterArgs {
    /// Kubeconfig of the cluster. Default: KUBECONFIG, ~/.kube/config or, in a pod, its service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Default: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl ClusterArgs {
    /// Whether a cluster is named.
    pub(crate) fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// A client of the cluster, whose API server answers.
    pub(crate) async fn reach(&self) -> Result<kube::Client, crate::Failure> {
        Ok(palisade_webhook::reach(self.kubeconfig.as_deref(), self.context.as_deref()).await?)
    }
}
