//! Locks by name: a fixed number of them, shared by all names.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

const STRIPES: u64 = 32;

/// Locks by name.
#[derive(Debug, Default)]
pub(crate) struct Stripes([Mutex<()>; STRIPES as usize]);

impl Stripes {
    /// Holds the lock of a name.
    pub(crate) fn lock(&self, name: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % STRIPES).unwrap_or_default();
        let [first, ..] = &self.0;
        self.0.get(at).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}
