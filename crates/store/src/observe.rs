//! An observer of all writes, which is notified of each before a client can see it.

use std::sync::Arc;

use crate::object::{Key, Revision};

/// The action of an observer once a write is on disk.
pub type Effect = Box<dyn FnOnce(Revision) + Send>;

/// Sees every write of a store, in the order of revisions and before any client: before the writer is answered, and
/// before a watch, a list or a get shows it. What is kept in step with the store by an observer is therefore never
/// older than what any client has seen, whichever code wrote.
pub trait Observer: Send + Sync + 'static {
    /// Prepares for a write: `value` is the object's new value, `None` if it is deleted. This runs
    /// on the writer's thread, without locks, so slow work belongs here. The effect runs if and when the
    /// write is on disk, under the lock of all writers: it has to be quick, and must not write.
    fn prepare(&self, key: &Key, value: Option<&[u8]>) -> Option<Effect>;
}

/// The observer of a store.
pub(crate) struct Registered(pub(crate) Arc<dyn Observer>);

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// A revision, and the object as it then was.
    type Seen = (Revision, Option<Vec<u8>>);

    /// The revision of each object as it was last observed, and all revisions in the order of their effects.
    #[derive(Default)]
    struct Mirror {
        newest: Mutex<BTreeMap<String, Seen>>,
        order: Mutex<Vec<Revision>>,
    }

    struct Watching(Arc<Mirror>);

    impl Observer for Watching {
        fn prepare(&self, key: &Key, value: Option<&[u8]>) -> Option<Effect> {
            let (mirror, name, value) = (Arc::clone(&self.0), key.name.clone(), value.map(<[u8]>::to_vec));
            (key.resource == "observed").then(|| {
                Box::new(move |revision| {
                    mirror.order.lock().unwrap().push(revision);
                    mirror.newest.lock().unwrap().insert(name, (revision, value));
                }) as Effect
            })
        }
    }

    /// Threads that write the same few objects, and readers that never see what the mirror has not.
    #[test]
    fn nobody_sees_a_write_before_the_observer() {
        let store = Store::ephemeral().unwrap();
        let mirror = Arc::new(Mirror::default());
        assert!(store.observe(Arc::new(Watching(Arc::clone(&mirror)))));
        assert!(!store.observe(Arc::new(Watching(Arc::clone(&mirror)))), "there is one");
        let keys: Vec<Key> = (0..3).map(|index| Key::new("observed", "", format!("o{index}"))).collect();
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let (store, keys) = (&store, &keys);
                scope.spawn(move || {
                    for round in 0..60u8 {
                        let key = &keys[usize::from(round + writer) % 3];
                        let found = store.get(key).unwrap();
                        drop(match found {
                            None => store.create(key, &[writer, round]),
                            Some(found) if round % 5 == 0 => {
                                store.delete(key, Some(found.revision)).map(|deleted| deleted.revision)
                            }
                            Some(found) => store.update(key, found.revision, &[writer, round]),
                        });
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    for round in 0..200 {
                        let key = &keys[round % 3];
                        let Some(seen) = store.get(key).unwrap() else { continue };
                        let mirrored = mirror.newest.lock().unwrap().get(&key.name).cloned();
                        assert!(mirrored.is_some_and(|(revision, _)| revision >= seen.revision), "{key}");
                    }
                });
            }
        });
        let order = mirror.order.lock().unwrap();
        assert!(order.is_sorted(), "effects come in the order of revisions");
        for key in &keys {
            let held = store.get(key).unwrap().map(|object| object.value);
            let mirrored = mirror.newest.lock().unwrap().get(&key.name).and_then(|(_, value)| value.clone());
            assert_eq!(held, mirrored);
        }
    }

    #[test]
    fn what_a_restore_changes_is_observed() {
        let store = Store::ephemeral().unwrap();
        let mirror = Arc::new(Mirror::default());
        assert!(store.observe(Arc::new(Watching(Arc::clone(&mirror)))));
        let (kept, changed, new) = (
            Key::new("observed", "", "kept"),
            Key::new("observed", "", "changed"),
            Key::new("observed", "", "new"),
        );
        store.create(&kept, b"1").unwrap();
        let first = store.create(&changed, b"1").unwrap();
        let file = store.transfer_file().unwrap();
        store.backup(&file).unwrap();
        store.update(&changed, first, b"2").unwrap();
        store.create(&new, b"1").unwrap();
        store.restore(&file, &|_, _| Ok(())).unwrap();
        let cleared = store.create(&Key::new("observed", "space", "cleared"), b"1").unwrap();
        let clear = crate::Write::Clear { resource: "observed".to_owned(), namespace: "space".to_owned() };
        assert!(store.transact(vec![clear]).unwrap() > cleared);
        assert_eq!(mirror.newest.lock().unwrap().get("cleared").and_then(|(_, value)| value.clone()), None);
        let mirrored =
            |key: &Key| mirror.newest.lock().unwrap().get(&key.name).and_then(|(_, value)| value.clone());
        assert_eq!(
            (mirrored(&kept), mirrored(&changed), mirrored(&new)),
            (Some(b"1".to_vec()), Some(b"1".to_vec()), None)
        );
    }
}
