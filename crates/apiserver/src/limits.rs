//! Limits and durations of the server. Those of its connections are [`palisade_https::Limits`], those of patches, pages
//! and protobuf are [`palisade_api::limits`], those of what clients share and of logins are [`palisade_access::limits`].

use std::time::Duration;

pub(crate) use palisade_access::limits::{TOKEN_LEAST, TOKEN_MOST, TOKEN_USUAL};
pub(crate) use palisade_registry::{OBJECT, PART};

/// Size of the body of a request, in bytes: twice what is kept of one object.
pub(crate) const BODY: usize = 3 * 1024 * 1024;
/// Time for the body of a request to come.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);
/// Size of a body from which on a request takes long, in bytes.
pub(crate) const LONG: usize = 64 * 1024;
/// The same of its objects as values.
pub(crate) const LONG_WEIGHT: usize = 4 << 20;

/// Size of a kept object up to which its weight is guessed, in bytes, and how many times its size that is.
pub(crate) const LIGHT: (usize, usize) = (16 * 1024, 40);
/// Copies of an object that a request for it makes, by what it does: reads, makes, changes.
pub(crate) const COPIES: [usize; 3] = [2, 4, 5];

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

/// Life of the token in a pod, in seconds; longer than an hour, so that it is renewed well before.
pub(crate) const TOKEN_OF_POD: i64 = 3607;
/// Life of the token that a login gives, in seconds: a day, as OpenShift's.
pub(crate) const LOGIN: i64 = 86_400;
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
