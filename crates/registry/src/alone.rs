//! Large objects of lists and watches are read one at a time in all, since each takes many times its size, in turns among those
//! who ask for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Size of an object, in bytes, from which on it is read where no other such is.
const LARGE: usize = 128 * 1024;
static TURN: Turn = Turn::new();

/// Reads an object of a size, of large ones one at a time. Each name that waits is served once before any is served twice,
/// however many of its requests wait.
pub fn alone<T>(by: &str, size: usize, read: impl FnOnce() -> T) -> T {
    let _held = (size > LARGE).then(|| TURN.take(by));
    read()
}

/// A lock that is given to names in rounds: start-time fair queueing with requests of equal cost (Goyal and others, 1996).
#[derive(Debug)]
struct Turn {
    state: Mutex<Option<State>>,
    is_given: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The ticket of the holder.
    holder: Option<u64>,
    tickets: u64,
    /// The round of the last holder.
    now: u64,
    names: HashMap<String, Name>,
}

/// A name that waits for the lock, or was served in this round.
#[derive(Debug, Default)]
struct Name {
    /// Its tickets, the first first.
    waiting: VecDeque<u64>,
    /// The round in which it is served next.
    round: u64,
}

/// The lock, until this is dropped.
#[derive(Debug)]
struct Held<'t>(&'t Turn);

impl Turn {
    const fn new() -> Self {
        Self { state: Mutex::new(None), is_given: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, by: &str) -> Held<'_> {
        let mut guard = self.state();
        let state = guard.get_or_insert_default();
        let ticket = state.queue(by);
        state.give();
        let is_other = |state: &mut Option<State>| state.as_ref().is_some_and(|it| it.holder != Some(ticket));
        drop(self.is_given.wait_while(guard, is_other).unwrap_or_else(PoisonError::into_inner));
        Held(self)
    }
}

impl State {
    fn queue(&mut self, by: &str) -> u64 {
        self.tickets += 1;
        let name = self.names.entry(by.to_owned()).or_default();
        name.round = name.round.max(self.now);
        name.waiting.push_back(self.tickets);
        self.tickets
    }

    /// Gives the lock to the next, if nobody holds it.
    fn give(&mut self) {
        if self.holder.is_some() {
            return;
        }
        // A name that was served in this round is remembered, so that it does not come first again when it comes back.
        let now = self.now;
        self.names.retain(|_, name| !name.waiting.is_empty() || name.round > now);
        let waiting = self.names.values_mut().filter(|name| !name.waiting.is_empty());
        let Some(name) = waiting.min_by_key(|name| (name.round, name.waiting.front().copied())) else {
            (self.now, self.names) = (0, HashMap::new());
            return;
        };
        self.holder = name.waiting.pop_front();
        self.now = name.round;
        name.round += 1;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0.state().as_mut() {
            state.holder = None;
            state.give();
        }
        self.0.is_given.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn users_come_in_turns_however_many_of_their_requests_wait() {
        let (turn, order) = (Turn::new(), Arc::new(Mutex::new(Vec::new())));
        let waiting = |turn: &Turn| {
            let guard = turn.state();
            guard.iter().flat_map(|state| state.names.values()).map(|name| name.waiting.len()).sum::<usize>()
        };
        std::thread::scope(|threads| {
            let held = turn.take("alice");
            for (at, name) in
                ["alice", "alice", "alice", "bob", "alice", "carol", "bob"].into_iter().enumerate()
            {
                let (turn, order) = (&turn, Arc::clone(&order));
                threads.spawn(move || {
                    let _held = turn.take(name);
                    order.lock().unwrap().push(name);
                });
                while waiting(turn) <= at {
                    std::thread::yield_now();
                }
            }
            drop(held);
        });
        // Alice held it, so she is behind all who have not.
        assert_eq!(*order.lock().unwrap(), ["bob", "carol", "alice", "bob", "alice", "alice", "alice"]);
        turn.state().as_mut().unwrap().give();
        assert!(turn.state().as_ref().unwrap().names.is_empty(), "nobody is remembered");
    }

    #[test]
    fn names_that_come_back_at_once_are_served_alike() {
        let (mut state, mut owners) = (State::default(), HashMap::new());
        let mut served = HashMap::from([("alice", 0), ("bob", 0), ("carol", 0)]);
        for name in ["alice", "alice", "bob", "carol"] {
            owners.insert(state.queue(name), name);
        }
        state.give();
        for _ in 0..300 {
            let name = owners[&state.holder.take().unwrap()];
            *served.get_mut(name).unwrap() += 1;
            state.give();
            owners.insert(state.queue(name), name);
        }
        assert!(served.values().all(|times| (99..=101).contains(times)), "{served:?}");
    }

    #[test]
    fn small_objects_wait_for_nobody() {
        let _held = TURN.take("alice");
        assert_eq!(alone("bob", LARGE, || 5), 5);
    }
}
