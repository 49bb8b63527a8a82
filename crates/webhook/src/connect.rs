//! The client for the cluster's API.

use std::path::Path;
use std::time::Duration;

use kube::config::InferConfigError;
use kube::{Client, Config};
use palisade_client::Options;
use palisade_k8s::root_cause;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An error of connecting to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a pod's service account exists, or it cannot be read.
    #[error("no cluster is known: set KUBECONFIG, or run in a pod")]
    Config(#[from] InferConfigError),
    /// The named kubeconfig cannot be read, has no such context, or describes no connection.
    #[error(transparent)]
    Options(#[from] palisade_client::Error),
    /// The API server does not answer.
    #[error("the API server at {server} cannot be reached: {why}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// The reason, in the words of the system or of TLS.
        why: String,
    },
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
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// A client of an API server that answers, from a kubeconfig and one of its contexts; by default as [`connect`] does. Its
/// answers are bounded, so that a hostile server cannot fill memory.
///
/// # Errors
///
/// See [`ConnectError`].
pub async fn reach(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Client, ConnectError> {
    let options = Options {
        kubeconfig: kubeconfig.map(Path::to_owned),
        context: context.map(str::to_owned),
        ..Options::default()
    };
    let mut config = palisade_client::config(&options).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let client = palisade_client::bounded(config)?;
    match client.apiserver_version().await {
        Err(error @ (kube::Error::Service(_) | kube::Error::HyperError(_))) => {
            Err(ConnectError::Unreachable { server, why: root_cause(&error) })
        }
        // A refusal is an answer too.
        _ => Ok(client),
    }
}
