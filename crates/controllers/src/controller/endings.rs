//! The end of namespaces and definitions, whose objects go first.
//!
//! A look is an errand of what ends. The first asks for the deletion of each object, and so does one now and then, as others
//! may have made one meanwhile. All others stop at the first object that is left: finalizers may keep it for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use palisade_store::Key;
use serde_json::Value;

use super::definitions::clean;
use super::delete;
use super::errands::{Aim, Errands, Run};
use crate::error::{ApiResult, Reason};
use crate::resource::{DEFINITIONS, NAMESPACES, Resource, text};
use crate::server::ApiServer;
use crate::{failure, limits, objects};

/// Namespaces and definitions that are being deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings(Arc<Mutex<BTreeMap<Key, Left>>>);

/// The progress of one deletion.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// Objects whose deletion was asked for, less those whose end was seen: some before they were counted.
    count: i64,
    /// Time of the next look.
    next: Instant,
    /// Time from which on a look asks for deletions.
    ask: Instant,
    is_busy: bool,
}

impl Endings {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Key, Left>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes an object that was written: what is being deleted is looked at.
    pub(super) fn learn(&self, key: &Key, object: &Value, now: Instant) {
        let is_one = [NAMESPACES.storage(), DEFINITIONS.storage()].contains(&&*key.resource);
        if is_one && object.pointer("/metadata/deletionTimestamp").is_some() {
            let new = Left { count: 0, next: now, ask: now, is_busy: false };
            self.with(|all| all.entry(key.clone()).or_insert(new).next = now);
        }
    }

    /// Notes that an object is gone: where it was the last one, the rest goes.
    pub(super) fn forget(&self, key: &Key, now: Instant) {
        let definition = key.resource.split_once('/').map(|(group, plural)| format!("{plural}.{group}"));
        let definition = definition.map(|name| Key::new(DEFINITIONS.storage(), "", name));
        let namespace = Key::new(NAMESPACES.storage(), "", &key.namespace);
        self.with(|all| {
            all.remove(key);
            for whole in definition.iter().chain([&namespace]) {
                let Some(left) = all.get_mut(whole) else { continue };
                left.count -= 1;
                if left.count <= 0 {
                    left.next = now;
                }
            }
        });
    }

    /// Looks that are due, each with whether it asks for deletions.
    fn take(&self, now: Instant) -> Vec<(Key, bool)> {
        self.with(|all| {
            let due = all.iter_mut().filter(|(_, left)| !left.is_busy && left.next <= now);
            due.map(|(key, left)| {
                let asks = left.ask <= now;
                left.is_busy = true;
                left.count = if asks { 0 } else { left.count };
                (key.clone(), asks)
            })
            .collect()
        })
    }

    /// A look has ended, with the number of objects that are left, or none if it was the last look. Pauses are as long as
    /// several looks, so that those of many objects take little of the time.
    fn done(&self, key: &Key, asks: bool, (begun, now): (Instant, Instant), left: Option<i64>) {
        let took = now - begun;
        self.with(|all| {
            let (Some(count), Some(known)) = (left, all.get_mut(key)) else {
                all.remove(key);
                return;
            };
            known.is_busy = false;
            if asks {
                known.count += count;
                known.ask = now + (took * 30).max(limits::LEAVING_AGAIN);
            }
            // What happened meanwhile is looked at at once.
            if known.next <= begun {
                known.next = now + (took * 3).max(limits::LEAVING_WAIT);
            }
        });
    }

    /// Continues with what is due.
    pub(super) fn sweep(&self, errands: &Errands) {
        for (key, asks) in self.take(Instant::now()) {
            let (endings, of) = (self.clone(), key.clone());
            let errand = move |run: &Run<'_>| {
                let begun = Instant::now();
                let left = failure::guarded(|| look(run, &of, asks)).unwrap_or_else(|error| {
                    tracing::warn!("{of} cannot be emptied: {}", error.message);
                    Some(0)
                });
                endings.done(&of, asks, (begun, Instant::now()), left);
                Ok(())
            };
            errands.add(Key::new(key.resource, key.name, ""), Aim::Finish, Box::new(errand));
        }
    }
}

/// Asks for the deletion of all objects, or looks for one that is left; without any it ends. Gives the number of objects, none
/// if there is nothing more to do.
fn look(run: &Run<'_>, of: &Key, asks: bool) -> ApiResult<Option<i64>> {
    let whole: &Resource = if of.resource == NAMESPACES.storage() { &NAMESPACES } else { &DEFINITIONS };
    let found = match objects::get(run.api.store(), whole, "", &of.name) {
        Err(error) if error.reason == Reason::NotFound => return Ok(None),
        found => found?,
    };
    let is_namespace = of.resource == NAMESPACES.storage();
    let namespace = is_namespace.then_some(&*of.name);
    let mut count = 0;
    for resource in kinds(run.api, &found.object, is_namespace) {
        count += match asks {
            true => ask(run, &resource, namespace)?,
            false => i64::from(is_left(run.api, &resource, namespace)?),
        };
        if count > 0 && !asks {
            break;
        }
    }
    match is_namespace {
        _ if count > 0 => Ok(Some(count)),
        true => end(run.api, &of.name, &found),
        false => clean(run.api, &of.name).map(|()| None),
    }
}

/// The kinds of objects that go first.
fn kinds(api: &dyn ApiServer, of: &Value, is_namespace: bool) -> Vec<Resource> {
    let definitions = api.definitions().now();
    if is_namespace {
        return definitions.kept().filter(|resource| resource.namespaced).collect();
    }
    let storage = format!("{}/{}", text(of, "/spec/group"), text(of, "/spec/names/plural"));
    definitions.of_storage(&storage).into_iter().collect()
}

fn ask(run: &Run<'_>, resource: &Resource, namespace: Option<&str>) -> ApiResult<i64> {
    let mut count = 0;
    objects::each(run.api.store(), resource, namespace, |object| {
        run.goes_on()?;
        count += 1;
        if object.pointer("/metadata/deletionTimestamp").is_none() {
            let at = |field: &str| text(&object, field).to_owned();
            let key = objects::key(resource, &at("/metadata/namespace"), &at("/metadata/name"));
            let (of, uid) = (key.clone(), at("/metadata/uid"));
            run.errands.add(key, Aim::Delete, Box::new(move |run| delete(run.api, &of, &uid)));
        }
        Ok(())
    })?;
    Ok(count)
}

fn is_left(api: &dyn ApiServer, resource: &Resource, namespace: Option<&str>) -> ApiResult<bool> {
    let page = api.store().list(resource.storage(), namespace, Some(1), None);
    page.map(|page| !page.objects.is_empty()).map_err(|error| failure::store(resource, "", error))
}

/// Removes an empty namespace, unless another client's finalizer holds it.
fn end(api: &dyn ApiServer, name: &str, found: &objects::Stored) -> ApiResult<Option<i64>> {
    let finalizers = found.object.pointer("/metadata/finalizers").and_then(Value::as_array);
    if !finalizers.is_none_or(Vec::is_empty) {
        return Ok(Some(0));
    }
    api.remove(&NAMESPACES, "", name, Some(found.revision)).map(|()| None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_asked_to_go_once_and_the_last_one_brings_the_end() {
        let (endings, start) = (Endings::default(), Instant::now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let (shop, widgets) =
            (Key::new("namespaces", "", "shop"), Key::new(DEFINITIONS.storage(), "", "widgets.x.io"));
        let leaving = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        endings.learn(&shop, &json!({"metadata": {}}), start);
        endings.learn(&Key::new("pods", "shop", "p"), &leaving, start);
        assert!(endings.take(start).is_empty());
        for of in [&shop, &widgets] {
            endings.learn(of, &leaving, start);
            assert_eq!(endings.take(start), [(of.clone(), true)]);
            assert!(endings.take(start).is_empty(), "it is looked at now");
            endings.done(of, true, (start, after(10)), Some(2));
        }
        // Not before three times as long as it took, and then without asking again.
        assert!(endings.take(after(39)).is_empty());
        assert_eq!(endings.take(after(40)), [(widgets.clone(), false), (shop.clone(), false)]);
        for of in [&shop, &widgets] {
            endings.done(of, false, (after(40), after(40)), Some(1));
        }
        endings.forget(&Key::new("x.io/widgets", "shop", "a"), after(41));
        assert!(endings.take(after(41)).is_empty());
        endings.forget(&Key::new("x.io/widgets", "lair", "b"), after(41));
        assert_eq!(endings.take(after(41)), [(widgets.clone(), false)], "its last object is gone");
        endings.done(&widgets, false, (after(41), after(41)), None);
        // Some objects end before the look that asked for it has counted them.
        endings.learn(&widgets, &leaving, after(42));
        assert_eq!(endings.take(after(42)), [(widgets.clone(), true)]);
        endings.forget(&Key::new("x.io/widgets", "lair", "c"), after(42));
        endings.done(&widgets, true, (after(42), after(42)), Some(2));
        endings.done(&shop, false, (after(42), after(42)), Some(1));
        endings.forget(&Key::new("x.io/widgets", "lair", "d"), after(43));
        assert_eq!(endings.take(after(43)), [(widgets.clone(), false)]);
        endings.done(&widgets, false, (after(43), after(43)), None);
        // A change of the namespace itself, as of its finalizers, while it is looked at.
        endings.learn(&shop, &leaving, after(42));
        assert_eq!(endings.take(after(42)), [(shop.clone(), false)]);
        endings.learn(&shop, &leaving, after(43));
        endings.done(&shop, false, (after(42), after(44)), Some(0));
        assert_eq!(endings.take(after(44)), [(shop.clone(), false)]);
        endings.done(&shop, false, (after(44), after(44)), Some(1));
        assert_eq!(endings.take(after(310)), [(shop.clone(), true)], "others may have made objects");
        endings.forget(&shop, after(310));
        endings.done(&shop, true, (after(310), after(311)), Some(1));
        assert!(endings.with(|all| all.is_empty()));
    }
}
