//! Pruning: fields that a schema does not specify are removed from objects.

use serde_json::Value;

use super::place::Place;
use super::{Rest, Structural};

/// Maximum number of pruned fields that one answer lists.
const UNKNOWN: usize = 20;
/// Fields of every object, which have types of their own.
const HEAD: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes an object, which has a head whatever its schema specifies.
pub(super) fn prune(schema: &Structural, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_fields(schema, true, object, Place::Root, &mut unknown);
    unknown
}

/// Prunes a value.
pub(super) fn prune_value(schema: &Structural, value: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    prune_fields(schema, schema.is_embedded, value, Place::Root, &mut unknown);
    unknown
}

fn prune_fields(
    schema: &Structural,
    has_head: bool,
    value: &mut Value,
    place: Place<'_>,
    unknown: &mut Vec<String>,
) {
    match value {
        Value::Object(map) => map.retain(|name, value| {
            if has_head && HEAD.contains(&name.as_str()) {
                return true;
            }
            let inner = match schema.properties.get(name.as_str()) {
                Some(property) => property,
                None => match &schema.rest {
                    Rest::Each(each) => each,
                    Rest::Any => return true,
                    Rest::None if schema.preserves => return true,
                    Rest::None => {
                        if unknown.len() < UNKNOWN {
                            unknown.push(Place::Field(&place, name).path().to_string());
                        }
                        return false;
                    }
                },
            };
            prune_fields(inner, inner.is_embedded, value, Place::Field(&place, name), unknown);
            true
        }),
        Value::Array(items) => {
            let Some(inner) = &schema.items else { return };
            for (index, value) in items.iter_mut().enumerate() {
                prune_fields(inner, inner.is_embedded, value, Place::Item(&place, index), unknown);
            }
        }
        _ => {}
    }
}
