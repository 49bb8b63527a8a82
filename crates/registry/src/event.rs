//! Writes as watches and controllers see them.

use palisade_store::{Change, Revision};
use serde_json::Value;

use crate::objects;
use crate::weight;

/// A write of an object, parsed.
#[derive(Clone, Debug)]
pub struct Event {
    /// The write's place among all.
    pub revision: Revision,
    /// Whether the object was made, changed or deleted.
    pub change: Change,
    /// The resource's name in the store.
    pub storage: String,
    /// The object's namespace; empty for an object of the cluster.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object as the write left it; of a deletion, as it was.
    pub object: Value,
    /// The object before the write.
    pub previous: Option<Value>,
}

impl Event {
    /// A write of the store; none if its object is no JSON.
    pub fn of(event: palisade_store::Event) -> Option<Self> {
        let object = objects::parse(&event.value, event.revision).ok()?;
        let previous = event.previous.and_then(|bytes| objects::parse(&bytes, event.revision).ok());
        Some(Self {
            revision: event.revision,
            change: event.change,
            storage: event.key.resource,
            namespace: event.key.namespace,
            name: event.key.name,
            object,
            previous,
        })
    }

    pub(crate) fn weight(&self) -> usize {
        weight::of(&self.object) + self.previous.as_ref().map_or(0, weight::of)
    }
}
