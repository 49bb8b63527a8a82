//! Limits and durations of the server. Those of its connections are [`palisade_https::Limits`], those of patches, pages
//! and protobuf are [`palisade_api::limits`], those of what clients share and of logins are [`palisade_access::limits`].

use std::time::Duration;

pub(crate) use palisade_access::limits::{AUDIENCES, QUEUE_TIME, TOKEN_LEAST, TOKEN_MOST, TOKEN_USUAL};
pub(crate) use palisade_registry::{OBJECT, PART};

/// Size of the body of a request, in bytes: twice what is kept of one object.
pub(crate) const BODY: usize = 3 * 1024 * 1024;
/// Maximum time to receive the body of a request.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);
/// Size of a body from which a request counts as slow, in bytes.
pub(crate) const LONG: usize = 64 * 1024;
/// Weight of its objects as values from which a request counts as slow, in bytes.
pub(crate) const LONG_WEIGHT: usize = 4 << 20;

/// Size of a stored object up to which its weight is estimated, in bytes, and the factor of the estimate.
pub(crate) const LIGHT: (usize, usize) = (16 * 1024, 40);
/// The most that the defaults of a custom resource may weigh, in bytes: with more it is too heavy to be stored.
pub(crate) const DEFAULTS: usize = 2 * palisade_api::limits::WEIGHT;
/// Copies of an object that a request makes, by operation: read, create, change.
pub(crate) const COPIES: [usize; 3] = [2, 4, 5];

/// Memory that the roles and bindings of a namespace take, and of all namespaces of one requester, in bytes.
pub(crate) const GRANTS: usize = 4 << 20;
/// The part of it that is left where a further project can be requested: each comes with bindings.
pub(crate) const GRANTS_OF_PROJECT: usize = 16 << 10;

/// Maximum number of secrets, config maps, claims and accounts that a pod refers to, and the memory that such references of pods
/// on nodes take, of a namespace or of all namespaces of one requester, in bytes.
pub(crate) const REFERENCES: (usize, usize) = (1000, 8 << 20);
/// Memory of a pod's references up to which it may be written beside others of its owner that are, while half of the bound is left.
pub(crate) const FEW_REFERENCES: usize = 4 << 10;

/// Maximum number of a namespace's quotas, and of their bytes: each write that uses one reads all of them.
pub(crate) const QUOTAS: (usize, usize) = (100, 256 << 10);
/// The same of its ranges of limits.
pub(crate) const RANGES: (usize, usize) = (100, 2 << 20);
/// Memory of the rules that a review of one's own rights lists, in bytes: what follows is said to be left out.
pub(crate) const RULES: usize = 512 << 10;
/// Weight of the pods that a review of several accounts is answered with, in bytes: a template for each.
pub(crate) const REVIEWED: usize = 4 << 20;

/// Tries of a change on write conflicts.
pub(crate) const ATTEMPTS: usize = 8;

/// Maximum time for a client to read one part of a list, or an event of a watch.
pub(crate) const PART_TIME: Duration = Duration::from_secs(60);

/// Maximum time of a watch, in seconds.
pub(crate) const WATCH: u64 = 3600;
/// Time between two bookmarks of a watch that requests them.
pub(crate) const BOOKMARK: Duration = Duration::from_secs(60);
/// Time between two checks whether the rights of a watch's user may have ended.
pub(crate) const WATCH_LOOK: Duration = Duration::from_secs(1);
/// Time after which a watch's credentials are checked again in any case.
pub(crate) const WATCH_ASK: Duration = Duration::from_secs(10);

/// Lifetime of the token in a pod, in seconds; longer than an hour, so that it is renewed well before.
pub(crate) const TOKEN_OF_POD: i64 = 3607;
/// Lifetime of the token that a login gives, in seconds: a day, as OpenShift's.
pub(crate) const LOGIN: i64 = 86_400;
/// Minimum length of a password, in characters.
pub(crate) const PASSWORD: usize = 8;

/// Lifetime of a console login, in seconds.
pub(crate) const SESSION: i64 = 3600;
/// Size of a form of the console, in bytes.
pub(crate) const FORM: usize = 256 * 1024;
/// Size of the login form, in bytes.
pub(crate) const LOGIN_FORM: usize = 16 * 1024;
/// Time for a page of the console, less than others wait for their turn.
pub(crate) const PAGE_TIME: Duration = Duration::from_secs(4);
/// Maximum number of SCCs whose impact is shown at once.
pub(crate) const PROPOSED: usize = 20;
/// Maximum number of workloads on a page of the console, and of the bytes of their objects.
pub(crate) const SHOWN: (usize, usize) = (200, 2 << 20);
/// Names in a list of the console.
pub(crate) const LISTED: usize = 500;
/// Maximum number of accounts and other objects that are read beside workloads.
pub(crate) const BESIDE: usize = 2000;
/// Interval in which changes are sent to a page of the console together.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// Maximum size of a backup that is restored, in bytes.
pub(crate) const BACKUP: u64 = 8 << 30;
/// Maximum time to receive the next piece of a backup.
pub(crate) const BACKUP_TIME: Duration = Duration::from_secs(30);
