//! Workloads that are run again at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use palisade_store::Key;

/// Workloads with the time of their next run and the number of failures.
#[derive(Debug, Default)]
pub(super) struct Later {
    workloads: BTreeMap<Key, (Instant, u32)>,
    /// Those whose time has not come, in its order.
    times: BTreeSet<(Instant, Key)>,
}

impl Later {
    pub(super) fn insert(&mut self, key: Key, at: Instant, failures: u32) {
        self.remove(&key);
        self.times.insert((at, key.clone()));
        self.workloads.insert(key, (at, failures));
    }

    /// Removes a workload; returns the number of its failures.
    pub(super) fn remove(&mut self, key: &Key) -> u32 {
        let Some((at, failures)) = self.workloads.remove(key) else { return 0 };
        self.times.remove(&(at, key.clone()));
        failures
    }

    /// Those whose time has come, each once.
    pub(super) fn ripe(&mut self, now: Instant) -> Vec<Key> {
        let mut ripe = Vec::new();
        while self.times.first().is_some_and(|(at, _)| *at <= now) {
            ripe.extend(self.times.pop_first().map(|(_, key)| key));
        }
        ripe
    }

    /// The time of the next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Brings the time of those that have failed forward.
    pub(super) fn hurry(&mut self, soon: Instant, are_meant: impl Fn(&Key) -> bool) {
        for (key, (at, failures)) in &mut self.workloads {
            if *failures > 0 && soon < *at && are_meant(key) && self.times.remove(&(*at, key.clone())) {
                *at = soon;
                self.times.insert((soon, key.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_is_ripe_once_at_its_time() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let key = |name: &str| Key::new("apps/deployments", "a", name);
        let mut later = Later::default();
        later.insert(key("x"), at(9), 0);
        later.insert(key("x"), at(5), 0);
        later.insert(key("y"), at(7), 3);
        assert_eq!((later.ripe(at(4)), later.next()), (vec![], Some(at(5))));
        assert_eq!((later.ripe(at(6)), later.next()), (vec![key("x")], Some(at(7))));
        later.hurry(at(6), |_| true);
        assert_eq!(later.ripe(at(6)), [key("y")]);
        assert_eq!((later.ripe(at(99)), later.next()), (vec![], None));
        assert_eq!((later.remove(&key("y")), later.remove(&key("y")), later.remove(&key("x"))), (3, 0, 0));
    }

    #[test]
    fn only_those_that_failed_and_are_meant_come_sooner() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let key = |name: &str| Key::new("apps/deployments", "a", name);
        let mut later = Later::default();
        for (name, failures) in [("fine", 0), ("failed", 1), ("other", 1)] {
            later.insert(key(name), at(60), failures);
        }
        later.hurry(at(1), |key| key.name != "other");
        assert_eq!(later.ripe(at(2)), [key("failed")]);
        later.hurry(at(70), |_| true);
        assert_eq!(later.ripe(at(60)).len(), 2, "none comes later");
    }
}
