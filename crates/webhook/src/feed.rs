//! The policy of a cluster, followed by watches: one list, then changes, folded object by object into a
//! [`PolicyCache`].
//!
//! Only the names of the seen objects and a hash of each are kept here, so that a second list shows which have been
//! deleted and which have changed: it needs no more memory than the first. A watch is requested to end after [`WATCH`],
//! and is abandoned [`GRACE`] later: a dead connection is noticed within half a minute, on a quiet cluster too. The age
//! of the policy is counted from the last message of the API server: an event, a bookmark, or the regular end of a
//! watch.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use palisade_admission::{ObjectKey, PolicyCache, PolicyKind, PolicyObject};
use serde_json::Value;

use crate::mode::Modes;
use crate::namespaces::Lacking;

/// Requested duration of a watch.
const WATCH: Duration = Duration::from_secs(20);
/// Additional time for it to end.
const GRACE: Duration = Duration::from_secs(8);
/// Number of objects in a page of a list.
const PAGE: u32 = 500;
/// Maximum time for a page: on a dead connection it never comes.
const PAGE_TIME: Duration = Duration::from_secs(10);
/// The first and the longest pause after failures.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A kind of object in the policy: its API group, its resource and its kind. Neither Secrets nor pods are among
/// [`PolicyKind::RESOURCES`].
pub(crate) type Source = (&'static str, &'static str, PolicyKind);

/// The resource of a source, for requests.
pub(crate) fn resource((group, plural, kind): Source) -> ApiResource {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version,
        kind: kind.to_string(),
        plural: plural.to_owned(),
    }
}

/// The target that objects are folded into.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) cache: Arc<PolicyCache>,
    pub(crate) lacking: Lacking,
    pub(crate) modes: Modes,
}

impl Sink {
    /// An invalid object is removed from the policy: the change that made it invalid may have withdrawn a grant.
    fn apply(&self, key: &ObjectKey, object: &Value) {
        if key.kind == PolicyKind::Namespace {
            self.lacking.note(object);
            self.modes.note(&key.name, object);
        }
        match PolicyObject::of(key.kind, object) {
            Ok(object) => self.cache.apply(object),
            Err(error) => {
                tracing::error!("{key} is left out of the policy: {error}");
                self.cache.delete(key);
            }
        }
    }

    fn remove(&self, key: &ObjectKey) {
        if key.kind == PolicyKind::Namespace {
            self.lacking.forget(&key.name);
            self.modes.forget(&key.name);
        }
        self.cache.delete(key);
    }
}

/// The age of the data of one source.
#[derive(Clone, Debug)]
pub(crate) struct Freshness {
    started: Instant,
    /// Milliseconds from `started` to the last message of the API server, plus one; 0 before the first list is
    /// complete.
    heard: Arc<AtomicU64>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { started: Instant::now(), heard: Arc::default() }
    }
}

impl Freshness {
    fn hear(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.heard.store(elapsed + 1, Ordering::Release);
    }

    /// The time since the last message; `None` while the first list is not complete.
    pub(crate) fn age(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(heard)))
    }
}

/// An error of following a source.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    /// The API server refused, or the connection broke.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// It took longer than [`PAGE_TIME`].
    #[error("the API server does not answer")]
    Silent,
    /// The versions of a list or a watch have been compacted.
    #[error("the API server has compacted the requested version")]
    Expired,
}

/// Follows one source without end. Each restart waits, so that an API server in trouble is not asked for everything
/// again and again.
pub(crate) async fn follow(client: Client, source: Source, sink: Sink, freshness: Freshness) {
    let api = Api::all_with(client, &resource(source));
    let (_, plural, kind) = source;
    let mut follower = Follower {
        api,
        plural,
        kind,
        sink,
        freshness,
        known: HashMap::new(),
        round: 0,
        hasher: RandomState::new(),
    };
    let mut pause = PAUSE;
    loop {
        let error = follower.list_and_watch(&mut pause).await;
        tracing::warn!("{plural} are listed again: {error}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Follower {
    api: Api<DynamicObject>,
    plural: &'static str,
    kind: PolicyKind,
    sink: Sink,
    freshness: Freshness,
    known: HashMap<Known, Seen>,
    round: u64,
    hasher: RandomState,
}

/// The namespace and the name of an object, in one text: there may be 50,000 of them.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Known(Box<str>);

impl Known {
    fn new(key: &ObjectKey) -> Self {
        Self(format!("{}/{}", key.namespace, key.name).into())
    }

    fn key(&self, kind: PolicyKind) -> ObjectKey {
        let (namespace, name) = self.0.split_once('/').unwrap_or_default();
        ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// An object as it was last seen.
struct Seen {
    hash: u64,
    /// The list, or the watch after it, in which it was seen.
    round: u64,
}

impl Follower {
    /// One list and the watches after it, until one of them cannot continue where the last ended.
    async fn list_and_watch(&mut self, pause: &mut Duration) -> FollowError {
        let mut version = match self.list().await {
            Ok(version) => version,
            Err(error) => return error,
        };
        loop {
            let began = Instant::now();
            match self.watch(version).await {
                Ok(next) => version = next,
                Err(error) => return error,
            }
            if began.elapsed() < PAUSE {
                tokio::time::sleep(PAUSE).await;
            }
            *pause = PAUSE;
        }
    }

    async fn list(&mut self) -> Result<String, FollowError> {
        self.round += 1;
        let mut params = ListParams::default().limit(PAGE);
        let version = loop {
            let page = tokio::time::timeout(PAGE_TIME, self.api.list(&params)).await;
            let page = page.map_err(|_| FollowError::Silent)?.map_err(of_status)?;
            for object in page.items {
                self.apply(object);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        let (sink, round, kind) = (&self.sink, self.round, self.kind);
        self.known.retain(|known, seen| {
            let is_there = seen.round == round;
            if !is_there {
                sink.remove(&known.key(kind));
            }
            is_there
        });
        self.freshness.hear();
        Ok(version)
    }

    /// Follows until the watch ends regularly, or its connection is lost; returns the version at which it can be
    /// resumed.
    async fn watch(&mut self, from: String) -> Result<String, FollowError> {
        let seconds = u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let deadline = tokio::time::Instant::now() + WATCH + GRACE;
        let opened = tokio::time::timeout_at(deadline, self.api.watch(&params, &from)).await;
        let Ok(stream) = opened else { return Ok(from) };
        let stream = stream.map_err(of_status)?;
        pin_mut!(stream);
        let mut version = from;
        loop {
            let Ok(event) = tokio::time::timeout_at(deadline, stream.next()).await else {
                // The API server should have ended it by now, so the connection is dead.
                return Ok(version);
            };
            match event {
                None => {
                    self.freshness.hear();
                    return Ok(version);
                }
                Some(Ok(WatchEvent::Error(status))) => return Err(of_status(kube::Error::Api(status))),
                Some(Ok(event)) => {
                    if let Some(next) = self.take(event) {
                        version = next;
                    }
                    self.freshness.hear();
                }
                Some(Err(error)) => {
                    tracing::debug!("a watch of {} broke: {error}", self.plural);
                    return Ok(version);
                }
            }
        }
    }

    /// Folds one event in, and returns the version of the watch after it.
    fn take(&mut self, event: WatchEvent<DynamicObject>) -> Option<String> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.metadata.resource_version.clone();
                self.apply(object);
                version
            }
            WatchEvent::Deleted(object) => {
                let key = self.key(&object);
                self.sink.remove(&key);
                self.known.remove(&Known::new(&key));
                object.metadata.resource_version
            }
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
            WatchEvent::Error(_) => None,
        }
    }

    fn apply(&mut self, mut object: DynamicObject) {
        object.metadata.managed_fields = None;
        let key = self.key(&object);
        let object = match serde_json::to_value(&object) {
            Ok(object) => object,
            Err(error) => return tracing::error!("{key} cannot be read: {error}"),
        };
        let hash = self.hasher.hash_one(&object);
        let seen = Seen { hash, round: self.round };
        let before = self.known.insert(Known::new(&key), seen);
        if before.is_none_or(|before| before.hash != hash) {
            self.sink.apply(&key, &object);
        }
    }

    fn key(&self, object: &DynamicObject) -> ObjectKey {
        let metadata = &object.metadata;
        ObjectKey {
            kind: self.kind,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// 410 Gone is returned for a watch's first version, within a watch, and for the pages of a list.
fn of_status(error: kube::Error) -> FollowError {
    match error {
        kube::Error::Api(status) if status.code == 410 || status.reason == "Expired" => FollowError::Expired,
        error => FollowError::Api(error),
    }
}
