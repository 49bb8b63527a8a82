//! The server: its socket, its TLS, its start and its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use palisade_scc::BuiltinSet;
use palisade_store::{Store, StoreError, private};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::api::Api;
use crate::audit::{Audit, Policy, PolicyError};
use crate::authenticate;
use crate::certs::{self, CertError, Pki};
use crate::serve::Service;
use crate::token::Tokens;
use crate::{bootstrap, controller, objects};

/// How many connections there may be; further ones wait to be accepted.
const CONNECTIONS: usize = 16_000;
/// How long a client may take to say hello, and to send the head of a request.
const HELLO: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(30);
/// How long requests that go on may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// How a server is to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept; none keeps nothing beyond the end.
    pub data: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Further names and addresses that clients use for the server.
    pub names: Vec<String>,
    /// Which SCCs there are from the start.
    pub set: BuiltinSet,
    /// Where the audit log goes, if anywhere.
    pub audit: Option<PathBuf>,
    /// What the audit log says of which requests, as a kube-apiserver's `--audit-policy-file`; without it, all requests are
    /// logged with their metadata.
    pub audit_policy: Option<PathBuf>,
    /// A backup to begin with, in a folder that holds nothing yet.
    pub backup: Option<PathBuf>,
}

/// Why a server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data cannot be used.
    #[error("the data cannot be used")]
    Store(#[from] StoreError),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used")]
    Certificates(#[from] CertError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The certificates of clients cannot be checked.
    #[error("the certificates of clients cannot be checked")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A certificate or a key is no PEM.
    #[error("a certificate or a key cannot be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The key of tokens cannot be used.
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
    /// The first objects cannot be made.
    #[error("the first objects cannot be made: {0}")]
    Bootstrap(String),
}

/// A server that is ready to answer.
pub struct Server {
    api: Arc<Api>,
    listener: TcpListener,
    tls: TlsAcceptor,
    pki: Pki,
    controller: Option<std::thread::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    folder: Option<tempfile::TempDir>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the data, makes what is missing, and listens.
    ///
    /// # Errors
    ///
    /// See [`ServerError`]; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let folder = match config.data {
            Some(_) => None,
            None => Some(private::temporary().map_err(StoreError::from)?),
        };
        let data = config.data.clone().or_else(|| folder.as_ref().map(|folder| folder.path().to_owned()));
        let data = data.unwrap_or_default();
        let store = open(&config)?;
        let mut names = config.names.clone();
        names.push(config.listen.ip().to_string());
        private::folder(&data.join("pki")).map_err(StoreError::from)?;
        let pki = certs::prepare(&data.join("pki"), &names)?;
        let listener = TcpListener::bind(config.listen);
        let listener = listener.await.map_err(|error| ServerError::Listen(config.listen, error))?;
        let tokens = Tokens::new(&pki.account_key, &pki.account_public)
            .map_err(|error| ServerError::Key(error.to_string()))?;
        let policy = config.audit_policy.as_deref().map(Policy::read).transpose()?.unwrap_or_default();
        let audit = match &config.audit {
            Some(path) => Audit::to_file(path, policy).map_err(StoreError::from)?,
            None => Audit::default(),
        };
        let api = Arc::new(Api::new(store, tokens, audit, pki.ca.clone()));
        bootstrap::run(&api, config.set).map_err(|error| ServerError::Bootstrap(error.message))?;
        let stop = Arc::new(AtomicBool::new(false));
        Ok(Self {
            tls: TlsAcceptor::from(Arc::new(tls(&pki)?)),
            controller: Some(controller::start(&api, config.set, &stop)),
            api,
            listener,
            pki,
            stop,
            folder,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The folder that is gone when the server is, where it keeps nothing.
    #[must_use]
    pub fn temporary_folder(&self) -> Option<&std::path::Path> {
        self.folder.as_ref().map(tempfile::TempDir::path)
    }

    /// A kubeconfig for the administrator, in YAML, with everything in it.
    #[must_use]
    pub fn admin_kubeconfig(&self, url: &str) -> String {
        let [ca, certificate, key] =
            [&self.pki.ca, &self.pki.admin.certificate, &self.pki.admin.key].map(|pem| STANDARD.encode(pem));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: palisade\nclusters:\n- name: palisade\n  cluster:\n    server: {url}\n    certificate-authority-data: {ca}\ncontexts:\n- name: palisade\n  context:\n    cluster: palisade\n    namespace: default\n    user: system:admin\nusers:\n- name: system:admin\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
        )
    }

    /// Answers until `shutdown` is over, then lets requests end.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let service = Service::new(Arc::clone(&self.api));
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let (quit, leaving) = tokio::sync::watch::channel(false);
        tokio::pin!(shutdown);
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, source)) => {
                    let (tls, service) = (self.tls.clone(), service.clone());
                    let mut leaving = leaving.clone();
                    tokio::spawn(async move {
                        serve(stream, source, tls, service, &mut leaving).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: those who have one go on, and end.
                    tracing::warn!("a connection cannot be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let _ = quit.send(true);
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(FAREWELL, slots.acquire_many(all)).await;
        self.stop.store(true, Ordering::Relaxed);
        if let Some(controller) = self.controller.take() {
            let _ = tokio::task::spawn_blocking(move || controller.join()).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The store, with what it is to begin with.
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

fn tls(pki: &Pki) -> Result<rustls::ServerConfig, ServerError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca.as_bytes())?)?;
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let certificate = CertificateDer::from_pem_slice(pki.server.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(pki.server.key.as_bytes())?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// One connection, from hello to goodbye.
async fn serve(
    stream: TcpStream,
    source: SocketAddr,
    tls: TlsAcceptor,
    service: Service,
    leaving: &mut tokio::sync::watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = tokio::time::timeout(HELLO, tls.accept(stream)).await else { return };
    let certificates = stream.get_ref().1.peer_certificates();
    let identity =
        certificates.and_then(|chain| chain.first()).and_then(|first| authenticate::of_certificate(first));
    let identity = identity.map(Arc::new);
    let answer = hyper::service::service_fn(move |request| {
        let (service, identity) = (service.clone(), identity.clone());
        async move { Ok::<_, std::convert::Infallible>(service.answer(request, identity, source).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(128 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(250)
        .max_header_list_size(64 * 1024);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = leaving.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, connection).await;
        }
    }
}
