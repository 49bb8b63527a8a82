//! A server for a test: it starts at once, keeps no data, and stops when its handle is dropped.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::server::{Config, Server, ServerError};

/// A running server without persistent data. It stops when it is dropped.
#[derive(Debug)]
pub struct Ephemeral {
    url: String,
    kubeconfig: String,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server without persistent data, on a free port of loopback, on the runtime of the test.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    pub async fn ephemeral() -> Result<Ephemeral, ServerError> {
        Ephemeral::start(Config::default()).await
    }

    /// As [`ephemeral`](Self::ephemeral), with addresses for the Services that webhook configurations name, by
    /// `NAMESPACE/NAME`.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    pub async fn ephemeral_with_webhooks(
        services: BTreeMap<String, SocketAddr>,
    ) -> Result<Ephemeral, ServerError> {
        Ephemeral::start(Config { webhook_services: services, ..Config::default() }).await
    }
}

impl Ephemeral {
    /// Starts a server with these options.
    ///
    /// # Errors
    ///
    /// See [`ServerError`].
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let listen = config.listen;
        let server = Server::start(config).await?;
        let address = server.address().map_err(|error| ServerError::Listen(listen, error))?;
        let url = format!("https://{address}");
        let kubeconfig = server.admin_kubeconfig(&url);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async { drop(stopped.await) }));
        Ok(Self { url, kubeconfig, stop: Some(stop), task: Some(task) })
    }

    /// The URL of the server.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A self-contained kubeconfig of its administrator, in YAML.
    #[must_use]
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// Stops it, and waits until it has stopped.
    pub async fn stop(mut self) {
        self.stop.take();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}
