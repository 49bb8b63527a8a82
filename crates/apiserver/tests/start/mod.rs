//! A server in this process.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use palisade_apiserver::Server;

/// Starts a server in this process; gives a client of its administrator.
pub(crate) async fn start(config: palisade_apiserver::Config) -> Client {
    let server = Server::start(config).await.unwrap();
    let text = server.admin_kubeconfig(&format!("https://{}", server.address().unwrap()));
    tokio::spawn(server.run(std::future::pending()));
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // The server's own answer is tested, so the client does not retry.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}
