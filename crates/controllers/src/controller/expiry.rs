//! The end of events: they last for a while after they were last written, as with the `--event-ttl` of a kube-apiserver.
//! Controllers make new ones for as long as the server runs.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use palisade_store::Key;
use serde_json::Value;

use super::Controller;
use crate::error::Reason;
use crate::resource::{self, text};
use crate::{failure, limits};

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
        self.ends(key, now + limits::EVENT);
    }

    /// Notes an object that is there as the server starts, if it is an event: its own times say when it was last written.
    pub(super) fn find(&mut self, key: &Key, object: &Value, now: Instant, time: Timestamp) {
        let age = last_time(object).and_then(|last| Duration::try_from(time - last).ok()).unwrap_or_default();
        self.ends(key, now + limits::EVENT.saturating_sub(age));
    }

    fn ends(&mut self, key: &Key, end: Instant) {
        if key.resource == EVENTS {
            self.forget(key);
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

/// The latest of the times that an event has.
fn last_time(event: &Value) -> Option<Timestamp> {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    times.iter().filter_map(|at| text(event, at).parse().ok()).max()
}

/// Deletes events whose time has come.
pub(super) fn sweep(controller: &mut Controller<'_>) {
    let now = Instant::now();
    let Some(events) = resource::of_storage(EVENTS) else { return };
    for key in controller.expiry.take(now) {
        let removed = failure::guarded(|| controller.api.remove(events, &key.namespace, &key.name, None));
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
    use serde_json::json;

    use super::*;

    #[test]
    fn events_that_are_there_at_the_start_have_the_rest_of_their_time() {
        let (mut expiry, start) = (Expiry::default(), Instant::now());
        let time: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let found = [
            ("old", json!({"metadata": {"creationTimestamp": "2026-01-01T10:00:00Z"}})),
            (
                "half",
                json!({"metadata": {"creationTimestamp": "2026-01-01T10:00:00Z"}, "lastTimestamp": "2026-01-01T11:30:00Z"}),
            ),
            ("early", json!({"metadata": {"creationTimestamp": "2026-01-01T13:00:00Z"}})),
            ("odd", json!({"metadata": {"creationTimestamp": "never"}})),
        ];
        for (name, object) in &found {
            expiry.find(&Key::new(EVENTS, "shop", *name), object, start, time);
        }
        let mut at = |minutes: u64| -> Vec<String> {
            expiry.take(start + Duration::from_secs(60 * minutes)).into_iter().map(|key| key.name).collect()
        };
        assert_eq!((at(0), at(29), at(30)), (vec!["old".to_owned()], vec![], vec!["half".to_owned()]));
        assert_eq!((at(59), at(60).len()), (vec![], 2));
    }

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
