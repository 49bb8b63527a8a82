//! CustomResourceDefinitions: the resources that they define, in step with the store, and the end of the objects of those
//! that are deleted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use palisade_api::registry::Registry;
use palisade_k8s::put;
use palisade_store::{Key, Store};
use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::objects;
use crate::resource::{Admission, DEFINITIONS, Resource, text};
use crate::time;

/// The resources that there are.
#[derive(Debug, Default)]
pub struct Definitions {
    now: RwLock<Arc<Registry>>,
    /// Held while the names of a definition are looked at and given to it.
    naming: Mutex<()>,
}

impl Definitions {
    /// The definitions in a store.
    pub fn load(&self, store: &Store) -> ApiResult<()> {
        let mut registry = Registry::default();
        objects::each(store, &DEFINITIONS, None, |object| {
            registry.set(text(&object, "/metadata/name"), Some(&object));
            Ok(())
        })?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
        Ok(())
    }

    /// The resources at this moment.
    pub fn now(&self) -> Arc<Registry> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The definition after a write of an object, if the object is one.
    pub fn read(&self, key: &Key, value: Option<&[u8]>) -> Option<Option<Value>> {
        let is_definition = key.resource == DEFINITIONS.storage();
        is_definition.then(|| value.and_then(|bytes| serde_json::from_slice(bytes).ok()))
    }

    /// Keeps a definition, or forgets it.
    pub fn set(&self, name: &str, definition: Option<&Value>) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut now).set(name, definition);
    }

    /// Refuses an object whose definition has gone, or is on its way out, since the request for it was read.
    pub fn keeps(&self, resource: &Resource) -> ApiResult<()> {
        if !matches!(resource, Resource::Custom(_)) {
            return Ok(());
        }
        accepts(&self.now().of_storage(resource.storage()).ok_or_else(ApiError::no_such_path)?)
    }

    /// Tells a definition whether its names are free.
    pub fn judge(&self, definition: &mut Value) {
        let status = self.now().status(definition, &time::now());
        put(definition, &["status"], status);
    }

    /// Keeps others from taking names meanwhile, while a definition is written.
    pub fn naming(&self, resource: &Resource) -> Option<MutexGuard<'_, ()>> {
        let is_definition = resource.admission == Admission::Definition;
        is_definition.then(|| self.naming.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Refuses an object of a definition that is on its way out.
pub fn accepts(resource: &Resource) -> ApiResult<()> {
    match resource.is_ending() {
        true => Err(ApiError::not_while_ending(resource)),
        false => Ok(()),
    }
}

/// Whether a definition waits for names that others have.
pub fn is_waiting(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut accepted = conditions.filter(|condition| text(condition, "/type") == "NamesAccepted");
    accepted.any(|condition| text(condition, "/status") == "False")
}

/// The schema of a custom resource, as its definition writes it.
pub fn schema(store: &Store, resource: &Resource) -> Option<Value> {
    let name = format!("{}.{}", resource.plural(), resource.group());
    let mut found = objects::get(store, &DEFINITIONS, "", &name).ok()?.object;
    let versions = found.pointer_mut("/spec/versions")?.as_array_mut()?;
    let version = versions.iter_mut().find(|version| text(version, "/name") == resource.version())?;
    version.pointer_mut("/schema/openAPIV3Schema").map(Value::take)
}
