//! The end of events: they last for a while after they were last written, as with the `--event-ttl` of a kube-apiserver.
//! Controllers make new ones for as long as the server runs.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use palisade_store::Key;

use super::Controller;
use crate::error::Reason;
use crate::resource;
use crate::{failure, limits, remove};

/// The place of events in the store.
const EVENTS: &str = "events";
/// Events that are deleted in one turn.
const AT_ONCE: usize = 200;

/// When events end.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    due: BTreeSet<(Instant, Key)>,
    of: HashMap<Key, Instant>,
}

impl Expiry {
    /// Notes that an object was written, if it is an event.
    pub(super) fn learn(&mut self, key: &Key, now: Instant) {
        if key.resource == EVENTS {
            self.forget(key);
            let end = now + limits::EVENT;
            self.due.insert((end, key.clone()));
            self.of.insert(key.clone(), end);
        }
    }

    /// Notes that an object is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(end) = self.of.remove(key) {
            self.due.remove(&(end, key.clone()));
        }
    }

    /// Some events whose time has come.
    fn take(&mut self, now: Instant) -> Vec<Key> {
        let over = self.due.iter().take_while(|(end, _)| *end <= now).take(AT_ONCE);
        let over: Vec<Key> = over.map(|(_, key)| key.clone()).collect();
        over.iter().for_each(|key| self.forget(key));
        over
    }
}

/// Deletes events whose time has come.
pub(super) fn sweep(controller: &mut Controller<'_>) {
    let now = Instant::now();
    let Some(events) = resource::of_storage(EVENTS) else { return };
    for key in controller.expiry.take(now) {
        let removed =
            failure::guarded(|| remove::remove(controller.api, events, &key.namespace, &key.name, None));
        match removed {
            Err(error) if error.reason != Reason::NotFound => {
                tracing::warn!("event {}/{} cannot be deleted: {}", key.namespace, key.name, error.message);
                controller.expiry.learn(&key, now);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn events_last_for_their_time_after_they_were_last_written() {
        let (mut expiry, start) = (Expiry::default(), Instant::now());
        let key = |name: &str| Key::new(EVENTS, "shop", name);
        for name in ["again", "gone", "once"] {
            expiry.learn(&key(name), start);
        }
        expiry.learn(&Key::new("pods", "shop", "p"), start);
        expiry.learn(&key("again"), start + Duration::from_secs(5));
        expiry.forget(&key("gone"));
        assert!(expiry.take(start + limits::EVENT - Duration::from_secs(1)).is_empty());
        assert_eq!(expiry.take(start + limits::EVENT), [key("once")]);
        assert_eq!(expiry.take(start + limits::EVENT * 2), [key("again")]);
        assert!(expiry.due.is_empty() && expiry.of.is_empty());
    }
}
