//! The policy of a cluster, followed by watches: one list, then changes, folded object by object into a
//! [`PolicyCache`].
//!
//! Nothing is kept here but the names of what was seen, so that a second list tells what has gone. A watch is asked to
//! end after [`WATCH`], and is given up [`GRACE`] later: a connection that died in silence is noticed within half a
//! minute, on a quiet cluster too. The age of what is known is counted from the last word of the API server: an event, a
//! bookmark, a watch that ended as asked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client};
use palisade_admission::{ObjectKey, PolicyCache, PolicyKind, PolicyObject};
use serde_json::Value;

use crate::mode::Modes;
use crate::namespaces::Lacking;

/// How long the API server is asked to keep a watch open.
const WATCH: Duration = Duration::from_secs(20);
/// How much longer it may take to end.
const GRACE: Duration = Duration::from_secs(8);
/// How many objects a page of a list has.
const PAGE: u32 = 500;
/// The pause after a first failure, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A kind of object that is followed: its API group, its resource and its kind in the policy. Neither Secrets nor pods
/// are among [`PolicyKind::RESOURCES`].
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
    /// An object that cannot be used is no longer part of the policy: what it last granted may be just what was taken
    /// away.
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

/// How old the knowledge of one source is.
#[derive(Clone, Debug)]
pub(crate) struct Freshness {
    started: Instant,
    /// Milliseconds from `started` to the last word of the API server, plus one; 0 before the first list is complete.
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

    /// The time since the last word; `None` while the first list is not complete.
    pub(crate) fn age(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.started.elapsed().saturating_sub(Duration::from_millis(heard)))
    }
}

/// Follows one source for ever.
pub(crate) async fn follow(client: Client, source: Source, sink: Sink, freshness: Freshness) {
    let api = Api::all_with(client, &resource(source));
    let (_, plural, kind) = source;
    let mut follower = Follower { api, plural, kind, sink, freshness, known: HashSet::new() };
    let mut pause = PAUSE;
    loop {
        match follower.list_and_watch(&mut pause).await {
            Ok(()) => pause = PAUSE,
            Err(error) => {
                tracing::warn!("{plural} cannot be followed: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

struct Follower {
    api: Api<DynamicObject>,
    plural: &'static str,
    kind: PolicyKind,
    sink: Sink,
    freshness: Freshness,
    known: HashSet<ObjectKey>,
}

/// How a watch ended.
enum End {
    /// As asked, or the connection was lost: it can be taken up again at this version.
    Resume(String),
    /// The API server no longer has that version.
    Expired,
}

impl Follower {
    /// One list and the watches after it, until the versions that they begin at are too old.
    async fn list_and_watch(&mut self, pause: &mut Duration) -> Result<(), kube::Error> {
        let mut version = self.list().await?;
        *pause = PAUSE;
        loop {
            match self.watch(version).await? {
                End::Resume(next) => version = next,
                End::Expired => return Ok(()),
            }
        }
    }

    async fn list(&mut self) -> Result<String, kube::Error> {
        let mut seen = HashSet::with_capacity(self.known.len());
        let mut params = ListParams::default().limit(PAGE);
        let version = loop {
            let page = self.api.list(&params).await?;
            for object in page.items {
                seen.insert(self.apply(object));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        for gone in self.known.difference(&seen) {
            self.sink.remove(gone);
        }
        self.known = seen;
        self.freshness.hear();
        Ok(version)
    }

    async fn watch(&mut self, from: String) -> Result<End, kube::Error> {
        let seconds = u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX);
        let params = WatchParams::default().timeout(seconds);
        let deadline = tokio::time::Instant::now() + WATCH + GRACE;
        let opened = tokio::time::timeout_at(deadline, self.api.watch(&params, &from)).await;
        let Ok(stream) = opened else { return Ok(End::Resume(from)) };
        let stream = match stream {
            Err(kube::Error::Api(status)) if is_expired(&status) => return Ok(End::Expired),
            other => other?,
        };
        pin_mut!(stream);
        let mut version = from;
        loop {
            let Ok(event) = tokio::time::timeout_at(deadline, stream.next()).await else {
                // The API server should have ended it by now, so the connection is dead.
                return Ok(End::Resume(version));
            };
            match event {
                None => {
                    self.freshness.hear();
                    return Ok(End::Resume(version));
                }
                Some(Ok(WatchEvent::Error(status))) if is_expired(&status) => return Ok(End::Expired),
                Some(Ok(WatchEvent::Error(status))) => return Err(kube::Error::Api(status)),
                Some(Ok(event)) => {
                    if let Some(next) = self.take(event) {
                        version = next;
                    }
                    self.freshness.hear();
                }
                Some(Err(error)) => {
                    tracing::debug!("a watch of {} broke: {error}", self.plural);
                    tokio::time::sleep(PAUSE).await;
                    return Ok(End::Resume(version));
                }
            }
        }
    }

    /// Folds one event in, and says at which version the watch now is.
    fn take(&mut self, event: WatchEvent<DynamicObject>) -> Option<String> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.metadata.resource_version.clone();
                let key = self.apply(object);
                self.known.insert(key);
                version
            }
            WatchEvent::Deleted(object) => {
                let key = self.key(&object);
                self.sink.remove(&key);
                self.known.remove(&key);
                object.metadata.resource_version
            }
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
            WatchEvent::Error(_) => None,
        }
    }

    fn apply(&self, mut object: DynamicObject) -> ObjectKey {
        object.metadata.managed_fields = None;
        let key = self.key(&object);
        match serde_json::to_value(&object) {
            Ok(object) => self.sink.apply(&key, &object),
            Err(error) => tracing::error!("{key} cannot be read: {error}"),
        }
        key
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

/// Whether the API server has forgotten the version that a watch was to begin at.
fn is_expired(status: &Status) -> bool {
    status.code == 410 || status.reason == "Expired"
}
