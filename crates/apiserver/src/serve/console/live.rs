//! Events for pages: they say only that something has changed which their reader may watch.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use palisade_https::Body;
use palisade_store::Revision;
use tokio::sync::{mpsc, watch};

use super::view::{self, Reader};
use super::{Attended, Head};
use crate::api::Api;
use crate::authenticate::Shown;
use crate::error::ApiResult;
use crate::hub::Found;
use crate::limits;
use crate::resource::Resource;

/// Number of looks without a change between two keep-alive lines: a disconnected client is noticed when something is
/// sent.
const SILENT: u32 = 30;

/// A page that is notified of changes.
struct Live {
    api: Arc<Api>,
    shown: Shown,
    reader: Reader,
    namespace: String,
    heard: Vec<Heard>,
    sender: mpsc::Sender<Bytes>,
    epoch: u64,
}

/// A resource, and the revision up to which its events were read.
struct Heard {
    resource: &'static Resource,
    newest: watch::Receiver<Revision>,
    seen: Revision,
}

/// Begins to notify a page of changes in a namespace, or in all.
pub(super) async fn answer(api: &Arc<Api>, head: &Head, attended: &Attended) -> ApiResult<Response<Body>> {
    let place = api.shares.watches.get(&attended.party, 1).await?;
    let seen = head.query.number("since")?.and_then(|since| Revision::new(since.min(u64::MAX >> 1)));
    let heard = view::beside().map(|resource| {
        let newest = api.hub.listen(resource.storage(), &api.store);
        Heard { resource, newest, seen: seen.unwrap_or_else(|| api.store.revision()) }
    });
    let (sender, receiver) = mpsc::channel(2);
    let live = Live {
        shown: attended.shown.clone(),
        reader: Reader::new(api, &attended.identity),
        namespace: head.query.get("namespace").unwrap_or_default().to_owned(),
        heard: heard.collect(),
        sender,
        epoch: api.epoch.now(),
        api: Arc::clone(api),
    };
    let trail = Arc::clone(&attended.trail);
    trail.started(200);
    tokio::spawn(async move {
        let time = std::time::Duration::from_secs(limits::WATCH);
        // However it ends, browsers reconnect.
        let _over = tokio::time::timeout(time, live.run()).await;
        drop((place, trail));
    });
    Ok(Body::stream("text/event-stream", receiver, None))
}

impl Live {
    /// Sends events until the client disconnects, or its credentials end.
    async fn run(mut self) -> Option<()> {
        self.send(Bytes::from_static(b"retry: 5000\n\n")).await?;
        let (mut looks, mut asks) =
            (tokio::time::interval(limits::SETTLE), tokio::time::interval(limits::WATCH_ASK));
        let mut silent = 0;
        loop {
            tokio::select! {
                () = self.sender.closed() => return None,
                _ = asks.tick() => self.epoch = 0,
                _ = looks.tick() => {}
            }
            self.identify()?;
            silent += 1;
            if self.has_changed() {
                let line = format!("id: {}\nevent: change\ndata:\n\n", self.api.store.revision());
                self.send(Bytes::from(line)).await?;
                silent = 0;
            } else if silent >= SILENT {
                self.send(Bytes::from_static(b":\n\n")).await?;
                silent = 0;
            }
        }
    }

    async fn send(&self, line: Bytes) -> Option<()> {
        tokio::time::timeout(limits::PART_TIME, self.sender.send(line)).await.ok()?.ok()
    }

    /// Authenticates the page's user again, where rights may have ended or the session may have expired.
    fn identify(&mut self) -> Option<()> {
        let epoch = self.api.epoch.now();
        if epoch != self.epoch {
            let identity = self.api.identify(&self.shown).ok()?.identity;
            if identity.name != self.reader.name() {
                return None;
            }
            self.reader = Reader::new(&self.api, &identity);
            self.epoch = epoch;
        }
        Some(())
    }

    fn has_changed(&mut self) -> bool {
        let Self { api, reader, namespace, heard, .. } = self;
        let mut changed = false;
        for heard in heard {
            let newest = *heard.newest.borrow_and_update();
            while heard.seen < newest {
                match api.hub.after(heard.resource.storage(), heard.seen) {
                    Found::Behind => {
                        heard.seen = newest;
                        changed |= reader.may("watch", heard.resource, namespace, "");
                    }
                    Found::Events(events, _) if events.is_empty() => heard.seen = newest,
                    Found::Events(events, until) => {
                        heard.seen = until;
                        changed |= events.iter().any(|event| {
                            let is_here = namespace.is_empty()
                                || event.namespace.is_empty()
                                || event.namespace == *namespace;
                            is_here && reader.sees(heard.resource, &event.namespace, &event.name)
                        });
                    }
                }
            }
        }
        changed
    }
}
