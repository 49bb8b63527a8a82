//! Limits and durations of the server. Those of its connections are [`palisade_https::Limits`], those of patches, pages
//! and protobuf are [`palisade_api::limits`].

use std::time::Duration;

/// Size of the body of a request, in bytes: twice what is kept of one object.
pub(crate) const BODY: usize = 3 * 1024 * 1024;
/// Time for the body of a request to come.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);
/// Requests that are worked on at once.
pub(crate) const REQUESTS: usize = 256;
/// Time that a further request waits before it is told to come back later.
pub(crate) const QUEUE_TIME: Duration = Duration::from_secs(5);
/// Warnings in one response: clients read no endless headers.
pub(crate) const WARNINGS: usize = 20;
/// Length of all warnings of one response, in characters, from which each is cut to [`WARNING_LENGTH`].
pub(crate) const WARNINGS_LENGTH: usize = 4096;
/// Length of one warning, in characters, where all are too long.
pub(crate) const WARNING_LENGTH: usize = 256;

/// Size of an object, in bytes: what etcd takes by default.
pub(crate) const OBJECT: usize = 1_572_864;
/// Tries of a change that others keep writing into.
pub(crate) const ATTEMPTS: usize = 8;
/// Time that old versions are kept for watches and lists that go on.
pub(crate) const HISTORY: Duration = Duration::from_secs(300);

/// Objects that are read at once where all are asked for.
pub(crate) const PART: usize = 500;
/// Lists that are sent part by part at once: each holds a part for as long as its client takes to read it.
pub(crate) const LONG_LISTS: usize = 64;
/// Time for a client to read one part of a list.
pub(crate) const PART_TIME: Duration = Duration::from_secs(60);

/// Time that a watch lasts at most, in seconds.
pub(crate) const WATCH: u64 = 3600;
/// Time between two bookmarks of a watch that wants them.
pub(crate) const BOOKMARK: Duration = Duration::from_secs(60);
/// Time between two looks whether the rights of a watch's user may have ended.
pub(crate) const WATCH_LOOK: Duration = Duration::from_secs(1);
/// Time after which a watch's credentials are checked again whatever happened.
pub(crate) const WATCH_ASK: Duration = Duration::from_secs(10);
/// Events that a watch may be behind before it reads the store.
pub(crate) const BACKLOG: usize = 1024;

/// Life of a service account's token in seconds: at least, usually, at most.
pub(crate) const TOKEN_LEAST: i64 = 600;
pub(crate) const TOKEN_USUAL: i64 = 3600;
pub(crate) const TOKEN_MOST: i64 = 1 << 32;
/// Life of the token in a pod, in seconds; longer than an hour, so that it is renewed well before.
pub(crate) const TOKEN_OF_POD: i64 = 3607;
/// Life of the token that a login gives, in seconds: a day, as OpenShift's.
pub(crate) const LOGIN: i64 = 86_400;
/// Length of a password, in characters, at least.
pub(crate) const PASSWORD: usize = 8;

/// Size of a backup that is taken back, in bytes.
pub(crate) const BACKUP: u64 = 8 << 30;
/// Time for the next piece of a backup to come.
pub(crate) const BACKUP_TIME: Duration = Duration::from_secs(30);
