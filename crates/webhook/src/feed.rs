//! The objects of one kind, followed by watches: one list, then changes, folded object by object into a [`Fold`].
//!
//! A watch is requested to end after [`WATCH`], and is abandoned [`GRACE`] later: a dead connection is noticed within
//! half a minute, on a quiet cluster too. The age of the data is counted from the last message of the API server: an
//! event, a bookmark, or the regular end of a watch.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, pin_mut};
use kube::api::{ApiResource, ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

/// Requested duration of a watch.
const WATCH: Duration = Duration::from_secs(20);
/// Additional time for it to end.
const GRACE: Duration = Duration::from_secs(8);
/// Maximum time for a page: on a dead connection it never comes.
const PAGE_TIME: Duration = Duration::from_secs(10);
/// The first and the longest pause after failures.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The pause before an optional resource that is not served is asked for again.
const UNSERVED_PAUSE: Duration = Duration::from_secs(30);

/// The target that objects of one kind are folded into.
pub(crate) trait Fold: Send + 'static {
    /// The objects.
    type Object: Resource<DynamicType = ApiResource> + DeserializeOwned + Clone + Debug + Send + 'static;
    /// Number of objects in a page of a list.
    const PAGE: u32;
    /// Whether the API server of a cluster may not serve the resource. That counts as an empty list.
    const OPTIONAL: bool;

    /// A list of all objects begins.
    fn begin(&mut self);
    /// An object is there.
    fn put(&mut self, object: Self::Object);
    /// An object has been deleted.
    fn remove(&mut self, object: &Self::Object);
    /// The list is complete: objects that were not put since it began have been deleted.
    fn complete(&mut self);
}

/// The age of the data of one source.
#[derive(Clone, Debug)]
pub(crate) struct Freshness {
    started: Instant,
    /// Milliseconds from `started` to the last message of the API server, plus one; 0 before the first list is
    /// complete, and while the resource is not served.
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

    /// Discards the known state until the next complete list.
    fn forget(&self) {
        self.heard.store(0, Ordering::Release);
    }

    /// The time since the last message; `None` while no list is complete.
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
    /// There is no such resource.
    #[error("the API server does not serve the resource")]
    Unserved,
    /// The versions of a list or a watch have been compacted.
    #[error("the API server has compacted the requested version")]
    Expired,
}

/// Follows one resource without end. Each restart waits, so that an API server in trouble is not asked for everything
/// again and again.
pub(crate) async fn follow<F: Fold>(client: Client, resource: ApiResource, fold: F, freshness: Freshness) {
    let plural = resource.plural.clone();
    let mut follower = Follower { api: Api::all_with(client, &resource), plural, fold, freshness };
    let mut pause = PAUSE;
    loop {
        let error = follower.list_and_watch(&mut pause).await;
        if F::OPTIONAL && matches!(error, FollowError::Unserved) {
            follower.freshness.forget();
            follower.fold.begin();
            follower.fold.complete();
            tokio::time::sleep(UNSERVED_PAUSE).await;
            continue;
        }
        tracing::warn!("{} are listed again: {error}", follower.plural);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Follower<F: Fold> {
    api: Api<F::Object>,
    plural: String,
    fold: F,
    freshness: Freshness,
}

impl<F: Fold> Follower<F> {
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
        self.fold.begin();
        let mut params = ListParams::default().limit(F::PAGE);
        let version = loop {
            let page = tokio::time::timeout(PAGE_TIME, self.api.list(&params)).await;
            let page = page.map_err(|_| FollowError::Silent)?.map_err(of_list)?;
            page.items.into_iter().for_each(|object| self.fold.put(object));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        self.fold.complete();
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
    fn take(&mut self, event: WatchEvent<F::Object>) -> Option<String> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.meta().resource_version.clone();
                self.fold.put(object);
                version
            }
            WatchEvent::Deleted(object) => {
                self.fold.remove(&object);
                object.meta().resource_version.clone()
            }
            WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version),
            WatchEvent::Error(_) => None,
        }
    }
}

/// Only a list tells that a resource is not served: a watch may meet an API server that does not serve it yet.
fn of_list(error: kube::Error) -> FollowError {
    match error {
        kube::Error::Api(status) if status.code == 404 => FollowError::Unserved,
        error => of_status(error),
    }
}

/// 410 Gone is returned for a watch's first version, within a watch, and for the pages of a list.
fn of_status(error: kube::Error) -> FollowError {
    match error {
        kube::Error::Api(status) if status.code == 410 || status.reason == "Expired" => FollowError::Expired,
        error => FollowError::Api(error),
    }
}
