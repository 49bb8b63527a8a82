//! Limits and durations of the server. Those of its connections are [`palisade_https::Limits`], those of patches, pages
//! and protobuf are [`palisade_api::limits`].

use std::time::Duration;

/// How much there is, and how much of it for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) all: usize,
    /// For one party at once.
    pub(crate) each: usize,
    /// The share of the system and its administrators.
    pub(crate) kept: usize,
    /// Requests of one party that may wait.
    pub(crate) waiting: usize,
}

/// Size of the body of a request, in bytes: twice what is kept of one object.
pub(crate) const BODY: usize = 3 * 1024 * 1024;
/// Time for the body of a request to come.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);
/// Requests that are worked on at once.
pub(crate) const REQUESTS: Bounds = Bounds { all: 64, each: 16, kept: 16, waiting: 256 };
/// Those of them that take long, as each takes a processor: they have threads of low priority.
pub(crate) const LONG_REQUESTS: Bounds = Bounds { all: 3, each: 1, kept: 1, waiting: 64 };
/// Size of a body from which on a request takes long, in bytes.
pub(crate) const LONG: usize = 64 * 1024;
/// The same of its objects as values.
pub(crate) const LONG_WEIGHT: usize = 4 << 20;

/// The largest total of bodies that are read or kept, in bytes. This, [`TREES`], [`STREAMS`] and [`ANSWERS`] are the
/// memory that clients make the server hold.
pub(crate) const BODIES: Bounds = Bounds { all: 24 << 20, each: 8 << 20, kept: 6 << 20, waiting: 256 };
/// The limit on all objects as values while requests are worked on, copies included, in bytes.
pub(crate) const TREES: Bounds = Bounds { all: 80 << 20, each: 48 << 20, kept: 16 << 20, waiting: 256 };
/// The limit on parts of lists and events of watches that clients have not read, in bytes.
pub(crate) const STREAMS: Bounds = Bounds { all: 24 << 20, each: 6 << 20, kept: 6 << 20, waiting: 256 };
/// The limit on all other answers that clients have not read, in bytes.
pub(crate) const ANSWERS: Bounds = Bounds { all: 24 << 20, each: 6 << 20, kept: 6 << 20, waiting: 256 };
/// Size of a piece of an answer up to which it is not counted, in bytes.
pub(crate) const SMALL: usize = 4096;
/// Size of a kept object up to which its weight is guessed, in bytes, and how many times its size that is.
pub(crate) const LIGHT: (usize, usize) = (16 * 1024, 40);
/// Copies of an object that a request for it makes, by what it does: reads, makes, changes.
pub(crate) const COPIES: [usize; 3] = [2, 4, 5];

/// Watches that are open at once.
pub(crate) const WATCHES: Bounds = Bounds { all: 4000, each: 1500, kept: 200, waiting: 16 };

/// Time that a request waits for its share before it is told to come back later.
pub(crate) const QUEUE_TIME: Duration = Duration::from_secs(5);

/// Size of an object, in bytes: what etcd takes by default.
pub(crate) const OBJECT: usize = 1_572_864;
/// Tries of a change that others keep writing into.
pub(crate) const ATTEMPTS: usize = 8;
/// Time that old versions are kept for watches and lists that go on.
pub(crate) const HISTORY: Duration = Duration::from_secs(300);

/// Time between two looks of the controllers of workloads, at most.
pub(crate) const WORKLOAD_WAIT: Duration = Duration::from_millis(500);
/// Time before a workload is looked at again whose pods are refused, at most.
pub(crate) const WORKLOAD_BACKOFF: Duration = Duration::from_secs(120);
/// Time before a workload is looked at again, at most: a timer that is longer is looked at in between.
pub(crate) const WORKLOAD_LONGEST: Duration = Duration::from_secs(3600);
/// Threads that delete what controllers want deleted, each in another namespace.
pub(crate) const ERRAND_THREADS: usize = 4;
/// Time before what failed of that is tried again.
pub(crate) const ERRAND_WAIT: Duration = Duration::from_secs(15);
/// Time before a namespace is looked at again in which something stays.
pub(crate) const LEAVING_WAIT: Duration = Duration::from_secs(10);
/// Workloads that are looked at at once, each of another namespace.
pub(crate) const WORKLOAD_THREADS: usize = 4;

/// Objects that are read at once where all are asked for.
pub(crate) const PART: usize = 500;
/// Lists that are sent part by part at once.
pub(crate) const LISTS: Bounds = Bounds { all: 64, each: 16, kept: 16, waiting: 64 };
/// Time for a client to read one part of a list, or an event of a watch.
pub(crate) const PART_TIME: Duration = Duration::from_secs(60);

/// Time that a watch lasts at most, in seconds.
pub(crate) const WATCH: u64 = 3600;
/// Time between two bookmarks of a watch that wants them.
pub(crate) const BOOKMARK: Duration = Duration::from_secs(60);
/// Time between two looks whether the rights of a watch's user may have ended.
pub(crate) const WATCH_LOOK: Duration = Duration::from_secs(1);
/// Time after which a watch's credentials are checked again whatever happened.
pub(crate) const WATCH_ASK: Duration = Duration::from_secs(10);
/// The largest weight of the events that are kept for watches, in bytes: in all, of one resource, and one of them. A watch that is
/// further behind reads the store.
pub(crate) const EVENTS: [usize; 3] = [16 << 20, 4 << 20, 512 << 10];
/// Events that a watch reads at once.
pub(crate) const BACKLOG: usize = 64;

/// Tokens whose signature is not checked again.
pub(crate) const TOKENS_VERIFIED: usize = 4096;
/// Life of a service account's token in seconds: at least, usually, at most.
pub(crate) const TOKEN_LEAST: i64 = 600;
pub(crate) const TOKEN_USUAL: i64 = 3600;
pub(crate) const TOKEN_MOST: i64 = 1 << 32;
/// Life of the token in a pod, in seconds; longer than an hour, so that it is renewed well before.
pub(crate) const TOKEN_OF_POD: i64 = 3607;
/// Life of the token that a login gives, in seconds: a day, as OpenShift's.
pub(crate) const LOGIN: i64 = 86_400;
/// Logins from one address that wait for their turn.
pub(crate) const LOGINS: usize = 8;
/// Failed logins from one address that cost no time, and in how many seconds one of them is forgotten.
pub(crate) const FAILURES: (f64, f64) = (20.0, 2.0);
/// The same of one name from one address.
pub(crate) const GUESSES: (f64, f64) = (5.0, 5.0);
/// Addresses and names whose failures are remembered.
pub(crate) const PLACES: usize = 10_000;
/// Length of a name that failures are remembered of, in characters.
pub(crate) const NAME: usize = 253;
/// Length of a password, in characters, at least.
pub(crate) const PASSWORD: usize = 8;

/// Time that a login to the console is good for, in seconds.
pub(crate) const SESSION: i64 = 3600;
/// Size of a form of the console, in bytes.
pub(crate) const FORM: usize = 256 * 1024;
/// Workloads that a page of the console shows, and the bytes of their objects, at most.
pub(crate) const SHOWN: (usize, usize) = (200, 2 << 20);
/// Names in a list of the console.
pub(crate) const LISTED: usize = 500;
/// Accounts and other objects that are read beside workloads.
pub(crate) const BESIDE: usize = 2000;
/// Time in which changes are told to a page of the console together.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// Size of a backup that is taken back, in bytes.
pub(crate) const BACKUP: u64 = 8 << 30;
/// Time for the next piece of a backup to come.
pub(crate) const BACKUP_TIME: Duration = Duration::from_secs(30);
