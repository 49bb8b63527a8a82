//! The webhooks that configurations name, parsed.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use palisade_api::kind::{MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS};
use serde_json::Value;

use crate::hook::{self, Hook};

/// The configurations of one kind by their names, each with its webhooks in order.
pub(crate) type Configurations = BTreeMap<String, Arc<[Hook]>>;

/// The webhooks of all configurations.
#[derive(Debug, Default)]
pub struct Webhooks {
    pub(crate) mutating: Kept,
    pub(crate) validating: Kept,
}

/// The configurations of one kind.
#[derive(Debug, Default)]
pub(crate) struct Kept(RwLock<Arc<Configurations>>);

impl Kept {
    /// The configurations as they are now.
    pub(crate) fn all(&self) -> Arc<Configurations> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Webhooks {
    fn of(&self, storage: &str) -> Option<&Kept> {
        match storage {
            storage if storage == MUTATING_WEBHOOKS.storage() => Some(&self.mutating),
            storage if storage == VALIDATING_WEBHOOKS.storage() => Some(&self.validating),
            _ => None,
        }
    }

    /// Whether `storage` is the place of configurations in the store.
    #[must_use]
    pub fn are_in(&self, storage: &str) -> bool {
        self.of(storage).is_some()
    }

    /// The webhooks of a configuration.
    #[must_use]
    pub fn parse(name: &str, configuration: &Value) -> Arc<[Hook]> {
        hook::parse(name, configuration)
    }

    /// Keeps the webhooks of a configuration, or forgets it.
    pub fn set(&self, storage: &str, name: &str, hooks: Option<Arc<[Hook]>>) {
        let Some(kept) = self.of(storage) else { return };
        let mut kept = kept.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = Arc::make_mut(&mut kept);
        match hooks {
            Some(hooks) => all.insert(name.to_owned(), hooks),
            None => all.remove(name),
        };
    }
}
