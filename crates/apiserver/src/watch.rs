//! Watches: what happens to objects, as a stream of lines.

use palisade_api::list::{WatchStart, watch_start};
use palisade_k8s::put;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use palisade_store::{Change, Revision};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::api::Api;
use crate::authenticate::Shown;
use crate::authorize;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::hub::Event;
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::request::{Query, Target};
use crate::respond;
use crate::selector::{Fields, Labels};
use crate::table::{self, Include};
use crate::verb;

/// A client's watch: its selection, and the form of its events.
pub(crate) struct Watcher {
    api: Arc<Api>,
    who: Identity,
    shown: Shown,
    /// How often anybody's rights may have ended when these were last looked at.
    epoch: u64,
    target: Target,
    labels: Labels,
    fields: Fields,
    shape: Shape,
    bookmarks: bool,
    initial: Initial,
    sender: mpsc::Sender<Bytes>,
    is_first: bool,
}

/// How an object of an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    /// Only what every object has.
    Metadata,
    Table(Include),
}

/// The start of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initial {
    /// With the writes after a revision.
    After(Revision),
    /// All there is, not older than a revision, then what happens; a bookmark may stand between.
    State { at_least: u64, is_marked: bool },
}

/// The client is gone, or the watch is over.
struct Over;

impl Watcher {
    /// Reads what a client wants; gives where its lines will come.
    pub(crate) fn new(
        api: &Arc<Api>,
        who: &Identity,
        shown: Shown,
        target: &Target,
        query: &Query,
        shape: Shape,
    ) -> ApiResult<(Self, mpsc::Receiver<Bytes>)> {
        let labels = Labels::parse(query.get("labelSelector").unwrap_or_default())?;
        let mut selector = query.get("fieldSelector").unwrap_or_default().to_owned();
        if !target.name.is_empty() {
            selector = format!("metadata.name={}", target.name);
        }
        let fields = Fields::parse(&selector, target.resource.selectable)?;
        let initial = match watch_start(query)? {
            WatchStart::Now => Initial::After(api.store.revision()),
            WatchStart::After(revision) => {
                Initial::After(Revision::new(revision.min(u64::MAX >> 1)).unwrap_or_default())
            }
            WatchStart::State { at_least, is_marked } => Initial::State { at_least, is_marked },
        };
        let (sender, receiver) = mpsc::channel(64);
        let watcher = Self {
            api: Arc::clone(api),
            who: who.clone(),
            shown,
            epoch: 0,
            target: target.clone(),
            labels,
            fields,
            shape,
            bookmarks: query.is_true("allowWatchBookmarks"),
            initial,
            sender,
            is_first: true,
        };
        Ok((watcher, receiver))
    }

    /// Sends until the time is over or the client is gone.
    pub(crate) async fn run(mut self, seconds: Option<u64>) {
        let time = Duration::from_secs(seconds.unwrap_or(limits::WATCH).clamp(1, limits::WATCH));
        let _ = tokio::time::timeout(time, self.follow()).await;
    }

    async fn follow(&mut self) -> Result<(), Over> {
        let storage = self.target.resource.storage;
        let mut channel = self.api.hub.listen(storage);
        let mut seen = self.start().await?;
        seen = self.catch_up(seen).await?;
        let mut marks = tokio::time::interval(limits::BOOKMARK);
        marks.tick().await;
        let (mut looks, mut asks) =
            (tokio::time::interval(limits::WATCH_LOOK), tokio::time::interval(limits::WATCH_ASK));
        loop {
            let received = tokio::select! {
                () = self.sender.closed() => return Err(Over),
                _ = marks.tick() => {
                    if self.bookmarks {
                        self.bookmark(seen.max(self.api.store.revision()), false).await?;
                    }
                    continue;
                }
                _ = looks.tick() => {
                    self.still_may()?;
                    continue;
                }
                _ = asks.tick() => {
                    // Tokens end by themselves too.
                    self.epoch = 0;
                    continue;
                }
                received = channel.recv() => received,
            };
            match received {
                Ok(event) if event.revision > seen => {
                    seen = event.revision;
                    self.tell(&event).await?;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => seen = self.catch_up(seen).await?,
                Err(broadcast::error::RecvError::Closed) => {
                    return self.fail(&ApiError::expired("the watch has fallen behind")).await;
                }
            }
        }
    }

    /// Sends what the watch starts with; gives up to where that is.
    async fn start(&mut self) -> Result<Revision, Over> {
        let (at_least, is_marked) = match self.initial {
            Initial::After(revision) => return Ok(revision),
            Initial::State { at_least, is_marked } => (at_least, is_marked),
        };
        let newest = self.api.store.revision().number();
        if at_least > newest {
            return self.fail(&ApiError::future(at_least, newest)).await.map(|()| Revision::default());
        }
        let mut after = None;
        loop {
            let (api, target) = (Arc::clone(&self.api), self.target.clone());
            let listed = tokio::task::spawn_blocking(move || {
                let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
                objects::list(&api.store, target.resource, namespace, Some(limits::PART), after.as_ref())
            });
            let listed = match listed.await {
                Ok(Ok(listed)) => listed,
                Ok(Err(error)) => return self.fail(&error).await.map(|()| Revision::default()),
                Err(_) => return Err(Over),
            };
            for object in listed.items {
                if self.wants(&object) {
                    self.send("ADDED", object).await?;
                }
            }
            after = listed.next;
            if after.is_none() {
                if is_marked {
                    self.bookmark(listed.revision, true).await?;
                }
                return Ok(listed.revision);
            }
        }
    }

    /// Reads from the store what the channel no longer or not yet has.
    async fn catch_up(&mut self, mut seen: Revision) -> Result<Revision, Over> {
        loop {
            let store = self.api.store.clone();
            let storage = self.target.resource.storage;
            let read = tokio::task::spawn_blocking(move || {
                let mut watch = store.watch(storage, None, seen)?;
                let events = watch.next(Duration::ZERO)?;
                Ok::<_, palisade_store::StoreError>((events, watch.seen()))
            });
            let (events, now) = match read.await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => {
                    let error = failure::store(self.target.resource, "", error);
                    return self.fail(&error).await.map(|()| seen);
                }
                Err(_) => return Err(Over),
            };
            let is_all = events.is_empty();
            for event in events.into_iter().filter_map(Event::of) {
                self.tell(&event).await?;
            }
            seen = now;
            if is_all {
                return Ok(seen);
            }
        }
    }

    fn wants(&self, object: &Value) -> bool {
        let resource = self.target.resource;
        self.labels.matches(object)
            && self.fields.matches(object)
            && verb::is_visible(&self.api.policy, &self.who, resource, object)
    }

    async fn tell(&mut self, event: &Event) -> Result<(), Over> {
        if !self.target.namespace.is_empty() && event.namespace != self.target.namespace {
            return Ok(());
        }
        let was = event.previous.as_ref().is_some_and(|previous| self.wants(previous));
        let is = event.change != Change::Deleted && self.wants(&event.object);
        // What a deletion shows is the object as it last was, so that is what was selected.
        let was = was || (event.change == Change::Deleted && self.wants(&event.object));
        let kind = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return Ok(()),
        };
        let shown = match &event.previous {
            // What is no longer selected is shown as it was when it last was.
            Some(previous) if kind == "DELETED" && event.change != Change::Deleted => previous,
            _ => &event.object,
        };
        self.send(kind, shown.clone()).await
    }

    async fn send(&mut self, kind: &str, object: Value) -> Result<(), Over> {
        let resource = self.target.resource;
        let mut object = resource.show(object);
        match self.shape {
            Shape::Object => {}
            Shape::Metadata => object = respond::metadata_of(&object),
            Shape::Table(include) => {
                object = table::of(resource, &object, include, self.is_first, Timestamp::now())
            }
        }
        self.is_first = false;
        self.line(&json!({"type": kind, "object": object})).await
    }

    async fn bookmark(&mut self, revision: Revision, is_initial: bool) -> Result<(), Over> {
        let resource = self.target.resource;
        let mut object = json!({"kind": resource.kind, "apiVersion": resource.api_version(),
                                "metadata": {"resourceVersion": revision.to_string()}});
        if self.shape == Shape::Metadata {
            object = respond::metadata_of(&object);
        }
        if is_initial {
            put(&mut object, &["metadata", "annotations"], json!({"k8s.io/initial-events-end": "true"}));
        }
        self.line(&json!({"type": "BOOKMARK", "object": object})).await
    }

    async fn fail(&mut self, error: &ApiError) -> Result<(), Over> {
        self.line(&json!({"type": "ERROR", "object": error.status()})).await?;
        Err(Over)
    }

    /// Ends the watch of whoever is no longer who they were, or may no longer watch.
    fn still_may(&mut self) -> Result<(), Over> {
        let epoch = self.api.epoch.now();
        if epoch == self.epoch {
            return Ok(());
        }
        self.who = self.shown.identify(&self.api).map_err(|_| Over)?.who;
        // A watch of one name is a question for that name.
        let name = self.fields.name().unwrap_or(&self.target.name).to_owned();
        let asked = Target { name, ..self.target.clone() };
        authorize::require(&self.api, &self.who, "watch", &asked, self.fields.node()).map_err(|_| Over)?;
        self.epoch = epoch;
        Ok(())
    }

    /// Sends a line; whoever may no longer watch hears no more.
    async fn line(&mut self, event: &Value) -> Result<(), Over> {
        self.still_may()?;
        let line = Bytes::from(format!("{event}\n"));
        self.sender.send(line).await.map_err(|_| Over)
    }
}
