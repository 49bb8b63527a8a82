//! The client for the cluster's API.

use std::time::Duration;

use kube::config::InferConfigError;
use kube::{Client, Config};

/// An error of connecting to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account exists, or it cannot be read.
    #[error("no cluster is known: set KUBECONFIG, or run in a pod")]
    Config(#[from] InferConfigError),
    /// The kubeconfig cannot be used.
    #[error("the cluster cannot be reached")]
    Client(#[from] kube::Error),
}

/// A client from `KUBECONFIG`, `~/.kube/config` or, in a pod, its service account.
///
/// Requests are not retried: an API server that waits for a review has no time for that, and the watches have pauses of
/// their own.
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
