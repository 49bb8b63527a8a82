//! Events of all resources in order, as controllers read them.

use std::sync::Arc;
use std::time::Duration;

use palisade_store::{Revision, Store, StoreError};

use crate::event::Event;
use crate::hub::{Found, Hub};

/// A controller's place in the history of all resources.
#[derive(Debug)]
pub struct Follower {
    hub: Arc<Hub>,
    store: Store,
    seen: Revision,
}

impl Follower {
    /// Follows from after a revision.
    #[must_use]
    pub fn new(hub: &Arc<Hub>, store: &Store, seen: Revision) -> Self {
        Self { hub: Arc::clone(hub), store: store.clone(), seen }
    }

    /// Up to where all events have been returned.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.seen
    }

    /// Goes on from after a revision.
    pub fn jump(&mut self, seen: Revision) {
        self.seen = seen;
    }

    /// The next events; waits for one for as long as `time`, then returns none.
    ///
    /// # Errors
    ///
    /// The next writes are compacted away, or the disk fails.
    pub fn next(&mut self, time: Duration) -> Result<Vec<Arc<Event>>, StoreError> {
        match self.hub.follow(self.seen, time) {
            Found::Events(events, until) => {
                self.seen = until;
                Ok(events)
            }
            Found::Behind => self.read(),
        }
    }

    /// The namespaces of the next events that are meant; waits for one for as long as `time`, then gives none. Of events that
    /// only the store has left, all are meant: they are not read.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub fn namespaces(
        &mut self,
        time: Duration,
        are_meant: impl Fn(&Event) -> bool,
    ) -> Result<Vec<String>, StoreError> {
        let found: Vec<String> = match self.hub.follow(self.seen, time) {
            Found::Events(events, until) => {
                self.seen = until;
                let meant = events.iter().filter(|event| are_meant(event));
                meant.map(|event| event.namespace.clone()).collect()
            }
            Found::Behind => {
                let (namespaces, until) = self.store.touched(self.seen)?;
                self.seen = until;
                namespaces
            }
        };
        Ok(found.into_iter().filter(|namespace| !namespace.is_empty()).collect())
    }

    fn read(&mut self) -> Result<Vec<Arc<Event>>, StoreError> {
        let mut watch = self.store.watch_all(self.seen)?;
        let events = watch.next(Duration::ZERO)?;
        self.seen = watch.seen();
        Ok(events.into_iter().filter_map(Event::of).map(Arc::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use palisade_store::Key;

    use super::*;

    #[test]
    fn events_are_followed_in_the_hub_and_beyond_it() {
        let store = Store::ephemeral().unwrap();
        let create = |at: usize, size: usize| {
            let value = serde_json::json!({"metadata": {"name": at.to_string()}, "data": "x".repeat(size)});
            store.create(&Key::new("configmaps", "n", at.to_string()), value.to_string().as_bytes()).unwrap()
        };
        let first = create(0, 1);
        let hub = Hub::start(&store);
        let mut followers =
            [store.revision(), Revision::default()].map(|seen| Follower::new(&hub, &store, seen));
        // The third is too large to be kept in the hub.
        for at in 1..=4 {
            create(at, if at == 3 { 1 << 20 } else { 1 });
        }
        let newest = store.revision();
        let names = followers.each_mut().map(|follower| {
            let mut names = Vec::new();
            while follower.seen() < newest {
                let events = follower.next(Duration::from_secs(30)).unwrap();
                names.extend(events.iter().map(|event| event.name.clone()));
            }
            names.join(" ")
        });
        assert_eq!(names, ["1 2 3 4", "0 1 2 3 4"]);
        assert!(followers[0].next(Duration::ZERO).unwrap().is_empty());
        // A follower that is behind gets the namespaces without what was written.
        followers[1].jump(Revision::default());
        assert_eq!(followers[1].namespaces(Duration::ZERO, |_| false).unwrap(), ["n"]);
        assert_eq!(followers[1].seen(), newest);
        create(5, 1);
        for (are_meant, expected) in [(false, vec![]), (true, vec!["n".to_owned()])] {
            followers[1].jump(newest);
            assert_eq!(followers[1].namespaces(Duration::from_secs(30), |_| are_meant).unwrap(), expected);
        }
        let newest = store.revision();
        store.compact(newest).unwrap();
        followers[0].jump(first);
        let error = followers[0].next(Duration::ZERO).err();
        assert!(matches!(error, Some(StoreError::Compacted { .. })), "{error:?}");
    }
}
