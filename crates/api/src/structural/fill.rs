//! Defaulting: absent fields get the defaults of the schema.

use serde_json::Value;

use super::{List, Structural};
use crate::limits::WEIGHT;
use crate::weight;

/// Maximum memory of defaults, in bytes: an object with more is too heavy to be stored.
struct Room(usize);

/// Sets the schema's defaults of an object.
pub(super) fn fill(schema: &Structural, object: &mut Value) {
    fill_value(schema, object);
}

/// Sets the schema's defaults of a value.
pub(super) fn fill_value(schema: &Structural, value: &mut Value) {
    fill_in(schema, value, &mut Room(2 * WEIGHT));
}

impl Room {
    /// The default of a schema, as long as memory remains.
    fn default(&mut self, schema: &Structural) -> Option<Value> {
        let default = schema.default.as_deref()?;
        self.0 = self.0.checked_sub(weight::of(default))?;
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
    fill_keys_in(schema, value, &mut Room(2 * WEIGHT));
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
