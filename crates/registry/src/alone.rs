//! Large objects of lists and watches are read one at a time in all, since each takes many times its size, in turns among those
//! who ask for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Size of an object, in bytes, from which on it is read where no other such is.
const LARGE: usize = 128 * 1024;
static TURN: Turn = Turn::new();

/// Reads an object of a size, of large ones one at a time. Of those who wait, the one comes first who was last served longest ago,
/// however many of their requests wait.
pub fn alone<T>(by: &str, size: usize, read: impl FnOnce() -> T) -> T {
    let _held = (size > LARGE).then(|| TURN.take(by));
    read()
}

/// A lock that is given to names in turns.
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
    /// How often it was given.
    turns: u64,
    names: HashMap<String, Name>,
}

/// A name that holds the lock, or waits for it.
#[derive(Debug, Default)]
struct Name {
    /// Its tickets, the first first.
    waiting: VecDeque<u64>,
    /// The turn in which it was last served; 0 if it was not since it came.
    served: u64,
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
        self.names.entry(by.to_owned()).or_default().waiting.push_back(self.tickets);
        self.tickets
    }

    /// Gives the lock to the next, if nobody holds it.
    fn give(&mut self) {
        if self.holder.is_some() {
            return;
        }
        // A name is forgotten once nothing of it waits: who comes now and then is never behind who always does.
        self.names.retain(|_, name| !name.waiting.is_empty());
        let first = self.names.values_mut().min_by_key(|name| (name.served, name.waiting.front().copied()));
        let Some(name) = first else { return };
        self.holder = name.waiting.pop_front();
        self.turns += 1;
        name.served = self.turns;
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
    fn small_objects_wait_for_nobody() {
        let _held = TURN.take("alice");
        assert_eq!(alone("bob", LARGE, || 5), 5);
    }
}
