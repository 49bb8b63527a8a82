//! The newest events, bounded by weight.

use std::collections::VecDeque;
use std::sync::Arc;

use palisade_store::Revision;

use crate::event::Event;

/// All events after a revision.
#[derive(Debug)]
pub(crate) struct Recent {
    since: Revision,
    events: VecDeque<(usize, Arc<Event>)>,
    weight: usize,
}

impl Recent {
    pub(crate) fn new(since: Revision) -> Self {
        Self { since, events: VecDeque::new(), weight: 0 }
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// Some events after a revision; none if some of them are forgotten.
    pub(crate) fn after(&self, seen: Revision, most: usize) -> Option<Vec<Arc<Event>>> {
        if seen < self.since {
            return None;
        }
        let first = self.events.partition_point(|(_, event)| event.revision <= seen);
        Some(self.events.range(first..).take(most).map(|(_, event)| Arc::clone(event)).collect())
    }

    /// Adds an event, and forgets the oldest where all weigh more than `most`. Returns the weight that is forgotten.
    pub(crate) fn add(&mut self, weight: usize, event: Arc<Event>, most: usize) -> usize {
        self.events.push_back((weight, event));
        self.weight += weight;
        let mut forgotten = 0;
        while self.weight > most {
            forgotten += self.forget();
        }
        forgotten
    }

    /// Forgets the oldest event. Returns its weight.
    pub(crate) fn forget(&mut self) -> usize {
        let Some((weight, event)) = self.events.pop_front() else { return 0 };
        self.since = event.revision;
        self.weight -= weight;
        weight
    }

    /// Forgets all events up to a revision. Returns their weight.
    pub(crate) fn forget_all(&mut self, until: Revision) -> usize {
        self.events.clear();
        self.since = until;
        std::mem::take(&mut self.weight)
    }
}
