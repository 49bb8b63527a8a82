//! Accepting connections, serving them, and ending them.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::server::TlsStream;

use crate::addresses::{Addresses, Place};
use crate::metrics::Connections;
use crate::{Limits, Tls};

/// The first and the longest pause of accepting after failures.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The verified certificate that it presented, then those that lead to its authority; empty without one.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    tls: Tls,
    limits: Limits,
    connections: Connections,
}

impl Listener {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The operating system refuses the address.
    pub async fn bind(address: SocketAddr, tls: Tls, limits: Limits) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(address).await?, tls, limits))
    }

    /// Takes a socket that listens already. Its clients wait until it is served.
    #[must_use]
    pub fn new(socket: TcpListener, tls: Tls, limits: Limits) -> Self {
        Self { socket, tls, limits, connections: Connections::default() }
    }

    /// Counts connections in these metrics.
    #[must_use]
    pub fn counted(self, connections: &Connections) -> Self {
        Self { connections: connections.clone(), ..self }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `shutdown` is ready. Then the socket is closed, connections are told to end (`Connection: close` in
    /// HTTP/1, GOAWAY in HTTP/2), and those that still have a request are waited for as long as the limits say.
    ///
    /// `connect` is called once a connection, after its handshake, and gives the handler of its requests, each of which has a
    /// [`Hangup`](crate::Hangup) among its extensions.
    pub async fn run<C, H, F, B>(self, connect: C, shutdown: impl Future<Output = ()>)
    where
        C: Fn(Peer) -> H + Send + Sync + 'static,
        H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: hyper::body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Self { socket, tls, limits, connections } = self;
        let connect = Arc::new(connect);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let addresses = Arc::new(Addresses::default());
        let (stop, stopping) = watch::channel(false);
        let accept_all = async {
            let mut pause = PAUSE;
            loop {
                let (stream, address) = match socket.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) if is_of_client(&error) => continue,
                    Err(error) => {
                        // Mostly out of file descriptors: whoever holds many gives one back.
                        tracing::warn!("a connection cannot be accepted: {error}");
                        addresses.make_room(None);
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        continue;
                    }
                };
                pause = PAUSE;
                let Some(place) = addresses.enter(address.ip(), limits.each) else { continue };
                let slot = Arc::clone(&slots).try_acquire_owned().ok();
                if slot.is_none() && !addresses.make_room(Some(&place)) {
                    continue;
                }
                let (connect, tls, mut stopping) = (Arc::clone(&connect), tls.clone(), stopping.clone());
                let (connections, slots) = (connections.clone(), Arc::clone(&slots));
                let place = Arc::new(place);
                let of_request = Arc::clone(&place);
                let converse = async move {
                    let Some((_slot, stream)) = handshake(stream, &tls, &limits, slot, slots).await else {
                        connections.failed();
                        return;
                    };
                    let _open = connections.open();
                    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
                    let handler = connect(Peer { address, certificates });
                    serve(stream, (handler, of_request), &limits, &mut stopping).await;
                };
                tokio::spawn(async move {
                    tokio::select! {
                        () = converse => {}
                        () = place.closing() => {}
                    }
                });
            }
        };
        tokio::select! {
            () = accept_all => {}
            () = shutdown => {}
        }
        drop(socket);
        stop.send_replace(true);
        let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(limits.drain, slots.acquire_many(all)).await;
    }
}

/// Whether accepting failed because the client had left already.
fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The TLS connection, with its slot: the one that it has, or the next to be free.
async fn handshake(
    stream: TcpStream,
    tls: &Tls,
    limits: &Limits,
    slot: Option<OwnedSemaphorePermit>,
    slots: Arc<Semaphore>,
) -> Option<(OwnedSemaphorePermit, TlsStream<TcpStream>)> {
    let _ = stream.set_nodelay(true);
    let accepted = async {
        let slot = match slot {
            Some(slot) => slot,
            None => slots.acquire_owned().await.map_err(io::Error::other)?,
        };
        Ok::<_, io::Error>((slot, tls.acceptor().accept(stream).await?))
    };
    match tokio::time::timeout(limits.handshake, accepted).await {
        Ok(Ok(accepted)) => Some(accepted),
        Ok(Err(error)) => {
            tracing::debug!("a TLS handshake failed: {error}");
            None
        }
        Err(_) => None,
    }
}

/// Waits until the server is told to stop.
async fn told_to_stop(stopping: &mut watch::Receiver<bool>) {
    // The sender is gone only after it has said so.
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Serves one connection to its end.
async fn serve<H, F, B>(
    stream: TlsStream<TcpStream>,
    (handler, place): (H, Arc<Place>),
    limits: &Limits,
    stopping: &mut watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let has_begun = Arc::new(AtomicBool::new(false));
    let begun = Arc::clone(&has_begun);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(place.hangup());
        if !begun.swap(true, Ordering::Relaxed) {
            place.note_request();
        }
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // HTTP/2 has no limit of its own on the time until the first request.
    let is_idle = async {
        tokio::time::sleep(limits.head).await;
        if has_begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let is_two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    // The two versions have no type in common.
    macro_rules! until_end {
        ($connection:expr) => {{
            let connection = $connection;
            tokio::pin!(connection, is_idle);
            tokio::select! {
                _ = connection.as_mut() => {}
                () = is_idle => {}
                () = told_to_stop(stopping) => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(limits.drain, connection).await;
                }
            }
        }};
    }
    if is_two {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.pong)
            .max_concurrent_streams(limits.streams)
            .initial_stream_window_size(limits.window)
            .initial_connection_window_size(limits.window.saturating_mul(4))
            .max_send_buf_size(limits.window as usize)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
        until_end!(builder.serve_connection(io, service));
    } else {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(limits.head_bytes.saturating_mul(2));
        until_end!(builder.serve_connection(io, service).with_upgrades());
    }
}
