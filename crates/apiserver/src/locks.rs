//! Locks by name. Nobody waits for who holds another name.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Locks by name.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Mutex<HashSet<String>>,
    is_free: Condvar,
}

/// The lock of a name, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    locks: &'a Locks,
    name: String,
}

impl Locks {
    fn held(&self) -> MutexGuard<'_, HashSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the lock of a name, once nobody else does.
    pub(crate) fn lock(&self, name: &str) -> Held<'_> {
        let waited = self.is_free.wait_while(self.held(), |held| held.contains(name));
        waited.unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        Held { locks: self, name: name.to_owned() }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.locks.held().remove(&self.name);
        self.locks.is_free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_holds_a_name_and_others_hold_all_others() {
        let (locks, count) = (Locks::default(), AtomicUsize::new(0));
        let shop = locks.lock("shop");
        let others: Vec<Held<'_>> = (0..100).map(|at| locks.lock(&format!("n{at}"))).collect();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let _held = locks.lock("shop");
                    // Another one in between would be lost.
                    let before = count.load(Ordering::SeqCst);
                    std::thread::yield_now();
                    count.store(before + 1, Ordering::SeqCst);
                });
            }
            assert_eq!(count.load(Ordering::SeqCst), 0);
            drop((shop, others));
        });
        assert_eq!(count.load(Ordering::SeqCst), 4);
        assert!(locks.held().is_empty());
    }
}
