//! Objects as a table, for `get`.

use jiff::Timestamp;
use palisade_k8s::put;
use serde_json::{Value, json};

use crate::kind::{Resource, text};

/// The part of each object that its row includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// Reads the query parameter `includeObject`; none if it has another value.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("" | "Metadata") => Some(Self::Metadata),
            Some("None") => Some(Self::None),
            Some("Object") => Some(Self::Object),
            Some(_) => None,
        }
    }
}

fn columns(resource: &Resource) -> Vec<Value> {
    let name = json!({"name": "Name", "type": "string", "format": "name", "description": "The object's name.",
                      "priority": 0});
    let name = (!names_itself(resource)).then_some(name);
    name.into_iter().chain(resource.columns()).collect()
}

/// Whether a resource has its names in a separate column rather than in the first.
fn names_itself(resource: &Resource) -> bool {
    resource.columns().iter().any(|column| column["name"] == "Name")
}

fn row(resource: &Resource, object: &Value, include: Include, now: Timestamp) -> Value {
    let name = (!names_itself(resource)).then(|| Value::from(text(object, "/metadata/name")));
    let cells: Vec<Value> = name.into_iter().chain(resource.cells(object, now)).collect();
    let mut row = json!({"cells": cells});
    match include {
        Include::None => {}
        Include::Metadata => {
            put(
                &mut row,
                &["object"],
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                                   "metadata": object.get("metadata").cloned().unwrap_or_default()}),
            );
        }
        Include::Object => put(&mut row, &["object"], object.clone()),
    }
    row
}

/// A list or an object as a table, with the ages of objects as of `now`. Columns are left out of all but the first table
/// of a watch.
pub fn of(resource: &Resource, value: &Value, include: Include, with_columns: bool, now: Timestamp) -> Value {
    let items = value.get("items").and_then(Value::as_array);
    let rows: Vec<Value> = match items {
        Some(items) => items.iter().map(|object| row(resource, object, include, now)).collect(),
        None => vec![row(resource, value, include, now)],
    };
    let mut metadata = json!({"resourceVersion": text(value, "/metadata/resourceVersion")});
    if let Some(next) = value.pointer("/metadata/continue") {
        put(&mut metadata, &["continue"], next.clone());
    }
    let columns = if with_columns { columns(resource) } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
           "columnDefinitions": columns, "rows": rows})
}
