//! The deletion of CustomResourceDefinitions, whose objects go first, and the names of definitions that wait for one to
//! become free.

use std::collections::BTreeSet;

use palisade_store::Key;
use serde_json::Value;

use super::{Controller, with_call};
use crate::api::Api;
use crate::definitions::is_waiting;
use crate::error::{ApiResult, Reason};
use crate::hub::Event;
use crate::resource::{CLEANUP, DEFINITIONS, text};
use crate::{objects, verb};

/// Definitions with pending work.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Definitions that are being deleted.
    ending: BTreeSet<String>,
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
        if object.pointer("/metadata/deletionTimestamp").is_some() {
            self.ending.insert(key.name.clone());
        }
        match is_waiting(object) {
            true => self.waiting.insert(key.name.clone()),
            false => self.waiting.remove(&key.name),
        };
    }

    pub(super) fn forget(&mut self, api: &Api, event: &Event) {
        if event.storage != DEFINITIONS.storage() {
            return;
        }
        self.ending.remove(&event.name);
        self.waiting.remove(&event.name);
        self.is_free = true;
        let (group, plural) = (text(&event.object, "/spec/group"), text(&event.object, "/spec/names/plural"));
        api.hub.forget(&format!("{group}/{plural}"));
    }
}

/// Continues with the pending work of definitions.
pub(super) fn sweep(controller: &mut Controller<'_>) {
    for name in controller.definitions.ending.clone() {
        if let Err(error) = end(controller, &name) {
            tracing::warn!("the objects of {name} cannot be deleted: {}", error.message);
        }
    }
    if std::mem::take(&mut controller.definitions.is_free) {
        for name in controller.definitions.waiting.clone() {
            // Each change of a definition checks again whether its names are free.
            if let Err(error) = revise(controller, &name, Clone::clone) {
                tracing::warn!("{name} cannot be given its names: {}", error.message);
            }
        }
    }
}

fn revise(controller: &Controller<'_>, name: &str, change: fn(&Value) -> Value) -> ApiResult<()> {
    let key = objects::key(&DEFINITIONS, "", name);
    with_call(controller.api, &key, |call| match verb::revise(call, |old| Ok(change(old))) {
        Err(error) if error.reason != Reason::NotFound => Err(error),
        _ => Ok(()),
    })
}

/// Deletes the objects of a definition that is being deleted, then removes its finalizer.
fn end(controller: &mut Controller<'_>, name: &str) -> ApiResult<()> {
    let store = &controller.api.store;
    let definition = match objects::get(store, &DEFINITIONS, "", name) {
        Err(error) if error.reason == Reason::NotFound => {
            controller.definitions.ending.remove(name);
            return Ok(());
        }
        found => found?.object,
    };
    let storage = format!("{}/{}", text(&definition, "/spec/group"), text(&definition, "/spec/names/plural"));
    let mut is_empty = true;
    if let Some(resource) = controller.api.definitions.now().of_storage(&storage) {
        objects::each(store, &resource, None, |object| {
            is_empty = false;
            let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
            if object.pointer("/metadata/deletionTimestamp").is_none() {
                controller.delete(objects::key(&resource, namespace, name), text(&object, "/metadata/uid"));
            }
            Ok(())
        })?;
    }
    if is_empty {
        revise(controller, name, |old| {
            let mut new = old.clone();
            if let Some(finalizers) = new.pointer_mut("/metadata/finalizers").and_then(Value::as_array_mut) {
                finalizers.retain(|finalizer| finalizer != CLEANUP);
            }
            new
        })?;
    }
    Ok(())
}
