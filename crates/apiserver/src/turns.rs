//! Turns: a fair order, so that no namespace's work keeps that of others waiting.
//!
//! Work may wait for admission webhooks for as long as these like. So a namespace whose last work took long, or that has had
//! none yet, never has all threads, and those with quick work come first.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use crate::limits;

/// How long the work of a namespace takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The last took little time.
    Quick,
    /// None has ended yet.
    New,
    /// The last took long.
    Slow,
}

/// The turns of namespaces at some threads.
#[derive(Debug, Default)]
pub(crate) struct Turns<const THREADS: usize> {
    /// Whether the last work of a namespace was quick.
    was_quick: HashMap<String, bool>,
    /// Works that are going on: all that are not quick, and those that are slow.
    going: (usize, usize),
    /// The namespace that had its turn last.
    last: String,
}

impl<const THREADS: usize> Turns<THREADS> {
    fn pace(&self, name: &str) -> Pace {
        match self.was_quick.get(name) {
            Some(true) => Pace::Quick,
            None => Pace::New,
            Some(false) => Pace::Slow,
        }
    }

    /// Whether a namespace of a pace may have a thread: a quarter of them is for quick ones, and slow ones have half of them.
    fn has_thread(&self, pace: Pace) -> bool {
        let (others, slow) = self.going;
        let is_left = others < THREADS - THREADS.div_ceil(4);
        match pace {
            Pace::Quick => true,
            Pace::New => is_left,
            Pace::Slow => is_left && slow < THREADS / 2,
        }
    }

    /// The next name that has work and is free, after the one that had its turn last. A slow one has no turn before others, unless
    /// none is going on.
    pub(crate) fn next<W>(
        &self,
        due: &BTreeMap<String, W>,
        is_free: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let may = |name: &str| self.has_thread(self.pace(name)) && is_free(name);
        let find = |takes: &dyn Fn(&str) -> bool| {
            let after = due.range::<str, _>((Excluded(&*self.last), Unbounded)).map(|(name, _)| name);
            after.chain(due.keys()).find(|name| takes(name)).cloned()
        };
        let prompt = (self.going.1 > 0).then(|| find(&|name| self.pace(name) != Pace::Slow && may(name)));
        prompt.flatten().or_else(|| find(&may))
    }

    /// Work of a namespace begins.
    pub(crate) fn begin(&mut self, name: &str) -> Pace {
        let pace = self.pace(name);
        self.going.0 += usize::from(pace != Pace::Quick);
        self.going.1 += usize::from(pace == Pace::Slow);
        name.clone_into(&mut self.last);
        pace
    }

    /// Work of a namespace that began with a pace has ended.
    pub(crate) fn end(&mut self, name: &str, pace: Pace, took: Duration) {
        self.going.0 -= usize::from(pace != Pace::Quick);
        self.going.1 -= usize::from(pace == Pace::Slow);
        // Namespaces come and go: all are forgotten now and then.
        if self.was_quick.len() >= limits::PACES {
            self.was_quick.clear();
        }
        self.was_quick.insert(name.to_owned(), took < limits::QUICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(30);

    fn due(names: &[&str]) -> BTreeMap<String, ()> {
        names.iter().map(|name| ((*name).to_owned(), ())).collect()
    }

    #[test]
    fn namespaces_take_turns_and_busy_ones_are_skipped() {
        let due = due(&["a", "b", "c"]);
        for (busy, last, wanted) in [
            ("", "", Some("a")),
            ("", "a", Some("b")),
            ("b", "a", Some("c")),
            ("", "c", Some("a")),
            ("ab", "c", Some("c")),
            ("abc", "a", None),
        ] {
            let mut turns = Turns::<8>::default();
            last.clone_into(&mut turns.last);
            let next = turns.next(&due, |name| !busy.contains(name));
            assert_eq!(next.as_deref(), wanted, "{busy} {last}");
        }
    }

    #[test]
    fn slow_namespaces_leave_threads_to_others() {
        let mut turns = Turns::<4>::default();
        let names: Vec<String> = (0..24).map(|n| format!("slow{n:02}")).collect();
        let mut waiting = due(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let free = |_: &str| true;
        for quick in ["quick", "swift"] {
            let pace = turns.begin(quick);
            turns.end(quick, pace, Duration::ZERO);
        }
        // None of the 24 is known to be slow yet: one thread is left.
        let mut going = Vec::new();
        while let Some(name) = turns.next(&waiting, free) {
            waiting.remove(&name);
            going.push((turns.begin(&name), name));
        }
        assert_eq!(going.len(), 3);
        waiting.extend(due(&["quick", "swift"]));
        assert_eq!(turns.next(&waiting, free).as_deref(), Some("swift"));
        // All that had a turn were slow; they have two threads at most, and those that are new come first.
        for (pace, name) in going.drain(..) {
            turns.end(&name, pace, SLOW);
        }
        let mut waiting = due(&["slow00", "slow01", "slow02"]);
        for _ in 0..2 {
            let name = turns.next(&waiting, free).unwrap();
            waiting.remove(&name);
            turns.begin(&name);
        }
        assert_eq!(turns.next(&waiting, free), None, "a third");
        waiting.extend(due(&["new"]));
        assert_eq!(turns.next(&waiting, free).as_deref(), Some("new"));
        turns.begin("new");
        assert_eq!(
            turns.next(&waiting, free),
            None,
            "the last thread is for those that are known to be quick"
        );
        waiting.extend(due(&["swift"]));
        assert_eq!(turns.next(&waiting, free).as_deref(), Some("swift"));
    }
}
