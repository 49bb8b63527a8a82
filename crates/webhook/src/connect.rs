//! The client of the cluster.

use std::time::Duration;

use kube::config::InferConfigError;
use kube::{Client, Config};

/// An error of connecting to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor the service account of a pod is there, or it cannot be read.
    #[error("no cluster is known: set KUBECONFIG, or run in a pod")]
    Config(#[from] InferConfigError),
    /// The kubeconfig cannot be used.
    #[error("the cluster cannot be reached")]
    Client(#[from] kube::Error),
}

/// A client by `KUBECONFIG`, `~/.kube/config` or, in a pod, its service account.
///
/// Requests are not repeated: an API server that waits for a review has no time for that, and what follows the cluster
/// has pauses of its own.
///
/// # Errors
///
/// See [`ConnectError`].
pub async fn connect() -> Result<Client, ConnectError> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
