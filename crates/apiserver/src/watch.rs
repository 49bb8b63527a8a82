//! Watches: changes of objects, as a stream of lines.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use palisade_api::list::{WatchStart, watch_start};
use palisade_k8s::put;
use palisade_store::{Change, Revision};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::alone::alone;
use crate::api::Api;
use crate::authenticate::Shown;
use crate::call::Stay;
use crate::convert;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::hub::{Event, Found};
use crate::identity::Identity;
use crate::limits;
use crate::objects;
use crate::request::{Query, Target};
use crate::respond;
use crate::selector::{Fields, Labels};
use crate::share::{Party, Places};
use crate::table::{self, Include};
use crate::verb;

/// The user of a watch.
pub(crate) struct Asker {
    pub(crate) identity: Identity,
    pub(crate) shown: Shown,
    /// The user whose fair share the watch uses.
    pub(crate) party: Party,
}

/// A client's watch: its selection, and the form of its events.
pub(crate) struct Watcher {
    view: View,
    shown: Shown,
    party: Party,
    /// The generation of rights at the last check.
    epoch: u64,
    bookmarks: bool,
    initial: Initial,
    sender: mpsc::Sender<Bytes>,
    /// Whether the next read is a slow one.
    is_long: bool,
}

/// The selection of objects, their reader and their form.
#[derive(Clone)]
struct View {
    api: Arc<Api>,
    identity: Identity,
    target: Target,
    labels: Labels,
    fields: Fields,
    shape: Shape,
    is_first: bool,
    /// Leases that are held while objects are read.
    places: Arc<Places>,
}

/// The format of an object in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    /// Metadata only.
    Metadata,
    Table(Include),
}

/// The start of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Initial {
    /// The writes after a revision.
    After(Revision),
    /// All existing objects, not older than a revision, then changes; with a bookmark in between if requested.
    State { at_least: u64, is_marked: bool },
}

/// The client has disconnected, or the watch is over.
struct Over;

/// Lines that a watch has read, the revision up to which it has, and whether there is more.
struct Lines<N> {
    lines: Vec<Bytes>,
    next: N,
}

impl Watcher {
    /// Parses the options of a watch; returns the receiver of its lines.
    pub(crate) fn new(
        api: &Arc<Api>,
        asker: Asker,
        target: &Target,
        query: &Query,
        shape: Shape,
    ) -> ApiResult<(Self, mpsc::Receiver<Bytes>)> {
        let labels = Labels::parse(query.get("labelSelector").unwrap_or_default())?;
        let mut selector = query.get("fieldSelector").unwrap_or_default().to_owned();
        if !target.name.is_empty() {
            selector = format!("metadata.name={}", target.name);
        }
        let fields = Fields::parse(&selector, &target.resource.selectable())?;
        let initial = match watch_start(query)? {
            WatchStart::Now => Initial::After(api.store.revision()),
            WatchStart::After(revision) => {
                let revision = Revision::new(revision.min(u64::MAX >> 1)).unwrap_or_default();
                objects::check_age(&api.store, &target.namespace, revision)?;
                Initial::After(revision)
            }
            WatchStart::State { at_least, is_marked } => Initial::State { at_least, is_marked },
        };
        // Bounds the lines that wait for the client; larger lines are counted as well.
        let (sender, receiver) = mpsc::channel(4);
        let view = View {
            api: Arc::clone(api),
            identity: asker.identity,
            target: target.clone(),
            labels,
            fields,
            shape,
            is_first: true,
            places: Arc::default(),
        };
        let watcher = Self {
            view,
            shown: asker.shown,
            party: asker.party,
            epoch: 0,
            bookmarks: query.is_true("allowWatchBookmarks"),
            initial,
            sender,
            is_long: false,
        };
        Ok((watcher, receiver))
    }

    /// Sends until the timeout, or until the client disconnects.
    pub(crate) async fn run(mut self, seconds: Option<u64>) {
        let time = Duration::from_secs(seconds.unwrap_or(limits::WATCH).clamp(1, limits::WATCH));
        let _ = tokio::time::timeout(time, self.follow()).await;
    }

    async fn follow(&mut self) -> Result<(), Over> {
        let api = Arc::clone(&self.view.api);
        let mut newest = api.hub.listen(self.view.target.resource.storage(), &api.store);
        let mut seen = self.start().await?;
        seen = self.catch_up(seen).await?;
        let mut marks = tokio::time::interval(limits::BOOKMARK);
        marks.tick().await;
        let (mut looks, mut asks) =
            (tokio::time::interval(limits::WATCH_LOOK), tokio::time::interval(limits::WATCH_ASK));
        loop {
            tokio::select! {
                () = self.sender.closed() => return Err(Over),
                _ = marks.tick() => {
                    if self.bookmarks {
                        self.bookmark(seen.max(api.store.revision()), false).await?;
                    }
                }
                _ = looks.tick() => self.still_may()?,
                _ = asks.tick() => {
                    // Tokens and certificates end by themselves too.
                    self.epoch = 0;
                    self.still_may()?;
                }
                changed = newest.changed() => {
                    changed.map_err(|_| Over)?;
                    seen = self.go_on(seen).await?;
                }
            }
        }
    }

    /// Sends all changes until now.
    async fn go_on(&mut self, mut seen: Revision) -> Result<Revision, Over> {
        loop {
            let found = self.view.api.hub.after(self.view.target.resource.storage(), seen);
            match found {
                // Objects that a webhook converts are awaited on another thread.
                Found::Events(events, _)
                    if !events.is_empty() && self.view.target.resource.conversion().is_some() =>
                {
                    return self.catch_up(seen).await;
                }
                Found::Behind => {
                    // Mostly for a large object.
                    self.is_long = true;
                    seen = self.catch_up(seen).await?;
                    self.is_long = false;
                }
                Found::Events(events, _) if events.is_empty() => return Ok(seen),
                // Thousands of watches may make rows of the same events: each user's in turn.
                Found::Events(events, until)
                    if matches!(self.view.shape, Shape::Table(_))
                        && self.view.target.resource.has_costly_rows() =>
                {
                    self.is_long = true;
                    let read = self.read(move |view| {
                        let lines = events.iter().filter_map(|event| view.line_of(event)).collect();
                        Ok(Lines { lines, next: until })
                    });
                    seen = read.await?;
                    self.is_long = false;
                }
                Found::Events(events, until) => {
                    for event in events {
                        if let Some(line) = self.view.line_of(&event) {
                            self.line(line).await?;
                        }
                        // Thousands of watches hold the same events against their selectors: others come in between.
                        tokio::task::yield_now().await;
                    }
                    seen = until;
                }
            }
        }
    }

    /// Sends the initial objects of the watch; returns their revision.
    async fn start(&mut self) -> Result<Revision, Over> {
        let (at_least, is_marked) = match self.initial {
            Initial::After(revision) => return Ok(revision),
            Initial::State { at_least, is_marked } => (at_least, is_marked),
        };
        let newest = self.view.api.store.revision().number();
        if at_least > newest {
            return Err(self.fail(&ApiError::future(at_least, newest)).await);
        }
        let mut after = None;
        loop {
            let read = self.read(move |view| {
                let target = view.target.clone();
                let namespace = Some(target.namespace.as_str()).filter(|namespace| !namespace.is_empty());
                let mut lines = Vec::new();
                let (api, places) = (Arc::clone(&view.api), Arc::clone(&view.places));
                let resource = &target.resource;
                let mut add = |object| lines.extend(view.wants(&object).then(|| view.line("ADDED", object)));
                let asker = (&*api, Stay { places: Some(&places), pass: None });
                let by = places.party();
                let next = convert::in_turn(asker, resource, || {
                    // A webhook converts the objects of a page together.
                    let mut other = Vec::new();
                    let is_converted = resource.conversion().is_some();
                    let (limit, after) = (Some(limits::PART), after.as_ref());
                    let page = objects::page(&api.store, resource, namespace, limit, after, &by, |object| {
                        match is_converted {
                            true => other.push(object),
                            false => add(object),
                        }
                        Ok(())
                    })?;
                    convert::all(asker, resource, other)?.into_iter().for_each(&mut add);
                    Ok(page)
                })?;
                Ok(Lines { lines, next })
            });
            let (revision, next) = read.await?;
            after = next;
            if after.is_none() {
                if is_marked {
                    self.bookmark(revision, true).await?;
                }
                return Ok(revision);
            }
        }
    }

    /// Reads from the store the objects or events that are not in memory.
    async fn catch_up(&mut self, mut seen: Revision) -> Result<Revision, Over> {
        loop {
            let read = self.read(move |view| {
                let resource = &view.target.resource;
                let read = view.api.store.watch(resource.storage(), None, seen).and_then(|mut watch| {
                    let events = watch.next(Duration::ZERO)?;
                    Ok((events, watch.seen()))
                });
                let (events, now) = read.map_err(|error| failure::store(resource, "", error))?;
                let is_all = events.is_empty();
                let lines = events.into_iter().filter_map(|event| view.line_of_kept(event).transpose());
                Ok(Lines { lines: lines.collect::<ApiResult<_>>()?, next: (now, is_all) })
            });
            let (now, is_all) = read.await?;
            seen = now;
            if is_all {
                return Ok(seen);
            }
        }
    }

    /// Reads lines from the store and sends them. Reading stops while the client does not read.
    async fn read<N: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut View) -> ApiResult<Lines<N>> + Send + 'static,
    ) -> Result<N, Over> {
        let api = Arc::clone(&self.view.api);
        let places = Arc::new(Places::default());
        let Ok(slot) = api.shares.requests.get(&self.party, 1).await else { return Err(self.behind()) };
        places.hold(slot);
        let mut view = View { places: Arc::clone(&places), ..self.view.clone() };
        let act = move || {
            let lines = read(&mut view);
            (view.is_first, lines)
        };
        let done = match self.is_long {
            true => {
                let Ok(turn) = api.shares.long.get(&self.party, 1).await else { return Err(self.behind()) };
                places.hold_turn(turn);
                api.shares.lane.run(act).await
            }
            false => tokio::task::spawn_blocking(act).await.ok(),
        };
        places.end_work();
        let (is_first, read) = done.ok_or(Over)?;
        self.view.is_first = is_first;
        let Lines { lines, next } = match read {
            Ok(lines) => lines,
            Err(error) => return Err(self.fail(&error).await),
        };
        let Ok(lines) = api.shares.hold_all(&self.party, lines).await else { return Err(self.behind()) };
        drop(places);
        for line in lines {
            self.send(line).await?;
        }
        Ok(next)
    }

    async fn bookmark(&mut self, revision: Revision, is_initial: bool) -> Result<(), Over> {
        let resource = &self.view.target.resource;
        let mut object = json!({"kind": resource.kind(), "apiVersion": resource.api_version(),
                                "metadata": {"resourceVersion": revision.to_string()}});
        if self.view.shape == Shape::Metadata {
            object = respond::metadata_of(&object);
        }
        if is_initial {
            put(&mut object, &["metadata", "annotations"], json!({"k8s.io/initial-events-end": "true"}));
        }
        self.line(written("BOOKMARK", &object)).await
    }

    async fn fail(&mut self, error: &ApiError) -> Over {
        drop(self.line(written("ERROR", &error.status())).await);
        Over
    }

    /// Ends the watch of a client that does not read: the events that it has not seen will be compacted by then.
    fn behind(&self) -> Over {
        let error = ApiError::expired("too old resource version: the watch has fallen behind");
        drop(self.sender.try_send(written("ERROR", &error.status())));
        Over
    }

    /// Ends the watch when its user's credentials have ended, or the right to watch.
    fn still_may(&mut self) -> Result<(), Over> {
        let view = &mut self.view;
        let epoch = view.api.epoch.now();
        if epoch == self.epoch {
            return Ok(());
        }
        view.identity = view.api.identify(&self.shown).map_err(|_| Over)?.identity;
        // A watch that selects one name is authorized for that name.
        let name = view.fields.name().unwrap_or(&view.target.name).to_owned();
        let asked = Target { name, ..view.target.clone() };
        view.api.require(&view.identity, "watch", &asked, view.fields.node()).map_err(|_| Over)?;
        self.epoch = epoch;
        Ok(())
    }

    /// Sends a line whose memory is accounted for until it is sent.
    async fn line(&mut self, line: Bytes) -> Result<(), Over> {
        let api = Arc::clone(&self.view.api);
        match api.shares.hold(&self.party, line).await {
            Ok(line) => self.send(line).await,
            Err(_) => Err(self.behind()),
        }
    }

    /// Sends a line; nothing is sent once the user may no longer watch.
    async fn send(&mut self, line: Bytes) -> Result<(), Over> {
        self.still_may()?;
        match tokio::time::timeout(limits::PART_TIME, self.sender.send(line)).await {
            Ok(sent) => sent.map_err(|_| Over),
            Err(_) => Err(Over),
        }
    }
}

/// A line of a watch.
fn written(kind: &str, object: &Value) -> Bytes {
    Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

impl View {
    fn wants(&self, object: &Value) -> bool {
        let resource = &self.target.resource;
        self.labels.matches(object)
            && self.fields.matches(object)
            && verb::is_visible(&self.api.policy, &self.identity, resource, object)
    }

    /// The event of a stored change for this watch, if any.
    fn line_of_kept(&mut self, event: palisade_store::Event) -> ApiResult<Option<Bytes>> {
        let size = event.value.len() + event.previous.as_ref().map_or(0, Vec::len);
        let (resource, by) = (&self.target.resource, self.places.party());
        if resource.conversion().is_none() {
            return Ok(alone(&by, size, || Event::of(event).and_then(|event| self.line_of(&event))));
        }
        if !self.is_within(&event.key.namespace) {
            return Ok(None);
        }
        // The webhook may take its time, so that it is not asked where other large objects wait to be read.
        let (api, places, resource) = (Arc::clone(&self.api), Arc::clone(&self.places), resource.clone());
        let asker = (&*api, Stay { places: Some(&places), pass: None });
        convert::in_turn(asker, &resource, || {
            let Some(mut event) = alone(&by, size, || Event::of(event)) else { return Ok(None) };
            let both = [Some(event.object), event.previous].into_iter().flatten().collect();
            let mut both = convert::all(asker, &resource, both)?.into_iter();
            event.object = both.next().unwrap_or_default();
            event.previous = both.next();
            Ok(self.line_of(&event))
        })
    }

    /// Whether the watch is of this namespace, or of all.
    fn is_within(&self, namespace: &str) -> bool {
        self.target.namespace.is_empty() || namespace == self.target.namespace
    }

    /// The event of a change for this watch, if any.
    fn line_of(&mut self, event: &Event) -> Option<Bytes> {
        if !self.is_within(&event.namespace) {
            return None;
        }
        let was = event.previous.as_ref().is_some_and(|previous| self.wants(previous));
        let is = event.change != Change::Deleted && self.wants(&event.object);
        // A deletion shows the last state of the object, so the selector applies to that.
        let was = was || (event.change == Change::Deleted && self.wants(&event.object));
        let kind = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        let shown = match &event.previous {
            // An object that is no longer selected is shown as it was when it last was.
            Some(previous) if kind == "DELETED" && event.change != Change::Deleted => previous,
            _ => &event.object,
        };
        Some(self.line(kind, shown.clone()))
    }

    fn line(&mut self, kind: &str, object: Value) -> Bytes {
        let resource = &self.target.resource;
        let mut object = resource.show(object);
        match self.shape {
            Shape::Object => {}
            Shape::Metadata => object = respond::metadata_of(&object),
            Shape::Table(include) => {
                object = table::of(resource, &object, include, self.is_first, Timestamp::now());
            }
        }
        self.is_first = false;
        written(kind, &object)
    }
}
