//! The relay from pods to the API server.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::ApiServer;
use crate::open::{Open, Ticket};
use crate::range::PodRange;

/// Connections of all pods; the agent needs files for other things.
const ALL: usize = 2048;
/// Maximum time to connect to the server.
const CONNECT: Duration = Duration::from_secs(10);
/// Time of silence after which pod and server are asked whether they still have the connection.
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
        Ok(Self { listener, address, range, server: server.clone(), open: Open::new(ALL) })
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
            if let Some(ticket) = self.open.enter(peer.into()) {
                passing.spawn(pass(stream, self.server.clone(), peer, ticket));
            }
        }
    }
}

async fn pass(mut stream: TcpStream, server: ApiServer, pod: Ipv4Addr, _ticket: Ticket) {
    let connecting = tokio::time::timeout(CONNECT, connect(&server, pod)).await;
    let Ok(Ok(mut to)) = connecting else { return };
    for end in [&stream, &to] {
        let _ = SockRef::from(end).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENT));
        let _ = end.set_nodelay(true);
    }
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
}

/// Connects to the server. On loopback the source tells pods apart, for the audit log and for the shares of clients: it has
/// the last three numbers of the pod's address.
async fn connect(server: &ApiServer, pod: Ipv4Addr) -> std::io::Result<TcpStream> {
    let loopback = match server.host.as_str() {
        "localhost" => Some(Ipv4Addr::LOCALHOST),
        host => host.parse().ok().filter(Ipv4Addr::is_loopback),
    };
    if let Some(host) = loopback {
        let [_, b, c, d] = pod.octets();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, b, c, d), 0).into())?;
        let connected = socket.connect((host, server.port).into()).await;
        let is_refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        // A server at `localhost` may listen on ::1 alone; IPv6 has no other loopback addresses for sources.
        if server.host != "localhost" || !connected.as_ref().is_err_and(is_refused) {
            return connected;
        }
    }
    let host = if server.host == "localhost" { "::1" } else { server.host.as_str() };
    TcpStream::connect((host, server.port)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_pass_both_ways_and_the_source_tells_the_pod() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", server.local_addr().unwrap());
        let url = ApiServer::new(&url, true);
        let pod_address = Ipv4Addr::new(10, 85, 0, 7);
        let ticket = Open::new(ALL).enter(pod_address.into()).unwrap();
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut pod = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
        let passed = tokio::spawn(pass(front.accept().await.unwrap().0, url, pod_address, ticket));
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
    async fn localhost_is_either_loopback() {
        for (address, source) in [("127.0.0.1:0", "127.85.0.7"), ("[::1]:0", "::1")] {
            let Ok(server) = TcpListener::bind(address).await else { continue };
            let url = format!("https://localhost:{}", server.local_addr().unwrap().port());
            let _to = connect(&ApiServer::new(&url, true), Ipv4Addr::new(10, 85, 0, 7)).await.unwrap();
            assert_eq!(server.accept().await.unwrap().1.ip().to_string(), source);
        }
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
