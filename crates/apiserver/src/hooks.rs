//! The webhooks that configurations name, parsed, in step with the store; and the client that reaches them.

mod client;
mod hook;
mod operation;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use palisade_store::{Key, Store};
use serde_json::Value;

use crate::error::ApiResult;
use crate::{objects, resource};

pub(crate) use client::Client;
pub(crate) use hook::Hook;
pub(crate) use operation::Operation;

/// The configurations of one kind by their names, each with its webhooks in order.
pub(crate) type Configurations = BTreeMap<String, Arc<[Hook]>>;

/// The webhooks of all configurations.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    pub(crate) mutating: RwLock<Arc<Configurations>>,
    pub(crate) validating: RwLock<Arc<Configurations>>,
}

impl Webhooks {
    /// Those that a store holds.
    pub(crate) fn load(&self, store: &Store) -> ApiResult<()> {
        for kind in [&resource::MUTATING_WEBHOOKS, &resource::VALIDATING_WEBHOOKS] {
            let mut all = Configurations::new();
            objects::each(store, kind, None, |object| {
                let name = resource::text(&object, "/metadata/name");
                all.insert(name.to_owned(), hook::parse(name, &object));
                Ok(())
            })?;
            if let Some(kept) = self.of(kind.storage()) {
                *kept.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
            }
        }
        Ok(())
    }

    fn of(&self, storage: &str) -> Option<&RwLock<Arc<Configurations>>> {
        match storage {
            storage if storage == resource::MUTATING_WEBHOOKS.storage() => Some(&self.mutating),
            storage if storage == resource::VALIDATING_WEBHOOKS.storage() => Some(&self.validating),
            _ => None,
        }
    }

    /// The configuration after a write of an object of its name, if it is one.
    pub(crate) fn read(&self, key: &Key, value: Option<&[u8]>) -> Option<Option<Arc<[Hook]>>> {
        self.of(&key.resource)?;
        let object = value.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        Some(object.map(|object| hook::parse(&key.name, &object)))
    }

    /// Keeps a configuration, or forgets it.
    pub(crate) fn set(&self, key: &Key, hooks: Option<Arc<[Hook]>>) {
        let Some(kept) = self.of(&key.resource) else { return };
        let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
        let all = Arc::make_mut(&mut kept);
        match hooks {
            Some(hooks) => all.insert(key.name.clone(), hooks),
            None => all.remove(&key.name),
        };
    }

    /// The configurations of a kind as they are now.
    pub(crate) fn all(kept: &RwLock<Arc<Configurations>>) -> Arc<Configurations> {
        Arc::clone(&kept.read().unwrap_or_else(PoisonError::into_inner))
    }
}
