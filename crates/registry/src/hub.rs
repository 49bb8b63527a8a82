//! Events of the store, read and parsed once for all watches.
//!
//! A watch holds nothing but how far it has seen. The newest events of each resource are kept here as far as they are not
//! large; a watch that is further behind, or that meets a large one, reads the store.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use palisade_store::{Change, Revision, Store};
use serde_json::Value;
use tokio::sync::watch;

use crate::limits;
use crate::objects;
use crate::weight;

/// A write of an object, parsed.
#[derive(Clone, Debug)]
pub struct Event {
    /// The write's place among all.
    pub revision: Revision,
    /// Whether the object was made, changed or deleted.
    pub change: Change,
    /// The resource's name in the store.
    pub storage: String,
    /// The object's namespace; empty for an object of the cluster.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object as the write left it; of a deletion, as it was.
    pub object: Value,
    /// The object before the write.
    pub previous: Option<Value>,
}

impl Event {
    /// A write of the store; none if its object is no JSON.
    pub fn of(event: palisade_store::Event) -> Option<Self> {
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

    fn weight(&self) -> usize {
        weight::of(&self.object) + self.previous.as_ref().map_or(0, weight::of)
    }
}

/// The next thing for a watch.
#[derive(Debug)]
pub enum Found {
    /// Events after what it has seen, and up to where it has seen all then.
    Events(Vec<Arc<Event>>, Revision),
    /// The next events are in the store only.
    Behind,
}

/// The newest events of one resource.
#[derive(Debug)]
struct Window {
    /// All events after this are kept.
    since: Revision,
    events: VecDeque<(usize, Arc<Event>)>,
    weight: usize,
    newest: watch::Sender<Revision>,
}

impl Window {
    fn forget(&mut self) -> usize {
        let Some((weight, event)) = self.events.pop_front() else { return 0 };
        self.since = event.revision;
        self.weight -= weight;
        weight
    }

    fn forget_all(&mut self, until: Revision) -> usize {
        let weight = std::mem::take(&mut self.weight);
        self.events.clear();
        self.since = until;
        weight
    }
}

/// The channel of watchers.
#[derive(Debug, Default)]
pub struct Hub {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    windows: HashMap<String, Window>,
    /// The weight of the events of all windows.
    weight: usize,
}

impl Hub {
    /// Starts to read what happens after now, until the store is the only one left that knows of the hub.
    pub fn start(store: &Store) -> Arc<Self> {
        let hub = Arc::new(Self::default());
        let (store, weak) = (store.clone(), Arc::downgrade(&hub));
        let mut seen = store.revision();
        std::thread::spawn(move || {
            let mut watch = store.watch_all(seen);
            while let Some(hub) = weak.upgrade() {
                let events =
                    watch.as_mut().ok().and_then(|watch| watch.next(Duration::from_millis(500)).ok());
                match events {
                    Some(events) => {
                        events.into_iter().for_each(|event| hub.tell(event));
                        seen = watch.as_ref().map_or(seen, palisade_store::Watch::seen);
                    }
                    None => {
                        // Missed events have been compacted: a late watcher finds that out in the store.
                        tracing::warn!("the events after revision {seen} are gone; watches end");
                        seen = store.revision();
                        hub.skip(seen);
                        watch = store.watch_all(seen);
                    }
                }
            }
        });
        hub
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of the writes of a resource from now on.
    pub fn listen(&self, storage: &str, store: &Store) -> watch::Receiver<Revision> {
        let mut state = self.state();
        // Under the lock: what is told later has a later revision.
        let now = store.revision();
        let window = state.windows.entry(storage.to_owned()).or_insert_with(|| Window {
            since: now,
            events: VecDeque::new(),
            weight: 0,
            newest: watch::Sender::new(now),
        });
        window.newest.subscribe()
    }

    /// Forgets a deleted resource, unless a watch still listens.
    pub fn forget(&self, storage: &str) {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.windows.get(storage).is_some_and(|window| window.newest.receiver_count() == 0)
            && let Some(window) = state.windows.remove(storage)
        {
            state.weight -= window.weight;
        }
    }

    /// The events of a resource after the last that a watch has seen.
    pub fn after(&self, storage: &str, seen: Revision) -> Found {
        let state = self.state();
        let Some(window) = state.windows.get(storage).filter(|window| window.since <= seen) else {
            return Found::Behind;
        };
        let first = window.events.partition_point(|(_, event)| event.revision <= seen);
        let events = window.events.range(first..).take(limits::BACKLOG);
        let events: Vec<_> = events.map(|(_, event)| Arc::clone(event)).collect();
        let until = events.last().map_or(seen, |event| event.revision);
        Found::Events(events, until)
    }

    fn tell(&self, event: palisade_store::Event) {
        let [all, each, most] = limits::EVENTS;
        let (storage, revision) = (event.key.resource.clone(), event.revision);
        let is_heard = self.state().windows.get(&storage).map(|window| window.newest.receiver_count() > 0);
        let Some(is_heard) = is_heard else { return };
        let length = event.value.len() + event.previous.as_ref().map_or(0, Vec::len);
        let event = (is_heard && length <= most).then(|| Event::of(event)).flatten();
        let event =
            event.map(|event| (event.weight(), Arc::new(event))).filter(|(weight, _)| *weight <= most);
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(window) = state.windows.get_mut(&storage) else { return };
        match event {
            Some((weight, event)) => {
                window.events.push_back((weight, event));
                window.weight += weight;
                state.weight += weight;
                while window.weight > each || state.weight > all && window.events.len() > 1 {
                    state.weight -= window.forget();
                }
            }
            None => state.weight -= window.forget_all(revision),
        }
        window.newest.send_replace(revision);
    }

    /// Forgets all events: those up to a revision are not known here.
    fn skip(&self, until: Revision) {
        let mut guard = self.state();
        let state = &mut *guard;
        for window in state.windows.values_mut() {
            state.weight -= window.forget_all(until);
            window.newest.send_replace(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_store::Key;

    fn event(revision: u64, length: usize) -> palisade_store::Event {
        let object = serde_json::json!({"metadata": {"name": "a"}, "data": {"x": "x".repeat(length)}});
        palisade_store::Event {
            revision: Revision::new(revision).unwrap(),
            change: Change::Updated,
            key: Key::new("configmaps", "n", "a"),
            value: object.to_string().into_bytes(),
            previous: Some(object.to_string().into_bytes()),
        }
    }

    #[test]
    fn what_is_kept_for_watches_is_bounded() {
        let hub = Hub::default();
        let at = |number| Revision::new(number).unwrap();
        let mut heard = hub.listen("configmaps", &Store::ephemeral().unwrap());
        let count = |seen| match hub.after("configmaps", at(seen)) {
            Found::Events(events, until) => Some((events.len(), until.number())),
            Found::Behind => None,
        };
        assert_eq!(count(0), Some((0, 0)));
        (1..=3).for_each(|n| hub.tell(event(n, 10)));
        assert!(heard.has_changed().unwrap());
        assert_eq!((heard.borrow_and_update().number(), count(0), count(2)), (3, Some((3, 3)), Some((1, 3))));
        // A large one is in the store only, and so is what was before.
        hub.tell(event(4, limits::EVENTS[2]));
        assert_eq!((count(3), count(4)), (None, Some((0, 4))));
        (5..500).for_each(|n| hub.tell(event(n, 100_000)));
        assert_eq!(count(4), None);
        let state = hub.state();
        assert!(state.weight <= limits::EVENTS[1], "{}", state.weight);
        assert_eq!(state.weight, state.windows["configmaps"].weight);
    }
}
