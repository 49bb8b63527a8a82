//! The gate of the store: requests are inside while they read and write, and nobody is while a backup is restored.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::{ApiError, ApiResult};

/// The gate.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    /// Whether a restore waits or goes on: no request enters for the first time.
    is_closed: bool,
    /// Whether a restore goes on.
    is_restoring: bool,
    /// The restores that have begun.
    restores: u64,
}

/// The stay of one request inside.
#[derive(Debug)]
pub(crate) struct Pass<'g> {
    gate: &'g Gate,
    /// The restores when it entered first.
    restores: u64,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, is_in_the_way: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), |state| is_in_the_way(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters, once nothing is in the way; gives the restores so far.
    fn go_in(&self, is_in_the_way: impl Fn(&State) -> bool) -> u64 {
        let mut state = self.wait(is_in_the_way);
        state.inside += 1;
        state.restores
    }

    fn go_out(&self) {
        self.state().inside -= 1;
        self.changed.notify_all();
    }

    /// Enters, once nothing is restored.
    pub(crate) fn enter(&self) -> Pass<'_> {
        Pass { gate: self, restores: self.go_in(|state| state.is_closed) }
    }

    /// Restores, once nobody is inside.
    pub(crate) fn alone<T>(&self, restore: impl FnOnce() -> ApiResult<T>) -> ApiResult<T> {
        self.wait(|state| state.is_closed).is_closed = true;
        let _closed = Closed(self);
        let mut state = self.wait(|state| state.inside > 0);
        state.is_restoring = true;
        // It counts also where it fails half way.
        state.restores += 1;
        drop(state);
        restore()
    }
}

/// Opens the gate when this is dropped.
struct Closed<'g>(&'g Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        (state.is_closed, state.is_restoring) = (false, false);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.go_out();
    }
}

/// Goes back in when this is dropped.
struct Outside<'g>(&'g Gate);

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        // Not as a newcomer: a request inside may wait for a lock that this one holds.
        self.0.go_in(|state| state.is_restoring);
    }
}

impl Pass<'_> {
    /// Waits outside, so that a restore does not wait for a webhook.
    ///
    /// # Errors
    ///
    /// A backup was restored meanwhile.
    pub(crate) fn outside<T>(&self, wait: impl FnOnce() -> T) -> ApiResult<T> {
        self.gate.go_out();
        let outside = Outside(self.gate);
        let waited = wait();
        drop(outside);
        self.check().map(|()| waited)
    }

    /// Refuses to write what follows from the state before a restore.
    ///
    /// # Errors
    ///
    /// A backup was restored since the request began.
    pub(crate) fn check(&self) -> ApiResult<()> {
        match self.gate.state().restores == self.restores {
            true => Ok(()),
            false => Err(ApiError::unavailable("a backup was restored while the request waited; try again")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_waits_outside_delays_no_restore_and_does_not_outlive_one() {
        let gate = Gate::default();
        let pass = gate.enter();
        assert_eq!(pass.outside(|| 5).ok(), Some(5));
        assert!(pass.check().is_ok());
        let waited = pass.outside(|| gate.alone(|| Ok(())).is_ok());
        assert_eq!(waited.map_err(|error| error.code()), Err(503));
        assert!(pass.check().is_err());
        assert!(pass.outside(|| ()).is_err(), "it stays so");
        drop(pass);
        a_request_comes_back_while_a_restore_waits_for_another(&gate);
        let pass = gate.enter();
        assert!(pass.check().is_ok());
        std::thread::scope(|threads| {
            let restore = threads.spawn(|| gate.alone(|| Ok(gate.state().inside)));
            while !gate.state().is_closed {
                std::thread::yield_now();
            }
            assert!(pass.check().is_ok(), "the restore has not begun");
            drop(pass);
            assert_eq!(restore.join().unwrap().ok(), Some(0));
        });
    }

    fn a_request_comes_back_while_a_restore_waits_for_another(gate: &Gate) {
        let is_closed = || {
            while !gate.state().is_closed {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|threads| {
            let (other, first) = (gate.enter(), gate.enter());
            let restore = threads.spawn(|| gate.alone(|| Ok(gate.state().inside)));
            assert!(first.outside(is_closed).is_ok(), "the restore has not begun");
            drop((first, other));
            assert_eq!(restore.join().unwrap().ok(), Some(0));
        });
    }
}
