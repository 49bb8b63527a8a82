//! The server: start, kubeconfig, and run until shutdown.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use palisade_audit::{Audit, Policy, PolicyError};
use palisade_controllers::{ApiServer, Front, lost};
use palisade_hooks::Client;
use palisade_https::{CertificateError, LONG, Limits, Listener, Pair, Peer, Tls, TlsError};
use palisade_scc::BuiltinSet;
use palisade_store::{Store, StoreError, private};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::api::{Api, Outside};
use crate::authenticate::ClientCertificate;
use crate::decider::Decider;
use crate::error::ApiError;
use crate::pki::{self, Pki};
use crate::serve::Service;
use crate::token::Tokens;
use crate::{bootstrap, objects, quota};

/// Options of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder; if none, no data is kept.
    pub data: Option<PathBuf>,
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names and addresses that clients use for the server.
    pub names: Vec<String>,
    /// The initial SCCs; if none are named, those of the data folder, and the newest in a new one.
    pub set: Option<BuiltinSet>,
    /// The file of the audit log, if one is written.
    pub audit: Option<PathBuf>,
    /// The audit policy, as kube-apiserver's `--audit-policy-file`; without it, all requests are
    /// logged with their metadata.
    pub audit_policy: Option<PathBuf>,
    /// A backup to restore at first, into a data folder without a store.
    pub backup: Option<PathBuf>,
    /// The decider on SCC.
    pub decider: Decider,
    /// Addresses of the services of webhooks, by `NAMESPACE/NAME`.
    pub webhook_services: BTreeMap<String, SocketAddr>,
}

impl Default for Config {
    /// Without a data folder, listening on a free port of loopback, deciding by the newest set of SCCs.
    fn default() -> Self {
        Self {
            data: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            names: Vec::new(),
            set: None,
            audit: None,
            audit_policy: None,
            backup: None,
            decider: Decider::default(),
            webhook_services: BTreeMap::new(),
        }
    }
}

/// An error at the start of a server or while it runs.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data cannot be used.
    #[error("the data cannot be used")]
    Store(#[from] StoreError),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used")]
    Certificates(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// Nodes cannot be connected to.
    #[error("TLS towards nodes cannot be set up: {0}")]
    Nodes(String),
    /// The key that signs tokens cannot be used.
    #[error("the key of tokens cannot be used")]
    Key(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A file cannot be written.
    #[error("{0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The policy of the audit log cannot be used.
    #[error(transparent)]
    AuditPolicy(#[from] PolicyError),
    /// A node would have a name of the server.
    #[error("a node named {0:?} could pose as the server, which has this name: give the node another one")]
    NodeName(String),
    /// The initial objects cannot be created.
    #[error("the first objects cannot be made: {0}")]
    Bootstrap(String),
}

/// A server that is ready to answer.
pub struct Server {
    api: Arc<Api>,
    listener: Option<Listener>,
    pki: Pki,
    set: BuiltinSet,
    controllers: Vec<std::thread::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    folder: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the data, creates what is missing, and listens.
    ///
    /// # Errors
    ///
    /// See [`ServerError`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        palisade_sys::memory::bound();
        let folder = match config.data {
            Some(_) => None,
            None => Some(private::temporary().map_err(StoreError::from)?),
        };
        let data = config.data.clone().or_else(|| folder.as_ref().map(|folder| folder.path().to_owned()));
        let data = data.unwrap_or_default();
        let policy = config.audit_policy.as_deref().map(Policy::read).transpose()?.unwrap_or_default();
        // A start that finds the address taken has restored no backup, which the next start would refuse to do again.
        let socket = tokio::net::TcpListener::bind(config.listen).await;
        let socket = socket.map_err(|error| ServerError::Listen(config.listen, error))?;
        let port = socket.local_addr().map_err(|error| ServerError::Listen(config.listen, error))?.port();
        let front = Front::new(config.listen.ip(), port, &config.names);
        let store = open(&config)?;
        let mut names = config.names.clone();
        names.push(config.listen.ip().to_string());
        names.extend(front.address().map(|address| address.to_string()));
        let pki_folder = data.join("pki");
        private::folder(&pki_folder, &["ca.", "sa.", "admin.", ".palisade-"]).map_err(StoreError::from)?;
        let pki = Pki::open(&pki_folder, &names)?;
        let tls = Tls::new(&pki.server, Some(&pki.ca))?;
        let listener = Listener::new(socket, tls, Limits::default());
        let tokens = Tokens::new(&pki.account_key, &pki.account_public)
            .map_err(|error| ServerError::Key(error.to_string()))?;
        let audit = match &config.audit {
            Some(path) => Audit::to_file(path, policy).map_err(StoreError::from)?,
            None => Audit::default(),
        };
        let refused = |error: Box<ApiError>| ServerError::Bootstrap(error.message);
        let nodes = Arc::new(to_nodes(&pki)?);
        let outside = Outside { decider: config.decider, client: Client::new(config.webhook_services) };
        let api = Arc::new(Api::new(store, tokens, audit, pki.ca.clone(), nodes, outside).map_err(refused)?);
        let set = match config.set {
            Some(set) => set,
            None => bootstrap::kept_set(&api).map_err(refused)?,
        };
        bootstrap::run(&api, set).map_err(refused)?;
        front.settle(&*api);
        let controlled: Arc<dyn ApiServer> = Arc::clone(&api) as _;
        let quotas = quota::recounted(Arc::clone(&api));
        let stop = Arc::new(AtomicBool::new(false));
        Ok(Self {
            controllers: palisade_controllers::start(&controlled, (set, front), vec![quotas], &stop),
            listener: Some(listener.counted(api.metrics.connections())),
            api,
            pki,
            set,
            stop,
            folder,
        })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system does not report it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        match &self.listener {
            Some(listener) => listener.address(),
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// The initial SCCs.
    #[must_use]
    pub fn set(&self) -> BuiltinSet {
        self.set
    }

    /// The temporary folder of a server without a data folder, removed with the server.
    #[must_use]
    pub fn temporary_folder(&self) -> Option<&std::path::Path> {
        self.folder.as_ref().map(tempfile::TempDir::path)
    }

    /// A self-contained kubeconfig of the administrator, in YAML.
    #[must_use]
    pub fn admin_kubeconfig(&self, url: &str) -> String {
        kubeconfig(url, "system:admin", &self.pki.ca, &self.pki.admin)
    }

    /// A kubeconfig of the scheduler.
    ///
    /// # Errors
    ///
    /// The keys cannot be read.
    pub fn scheduler_kubeconfig(&self, url: &str) -> Result<String, CertificateError> {
        const NAME: &str = "system:kube-scheduler";
        Ok(kubeconfig(url, NAME, &self.pki.ca, &self.pki.authority.client(NAME, &[], LONG)?))
    }

    /// The credentials of a node of this server, on its machine.
    ///
    /// # Errors
    ///
    /// The name is the server's or not valid in a certificate, or the keys cannot be read.
    pub fn node_credentials(
        &self,
        url: &str,
        name: &str,
        address: std::net::IpAddr,
    ) -> Result<NodeCredentials, ServerError> {
        // It may share the name of the machine, at which clients find the server.
        credentials(&self.pki.authority, url, name, &[address])
    }

    /// Marks a node of an earlier run as not known to be ready, and its pods as not ready, until its agent reports.
    ///
    /// # Errors
    ///
    /// The store cannot be read or written.
    pub fn await_agent(&self, node: &str) -> Result<(), ServerError> {
        lost::await_agent(&self.api.store, node).map_err(|error| ServerError::Bootstrap(error.message))
    }

    /// Serves requests until `shutdown` is ready, then lets running requests end.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let service = Service::new(Arc::clone(&self.api));
        let connect = move |peer: Peer| {
            let identity = peer.certificates.first().and_then(|first| ClientCertificate::read(first));
            let (service, identity) = (service.clone(), identity.map(Arc::new));
            move |request| {
                let (service, identity) = (service.clone(), identity.clone());
                async move { service.answer(request, identity, peer.address).await }
            }
        };
        if let Some(listener) = self.listener.take() {
            listener.run(connect, shutdown).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        for controller in std::mem::take(&mut self.controllers) {
            let _ = tokio::task::spawn_blocking(move || controller.join()).await;
        }
    }
}

/// The credentials of a node of the server that keeps its data in a folder; the server may run.
///
/// # Errors
///
/// The folder has no data of a server, the name is the server's or not valid in a certificate, or the keys cannot be read.
pub fn node_credentials(
    data: &std::path::Path,
    url: &str,
    name: &str,
    addresses: &[std::net::IpAddr],
) -> Result<NodeCredentials, ServerError> {
    let folder = data.join("pki");
    let (key, missing) = (folder.join("ca.key"), std::io::ErrorKind::NotFound);
    if !key.exists() {
        return Err(ServerError::File(key, missing.into()));
    }
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    if host.trim_matches(['[', ']']).eq_ignore_ascii_case(name) {
        return Err(ServerError::NodeName(name.to_owned()));
    }
    let authority = palisade_https::Authority::open(&folder, "palisade-ca")?;
    credentials(&authority, url, name, addresses)
}

fn credentials(
    authority: &palisade_https::Authority,
    url: &str,
    name: &str,
    addresses: &[std::net::IpAddr],
) -> Result<NodeCredentials, ServerError> {
    let is_foreign = |address: &std::net::IpAddr| !addresses.contains(address);
    if pki::is_servers(name) || name.parse().is_ok_and(|address| is_foreign(&address)) {
        return Err(ServerError::NodeName(name.to_owned()));
    }
    let user = format!("system:node:{name}");
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let names = std::iter::once(name).chain(addresses.iter().map(String::as_str));
    let pair = authority.peer(&user, &["system:nodes"], names, LONG)?;
    let ca = authority.certificate().to_owned();
    Ok(NodeCredentials {
        kubeconfig: kubeconfig(url, &user, &ca, &pair),
        certificate: pair.certificate,
        key: pair.key,
        authority: ca,
    })
}

/// A node's client certificate, and the authority that it trusts.
#[derive(Clone, Debug)]
pub struct NodeCredentials {
    /// A self-contained kubeconfig of the node, in YAML.
    pub kubeconfig: String,
    /// The certificate in it, in PEM: valid as the node's client and serving certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// The authority that signs the server's certificates.
    pub authority: String,
}

fn kubeconfig(url: &str, user: &str, ca: &str, pair: &Pair) -> String {
    let [ca, certificate, key] = [ca, &pair.certificate, &pair.key].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: palisade\nclusters:\n- name: palisade\n  cluster:\n    server: {url}\n    certificate-authority-data: {ca}\ncontexts:\n- name: palisade\n  context:\n    cluster: palisade\n    namespace: default\n    user: {user}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The store, with its initial backup if one is given.
fn open(config: &Config) -> Result<Store, StoreError> {
    match (&config.data, &config.backup) {
        (Some(data), None) => Store::open(data),
        (Some(data), Some(backup)) => Store::from_backup(backup, data, &objects::check_stored),
        (None, None) => Store::ephemeral(),
        (None, Some(backup)) => {
            let store = Store::ephemeral()?;
            store.restore(backup, &objects::check_stored)?;
            Ok(store)
        }
    }
}

/// The client side of TLS towards nodes: it accepts certificates of this server's authority, and presents its own.
fn to_nodes(pki: &Pki) -> Result<rustls::ClientConfig, ServerError> {
    let made = || -> Result<rustls::ClientConfig, Box<dyn std::error::Error>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pki.ca.as_bytes())?)?;
        let certificate = CertificateDer::from_pem_slice(pki.to_nodes.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(pki.to_nodes.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Ok(rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?)
    };
    made().map_err(|error| ServerError::Nodes(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{NODES, PODS, Resource};
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_node_is_not_known_to_be_ready_until_its_agent_reports() {
        let server = Server::start(Config::default()).await.unwrap();
        let store = &server.api.store;
        let is_ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let node = |name: &str| json!({"metadata": {"name": name}, "status": is_ready});
        let pod = |name: &str, node: &str| json!({"metadata": {"name": name, "namespace": "default"}, "spec": {"nodeName": node}, "status": is_ready});
        for name in ["here", "there"] {
            objects::create(store, &NODES, "", node(name)).unwrap();
            objects::create(store, &PODS, "default", pod(name, name)).unwrap();
        }
        server.await_agent("here").unwrap();
        server.await_agent("new").unwrap();
        let status = |resource: &Resource, namespace: &str, name: &str| -> Value {
            let found = objects::get(store, resource, namespace, name).unwrap().object;
            found["status"]["conditions"][0]["status"].clone()
        };
        for (name, of_node, of_pod) in [("here", "Unknown", "False"), ("there", "True", "True")] {
            assert_eq!(status(&NODES, "", name), of_node, "{name}");
            assert_eq!(status(&PODS, "default", name), of_pod, "{name}");
        }
    }
}
