//! UIDs of the objects that tokens are bound to, read once for each of their revisions: an object may be large, and the check
//! is made for each request.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use palisade_store::{Key, Object, Revision, Store};
use serde::Deserialize;

use crate::limits;

/// The UIDs that were read.
#[derive(Debug, Default)]
pub(crate) struct Uids(Mutex<HashMap<Key, (Revision, Head)>>);

/// UID and deletion time of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Head {
    uid: String,
    deletion_timestamp: Option<String>,
}

impl Head {
    fn read(object: &Object) -> Option<Self> {
        #[derive(Deserialize)]
        struct Whole {
            metadata: Head,
        }
        serde_json::from_slice(&object.value).ok().map(|Whole { metadata }| metadata)
    }
}

impl Uids {
    /// Whether an object exists with a UID. One that is being deleted counts if it `may_be_leaving`.
    pub(crate) fn is_there(&self, store: &Store, key: &Key, uid: &str, may_be_leaving: bool) -> bool {
        let head = self.head(store, key);
        head.is_some_and(|head| head.uid == uid && (may_be_leaving || head.deletion_timestamp.is_none()))
    }

    fn head(&self, store: &Store, key: &Key) -> Option<Head> {
        let newest = store.revision_of(key).ok()??;
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, head)) = lock().get(key).filter(|(revision, _)| *revision == newest) {
            return Some(head.clone());
        }
        let object = store.get(key).ok()??;
        let head = Head::read(&object)?;
        let mut read = lock();
        if read.len() >= limits::TOKENS_VERIFIED {
            read.clear();
        }
        read.insert(key.clone(), (object.revision, head.clone()));
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_known_as_its_newest_write_left_it() {
        let (store, uids) = (Store::ephemeral().unwrap(), Uids::default());
        let key = Key::new("pods", "a", "p");
        let object =
            |metadata: serde_json::Value| json!({"metadata": metadata, "spec": {"x": ["y"]}}).to_string();
        let known = |uid: &str| [true, false].map(|leaving| uids.is_there(&store, &key, uid, leaving));
        assert_eq!(known("1"), [false, false]);
        let mut revision = store.create(&key, object(json!({"uid": "1"})).as_bytes()).unwrap();
        for (metadata, first, second) in [
            (json!({"uid": "1", "labels": {"a": "b"}}), [true, true], [false, false]),
            (json!({"uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}), [true, false], [false, false]),
            (json!({"uid": "2"}), [false, false], [true, true]),
        ] {
            revision = store.update(&key, revision, object(metadata).as_bytes()).unwrap();
            // Read, and then remembered.
            for _ in 0..2 {
                assert_eq!((known("1"), known("2")), (first, second));
            }
        }
        store.delete(&key, None).unwrap();
        assert_eq!(known("2"), [false, false]);
    }
}
