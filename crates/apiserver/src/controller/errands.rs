//! Errands of the controllers: deletions and their consequences. They call admission webhooks, which may be
//! slow, so a few threads run them: one at a time for each namespace, and namespaces take [turns](crate::turns).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use palisade_store::Key;

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::turns::{Pace, Turns};
use crate::{failure, limits};

/// Work on an object.
pub(super) type Errand = Box<dyn Fn(&Run<'_>) -> ApiResult<()> + Send>;

/// The parts of the server that an errand works with.
#[derive(Clone, Copy)]
pub(super) struct Run<'r> {
    pub(super) api: &'r Api,
    pub(super) errands: &'r Errands,
    pub(super) stop: &'r AtomicBool,
}

impl Run<'_> {
    /// Refuses to go on once the server stops; the next start of the server finds the rest.
    pub(super) fn goes_on(&self) -> ApiResult<()> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(ApiError::unavailable("the server is stopping")),
            false => Ok(()),
        }
    }
}

/// The purpose of an errand: an object can have one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Aim {
    /// The object is deleted.
    Delete,
    /// It is deleted if it has no owner left.
    Orphan,
    /// It is a pod whose node is gone.
    Lost,
    /// Its deletion goes on.
    Finish,
}

/// Pending errands.
#[derive(Default)]
pub(super) struct Errands {
    state: Mutex<State>,
    is_due: Condvar,
}

#[derive(Default)]
struct State {
    due: BTreeMap<String, BTreeMap<(Key, Aim), Errand>>,
    /// Failed errands, and the time of their next try.
    later: Vec<(Instant, (Key, Aim), Errand)>,
    busy: BTreeMap<String, (Pace, Instant)>,
    turns: Turns<{ limits::ERRAND_THREADS }>,
}

impl State {
    fn add(&mut self, at: (Key, Aim), errand: Errand) {
        self.due.entry(at.0.namespace.clone()).or_default().insert(at, errand);
    }

    fn take(&mut self) -> Option<((Key, Aim), Errand)> {
        let now = Instant::now();
        let (ripe, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _, _)| *at <= now);
        self.later = later;
        let ripe: Vec<(Instant, (Key, Aim), Errand)> = ripe;
        ripe.into_iter().for_each(|(_, at, errand)| self.add(at, errand));
        let namespace = self.turns.next(&self.due, |name| !self.busy.contains_key(name))?;
        let errands = self.due.get_mut(&namespace)?;
        let next = errands.pop_first()?;
        if errands.is_empty() {
            self.due.remove(&namespace);
        }
        let pace = self.turns.begin(&namespace);
        self.busy.insert(namespace, (pace, Instant::now()));
        Some(next)
    }

    /// The errand of a namespace has ended.
    fn done(&mut self, namespace: &str) {
        if let Some((pace, begun)) = self.busy.remove(namespace) {
            self.turns.end(namespace, pace, begun.elapsed());
        }
    }
}

impl Errands {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an errand, in the place of an older one about the same object with the same aim.
    pub(super) fn add(&self, key: Key, aim: Aim, errand: Errand) {
        self.state().add((key, aim), errand);
        self.is_due.notify_one();
    }

    /// Runs errands until shutdown.
    pub(super) fn run(&self, api: &Api, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let mut state = self.state();
            let Some((at, errand)) = state.take() else {
                let waited = self.is_due.wait_timeout(state, limits::WORKLOAD_WAIT);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            };
            drop(state);
            let done = failure::guarded(|| errand(&Run { api, errands: self, stop }));
            let mut state = self.state();
            state.done(&at.0.namespace);
            if let Err(error) = done {
                tracing::warn!("{}: {}", at.0, error.message);
                state.later.push((Instant::now() + limits::ERRAND_WAIT, at, errand));
            }
            drop(state);
            self.is_due.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_take_turns_and_what_failed_waits() {
        let mut state = State::default();
        for (namespace, name) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")] {
            state.add((Key::new("pods", namespace, name), Aim::Delete), Box::new(|_| Ok(())));
        }
        let taken: Vec<String> = std::iter::from_fn(|| state.take())
            .map(|((key, _), _)| format!("{}/{}", key.namespace, key.name))
            .collect();
        assert_eq!(taken, ["a/1", "b/1"], "one of each namespace at a time");
        ["a", "b"].into_iter().for_each(|namespace| state.done(namespace));
        let (at, errand) = state.take().unwrap();
        assert_eq!(at.0.name, "2");
        state.done("a");
        state.later.push((Instant::now() + limits::ERRAND_WAIT, at, errand));
        assert!(state.take().is_none());
        state.later[0].0 = Instant::now();
        assert_eq!(state.take().unwrap().0.0.name, "2");
    }

    #[test]
    fn an_object_has_one_errand_of_each_aim() {
        let (mut state, key) = (State::default(), Key::new("pods", "a", "1"));
        for aim in [Aim::Finish, Aim::Orphan, Aim::Delete, Aim::Orphan] {
            state.add((key.clone(), aim), Box::new(|_| Ok(())));
        }
        let mut taken = Vec::new();
        while let Some(((_, aim), _)) = state.take() {
            taken.push(aim);
            state.done("a");
        }
        assert_eq!(taken, [Aim::Delete, Aim::Orphan, Aim::Finish]);
    }
}
