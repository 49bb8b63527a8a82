//! The node's endpoint for the API server: logs, and the streams of containers, which the engine serves.
//!
//! Paths and parameters are a kubelet's, so that each side is compatible with another implementation of the other.
//! Clients need a certificate that names the API server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};

use crate::cri::message::{AttachRequest, ExecRequest, PortForwardRequest};
use crate::log::{self, Log, Wanted};
use crate::node::Node;
use crate::open::{Open, Ticket};
use crate::plan;
use crate::query::Query;
use crate::tls;
use crate::worker::{Observed, observe};

/// The name in the API server's client certificate.
const API_SERVER: &str = "system:palisade:apiserver";
/// Timeout of the TLS handshake.
const HELLO: Duration = Duration::from_secs(10);
/// Connections that are not known to be the API server's: every pod reaches the endpoint.
const STRANGERS: usize = 512;

/// The certificate of the endpoint, and the authority of its clients, in PEM.
#[derive(Clone)]
pub struct Certificates {
    /// Its certificate.
    pub certificate: String,
    /// The key of the certificate.
    pub key: String,
    /// The authority that signs the API server's client certificate.
    pub authority: String,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A listening endpoint; it ends when this is dropped.
pub(crate) struct Endpoint {
    pub(crate) port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

fn config(certificates: &Certificates) -> Result<rustls::ServerConfig, Box<dyn std::error::Error>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificates.authority.as_bytes())?)?;
    let provider = tls::provider();
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()?;
    let certificate = CertificateDer::from_pem_slice(certificates.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(certificates.key.as_bytes())?;
    Ok(rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)?)
}

/// Listens for the API server.
pub(crate) async fn start(
    listen: SocketAddr,
    certificates: &Certificates,
    node: Arc<Node>,
) -> Result<Endpoint, String> {
    let config = config(certificates).map_err(|error| error.to_string())?;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("{listen}: {error}"))?;
    let port = listener.local_addr().map_err(|error| error.to_string())?.port();
    let open = Open::new(STRANGERS);
    let task = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(ticket) = open.enter(peer.ip()) {
                        tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&node), ticket));
                    }
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok(Endpoint { port, task })
}

/// Whether a certificate names the API server.
fn is_api_server(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let mut names = parsed.subject().iter_common_name();
    names.next().and_then(|name| name.as_str().ok()) == Some(API_SERVER)
}

async fn serve(stream: TcpStream, acceptor: tokio_rustls::TlsAcceptor, node: Arc<Node>, ticket: Ticket) {
    let Ok(Ok(stream)) = tokio::time::timeout(HELLO, acceptor.accept(stream)).await else { return };
    let chain = stream.get_ref().1.peer_certificates();
    let is_known = chain.and_then(|chain| chain.first()).is_some_and(is_api_server);
    let _ticket = (!is_known).then_some(ticket);
    let service = hyper::service::service_fn(move |request| {
        let node = Arc::clone(&node);
        async move {
            if !is_known {
                return Ok(plain(StatusCode::FORBIDDEN, "only the API server may ask a node"));
            }
            Ok::<_, std::convert::Infallible>(match answer(&node, request).await {
                Ok(response) => response,
                Err((code, why)) => plain(code, &why),
            })
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let connection = connection.with_upgrades();
    // Others than the API server get a refusal, and no more time.
    let _ = match is_known {
        true => connection.await.ok(),
        false => tokio::time::timeout(HELLO, connection).await.ok().and_then(Result::ok),
    };
}

fn plain(code: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response
}

type Refusal = (StatusCode, String);

fn refuse(code: StatusCode, why: impl ToString) -> Refusal {
    (code, why.to_string())
}

async fn answer(node: &Arc<Node>, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let flag = |name: &str| query.get(name).is_some_and(|value| matches!(value, "1" | "true"));
    let engine = |error: crate::cri::CriError| refuse(StatusCode::INTERNAL_SERVER_ERROR, error);
    match parts.as_slice() {
        ["containerLogs", namespace, pod, container] => {
            let (pod, observed) = find(node, namespace, pod).await?;
            logs(node, &pod, &observed, container, &query).await
        }
        ["exec", namespace, pod, container] => {
            let (_, observed) = find(node, namespace, pod).await?;
            let question = ExecRequest {
                container_id: running(&observed, container)?,
                cmd: query.all("command"),
                tty: flag("tty"),
                stdin: flag("input"),
                stdout: flag("output"),
                stderr: flag("error") && !flag("tty"),
            };
            let place = node.cri.exec(question).await.map_err(engine)?;
            forward(request, &place.url).await
        }
        ["attach", namespace, pod, container] => {
            let (_, observed) = find(node, namespace, pod).await?;
            let question = AttachRequest {
                container_id: running(&observed, container)?,
                tty: flag("tty"),
                stdin: flag("input"),
                stdout: flag("output"),
                stderr: flag("error") && !flag("tty"),
            };
            let place = node.cri.attach(question).await.map_err(engine)?;
            forward(request, &place.url).await
        }
        ["portForward", namespace, pod] => {
            let (_, observed) = find(node, namespace, pod).await?;
            let sandbox =
                observed.ready().ok_or_else(|| refuse(StatusCode::NOT_FOUND, "the pod does not run"))?;
            let ports = query.all("port").iter().filter_map(|port| port.parse().ok()).collect();
            let question = PortForwardRequest { pod_sandbox_id: sandbox.id.clone(), port: ports };
            let place = node.cri.port_forward(question).await.map_err(engine)?;
            forward(request, &place.url).await
        }
        ["healthz"] => Ok(plain(StatusCode::OK, "ok")),
        _ => Err(refuse(StatusCode::NOT_FOUND, "the node has no such path")),
    }
}

/// A pod of this node, by name.
async fn find(node: &Node, namespace: &str, name: &str) -> Result<(Pod, Observed), Refusal> {
    let pods: kube::Api<Pod> = kube::Api::namespaced(node.client.clone(), namespace);
    let pod = pods.get(name).await.map_err(|error| refuse(StatusCode::NOT_FOUND, error))?;
    let is_here = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&node.facts.node);
    if !is_here {
        return Err(refuse(StatusCode::NOT_FOUND, format!("pod {name} is not on this node")));
    }
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let observed =
        observe(node, &uid).await.map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok((pod, observed))
}

/// The running container of a name.
fn running(observed: &Observed, name: &str) -> Result<String, Refusal> {
    let latest = observed.latest(None);
    let found = latest.get(name).filter(|found| plan::runs(found));
    found
        .map(|found| found.id.clone())
        .ok_or_else(|| refuse(StatusCode::NOT_FOUND, format!("container not found ({name:?})")))
}

async fn logs(
    node: &Arc<Node>,
    pod: &Pod,
    observed: &Observed,
    container: &str,
    query: &Query,
) -> Result<Response<Body>, Refusal> {
    let mut all: Vec<_> =
        observed.containers.iter().filter(|found| crate::worker::is_named(found, container)).collect();
    all.sort_by_key(|found| std::cmp::Reverse(crate::worker::attempt(found)));
    let is_previous = query.get("previous").is_some_and(|value| value == "true");
    let Some(found) = all.get(usize::from(is_previous)) else {
        let why = match is_previous {
            true => format!(
                "previous terminated container {container:?} in pod {:?} not found",
                pod.metadata.name.clone().unwrap_or_default()
            ),
            false => format!(
                "container {container:?} in pod {:?} is waiting to start",
                pod.metadata.name.clone().unwrap_or_default()
            ),
        };
        return Err(refuse(StatusCode::BAD_REQUEST, why));
    };
    let wanted = Wanted::parse(query).map_err(|why| refuse(StatusCode::BAD_REQUEST, why))?;
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let Some(log) = Log::new(&node.layout.logs(), &found.log_path) else {
        let why = format!("the log of container {container:?} is not in the node's folder of logs");
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, why));
    };
    let (id, cri) = (found.id.clone(), node.cri.clone());
    tokio::spawn(async move { log::send(&log, &id, &cri, wanted, sender).await });
    let stream = futures::stream::unfold(receiver, |mut receiver| async move {
        let frame: Bytes = receiver.recv().await?;
        Some((Ok(hyper::body::Frame::data(frame)), receiver))
    });
    let body = http_body_util::StreamBody::new(stream);
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Forwards a connection to the engine's stream server, byte for byte.
async fn forward(mut request: Request<Incoming>, url: &str) -> Result<Response<Body>, Refusal> {
    let gone = |error: &dyn std::fmt::Display| {
        refuse(StatusCode::BAD_GATEWAY, format!("the engine's streams: {error}"))
    };
    let to: http::Uri = url.parse().map_err(|error| gone(&error))?;
    let address = to.authority().map(ToString::to_string).unwrap_or_default();
    let stream = TcpStream::connect(&address).await.map_err(|error| gone(&error))?;
    let _ = stream.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| gone(&error))?;
    tokio::spawn(connection.with_upgrades());
    let mut asked = Request::builder()
        .method(request.method())
        .uri(to.path_and_query().map_or("/", |path| path.as_str()));
    for (name, value) in request.headers() {
        let value = if name == http::header::HOST {
            http::HeaderValue::from_str(&address).ok()
        } else {
            Some(value.clone())
        };
        if let Some(value) = value {
            asked = asked.header(name, value);
        }
    }
    let asked = asked.body(Full::new(Bytes::new())).map_err(|error| gone(&error))?;
    let mut answer = sender.send_request(asked).await.map_err(|error| gone(&error))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (ours, theirs) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
        tokio::spawn(async move {
            if let (Ok(ours), Ok(theirs)) = (ours.await, theirs.await) {
                let _ =
                    tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
            }
        });
    }
    let (parts, body) = answer.into_parts();
    let body = body.map_err(std::io::Error::other).boxed();
    Ok(Response::from_parts(parts, body))
}
