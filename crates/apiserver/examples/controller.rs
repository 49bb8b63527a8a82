//! A small controller and its test, against an API server in the same process.
//!
//!     cargo run -p palisade-apiserver --example controller
//!
//! The controller gives each namespace that requests it by a label a ConfigMap. The test starts a server, creates a
//! namespace, runs the controller once, and finds the ConfigMap.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use palisade_apiserver::Server;

/// The controller under test.
async fn reconcile(client: &Client) -> Result<(), kube::Error> {
    let namespaces =
        Api::<Namespace>::all(client.clone()).list(&ListParams::default().labels("greet=yes")).await?;
    for namespace in namespaces {
        let name = namespace.name_any();
        let greeting = ConfigMap {
            metadata: ObjectMeta { name: Some("greeting".to_owned()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([("text".to_owned(), format!("hello, {name}"))])),
            ..ConfigMap::default()
        };
        let maps = Api::<ConfigMap>::namespaced(client.clone(), &name);
        maps.patch("greeting", &PatchParams::apply("greeter"), &Patch::Apply(&greeting)).await?;
    }
    Ok(())
}

/// A client of the administrator.
async fn client(kubeconfig: &str) -> Result<Client, Box<dyn std::error::Error>> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::ephemeral().await?;
    let client = client(server.kubeconfig()).await?;
    let shop = Namespace {
        metadata: ObjectMeta {
            name: Some("shop".to_owned()),
            labels: Some(BTreeMap::from([("greet".to_owned(), "yes".to_owned())])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    Api::all(client.clone()).create(&PostParams::default(), &shop).await?;
    reconcile(&client).await?;
    let greeting = Api::<ConfigMap>::namespaced(client, "shop").get("greeting").await?;
    let text = greeting.data.unwrap_or_default().remove("text").unwrap_or_default();
    assert_eq!(text, "hello, shop");
    println!("{text}");
    server.stop().await;
    Ok(())
}
