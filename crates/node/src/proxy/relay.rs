//! The relay from pods to the API server.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::ApiServer;
use crate::range::PodRange;

/// Connections of one pod, and of all; further ones are closed at once. The agent needs files for other things.
const EACH: usize = 256;
const ALL: usize = 2048;
/// Maximum time to connect to the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Time of silence after which a pod is asked whether it still has the connection.
const SILENT: Duration = Duration::from_secs(60);

/// A listener on the bridge's address. Only pods of the range are served: others reach that address too, by a route
/// through the machine, and the server may be for this machine alone.
pub(crate) struct Relay {
    listener: TcpListener,
    address: SocketAddrV4,
    range: PodRange,
    server: ApiServer,
    open: Arc<Open>,
}

impl Relay {
    /// Listens on a free port. The bridge, and so its address, exists from the first pod on.
    pub(crate) fn listen(server: &ApiServer, range: PodRange) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_freebind_v4(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((range.gateway(), 0)).into())?;
        socket.listen(128)?;
        let listener = TcpListener::from_std(socket.into())?;
        let address = SocketAddrV4::new(range.gateway(), listener.local_addr()?.port());
        Ok(Self { listener, address, range, server: server.clone(), open: Arc::default() })
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Passes connections on until it is dropped, which ends them.
    pub(crate) async fn run(self) {
        let mut passing = tokio::task::JoinSet::new();
        loop {
            let (stream, peer) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, SocketAddr::V4(peer))) => (stream, *peer.ip()),
                    Ok(_) => continue,
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                },
                Some(_) = passing.join_next() => continue,
            };
            if !self.range.has_pod(peer) {
                continue;
            }
            if let Some(ticket) = Open::enter(&self.open, peer) {
                passing.spawn(pass(stream, self.server.clone(), ticket));
            }
        }
    }
}

async fn pass(mut stream: TcpStream, server: ApiServer, ticket: Ticket) {
    let connecting = tokio::time::timeout(CONNECT, connect(&server, ticket.pod)).await;
    let Ok(Ok(mut to)) = connecting else { return };
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENT));
    let _ = (stream.set_nodelay(true), to.set_nodelay(true));
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
}

/// Connects to the server. On loopback the source tells pods apart, for the audit log and for the shares of clients: it has
/// the last three numbers of the pod's address.
async fn connect(server: &ApiServer, pod: Ipv4Addr) -> std::io::Result<TcpStream> {
    let host = if server.host == "localhost" { "127.0.0.1" } else { server.host.as_str() };
    match host.parse::<Ipv4Addr>() {
        Ok(host) if host.is_loopback() => {
            let [_, b, c, d] = pod.octets();
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::new(127, b, c, d), 0).into())?;
            socket.connect((host, server.port).into()).await
        }
        _ => TcpStream::connect((server.host.as_str(), server.port)).await,
    }
}

/// The open connections.
#[derive(Debug, Default)]
struct Open(Mutex<HashMap<Ipv4Addr, usize>>);

/// A pod's connection, which counts until this is dropped.
struct Ticket {
    open: Arc<Open>,
    pod: Ipv4Addr,
}

impl Open {
    fn counts(&self) -> MutexGuard<'_, HashMap<Ipv4Addr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection, unless there are too many.
    fn enter(open: &Arc<Self>, pod: Ipv4Addr) -> Option<Ticket> {
        let mut counts = open.counts();
        let all: usize = counts.values().sum();
        let own = counts.get(&pod).copied().unwrap_or_default();
        if own >= EACH || all >= ALL {
            return None;
        }
        counts.insert(pod, own + 1);
        drop(counts);
        Some(Ticket { open: Arc::clone(open), pod })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.open.counts();
        let left = counts.get(&self.pod).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(counts.remove(&self.pod)),
            left => drop(counts.insert(self.pod, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn one_pod_leaves_connections_to_others() {
        let open = Arc::new(Open::default());
        let pod = |last: u8| Ipv4Addr::new(10, 85, 0, last);
        let enter = |last: u8| Open::enter(&open, pod(last));
        let mut held: Vec<Ticket> = (0..EACH).map_while(|_| enter(2)).collect();
        assert_eq!((held.len(), enter(2).is_none(), enter(3).is_some()), (EACH, true, true));
        held.pop();
        assert!(enter(2).is_some(), "a connection that has ended does not count");
        for last in 4..=u8::MAX {
            held.extend((0..EACH).map_while(|_| enter(last)));
        }
        assert_eq!(held.len(), ALL);
        held.clear();
        assert!(open.counts().is_empty());
    }

    #[tokio::test]
    async fn bytes_pass_both_ways_and_the_source_tells_the_pod() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", server.local_addr().unwrap());
        let url = ApiServer::new(&url, true);
        let ticket = Open::enter(&Arc::default(), Ipv4Addr::new(10, 85, 0, 7)).unwrap();
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut pod = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
        let passed = tokio::spawn(pass(front.accept().await.unwrap().0, url, ticket));
        let (mut end, peer) = server.accept().await.unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::new(127, 85, 0, 7));
        pod.write_all(b"ask").await.unwrap();
        pod.shutdown().await.unwrap();
        let mut asked = String::new();
        end.read_to_string(&mut asked).await.unwrap();
        end.write_all(b"answer").await.unwrap();
        drop(end);
        let mut answered = String::new();
        pod.read_to_string(&mut answered).await.unwrap();
        assert_eq!((asked.as_str(), answered.as_str()), ("ask", "answer"));
        passed.await.unwrap();
    }

    #[tokio::test]
    async fn a_relay_listens_before_there_is_a_bridge_and_serves_pods_alone() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", server.local_addr().unwrap());
        let server = ApiServer::new(&url, true);
        let relay = Relay::listen(&server, "198.18.7.0/24".parse().unwrap()).unwrap();
        assert_eq!(*relay.address().ip(), Ipv4Addr::new(198, 18, 7, 1));
        // Loopback stands for the bridge, and is no pod's address.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let running = tokio::spawn(Relay { listener, ..relay }.run());
        let mut stranger = TcpStream::connect(to).await.unwrap();
        let mut byte = [0];
        let read = tokio::time::timeout(CONNECT, stranger.read(&mut byte)).await;
        assert_eq!(read.unwrap().unwrap_or(0), 0, "the connection ends");
        running.abort();
    }
}
