//! HTTPS to webhooks: HTTP/1.1 whose connections are kept, certificates checked against the webhook's own bundle or the
//! system's, no redirects, answers of bounded size.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

use crate::hook::{Hook, Place};

/// Size of a webhook's answer, in bytes.
const ANSWER: usize = 4 * 1024 * 1024;
/// Connections that are kept to one webhook.
const CONNECTIONS: usize = 8;
/// Webhooks to which connections are kept.
const ENDPOINTS: usize = 64;

type Sender = SendRequest<Full<Bytes>>;

/// Gives an address of a service, by its namespace, name and port.
pub type Resolve<'r> = &'r dyn Fn(&str, &str, u16) -> Option<SocketAddr>;

/// Connections to webhooks that are kept, and what services stand for.
#[derive(Debug, Default)]
pub struct Client {
    idle: Mutex<HashMap<Endpoint, Vec<Sender>>>,
    /// Addresses by `NAMESPACE/NAME`.
    services: BTreeMap<String, SocketAddr>,
    roots: OnceLock<Arc<RootCertStore>>,
}

/// The address of a server, and the name and authority by which it is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Endpoint {
    /// Host and port to connect to.
    address: String,
    /// The name of its certificate.
    name: String,
    bundle: Arc<str>,
}

/// The host of a webhook, as a URL shows it.
struct At {
    endpoint: Endpoint,
    url: String,
    path: String,
    host: String,
}

/// The reason of a failed connection, in the words of Go's client.
fn lost(address: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("dial tcp {address}: connect: connection refused"),
        _ => {
            let text = error.to_string();
            match text.contains("UnknownIssuer") {
                true => "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                    .to_owned(),
                false => text,
            }
        }
    }
}

impl Client {
    /// A client; `services` are addresses by `NAMESPACE/NAME`, which count before the hosts' own.
    #[must_use]
    pub fn new(services: BTreeMap<String, SocketAddr>) -> Self {
        Self { services, ..Self::default() }
    }

    /// Sends a review; gives the answer's body, or why there is none.
    pub(crate) async fn post(&self, resolve: Resolve<'_>, hook: &Hook, body: Bytes) -> Result<Bytes, String> {
        let seconds = hook.timeout.as_secs();
        let at = self.at(resolve, &hook.place, &hook.bundle, seconds);
        let failed = |url: &str, why: String| format!("failed to call webhook: Post {url:?}: {why}");
        let at = at.map_err(|(url, why)| failed(&url, why))?;
        let answered = tokio::time::timeout(hook.timeout, self.exchange(&at, body)).await;
        match answered {
            Err(_) => Err(failed(&at.url, "context deadline exceeded".to_owned())),
            Ok(Err(Failure::Connection(why))) => Err(failed(&at.url, why)),
            Ok(Err(Failure::Answer(why))) => Err(format!("failed to call webhook: {why}")),
            Ok(Ok(bytes)) => Ok(bytes),
        }
    }

    fn at(
        &self,
        resolve: Resolve<'_>,
        place: &Place,
        bundle: &Arc<str>,
        seconds: u64,
    ) -> Result<At, (String, String)> {
        let query = format!("?timeout={seconds}s");
        let (address, name, host, path) = match place {
            Place::Service { namespace, name, path, port } => {
                let dns = format!("{name}.{namespace}.svc");
                let host = format!("{dns}:{port}");
                let given = self.services.get(&format!("{namespace}/{name}")).copied();
                match given.or_else(|| resolve(namespace, name, *port)) {
                    Some(address) => (address.to_string(), dns, host, path.clone()),
                    None => {
                        return Err((
                            format!("https://{host}{path}{query}"),
                            format!("service {name:?} not found"),
                        ));
                    }
                }
            }
            Place::Url(url) => {
                let rest = url.strip_prefix("https://").unwrap_or_default();
                let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
                let host = authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
                let (name, address) = match host {
                    Some((host, _)) => (host.to_owned(), authority.to_owned()),
                    None => (authority.to_owned(), format!("{authority}:443")),
                };
                (address, name.trim_matches(['[', ']']).to_owned(), authority.to_owned(), path.to_owned())
            }
        };
        let url = format!("https://{host}{path}{query}");
        let path = if path.is_empty() { format!("/{query}") } else { format!("{path}{query}") };
        Ok(At { endpoint: Endpoint { address, name, bundle: Arc::clone(bundle) }, url, path, host })
    }

    async fn exchange(&self, at: &At, body: Bytes) -> Result<Bytes, Failure> {
        // A kept connection may have been closed by the other side just now: then a new one is tried.
        if let Some(mut sender) = self.kept(&at.endpoint)
            && sender.ready().await.is_ok()
            && let Ok(response) = sender.send_request(request(at, body.clone())?).await
        {
            return self.finish(at, sender, response).await;
        }
        let mut sender = self.connect(&at.endpoint).await.map_err(Failure::Connection)?;
        let response = sender.send_request(request(at, body)?).await;
        let response = response.map_err(|error| Failure::Connection(said(&error)))?;
        self.finish(at, sender, response).await
    }

    async fn finish(&self, at: &At, sender: Sender, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let code = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => Failure::Answer(format!("the answer is larger than {} bytes", ANSWER)),
            false => Failure::Connection(error.to_string()),
        })?;
        let bytes = body.to_bytes();
        self.keep(&at.endpoint, sender);
        match code {
            code if code.is_success() => Ok(bytes),
            // The target of a redirect would be the webhook's choice, within this server's network.
            code if code.is_redirection() => Err(Failure::Answer(
                "the server could not be asked: it redirects, and redirects are not followed".to_owned(),
            )),
            StatusCode::NOT_FOUND => {
                Err(Failure::Answer("the server could not find the requested resource".to_owned()))
            }
            code => {
                let said: String = String::from_utf8_lossy(&bytes)
                    .trim()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(200)
                    .collect();
                Err(Failure::Answer(match code.is_server_error() {
                    true => {
                        format!("an error on the server ({said:?}) has prevented the request from succeeding")
                    }
                    false => format!(
                        "the server rejected our request for an unknown reason (HTTP {}: {said:?})",
                        code.as_u16()
                    ),
                }))
            }
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Sender, String> {
        let lost = |error: std::io::Error| lost(&endpoint.address, &error);
        let config = self.tls(&endpoint.bundle)?;
        let name = ServerName::try_from(endpoint.name.clone()).map_err(|error| error.to_string())?;
        let stream = TcpStream::connect(endpoint.address.as_str()).await.map_err(lost)?;
        let _ = stream.set_nodelay(true);
        let stream =
            tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(lost)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn tls(&self, bundle: &str) -> Result<rustls::ClientConfig, String> {
        let roots = if bundle.is_empty() { self.system() } else { Arc::new(roots(bundle)?) };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Ok(builder.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
    }

    /// The authorities that the system trusts.
    fn system(&self) -> Arc<RootCertStore> {
        let load = || {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        };
        Arc::clone(self.roots.get_or_init(load))
    }

    fn kept(&self, endpoint: &Endpoint) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let senders = idle.get_mut(endpoint)?;
        while let Some(sender) = senders.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, endpoint: &Endpoint, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() >= ENDPOINTS && !idle.contains_key(endpoint) {
            idle.clear();
        }
        let senders = idle.entry(endpoint.clone()).or_default();
        if senders.len() < CONNECTIONS && !sender.is_closed() {
            senders.push(sender);
        }
    }
}

enum Failure {
    /// There is no connection, or it broke.
    Connection(String),
    /// The response is not an answer.
    Answer(String),
}

fn said(error: &hyper::Error) -> String {
    match error.is_incomplete_message() {
        true => "EOF".to_owned(),
        false => palisade_k8s::error_chain(error).to_string(),
    }
}

fn request(at: &At, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let request = Request::post(&at.path)
        .header(HOST, &at.host)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("palisade/", env!("CARGO_PKG_VERSION")))
        .body(Full::new(body));
    request.map_err(|error| Failure::Connection(error.to_string()))
}

fn roots(bundle: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        let certificate =
            certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
        roots.add(certificate).map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    match roots.is_empty() {
        true => Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned()),
        false => Ok(roots),
    }
}
