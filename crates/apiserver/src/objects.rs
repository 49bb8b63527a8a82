//! Objects in the store, as JSON.

use palisade_store::{Cursor, Key, Object, Revision, Store, StoreError};
use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::limits;
use crate::resource::{self, Resource};

/// An object and the write that made it so.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) object: Value,
    pub(crate) revision: Revision,
}

/// Objects of one moment.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    pub(crate) revision: Revision,
    pub(crate) next: Option<Cursor>,
    /// Their size in the store, in bytes.
    pub(crate) bytes: usize,
}

/// The key of an object.
pub(crate) fn key(resource: &Resource, namespace: &str, name: &str) -> Key {
    Key::new(resource.storage, namespace, name)
}

/// The JSON of a stored object, with the version that clients see.
pub(crate) fn parse(bytes: &[u8], revision: Revision) -> Result<Value, serde_json::Error> {
    let mut object: Value = serde_json::from_slice(bytes)?;
    stamp(&mut object, revision);
    Ok(object)
}

/// Writes the version into an object.
pub(crate) fn stamp(object: &mut Value, revision: Revision) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
}

/// Refuses an object that is too large to be kept.
pub(crate) fn check_size(object: &Value) -> ApiResult<()> {
    if bytes(object).len() > limits::OBJECT { Err(ApiError::too_large(limits::OBJECT)) } else { Ok(()) }
}

/// The prefix of store keys that hold passwords and tokens instead of objects.
const PRIVATE: &str = "palisade/";

/// Says of bytes that a backup would have kept why no object of theirs can be, if so: what cannot be read as an object
/// of its kind would stop all lists of that kind.
pub(crate) fn check_stored(key: &Key, bytes: &[u8]) -> Result<(), String> {
    if key.resource.starts_with(PRIVATE) {
        return Ok(());
    }
    let mut object: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let resource = resource::of_storage(&key.resource).ok_or("there is no such resource")?;
    let said = ["/metadata/namespace", "/metadata/name"].map(|field| resource::text(&object, field));
    if said != [&key.namespace, &key.name] || resource.namespaced == key.namespace.is_empty() {
        return Err("the object is of another place".to_owned());
    }
    crate::fields::fit(&mut object, resource.message()).map(drop).map_err(|error| error.to_string())
}

/// The stored form of an object: all but its resourceVersion.
fn bytes(object: &Value) -> Vec<u8> {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("resourceVersion");
    }
    object.to_string().into_bytes()
}

fn broken(error: serde_json::Error) -> Box<ApiError> {
    failure::internal("a stored object cannot be read", &error)
}

fn stored(object: &Object) -> ApiResult<Stored> {
    let value = parse(&object.value, object.revision).map_err(broken)?;
    Ok(Stored { object: value, revision: object.revision })
}

/// The object of a name.
pub(crate) fn get(store: &Store, resource: &Resource, namespace: &str, name: &str) -> ApiResult<Stored> {
    let found = store.get(&key(resource, namespace, name));
    let found = found.map_err(|error| failure::store(resource, name, error))?;
    stored(&found.ok_or_else(|| ApiError::not_found(resource, name))?)
}

/// The objects of a resource.
pub(crate) fn list(
    store: &Store,
    resource: &Resource,
    namespace: Option<&str>,
    limit: Option<usize>,
    after: Option<&Cursor>,
) -> ApiResult<Listed> {
    let page = store.list(resource.storage, namespace, limit, after);
    let page = page.map_err(|error| failure::store(resource, "", error))?;
    let items = page.objects.iter().map(|object| Ok(stored(object)?.object)).collect::<ApiResult<_>>()?;
    let bytes = page.objects.iter().map(|object| object.value.len()).sum();
    Ok(Listed { items, bytes, revision: page.revision, next: page.next })
}

/// Gives all objects of one moment to a function, without ever holding all of them.
pub(crate) fn each(
    store: &Store,
    resource: &Resource,
    namespace: Option<&str>,
    mut with: impl FnMut(Value) -> ApiResult<()>,
) -> ApiResult<()> {
    let mut after = None;
    loop {
        let page = list(store, resource, namespace, Some(limits::PART), after.as_ref())?;
        page.items.into_iter().try_for_each(&mut with)?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Keeps a new object; gives it back with its version.
pub(crate) fn create(
    store: &Store,
    resource: &Resource,
    namespace: &str,
    mut object: Value,
) -> Result<Value, StoreError> {
    let name = resource::text(&object, "/metadata/name").to_owned();
    let revision = store.create(&key(resource, namespace, &name), &bytes(&object))?;
    stamp(&mut object, revision);
    Ok(object)
}

/// Keeps a changed object.
pub(crate) fn update(
    store: &Store,
    resource: &Resource,
    namespace: &str,
    expected: Revision,
    mut object: Value,
) -> Result<Value, StoreError> {
    let name = resource::text(&object, "/metadata/name").to_owned();
    let revision = store.update(&key(resource, namespace, &name), expected, &bytes(&object))?;
    stamp(&mut object, revision);
    Ok(object)
}
