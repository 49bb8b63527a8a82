//! CustomResourceDefinitions: the names of definitions that wait for one to become free, and the end of one without objects.

use std::collections::BTreeSet;

use palisade_registry::definitions::is_waiting;
use palisade_store::Key;
use serde_json::Value;

use super::{Controller, revise};
use crate::error::ApiResult;
use crate::hub::Event;
use crate::objects;
use crate::resource::{CLEANUP, DEFINITIONS, text};
use crate::server::ApiServer;

/// Definitions with pending work.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Definitions whose names conflict with others'.
    waiting: BTreeSet<String>,
    /// Whether a name may have become free.
    is_free: bool,
}

impl Ends {
    pub(super) fn learn(&mut self, key: &Key, object: &Value) {
        if key.resource != DEFINITIONS.storage() {
            return;
        }
        match is_waiting(object) {
            true => self.waiting.insert(key.name.clone()),
            false => self.waiting.remove(&key.name),
        };
    }

    pub(super) fn forget(&mut self, api: &dyn ApiServer, event: &Event) {
        if event.storage != DEFINITIONS.storage() {
            return;
        }
        self.waiting.remove(&event.name);
        self.is_free = true;
        let (group, plural) = (text(&event.object, "/spec/group"), text(&event.object, "/spec/names/plural"));
        api.hub().forget(&format!("{group}/{plural}"));
    }
}

/// Continues with the pending work of definitions.
pub(super) fn sweep(controller: &mut Controller<'_>) {
    if std::mem::take(&mut controller.definitions.is_free) {
        for name in controller.definitions.waiting.clone() {
            // Each change of a definition checks again whether its names are free.
            if let Err(error) = revise(controller.api, &key(&name), &|old| Ok(old.clone())) {
                tracing::warn!("{name} cannot be given its names: {}", error.message);
            }
        }
    }
}

fn key(name: &str) -> Key {
    objects::key(&DEFINITIONS, "", name)
}

/// Removes the finalizer of a definition that has no objects left.
pub(super) fn clean(api: &dyn ApiServer, name: &str) -> ApiResult<()> {
    revise(api, &key(name), &|old| {
        let mut new = old.clone();
        if let Some(finalizers) = new.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != CLEANUP);
        }
        Ok(new)
    })
}
