//! Sums of memory by name.

use std::sync::Arc;

use palisade_persistent::Map;

/// The memory of each of several things, in bytes. What takes none is not kept.
#[derive(Clone, Debug, Default)]
pub struct Weights(Map<Arc<str>, usize>);

impl Weights {
    /// The memory of one.
    #[must_use]
    pub fn get(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Adds to the memory of one, and takes from it.
    pub fn change(&mut self, name: &Arc<str>, more: usize, less: usize) {
        match (self.get(name) + more).saturating_sub(less) {
            0 => drop(self.0.remove(name)),
            after => drop(self.0.insert(Arc::clone(name), after)),
        }
    }
}
