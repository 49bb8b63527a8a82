//! Objects in the store, as JSON.

use palisade_api::shape::Shape;
use palisade_api::structural::Structural;
use palisade_store::{Cursor, Key, Object, Revision, Store, StoreError};
use serde_json::Value;

use crate::alone::alone;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::limits;
use crate::resource::{self, NAMESPACES, Resource};

/// An object and the write that made it so.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object, with the version that clients see.
    pub object: Value,
    /// The write that made it so.
    pub revision: Revision,
}

/// Objects of one moment.
#[derive(Debug)]
pub struct Listed {
    /// The objects, in the order of namespaces and names.
    pub items: Vec<Value>,
    /// The place of those that follow, if any do.
    pub next: Option<Cursor>,
}

/// The key of an object.
pub fn key(resource: &Resource, namespace: &str, name: &str) -> Key {
    Key::new(resource.storage(), namespace, name)
}

/// The JSON of a stored object, with the version that clients see.
pub fn parse(bytes: &[u8], revision: Revision) -> Result<Value, serde_json::Error> {
    let mut object: Value = serde_json::from_slice(bytes)?;
    stamp(&mut object, revision);
    Ok(object)
}

/// Writes the version into an object.
pub fn stamp(object: &mut Value, revision: Revision) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    }
}

/// Refuses an object that is too large to be kept, or too deep to be read again.
pub fn check_size(object: &Value) -> ApiResult<()> {
    if crate::weight::nesting(object).0 > palisade_api::limits::NESTING {
        return Err(ApiError::too_deep());
    }
    let weight = crate::weight::of(object);
    if weight > palisade_api::limits::WEIGHT {
        return Err(ApiError::too_heavy());
    }
    // Few objects have to be written to be measured.
    let is_large = crate::weight::longest_json(weight) > limits::OBJECT && size(object) > limits::OBJECT;
    if is_large { Err(ApiError::too_large(limits::OBJECT)) } else { Ok(()) }
}

/// The prefix of store keys that hold passwords and tokens instead of objects.
const PRIVATE: &str = "palisade/";

/// Says of bytes that a backup would have kept why no object of theirs can be, if so: what cannot be read as an object
/// of its kind would stop all lists of that kind.
pub fn check_stored(key: &Key, bytes: &[u8]) -> Result<(), String> {
    if key.resource.starts_with(PRIVATE) {
        return Ok(());
    }
    let mut object: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let said = ["/metadata/namespace", "/metadata/name"].map(|field| resource::text(&object, field));
    let resource = resource::of_storage(&key.resource);
    let is_misplaced = resource.is_some_and(|resource| resource.namespaced == key.namespace.is_empty());
    if said != [&key.namespace, &key.name] || is_misplaced {
        return Err("the object is of another place".to_owned());
    }
    // The group of a custom resource is a domain; whether it is defined is not known before all is there.
    let is_custom = || key.resource.split_once('/').is_some_and(|(group, _)| group.contains('.'));
    let unspecified = Structural::default();
    let shape = match resource {
        Some(resource) => resource.shape(),
        None if is_custom() => Shape::Custom(&unspecified),
        None => return Err("there is no such resource".to_owned()),
    };
    shape.fit(&mut object).map(drop).map_err(|error| error.to_string())
}

/// The size of an object as it is stored, in bytes.
#[must_use]
pub fn size(object: &Value) -> usize {
    bytes(object).len()
}

/// The stored form of an object: all but its resourceVersion.
fn bytes(object: &Value) -> Vec<u8> {
    let Some(map) = object.as_object() else { return object.to_string().into_bytes() };
    let mut text = String::from("{");
    for (name, value) in map {
        separate(&mut text);
        push(name, &mut text);
        match value.as_object().filter(|_| name == "metadata") {
            Some(metadata) => {
                text.push('{');
                for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion") {
                    separate(&mut text);
                    push(name, &mut text);
                    text.push_str(&value.to_string());
                }
                text.push('}');
            }
            None => text.push_str(&value.to_string()),
        }
    }
    text.push('}');
    text.into_bytes()
}

fn separate(text: &mut String) {
    if !text.ends_with('{') {
        text.push(',');
    }
}

fn push(name: &str, text: &mut String) {
    palisade_k8s::patch::json::push_string(text, name);
    text.push(':');
}

fn broken(error: serde_json::Error) -> Box<ApiError> {
    failure::internal("a stored object cannot be read", &error)
}

fn stored(object: &Object) -> ApiResult<Stored> {
    let value = parse(&object.value, object.revision).map_err(broken)?;
    Ok(Stored { object: value, revision: object.revision })
}

/// The object of a name.
pub fn get(store: &Store, resource: &Resource, namespace: &str, name: &str) -> ApiResult<Stored> {
    let found = store.get(&key(resource, namespace, name));
    let found = found.map_err(|error| failure::store(resource, name, error))?;
    stored(&found.ok_or_else(|| ApiError::not_found(resource, name))?)
}

/// Checks that a namespace existed at a revision. Objects from before belonged to a deleted namespace of the same name, whose
/// members may have been others.
///
/// # Errors
///
/// The namespace is newer (`Expired`), or the store cannot be read.
pub fn check_age(store: &Store, namespace: &str, revision: Revision) -> ApiResult<()> {
    let found = store.get(&key(&NAMESPACES, "", namespace));
    let found = found.map_err(|error| failure::store(&NAMESPACES, namespace, error))?;
    match found.filter(|found| revision < found.created) {
        Some(found) => {
            Err(ApiError::expired(format!("too old resource version: {revision} ({})", found.created)))
        }
        None => Ok(()),
    }
}

/// The objects of a resource.
pub fn list(
    store: &Store,
    resource: &Resource,
    namespace: Option<&str>,
    limit: Option<usize>,
    after: Option<&Cursor>,
) -> ApiResult<Listed> {
    let mut items = Vec::new();
    let (_, next) = page(store, resource, namespace, limit, after, SERVER, |object| {
        items.push(object);
        Ok(())
    })?;
    Ok(Listed { items, next })
}

/// The name under which the server itself reads large objects.
pub const SERVER: &str = "";

/// Gives the objects of a page to a function, one after the other; gives the moment that they are of, and where to go on. Large
/// objects come in the turns of `by`.
pub fn page(
    store: &Store,
    resource: &Resource,
    namespace: Option<&str>,
    limit: Option<usize>,
    after: Option<&Cursor>,
    by: &str,
    mut with: impl FnMut(Value) -> ApiResult<()>,
) -> ApiResult<(Revision, Option<Cursor>)> {
    let page = store.list(resource.storage(), namespace, limit, after);
    let page = page.map_err(|error| failure::store(resource, "", error))?;
    for object in page.objects {
        alone(by, object.value.len(), || with(stored(&object)?.object))?;
    }
    Ok((page.revision, page.next))
}

/// Gives all objects of one moment to a function, without ever holding all of them.
pub fn each(
    store: &Store,
    resource: &Resource,
    namespace: Option<&str>,
    mut with: impl FnMut(Value) -> ApiResult<()>,
) -> ApiResult<()> {
    let mut after = None;
    loop {
        let found = list(store, resource, namespace, Some(limits::PART), after.as_ref())?;
        found.items.into_iter().try_for_each(&mut with)?;
        after = found.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Keeps a new object; gives it back with its version.
pub fn create(
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

/// Stores an object that was read and changed, if it still has the revision that was read. Returns whether it was stored:
/// after a concurrent write or deletion it is not, and that write is an event for watches.
pub fn keep(store: &Store, resource: &Resource, object: Value) -> ApiResult<bool> {
    let (name, namespace) = (
        resource::text(&object, "/metadata/name").to_owned(),
        resource::text(&object, "/metadata/namespace").to_owned(),
    );
    let seen = resource::text(&object, "/metadata/resourceVersion").parse().ok().and_then(Revision::new);
    match update(store, resource, &namespace, seen.unwrap_or_default(), object) {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. } | StoreError::Missing(_)) => Ok(false),
        Err(error) => Err(failure::store(resource, &name, error)),
    }
}

/// Keeps a changed object.
pub fn update(
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
