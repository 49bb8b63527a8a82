//! The removal of objects from the store.

use palisade_store::{Revision, Write};

use crate::api::Api;
use crate::error::ApiResult;
use crate::failure;
use crate::objects;
use crate::resource::{Credentials, Resource, text};

/// Removes an object permanently.
pub(crate) fn remove(
    api: &Api,
    resource: &Resource,
    namespace: &str,
    name: &str,
    seen: Option<Revision>,
) -> ApiResult<()> {
    let (key, store) = (objects::key(resource, namespace, name), &api.store);
    let removed = match resource.credentials {
        // The credentials of a user are removed with the user, in one write.
        Credentials::Login => {
            let found = objects::get(store, resource, namespace, name)?;
            let expected = Some(seen.unwrap_or(found.revision));
            let mut writes = vec![Write::Delete { key, expected }];
            writes.extend(crate::password::end_all(text(&found.object, "/metadata/uid")));
            store.transact(writes).map(drop)
        }
        _ => store.delete(&key, seen).map(drop),
    };
    removed.map_err(|error| failure::store(resource, name, error))
}
