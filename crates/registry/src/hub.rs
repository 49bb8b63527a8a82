//! Events of the store, read and parsed once for all watches and controllers.
//!
//! A watch holds nothing but how far it has seen. The newest events of each resource, and those of all, are kept here as
//! far as they are not large; a watch or a controller that is further behind, or that meets a large one, reads the store.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use palisade_store::{Revision, Store};
use tokio::sync::watch;

pub use crate::event::Event;
use crate::limits;
use crate::recent::Recent;

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
    recent: Recent,
    newest: watch::Sender<Revision>,
}

/// The channel of watches and controllers.
#[derive(Debug)]
pub struct Hub {
    state: Mutex<State>,
    /// Notified when events have been read.
    is_told: Condvar,
}

#[derive(Debug)]
struct State {
    windows: HashMap<String, Window>,
    /// The weight of the events of all windows.
    weight: usize,
    /// The newest events of all resources.
    all: Recent,
    /// Events up to this revision have been read.
    told: Revision,
}

impl Hub {
    /// Starts to read what happens after now, until the store is the only one left that knows of the hub.
    pub fn start(store: &Store) -> Arc<Self> {
        let mut seen = store.revision();
        let hub = Arc::new(Self::new(seen));
        let (store, weak) = (store.clone(), Arc::downgrade(&hub));
        std::thread::spawn(move || {
            let mut watch = store.watch_all(seen);
            while let Some(hub) = weak.upgrade() {
                let events =
                    watch.as_mut().ok().and_then(|watch| watch.next(Duration::from_millis(500)).ok());
                match events {
                    Some(events) => {
                        events.into_iter().for_each(|event| hub.tell(event));
                        seen = watch.as_ref().map_or(seen, palisade_store::Watch::seen);
                        hub.advance(seen);
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

    fn new(seen: Revision) -> Self {
        let state = State { windows: HashMap::new(), weight: 0, all: Recent::new(seen), told: seen };
        Self { state: Mutex::new(state), is_told: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of the writes of a resource from now on.
    pub fn listen(&self, storage: &str, store: &Store) -> watch::Receiver<Revision> {
        let mut state = self.state();
        // Under the lock: what is told later has a later revision.
        let now = store.revision();
        let window = state
            .windows
            .entry(storage.to_owned())
            .or_insert_with(|| Window { recent: Recent::new(now), newest: watch::Sender::new(now) });
        window.newest.subscribe()
    }

    /// Forgets a deleted resource, unless a watch still listens.
    pub fn forget(&self, storage: &str) {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.windows.get(storage).is_some_and(|window| window.newest.receiver_count() == 0)
            && let Some(window) = state.windows.remove(storage)
        {
            state.weight -= window.recent.weight();
        }
    }

    /// The events of a resource after the last that a watch has seen.
    pub fn after(&self, storage: &str, seen: Revision) -> Found {
        let state = self.state();
        let window = state.windows.get(storage);
        let Some(events) = window.and_then(|window| window.recent.after(seen, limits::BACKLOG)) else {
            return Found::Behind;
        };
        let until = events.last().map_or(seen, |event| event.revision);
        Found::Events(events, until)
    }

    /// The events of all resources after a revision; waits for one for as long as `time`.
    pub(crate) fn follow(&self, seen: Revision, time: Duration) -> Found {
        let deadline = Instant::now() + time;
        let mut state = self.state();
        loop {
            let Some(events) = state.all.after(seen, limits::FOLLOWED) else { return Found::Behind };
            let left = deadline.saturating_duration_since(Instant::now());
            if !events.is_empty() || left.is_zero() {
                let until = match events.last() {
                    Some(last) if events.len() == limits::FOLLOWED => last.revision,
                    _ => state.told.max(seen),
                };
                return Found::Events(events, until);
            }
            state = self.is_told.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn tell(&self, event: palisade_store::Event) {
        let most = limits::EVENTS[2];
        let (storage, revision) = (event.key.resource.clone(), event.revision);
        let is_large = event.value.len() + event.previous.as_ref().map_or(0, Vec::len) > most;
        let event = if is_large { None } else { Event::of(event) };
        let weighed = event.map(|event| (event.weight(), Arc::new(event)));
        let kept = weighed.filter(|(weight, _)| *weight <= most);
        let mut state = self.state();
        match &kept {
            Some((weight, event)) => state.all.add(*weight, Arc::clone(event), limits::ALL_EVENTS),
            None => state.all.forget_all(revision),
        };
        state.tell_watches(&storage, revision, kept);
    }

    /// All events up to a revision have been told.
    fn advance(&self, seen: Revision) {
        self.state().told = seen;
        self.is_told.notify_all();
    }

    /// Forgets all events: those up to a revision are not known here.
    fn skip(&self, until: Revision) {
        let mut guard = self.state();
        let state = &mut *guard;
        for window in state.windows.values_mut() {
            state.weight -= window.recent.forget_all(until);
            window.newest.send_replace(until);
        }
        state.all.forget_all(until);
        drop(guard);
        self.advance(until);
    }
}

impl State {
    /// Keeps an event for the watches of its resource, if there are any; none if only the store has it.
    fn tell_watches(&mut self, storage: &str, revision: Revision, event: Option<(usize, Arc<Event>)>) {
        let [all, each, _] = limits::EVENTS;
        let Some(window) = self.windows.get_mut(storage) else { return };
        match event.filter(|_| window.newest.receiver_count() > 0) {
            Some((weight, event)) => {
                self.weight += weight;
                self.weight -= window.recent.add(weight, event, each);
                while self.weight > all && window.recent.len() > 1 {
                    self.weight -= window.recent.forget();
                }
            }
            None => self.weight -= window.recent.forget_all(revision),
        }
        window.newest.send_replace(revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_store::{Change, Key};

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
        let hub = Hub::new(Revision::default());
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
        assert_eq!(state.weight, state.windows["configmaps"].recent.weight());
        assert!(state.all.weight() <= limits::ALL_EVENTS, "{}", state.all.weight());
    }

    #[test]
    fn events_of_all_resources_are_followed_and_a_large_one_is_read_from_the_store() {
        let hub = Hub::new(Revision::default());
        let at = |number| Revision::new(number).unwrap();
        let follow = |seen| match hub.follow(at(seen), Duration::ZERO) {
            Found::Events(events, until) => Some((events.len(), until.number())),
            Found::Behind => None,
        };
        (1..=3).for_each(|n| hub.tell(event(n, 10)));
        // A revision that concerns nobody is passed, too.
        hub.advance(at(5));
        assert_eq!(
            (follow(0), follow(2), follow(5), follow(7)),
            (Some((3, 5)), Some((1, 5)), Some((0, 5)), Some((0, 7)))
        );
        hub.tell(event(8, limits::EVENTS[2]));
        assert_eq!((follow(7), follow(8)), (None, Some((0, 8))));
        hub.skip(at(20));
        assert_eq!((follow(19), follow(20)), (None, Some((0, 20))));
    }
}
