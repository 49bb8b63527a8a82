//! Real connections: TLS with and without client certificates, both versions of HTTP, rotation, limits, drain.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use palisade_https::metrics::Metrics;
use palisade_https::{Authority, Body, Limits, Listener, Pair, Peer, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A running server and what a client needs to reach it.
struct Running {
    address: SocketAddr,
    authority: Arc<Authority>,
    tls: Tls,
    stop: Option<oneshot::Sender<()>>,
    ended: tokio::task::JoinHandle<()>,
}

async fn answer(request: Request<Incoming>, peer: Peer) -> Response<Body> {
    if request.uri().path() == "/slow" {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Body::text(200, format!("{} certificates", peer.certificates.len()))
}

async fn start(limits: Limits, metrics: &Metrics) -> Running {
    let authority = Arc::new(Authority::new("test-ca").unwrap());
    let pair = authority.server("test", ["localhost"], 30).unwrap();
    let tls = Tls::new(&pair, Some(authority.certificate())).unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls.clone(), limits).await.unwrap();
    let listener = listener.counted(metrics.connections());
    let address = listener.address().unwrap();
    let (stop, stopped) = oneshot::channel();
    let connect = |peer: Peer| move |request| answer(request, peer.clone());
    let ended = tokio::spawn(listener.run(connect, async { drop(stopped.await) }));
    Running { address, authority, tls, stop: Some(stop), ended }
}

impl Running {
    async fn connect(&self, client: Option<&Pair>, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    async fn get(&self, client: Option<&Pair>, path: &str) -> std::io::Result<String> {
        let mut stream = self.connect(client, b"http/1.1").await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    async fn end(mut self) {
        drop(self.stop.take());
        self.ended.await.unwrap();
    }
}

#[tokio::test]
async fn handlers_know_the_verified_certificate_and_no_other() {
    let server = start(Limits::default(), &Metrics::default()).await;
    let known = server.authority.client("alice", &["readers"], 1).unwrap();
    let stranger = Authority::new("other-ca").unwrap().client("alice", &["readers"], 1).unwrap();
    assert!(server.get(None, "/").await.unwrap().ends_with("0 certificates"));
    assert!(server.get(Some(&known), "/").await.unwrap().ends_with("1 certificates"));
    let refused = server.get(Some(&stranger), "/").await;
    assert!(refused.as_ref().is_err(), "{refused:?}");
    server.end().await;
}

#[tokio::test]
async fn a_replaced_certificate_is_presented_to_the_next_connection() {
    let server = start(Limits::default(), &Metrics::default()).await;
    let presented = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap().first().unwrap().clone().into_owned()
    };
    let mut old = server.connect(None, b"http/1.1").await.unwrap();
    let next = server.authority.server("test", ["localhost"], 30).unwrap();
    server.tls.replace(&next, Some(server.authority.certificate())).unwrap();
    let new = server.connect(None, b"http/1.1").await.unwrap();
    assert_ne!(presented(&old), presented(&new));
    // The connection that was open goes on.
    old.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    old.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    // A key that is not the certificate's changes nothing.
    let mixed = Pair { key: server.authority.pair().key, ..next };
    assert!(server.tls.replace(&mixed, None).is_err());
    assert!(server.get(None, "/").await.is_ok());
    server.end().await;
}

#[tokio::test]
async fn draining_ends_idle_connections_and_waits_for_requests() {
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let server = start(Limits::default(), &Metrics::default()).await;
        let stream = hyper_util::rt::TokioIo::new(server.connect(None, alpn).await.unwrap());
        let request = |path: &str| {
            let uri = format!("https://localhost{path}");
            Request::get(uri).header("host", "localhost").body(String::new()).unwrap()
        };
        let idle = server.connect(None, b"http/1.1").await.unwrap();
        let answer = if alpn == b"h2" {
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut send, connection) =
                hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            tokio::spawn(async move { send.send_request(request("/slow")).await })
        } else {
            let (mut send, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            tokio::spawn(async move { send.send_request(request("/slow")).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (begun, address) = (Instant::now(), server.address);
        let end = tokio::spawn(server.end());
        let response = answer.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        if alpn != b"h2" {
            assert_eq!(response.headers().get("connection").unwrap(), "close");
        }
        drop(response);
        end.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(4), "draining took {:?}", begun.elapsed());
        assert!(TcpStream::connect(address).await.is_err(), "nothing listens any longer");
        drop(idle);
    }
}

#[tokio::test]
async fn silent_clients_are_let_go() {
    let short = Duration::from_millis(200);
    let limits = Limits { handshake: short, head: short, connections: 2, ..Limits::default() };
    let metrics = Metrics::default();
    let server = start(limits, &metrics).await;
    // One says nothing at all, one nothing after the handshake, in either version.
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let mut shaken = server.connect(None, alpn).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), shaken.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection is still open");
    }
    // Their places are free again.
    assert!(server.get(None, "/").await.unwrap().starts_with("HTTP/1.1 200"));
    let text = metrics.text();
    assert!(text.contains("palisade_https_handshake_failures_total 1"), "{text}");
    server.end().await;
}

#[tokio::test]
async fn a_server_with_all_connections_taken_can_still_be_stopped() {
    let limits = Limits { connections: 1, drain: Duration::from_millis(100), ..Limits::default() };
    let metrics = Metrics::default();
    let server = start(limits, &metrics).await;
    let held = server.connect(None, b"http/1.1").await.unwrap();
    // A client ends its half of the handshake before the server does.
    for _ in 0..100 {
        if metrics.text().contains("palisade_https_connections 1") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(metrics.text().contains("palisade_https_connections 1"), "{}", metrics.text());
    let ended = tokio::time::timeout(Duration::from_secs(5), server.end()).await;
    assert!(ended.is_ok(), "the server does not stop");
    drop(held);
}

#[tokio::test]
async fn one_address_does_not_keep_others_out() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let server = start(limits, &Metrics::default()).await;
    let address = server.address;
    let from_another = || async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        socket.connect(address).await.unwrap()
    };
    // Every connection is taken, whatever it is used for.
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(from_another().await);
    }
    let further = from_another().await;
    assert_eq!(held[0].read(&mut [0; 1]).await.unwrap_or(0), 0, "the oldest without a request goes on");
    for _ in 0..5 {
        assert!(server.get(None, "/").await.unwrap().starts_with("HTTP/1.1 200"));
    }
    drop((held, further));
    server.end().await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let limits = Limits { head_bytes: 8 * 1024, ..Limits::default() };
    let server = start(limits, &Metrics::default()).await;
    let long = format!("/{}", "a".repeat(32 * 1024));
    let text = server.get(None, &long).await.unwrap_or_default();
    assert!(!text.starts_with("HTTP/1.1 200"), "{text}");
    server.end().await;
}
