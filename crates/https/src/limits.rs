//! The limits of a listener.

use std::time::Duration;

/// Limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections. A further one takes the place of one that has had no request, of the address with the most of these; else
    /// of the newest of an address with many more connections than its own. If there is none it is closed at once.
    pub connections: usize,
    /// Open connections of one address; further ones are closed at once.
    pub each: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request, and for the first request of a connection to begin.
    pub head: Duration,
    /// Size of the head of a request, in bytes.
    pub head_bytes: usize,
    /// Concurrent requests of one HTTP/2 connection.
    pub streams: u32,
    /// The flow-control window of one HTTP/2 request, in bytes; of all of a connection, four times that.
    pub window: u32,
    /// Time between the pings of an HTTP/2 connection.
    pub ping: Duration,
    /// Time for the answer to a ping.
    pub pong: Duration,
    /// Time for requests to end after the server was told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_000,
            each: 16_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            head_bytes: 64 * 1024,
            streams: 250,
            window: 64 * 1024,
            ping: Duration::from_secs(30),
            pong: Duration::from_secs(20),
            drain: Duration::from_secs(5),
        }
    }
}
