//! Defaulting: absent fields get the defaults of the schema.

use serde_json::Value;

use super::{List, Structural};
use crate::limits::WEIGHT;
use crate::weight;

/// Maximum memory of defaults, in bytes: an object with more is too heavy to be stored.
struct Room {
    left: usize,
    /// Whether a default did not fit.
    is_over: bool,
}

/// The memory of defaults up to which [`heaviest`] looks at them, in bytes.
const LIGHT: usize = 1 << 20;

/// The most memory of defaults, those within them included, that one map, list or null of an object gets, in bytes; of a schema
/// with very large defaults, as much as any object may get.
pub(super) fn heaviest(schema: &Structural) -> usize {
    let mut room = Room::of(LIGHT);
    let most = heaviest_in(schema, &mut room);
    if room.is_over { 2 * WEIGHT } else { most }
}

fn heaviest_in(schema: &Structural, room: &mut Room) -> usize {
    let properties = schema.properties.values().map(|property| filled(property, room)).sum::<usize>();
    let others = || schema.items.as_deref().into_iter().chain(schema.each());
    let own = others().fold(properties, |most, inner| most.max(filled(inner, room)));
    let below = schema.properties.values().chain(others());
    below.fold(own, |most, inner| if room.is_over { most } else { most.max(heaviest_in(inner, room)) })
}

/// The memory of the default of a schema with the defaults within it.
fn filled(schema: &Structural, room: &mut Room) -> usize {
    let before = room.left;
    if let Some(mut value) = room.default(schema) {
        fill_in(schema, &mut value, room);
    }
    before - room.left
}

/// Sets the schema's defaults of an object.
pub(super) fn fill(schema: &Structural, object: &mut Value) {
    fill_value(schema, object);
}

/// Sets the schema's defaults of a value.
pub(super) fn fill_value(schema: &Structural, value: &mut Value) {
    fill_in(schema, value, &mut Room::of(2 * WEIGHT));
}

impl Room {
    fn of(bytes: usize) -> Self {
        Self { left: bytes, is_over: false }
    }

    /// The default of a schema, as long as memory remains.
    fn default(&mut self, schema: &Structural) -> Option<Value> {
        let default = schema.default.as_deref()?;
        let left = self.left.checked_sub(weight::of(default));
        self.is_over |= left.is_none();
        self.left = left?;
        Some(default.clone())
    }
}

/// Whether a value is null and its schema is not nullable.
fn is_void(schema: &Structural, value: &Value) -> bool {
    value.is_null() && !schema.is_nullable
}

fn fill_in(schema: &Structural, value: &mut Value, room: &mut Room) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                if map.get(&**name).is_none_or(|value| is_void(property, value))
                    && let Some(default) = room.default(property)
                {
                    map.insert(name.to_string(), default);
                }
            }
            map.retain(|name, value| {
                let Some(inner) = schema.properties.get(name.as_str()).or(schema.each()) else { return true };
                if is_void(inner, value) {
                    let Some(default) = room.default(inner) else { return false };
                    *value = default;
                }
                fill_in(inner, value, room);
                true
            });
        }
        Value::Array(items) => {
            let Some(inner) = schema.items.as_deref() else { return };
            for item in items {
                if is_void(inner, item)
                    && let Some(default) = room.default(inner)
                {
                    *item = default;
                }
                fill_in(inner, item, room);
            }
        }
        _ => {}
    }
}

/// Sets the defaults of keys in the elements of keyed lists.
pub(super) fn fill_keys(schema: &Structural, value: &mut Value) {
    fill_keys_in(schema, value, &mut Room::of(2 * WEIGHT));
}

fn fill_keys_in(schema: &Structural, value: &mut Value, room: &mut Room) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(inner) = schema.property(name) {
                    fill_keys_in(inner, value, room);
                }
            }
        }
        Value::Array(items) => {
            let Some(inner) = schema.items.as_deref() else { return };
            let keys = match &schema.list {
                List::Map(keys) => keys.as_slice(),
                _ => &[],
            };
            for item in items {
                for key in keys {
                    if let Some(map) = item.as_object_mut().filter(|map| !map.contains_key(key))
                        && let Some(default) =
                            inner.properties.get(key.as_str()).and_then(|key| room.default(key))
                    {
                        map.insert(key.clone(), default);
                    }
                }
                fill_keys_in(inner, item, room);
            }
        }
        _ => {}
    }
}
