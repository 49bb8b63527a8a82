//! The schemas of custom resources in OpenAPI.

use palisade_k8s::put;
use serde_json::{Value, json};

use super::{Version, gvk};
use crate::kind::Resource;
use crate::schema;

/// Keywords that OpenAPI 2.0 does not have.
const LATER: [&str; 6] = ["allOf", "anyOf", "oneOf", "not", "nullable", "x-kubernetes-validations"];

/// The name of a custom resource's type, such as `com.example.stable.v1.CronTab`.
pub(super) fn name(resource: &Resource) -> String {
    let mut parts: Vec<&str> = resource.group().rsplit('.').collect();
    parts.extend([resource.version(), resource.kind()]);
    parts.join(".")
}

/// The type of a custom resource: its schema, with the fields of every object.
pub(super) fn definition(resource: &Resource, mut schema: Value, version: Version) -> Value {
    if version == Version::Two {
        simplify(&mut schema);
    }
    put(&mut schema, &["properties", "apiVersion"], json!({"type": "string"}));
    put(&mut schema, &["properties", "kind"], json!({"type": "string"}));
    if let Some(metadata) = schema::message("ObjectMeta") {
        let reference = json!({"$ref": version.reference(metadata)});
        let written = match version {
            Version::Two => reference,
            Version::Three => json!({"allOf": [reference], "default": {}}),
        };
        put(&mut schema, &["properties", "metadata"], written);
    }
    put(&mut schema, &["x-kubernetes-group-version-kind"], json!([gvk(resource)]));
    schema
}

/// Removes keywords that OpenAPI 2.0 does not have. Properties may have any name.
fn simplify(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    map.retain(|name, _| !LATER.contains(&name.as_str()));
    for (name, inner) in map {
        match name.as_str() {
            "properties" => {
                inner.as_object_mut().into_iter().flatten().for_each(|(_, inner)| simplify(inner))
            }
            "items" | "additionalProperties" => simplify(inner),
            _ => {}
        }
    }
}
