//! Background work on changed namespaces, on a thread of its own that uses a small part of the time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::api::Api;
use crate::error::ApiResult;
use crate::hub::Event;
use crate::limits;
use crate::objects;
use crate::resource::{Resource, text};

/// The work.
pub(crate) struct Task {
    /// The resource whose namespaces are visited at first and when events were missed.
    pub(crate) resource: &'static Resource,
    /// Whether an event requires work.
    pub(crate) moves: fn(&Event) -> bool,
    /// Does the work of a namespace.
    pub(crate) settle: fn(&Api, &str) -> ApiResult<()>,
}

/// Runs until shutdown.
pub(crate) fn start(api: &Arc<Api>, stop: &Arc<AtomicBool>, task: Task) -> std::thread::JoinHandle<()> {
    let (api, stop) = (Arc::clone(api), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut seen = api.store.revision();
        let mut moved = all(&api, &task);
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            for namespace in std::mem::take(&mut moved) {
                if let Err(error) = (task.settle)(&api, &namespace) {
                    tracing::warn!("{} of {namespace}: {}", task.resource.plural(), error.message);
                }
            }
            std::thread::sleep((begun.elapsed() * 3).min(limits::WORKLOAD_WAIT * 10));
            let watch = api.store.watch_all(seen);
            let events = watch.and_then(|mut watch| Ok((watch.next(limits::WORKLOAD_WAIT)?, watch.seen())));
            match events {
                Ok((events, now)) => {
                    seen = now;
                    let events = events.into_iter().filter_map(Event::of);
                    let events = events.filter(|event| !event.namespace.is_empty() && (task.moves)(event));
                    moved.extend(events.map(|event| event.namespace));
                }
                Err(_) => {
                    seen = api.store.revision();
                    moved = all(&api, &task);
                }
            }
        }
    })
}

fn all(api: &Api, task: &Task) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let listed = objects::each(&api.store, task.resource, None, |object| {
        found.insert(text(&object, "/metadata/namespace").to_owned());
        Ok(())
    });
    if let Err(error) = listed {
        tracing::warn!("{} cannot be looked at: {}", task.resource.plural(), error.message);
    }
    found
}
