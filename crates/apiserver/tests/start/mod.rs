//! A server in this process.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use palisade_apiserver::Server;
use palisade_scc::BuiltinSet;

/// Starts a server in this process; gives a client of its administrator.
pub(crate) async fn start() -> Client {
    let config = palisade_apiserver::Config {
        data: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        names: Vec::new(),
        set: BuiltinSet::V4,
        audit: None,
        audit_policy: None,
        backup: None,
    };
    let server = Server::start(config).await.unwrap();
    let text = server.admin_kubeconfig(&format!("https://{}", server.address().unwrap()));
    tokio::spawn(server.run(std::future::pending()));
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    // What the server says is what is tested, so the client does not ask again.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}
