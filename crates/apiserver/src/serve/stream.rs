//! Logs and the streams of containers: authorized here, then forwarded between client and node byte for byte.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use palisade_https::Body;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::Head;
use super::work::Work;
use crate::authenticate::ClientCertificate;
use crate::error::{ApiError, ApiResult};
use crate::resource::Serves;
use crate::review::{self, Place};
use crate::share::Lease;
use crate::{failure, node};

/// Maximum time for a node to answer a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Size of the text of a node's refusal, in bytes.
const REFUSAL: usize = 16 << 10;

/// Authorizes, and connects client and node.
pub(super) async fn answer(
    work: &Arc<Work>,
    head: &Head,
    upgrade: Option<OnUpgrade>,
) -> ApiResult<Response<Body>> {
    let shares = &work.api.shares;
    let tunnel = shares.tunnels.get(&work.party, 1).await?;
    work.places.hold(shares.requests.get(&work.party, 1).await?);
    let decided = Arc::clone(work);
    let place = tokio::task::spawn_blocking(move || {
        let pass = decided.api.gate.enter();
        let serves = decided.target.subresource.map(|part| part.serves);
        serves.map(|serves| review::connect(&decided.call(Some(&pass)), serves)).transpose()
    });
    let place =
        place.await.map_err(|error| failure::internal("the request could not be answered", &error))??;
    work.places.give_back();
    let Some(place) = place.flatten() else { return Ok(Body::text(200, "")) };
    let wants_upgrade = head.headers.contains_key(http::header::UPGRADE);
    let is_log = work.target.subresource.is_some_and(|part| matches!(part.serves, Serves::Log));
    if !is_log && !wants_upgrade {
        return Err(ApiError::bad_request("Upgrade request required"));
    }
    let mut answer = ask(work, head, &place).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let theirs = hyper::upgrade::on(&mut answer);
        let ours = upgrade.ok_or_else(|| ApiError::bad_request("the connection cannot be upgraded"))?;
        tokio::spawn(carry(ours, theirs, tunnel));
        let (parts, _) = answer.into_parts();
        return Ok(Response::from_parts(parts, Body::Whole(None)));
    }
    if answer.status().is_success() {
        return Ok(passed_on(answer, tunnel));
    }
    let code = answer.status();
    let said = refusal(answer.into_body()).await;
    Err(match code {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => ApiError::bad_request(said),
        // A client that gets this answer falls back to an older protocol.
        StatusCode::FORBIDDEN => ApiError::forbidden_path(said),
        _ => ApiError::unavailable(format!("node {:?}: {said}", place.node)),
    })
}

/// The text of a refusal, as far as a node says it in its time.
async fn refusal(body: Incoming) -> String {
    let mut said = Vec::new();
    let read = async {
        let mut body = Limited::new(body, REFUSAL);
        while let Some(Ok(frame)) = body.frame().await {
            said.extend(frame.into_data().unwrap_or_default());
        }
    };
    // What came until then is told.
    drop(tokio::time::timeout(PATIENCE, read).await);
    String::from_utf8_lossy(&said).trim().to_owned()
}

async fn carry(ours: OnUpgrade, theirs: OnUpgrade, _tunnel: Lease) {
    if let (Ok(ours), Ok(theirs)) = (ours.await, theirs.await) {
        // Either side may close it at any time.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(ours), &mut TokioIo::new(theirs)).await;
    }
}

/// Whether a certificate is a node's. A valid name is not enough: a node may have one of the server's own names, which the
/// server's certificate proves too.
fn is_of(certificate: &[u8], name: &str) -> bool {
    let read = ClientCertificate::read(certificate);
    read.is_some_and(|read| node::of(read.identity()) == Some(name))
}

/// Sends the request to the node, which proves its name by its certificate.
async fn ask(work: &Work, head: &Head, place: &Place) -> ApiResult<Response<Incoming>> {
    let lost = |error: &dyn std::fmt::Display| {
        ApiError::unavailable(format!("node {:?} cannot be reached: {error}", place.node))
    };
    let connected = async {
        let stream = TcpStream::connect((place.host, place.port)).await?;
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(place.node.clone()).map_err(std::io::Error::other)?;
        tokio_rustls::TlsConnector::from(Arc::clone(&work.api.nodes)).connect(name, stream).await
    };
    let stream = tokio::time::timeout(PATIENCE, connected).await.map_err(|error| lost(&error))?;
    let stream = stream.map_err(|error| lost(&error))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    if !certificate.is_some_and(|certificate| is_of(certificate, &place.node)) {
        return Err(lost(&"it shows the certificate of another"));
    }
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| lost(&error))?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().method(&head.method).uri(&place.path);
    for (name, value) in &head.headers {
        // The requester is authorized already; its secrets are not sent to the node.
        let is_identity =
            ["impersonate-", "x-remote-"].iter().any(|prefix| name.as_str().starts_with(prefix));
        if ![HOST, AUTHORIZATION, COOKIE, CONTENT_LENGTH].contains(name) && !is_identity {
            request = request.header(name, own(name, value));
        }
    }
    let request = request.header(HOST, &place.node).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| lost(&error))?;
    sender.send_request(request).await.map_err(|error| lost(&error))
}

/// A browser's or client's token can be among the protocols that it offers; it is removed before the node sees it.
fn own(name: &http::HeaderName, value: &HeaderValue) -> HeaderValue {
    const TOKEN: &str = "base64url.bearer.authorization.k8s.io.";
    let text = value.to_str().ok().filter(|text| name == "sec-websocket-protocol" && text.contains(TOKEN));
    let kept = text.map(|text| {
        let kept = text.split(',').map(str::trim).filter(|protocol| !protocol.starts_with(TOKEN));
        kept.collect::<Vec<_>>().join(", ")
    });
    kept.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or_else(|| value.clone())
}

/// A log, streamed.
fn passed_on(answer: Response<Incoming>, tunnel: Lease) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    let mut body = answer.into_body();
    tokio::spawn(async move {
        let _tunnel = tunnel;
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(bytes) = frame.into_data()
                && sender.send(bytes).await.is_err()
            {
                return;
            }
        }
    });
    Body::stream("text/plain", receiver, None)
}
