//! Limits on the resources that clients may use, and on tokens and logins.

use std::time::Duration;

/// The total amount, and the share of each client.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub all: usize,
    /// For one party at once.
    pub each: usize,
    /// The share of the system and its administrators.
    pub kept: usize,
    /// Requests of one party that may wait.
    pub waiting: usize,
}

/// Requests that are worked on at once.
pub const REQUESTS: Bounds = Bounds { all: 64, each: 16, kept: 16, waiting: 256 };
/// How many times the number of places may be set aside by requests that wait for webhooks.
pub const ASIDE: usize = 4;
/// Of these, slow requests, each of which uses a CPU: they have threads of low priority.
pub const LONG_REQUESTS: Bounds = Bounds { all: 3, each: 1, kept: 1, waiting: 64 };
/// The largest total of bodies that are read or kept, in bytes. This, [`SMALL_BODIES`], [`TREES`], [`APART`],
/// [`SMALL_APART`], [`STREAMS`] and [`ANSWERS`] are the memory that clients make the server hold.
pub const BODIES: Bounds = Bounds { all: 21 << 20, each: 4 << 20, kept: 6 << 20, waiting: 256 };
/// The same of small bodies, which large ones take nothing from.
pub const SMALL_BODIES: Bounds = Bounds { all: 3 << 20, each: 512 << 10, kept: 1 << 20, waiting: 256 };
/// Size of a small body at most, in bytes.
pub const SMALL_BODY: usize = 64 << 10;
/// The limit on all objects as values while requests are worked on, copies included, in bytes.
pub const TREES: Bounds = Bounds { all: 80 << 20, each: 48 << 20, kept: 16 << 20, waiting: 256 };
/// The limit on bodies and objects of requests that wait for webhooks, in bytes: large ones take nothing from [`SMALL_APART`], and
/// those that wait take nothing from the others. The large ones of one party are counted as no more than its share.
pub const APART: Bounds = Bounds { all: 35 << 20, each: 9 << 20, kept: 8 << 20, waiting: 0 };
/// The same where a request holds no more than the share of a party here.
pub const SMALL_APART: Bounds = Bounds { all: 20 << 20, each: 1 << 20, kept: 4 << 20, waiting: 0 };
/// The limit on parts of lists and events of watches that clients have not read, in bytes.
pub const STREAMS: Bounds = Bounds { all: 24 << 20, each: 6 << 20, kept: 6 << 20, waiting: 256 };
/// The limit on all other answers that clients have not read, in bytes.
pub const ANSWERS: Bounds = Bounds { all: 24 << 20, each: 3 << 20, kept: 6 << 20, waiting: 256 };
/// Time for a client to read such an answer before its connection ends, and the bytes for which it has a second more.
pub const ANSWER_TIME: (Duration, usize) = (Duration::from_secs(30), 64 << 10);
/// Size of a piece of an answer up to which it is not counted, in bytes.
pub const SMALL: usize = 4096;
/// Lists that are sent part by part at once.
pub const LISTS: Bounds = Bounds { all: 64, each: 16, kept: 16, waiting: 64 };
/// Pages of the console that are computed at once.
pub const PAGES: Bounds = Bounds { all: 2, each: 1, kept: 1, waiting: 16 };
/// Logs and streams of containers that are open at once, each with a TLS connection to a node of about 40 KiB.
pub const TUNNELS: Bounds = Bounds { all: 1000, each: 250, kept: 100, waiting: 16 };
/// Watches that are open at once.
pub const WATCHES: Bounds = Bounds { all: 4000, each: 1500, kept: 200, waiting: 16 };
/// Time that a request waits for its share before it is told to come back later.
pub const QUEUE_TIME: Duration = Duration::from_secs(5);

/// Tokens whose signature is not checked again.
pub const TOKENS_VERIFIED: usize = 4096;
/// Length of the longest token that is kept verified, in bytes; longer ones are verified each time.
pub const TOKEN_KEPT: usize = 4096;
/// Number of audiences of a token.
pub const AUDIENCES: usize = 64;
/// Life of a service account's token at least, in seconds.
pub const TOKEN_LEAST: i64 = 600;
/// The same where none is asked for.
pub const TOKEN_USUAL: i64 = 3600;
/// The same at most.
pub const TOKEN_MOST: i64 = 1 << 32;
/// Logins from one address that wait for their turn.
pub const LOGINS: usize = 8;
/// Failed logins from one address that cost no time, and in how many seconds one of them is forgotten.
pub const FAILURES: (f64, f64) = (20.0, 2.0);
/// The same of one name from one address.
pub const GUESSES: (f64, f64) = (5.0, 5.0);
/// Addresses and names whose failures are remembered.
pub const PLACES: usize = 10_000;
/// Length of a name that failures are remembered of, in characters.
pub const NAME: usize = 253;
