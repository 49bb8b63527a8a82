//! The way of pods to the API server: its service `kubernetes`.
//!
//! There is no proxy for services, but for this one. A rule of iptables redirects connections that pods of this node make to
//! the service's address to a port of their bridge, where the agent passes them on to the server, byte for byte: also to a server
//! that listens on loopback. TLS and authentication are between pod and server. Pods on the machine's network
//! connect to the server as the agent does.

mod relay;
mod rule;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, Client};
use serde_json::json;

use crate::layout::Layout;
use crate::range::PodRange;
use relay::Relay;
use rule::Rule;
pub(crate) use rule::remove;

const NAMESPACE: &str = "default";
/// The name of the API server's service.
pub(crate) const NAME: &str = "kubernetes";
/// The names at which programs in pods look for the API server.
pub(crate) const NAMES: [&str; 3] =
    ["kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "kubernetes.default"];
/// Interval between checks of the rule: others may flush it.
const LOOK: Duration = Duration::from_secs(30);
/// The same, while the service is not known.
const FIRST: Duration = Duration::from_secs(2);

/// The API server as the agent connects to it.
#[derive(Clone, Debug)]
pub(crate) struct ApiServer {
    host: String,
    port: u16,
    /// Whether this node redirects connections of pods of its own network to it.
    has_proxy: bool,
}

impl ApiServer {
    pub(crate) fn new(url: &str, has_proxy: bool) -> Self {
        let url: http::Uri = url.parse().unwrap_or_default();
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Self { host, port: url.port_u16().unwrap_or(443), has_proxy }
    }

    /// Whether a pod reaches the server at the service's address.
    pub(crate) fn is_proxied(&self, pod: &Pod) -> bool {
        self.has_proxy && !is_on_host(pod)
    }

    /// The service for a pod's environment: with the address at which this pod reaches the server; `None` if it does not.
    pub(crate) async fn service(&self, client: &Client, pod: &Pod) -> kube::Result<Option<Service>> {
        match self.is_proxied(pod) {
            true => Api::<Service>::namespaced(client.clone(), NAMESPACE).get_opt(NAME).await,
            false => Ok(self.direct(pod)),
        }
    }

    /// The server's address, if machines other than its own reach it.
    fn public(&self) -> Option<SocketAddrV4> {
        let address: Ipv4Addr = self.host.parse().ok()?;
        (!address.is_loopback() && !address.is_unspecified()).then(|| SocketAddrV4::new(address, self.port))
    }

    fn direct(&self, pod: &Pod) -> Option<Service> {
        let address = self.host.parse::<std::net::IpAddr>();
        let is_own = self.host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let service = json!({"metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"clusterIP": self.host, "ports": [{"name": "https", "port": self.port}]}});
        serde_json::from_value(service).ok().filter(|_| !is_own || is_on_host(pod))
    }
}

fn is_on_host(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

/// Whether a service is the API server's.
pub(crate) fn is_api(service: &Service) -> bool {
    let metadata = &service.metadata;
    metadata.name.as_deref() == Some(NAME) && metadata.namespace.as_deref() == Some(NAMESPACE)
}

/// The address of a service.
pub(crate) fn address(service: &Service) -> Option<&str> {
    service.spec.as_ref()?.cluster_ip.as_deref().filter(|address| !matches!(*address, "" | "None"))
}

/// Address and port of a service.
fn place(service: &Service) -> Option<SocketAddrV4> {
    let address: Ipv4Addr = address(service)?.parse().ok()?;
    let port = service.spec.as_ref()?.ports.as_ref()?.first()?.port;
    Some(SocketAddrV4::new(address, u16::try_from(port).ok()?))
}

/// The running proxy; it ends when this is dropped. The rule stays until the node is taken down, as pods do.
pub(crate) struct Proxy {
    task: tokio::task::JoinHandle<()>,
    services: Api<Service>,
    layout: Layout,
    /// The server's address, if pods reach it without the relay.
    direct: Option<SocketAddrV4>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts the proxy for the pods of a range.
    pub(crate) async fn start(
        client: &Client,
        layout: &Layout,
        server: &ApiServer,
        range: PodRange,
    ) -> Option<Self> {
        let relay = match Relay::listen(server, range) {
            Ok(relay) => relay,
            Err(error) => {
                tracing::warn!("pods cannot reach the API server: {}: {error}", range.gateway());
                return None;
            }
        };
        let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
        let (to, direct) = (relay.address(), server.public());
        let kept = (services.clone(), layout.clone());
        // The first pods find the rule, unless the server does not answer.
        let first = tokio::time::timeout(FIRST, redirect(&services, layout, to)).await;
        let mut wait = first.unwrap_or(FIRST);
        let task = tokio::spawn(async move {
            let keep = async {
                loop {
                    tokio::time::sleep(wait).await;
                    wait = redirect(&kept.0, &kept.1, to).await;
                }
            };
            tokio::select! {
                () = relay.run() => {}
                () = keep => {}
            }
        });
        Some(Self { task, services, layout: layout.clone(), direct })
    }

    /// Ends the proxy. Until the next start pods connect to the server directly, where they reach it.
    pub(crate) async fn stop(self) {
        self.task.abort();
        if let Some(direct) = self.direct {
            let _ = tokio::time::timeout(FIRST, redirect(&self.services, &self.layout, direct)).await;
        }
    }
}

/// Redirects connections to the service's address to the relay; returns the time until the next check.
async fn redirect(services: &Api<Service>, layout: &Layout, to: SocketAddrV4) -> Duration {
    let found = services.get_opt(NAME).await.unwrap_or_else(|error| {
        tracing::debug!("the service {NAME}: {error}");
        None
    });
    let Some(from) = found.as_ref().and_then(place) else { return FIRST };
    if let Err(why) = (Rule { layout, from, to }).keep().await {
        tracing::warn!("pods cannot reach the API server at {from}: {why}");
    }
    LOOK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_of_a_server_that_it_reaches() {
        let pod = |is_on_host: bool| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "hostNetwork": is_on_host}})).unwrap()
        };
        for (url, is_on_host, expected) in [
            ("https://127.0.0.1:6443", true, Some(("127.0.0.1", 6443))),
            ("https://127.0.0.1:6443", false, None),
            ("https://localhost:6443", false, None),
            ("https://[::1]:6443", false, None),
            ("https://192.0.2.7", false, Some(("192.0.2.7", 443))),
            ("https://[2001:db8::1]:6443", true, Some(("2001:db8::1", 6443))),
            ("https://api.example:6443", false, Some(("api.example", 6443))),
        ] {
            let server = ApiServer::new(url, false);
            let service = server.direct(&pod(is_on_host));
            let seen = service.as_ref().map(|service| {
                (address(service).unwrap(), service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port)
            });
            assert_eq!(seen, expected, "{url} {is_on_host}");
            assert!(service.is_none_or(|service| is_api(&service)));
        }
        for (url, expected) in [
            ("https://192.0.2.7:6443", Some("192.0.2.7:6443")),
            ("https://127.0.0.2:6443", None),
            ("https://0.0.0.0:6443", None),
            ("https://[2001:db8::1]:6443", None),
            ("https://api.example", None),
        ] {
            let public = ApiServer::new(url, true).public();
            assert_eq!(public.map(|address| address.to_string()).as_deref(), expected, "{url}");
        }
        let server = ApiServer::new("https://127.0.0.1:6443", true);
        assert_eq!([true, false].map(|is_on_host| server.is_proxied(&pod(is_on_host))), [false, true]);
    }

    #[test]
    fn only_a_service_with_an_address_is_led() {
        let of = |spec| {
            let service = json!({"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": spec});
            place(&serde_json::from_value(service).unwrap()).map(|place| place.to_string())
        };
        let ports = json!([{"port": 443}]);
        assert_eq!(of(json!({"clusterIP": "10.96.0.1", "ports": ports})).as_deref(), Some("10.96.0.1:443"));
        for spec in
            [json!({"clusterIP": "None", "ports": ports}), json!({"clusterIP": "10.96.0.1"}), json!({})]
        {
            assert_eq!(of(spec.clone()), None, "{spec}");
        }
    }
}
