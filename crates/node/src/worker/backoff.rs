//! Back-off: what fails again and again is tried less and less often.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The first and the longest wait between two tries. Each wait is twice as long as the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    first: Duration,
    longest: Duration,
}

impl Pace {
    const fn seconds(first: u64, longest: u64) -> Self {
        Self { first: Duration::from_secs(first), longest: Duration::from_secs(longest) }
    }
}

/// Restarts, pulls, and containers that the engine does not start, as in a kubelet.
pub(super) const CONTAINER: Pace = Pace::seconds(10, 300);
/// Sandboxes that the engine does not start.
pub(super) const SANDBOX: Pace = Pace::seconds(2, 300);
/// Volumes and settings, which often lack only an object that is created a moment later.
pub(super) const OBJECTS: Pace = Pace::seconds(2, 60);

/// How long a container ran for its crashes before to be forgotten, as in a kubelet.
pub(super) const RECOVERED: Duration = Duration::from_secs(600);

/// The consecutive failures of each thing, by a key.
#[derive(Debug, Default)]
pub(crate) struct BackOff(BTreeMap<String, Wait>);

#[derive(Clone, Copy, Debug)]
struct Wait {
    delay: Duration,
    until: Instant,
}

impl BackOff {
    /// Records a failure; returns the time until the next permitted try.
    pub(super) fn fail(&mut self, key: &str, pace: Pace, now: Instant) -> Duration {
        let last = self.0.get(key).map_or(Duration::ZERO, |wait| wait.delay);
        let delay = (last * 2).clamp(pace.first, pace.longest);
        self.0.insert(key.to_owned(), Wait { delay, until: now + delay });
        delay
    }

    /// Permits a try at once; the next failure waits for the first time.
    pub(super) fn permit(&mut self, key: &str, now: Instant) {
        self.0.insert(key.to_owned(), Wait { delay: Duration::ZERO, until: now });
    }

    /// The time until the next permitted try, if that is not now.
    pub(super) fn left(&self, key: &str, now: Instant) -> Option<Duration> {
        self.0.get(key).filter(|wait| wait.until > now).map(|wait| wait.until - now)
    }

    /// Whether there were failures.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Forgets the failures of something that works.
    pub(super) fn forget(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_success() {
        for (pace, expected) in [
            (CONTAINER, [10, 20, 40, 80, 160, 300, 300]),
            (SANDBOX, [2, 4, 8, 16, 32, 64, 128]),
            (OBJECTS, [2, 4, 8, 16, 32, 60, 60]),
        ] {
            let (mut back_off, mut now) = (BackOff::default(), Instant::now());
            for seconds in expected {
                let delay = back_off.fail("a", pace, now);
                assert_eq!(delay.as_secs(), seconds, "{pace:?}");
                assert_eq!((back_off.left("a", now), back_off.left("b", now)), (Some(delay), None));
                now += delay;
                assert_eq!(back_off.left("a", now), None);
            }
            back_off.forget("a");
            assert_eq!(back_off.fail("a", pace, now), pace.first);
        }
    }

    #[test]
    fn what_is_permitted_waits_for_the_first_time_after_its_next_failure() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        back_off.permit("a", now);
        assert_eq!((back_off.left("a", now), back_off.knows("a")), (None, true));
        assert_eq!(back_off.fail("a", CONTAINER, now), CONTAINER.first);
    }
}
