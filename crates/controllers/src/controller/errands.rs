//! Errands of the controllers: deletions and their consequences. They call admission webhooks, which may be
//! slow, so a few threads run them: one at a time for each namespace, in [turns](crate::turns).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::Instant;

use palisade_admission::PolicyCache;
use palisade_store::Key;

use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::limits::{self, Bounds};
use crate::server::ApiServer;
use crate::turns::{Turns, Work};

/// Work on an object.
pub(super) type Errand = Box<dyn Fn(&Run<'_>) -> ApiResult<()> + Send>;

/// The parts of the server that an errand works with.
#[derive(Clone, Copy)]
pub(super) struct Run<'r> {
    pub(super) api: &'r dyn ApiServer,
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

/// An errand, and the object and the purpose that it has.
type Due = ((Key, Aim), Errand);

/// Errands of a namespace.
type Line = BTreeMap<(Key, Aim), Errand>;

impl Work for Line {
    type Piece = Due;

    const BOUNDS: Bounds = limits::ERRAND_THREADS;

    fn pop(&mut self) -> Option<Self::Piece> {
        self.pop_first()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// Pending errands.
pub(super) struct Errands {
    state: Mutex<State>,
    is_due: Condvar,
}

struct State {
    turns: Turns<Line>,
    /// Failed errands, and the time of their next try.
    later: VecDeque<(Instant, (Key, Aim), Errand)>,
}

impl State {
    fn new(policy: Arc<PolicyCache>) -> Self {
        Self { turns: Turns::new(policy), later: VecDeque::new() }
    }

    fn add(&mut self, at: (Key, Aim), errand: Errand) {
        let namespace = at.0.namespace.clone();
        self.turns.due(&namespace).insert(at, errand);
    }

    fn take(&mut self) -> Option<(u64, Due)> {
        let now = Instant::now();
        while let Some((_, at, errand)) = self.later.pop_front_if(|(at, _, _)| *at <= now) {
            self.add(at, errand);
        }
        self.turns.take(now)
    }

    /// An errand has ended, which is tried again if it failed.
    fn done(&mut self, number: u64, failed: Option<Due>) {
        let now = Instant::now();
        self.turns.end(number, now);
        self.later.extend(failed.map(|(at, errand)| (now + limits::ERRAND_WAIT, at, errand)));
    }
}

impl Errands {
    /// None yet; turns are those of the requesters that a policy knows.
    pub(super) fn new(policy: Arc<PolicyCache>) -> Self {
        Self { state: Mutex::new(State::new(policy)), is_due: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an errand, in the place of an older one about the same object with the same aim.
    pub(super) fn add(&self, key: Key, aim: Aim, errand: Errand) {
        self.state().add((key, aim), errand);
        self.is_due.notify_one();
    }

    /// Starts the threads that run errands until shutdown.
    pub(super) fn start<'s>(
        &'s self,
        threads: &'s Scope<'s, '_>,
        api: &'s dyn ApiServer,
        stop: &'s AtomicBool,
    ) {
        for _ in 0..limits::ERRAND_THREADS.threads {
            threads.spawn(move || self.run(api, stop, true));
        }
    }

    /// Starts threads in the place of those whose errands take long.
    pub(super) fn reinforce<'s>(
        &'s self,
        threads: &'s Scope<'s, '_>,
        api: &'s dyn ApiServer,
        stop: &'s AtomicBool,
    ) {
        let more = self.state().turns.reinforce(Instant::now());
        for _ in 0..more {
            let run = move || self.run(api, stop, false);
            if std::thread::Builder::new().spawn_scoped(threads, run).is_err() {
                self.state().turns.dismiss();
            }
        }
    }

    /// Runs errands until shutdown, or until none is due.
    fn run(&self, api: &dyn ApiServer, stop: &AtomicBool, stays: bool) {
        while !stop.load(Ordering::Relaxed) {
            let mut state = self.state();
            let Some((number, (at, errand))) = state.take() else {
                if !stays {
                    state.turns.dismiss();
                    return;
                }
                let waited = self.is_due.wait_timeout(state, limits::WORKLOAD_WAIT);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                continue;
            };
            drop(state);
            let done = failure::guarded(|| errand(&Run { api, errands: self, stop }));
            let failed = done.inspect_err(|error| tracing::warn!("{}: {}", at.0, error.message)).is_err();
            self.state().done(number, failed.then_some((at, errand)));
            self.is_due.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State::new(Arc::default())
    }

    #[test]
    fn one_errand_of_a_namespace_goes_at_a_time_and_what_failed_waits() {
        let mut state = state();
        for (namespace, name) in [("a", "1"), ("a", "2"), ("b", "1"), ("a", "1")] {
            state.add((Key::new("pods", namespace, name), Aim::Delete), Box::new(|_| Ok(())));
        }
        let mut taken: Vec<_> = std::iter::from_fn(|| state.take()).collect();
        let names: Vec<String> =
            taken.iter().map(|(_, ((key, _), _))| format!("{}/{}", key.namespace, key.name)).collect();
        assert_eq!(names, ["a/1", "b/1"], "one of each namespace at a time");
        taken.drain(..).for_each(|(number, _)| state.done(number, None));
        let (number, failed) = state.take().unwrap();
        assert_eq!(failed.0.0.name, "2");
        state.done(number, Some(failed));
        assert!(state.take().is_none());
        state.later[0].0 = Instant::now();
        assert_eq!(state.take().unwrap().1.0.0.name, "2");
    }

    #[test]
    fn an_object_has_one_errand_of_each_aim() {
        let (mut state, key) = (state(), Key::new("pods", "a", "1"));
        for aim in [Aim::Finish, Aim::Orphan, Aim::Delete, Aim::Orphan] {
            state.add((key.clone(), aim), Box::new(|_| Ok(())));
        }
        let mut taken = Vec::new();
        while let Some((number, ((_, aim), _))) = state.take() {
            taken.push(aim);
            state.done(number, None);
        }
        assert_eq!(taken, [Aim::Delete, Aim::Orphan, Aim::Finish]);
    }
}
