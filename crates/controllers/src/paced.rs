//! Background work on changed namespaces, on a thread of its own that uses a small part of the time.
//!
//! The namespace whose work was shortest the last time comes first, and none comes again before three times as long has
//! passed as its work took: a namespace with much work delays others by one piece of it at most.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use palisade_registry::follower::Follower;

use crate::error::ApiResult;
use crate::hub::Event;
use crate::limits;
use crate::objects;
use crate::resource::{Resource, text};
use crate::server::ApiServer;

/// The work.
pub struct Task {
    /// The resource whose namespaces are visited at first and when events were missed.
    pub resource: &'static Resource,
    /// Whether an event requires work.
    pub moves: fn(&Event) -> bool,
    /// Does the work of a namespace.
    pub settle: Settle,
}

/// A function that does the work of a namespace.
pub type Settle = Box<dyn Fn(&str) -> ApiResult<()> + Send>;

/// Runs until shutdown.
pub fn start(api: &Arc<dyn ApiServer>, stop: &Arc<AtomicBool>, task: Task) -> JoinHandle<()> {
    let (api, stop) = (Arc::clone(api), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut events = api.follow(api.store().revision());
        let mut due = Due::default();
        due.add(all(&*api, &task));
        while !stop.load(Ordering::Relaxed) {
            follow(&*api, &task, &mut due, &mut events);
            if let Some(namespace) = due.take(Instant::now()) {
                let begun = Instant::now();
                if let Err(error) = (task.settle)(&namespace) {
                    tracing::warn!("{} of {namespace}: {}", task.resource.plural(), error.message);
                }
                due.done(namespace, begun, begun.elapsed());
            }
        }
    })
}

/// Adds the namespaces of the next events; waits for some if nothing is due.
fn follow(api: &dyn ApiServer, task: &Task, due: &mut Due, events: &mut Follower) {
    let wait = due.wait(Instant::now()).min(limits::WORKLOAD_WAIT);
    match events.namespaces(wait, task.moves) {
        Ok(namespaces) => due.add(namespaces),
        Err(_) => {
            events.jump(api.store().revision());
            due.add(all(api, task));
        }
    }
}

/// Namespaces with work.
#[derive(Debug, Default)]
struct Due {
    /// Those that may be worked on, by how long the last work took.
    ready: BTreeSet<(Duration, String)>,
    /// The names in `ready`.
    names: HashSet<String>,
    /// Those that were worked on and pause.
    pausing: HashMap<String, Pause>,
}

/// The pause of a namespace. There are few at once: it is three times as long as the work, which is done in turn.
#[derive(Debug)]
struct Pause {
    took: Duration,
    until: Instant,
    has_work: bool,
}

impl Due {
    fn add(&mut self, namespaces: impl IntoIterator<Item = String>) {
        for namespace in namespaces {
            match self.pausing.get_mut(&namespace) {
                Some(pause) => pause.has_work = true,
                None => self.is_ready(namespace, Duration::ZERO),
            }
        }
    }

    fn is_ready(&mut self, namespace: String, took: Duration) {
        if self.names.insert(namespace.clone()) {
            self.ready.insert((took, namespace));
        }
    }

    /// Time until a namespace is due.
    fn wait(&self, now: Instant) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let next = self.pausing.values().filter(|pause| pause.has_work).map(|pause| pause.until).min();
        next.map_or(Duration::MAX, |next| next.saturating_duration_since(now))
    }

    /// The namespace whose work is due and was shortest the last time.
    fn take(&mut self, now: Instant) -> Option<String> {
        for (namespace, pause) in self.pausing.extract_if(|_, pause| pause.until <= now).collect::<Vec<_>>() {
            if pause.has_work {
                self.is_ready(namespace, pause.took);
            }
        }
        let (_, namespace) = self.ready.pop_first()?;
        self.names.remove(&namespace);
        Some(namespace)
    }

    fn done(&mut self, namespace: String, begun: Instant, took: Duration) {
        let until = begun + took + (took * 3).min(limits::LONGEST_PAUSE);
        self.pausing.insert(namespace, Pause { took, until, has_work: false });
    }
}

fn all(api: &dyn ApiServer, task: &Task) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let listed = objects::each(api.store(), task.resource, None, |object| {
        found.insert(text(&object, "/metadata/namespace").to_owned());
        Ok(())
    });
    if let Err(error) = listed {
        tracing::warn!("{} cannot be looked at: {}", task.resource.plural(), error.message);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_work_comes_first_and_none_again_before_its_pause_is_over() {
        let begun = Instant::now();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut due = Due::default();
        let add = |due: &mut Due, names: [&str; 2]| due.add(names.map(str::to_owned));
        add(&mut due, ["large", "small"]);
        assert_eq!(due.wait(begun), Duration::ZERO);
        for (name, took) in [("large", 10), ("small", 1)] {
            assert_eq!(due.take(begun).as_deref(), Some(name));
            due.done(name.to_owned(), begun, Duration::from_secs(took));
        }
        assert_eq!(due.take(begun), None);
        assert_eq!(due.wait(begun), Duration::MAX);
        add(&mut due, ["large", "small"]);
        assert_eq!((due.take(after(3)), due.wait(after(3))), (None, Duration::from_secs(1)));
        assert_eq!(due.take(after(4)).as_deref(), Some("small"));
        due.done("small".to_owned(), after(4), Duration::from_secs(1));
        assert_eq!(due.take(after(39)), None);
        add(&mut due, ["new", "small"]);
        for name in ["new", "small", "large"] {
            assert_eq!(due.take(after(41)).as_deref(), Some(name));
        }
        assert_eq!(due.take(after(9999)), None);
        assert!(due.names.is_empty() && due.pausing.is_empty(), "what is over is forgotten");
    }
}
