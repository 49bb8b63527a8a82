//! Events of the store, read and parsed once for all watches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use palisade_store::{Change, Revision, Store};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::limits;
use crate::objects;

/// A write of an object, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) revision: Revision,
    pub(crate) change: Change,
    pub(crate) storage: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) object: Value,
    /// The object before the write.
    pub(crate) previous: Option<Value>,
}

impl Event {
    pub(crate) fn of(event: palisade_store::Event) -> Option<Self> {
        let object = objects::parse(&event.value, event.revision).ok()?;
        let previous = event.previous.and_then(|bytes| objects::parse(&bytes, event.revision).ok());
        Some(Self {
            revision: event.revision,
            change: event.change,
            storage: event.key.resource,
            namespace: event.key.namespace,
            name: event.key.name,
            object,
            previous,
        })
    }
}

/// Channels by which watchers hear of writes, by resource.
#[derive(Debug)]
pub(crate) struct Hub {
    channels: Mutex<HashMap<String, broadcast::Sender<Arc<Event>>>>,
}

impl Hub {
    /// Starts to read what happens after now, until the store is the only one left that knows of the hub.
    pub(crate) fn start(store: &Store) -> Arc<Self> {
        let hub = Arc::new(Self { channels: Mutex::default() });
        let (store, weak) = (store.clone(), Arc::downgrade(&hub));
        let mut seen = store.revision();
        std::thread::spawn(move || {
            let mut watch = store.watch_all(seen);
            while let Some(hub) = weak.upgrade() {
                let events =
                    watch.as_mut().ok().and_then(|watch| watch.next(Duration::from_millis(500)).ok());
                match events {
                    Some(events) => {
                        hub.tell(events);
                        seen = watch.as_ref().map_or(seen, palisade_store::Watch::seen);
                    }
                    None => {
                        // What was missed is compacted away: whoever listens has to list again.
                        tracing::warn!("the events after revision {seen} are gone; watches end");
                        hub.channels.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        seen = store.revision();
                        watch = store.watch_all(seen);
                    }
                }
            }
        });
        hub
    }

    /// Listens to the writes of a resource from now on.
    pub(crate) fn listen(&self, storage: &str) -> broadcast::Receiver<Arc<Event>> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        channels
            .entry(storage.to_owned())
            .or_insert_with(|| broadcast::channel(limits::BACKLOG).0)
            .subscribe()
    }

    fn tell(&self, events: Vec<palisade_store::Event>) {
        for event in events {
            let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(sender) = channels.get(&event.key.resource).cloned() else { continue };
            drop(channels);
            if sender.receiver_count() > 0
                && let Some(event) = Event::of(event)
            {
                // Nobody listening any more is no error.
                let _ = sender.send(Arc::new(event));
            }
        }
    }
}
