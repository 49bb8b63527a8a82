//! OpenAPI, version 2 and 3: the types of the schema and the paths of the resources, as far as clients read them.

mod custom;
mod protobuf;

use std::collections::HashMap;
use std::sync::LazyLock;

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::kind::{self, Resource};
use crate::registry::{Group, Registry};
use crate::schema::{self, Field, Merge, Message, Topology, Type};

/// Descriptions of types and fields, by `TYPE` and `TYPE.FIELD`.
static WORDS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    include_str!("../schema/words.txt").lines().filter_map(|line| line.split_once(' ')).collect()
});

fn describe(said: &mut Value, what: &str) {
    if let Some(words) = WORDS.get(what) {
        put(said, &["description"], (*words).into());
    }
}

/// The version of OpenAPI, which determines the path of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// OpenAPI 2.0, also called Swagger.
    Two,
    /// OpenAPI 3.0.
    Three,
}

impl Version {
    fn reference(self, message: &Message) -> String {
        let place = match self {
            Self::Two => "#/definitions/",
            Self::Three => "#/components/schemas/",
        };
        format!("{place}{}.{}", message.package, message.title())
    }
}

/// The type whose raw fields hold any JSON; elsewhere they hold objects.
const SCHEMA: &str = "JSONSchemaProps";

fn property(message: &Message, field: &Field, version: Version) -> Value {
    let raw = if message.name == SCHEMA { json!({}) } else { json!({"type": "object"}) };
    let mut said = kind(&field.kind, version, &raw);
    match &field.topology {
        Topology::Granular => {}
        Topology::Atomic if matches!(field.kind, Type::List(_)) => {
            put(&mut said, &["x-kubernetes-list-type"], "atomic".into())
        }
        Topology::Atomic => put(&mut said, &["x-kubernetes-map-type"], "atomic".into()),
        Topology::Set => put(&mut said, &["x-kubernetes-list-type"], "set".into()),
        Topology::Keyed(keys) => {
            put(&mut said, &["x-kubernetes-list-type"], "map".into());
            put(&mut said, &["x-kubernetes-list-map-keys"], json!(keys));
        }
    }
    match field.merge {
        Merge::Replace => {}
        Merge::Values => put(&mut said, &["x-kubernetes-patch-strategy"], "merge".into()),
        Merge::Key(key) => {
            let strategy = if field.retain { "merge,retainKeys" } else { "merge" };
            put(&mut said, &["x-kubernetes-patch-strategy"], strategy.into());
            put(&mut said, &["x-kubernetes-patch-merge-key"], key.into());
        }
    }
    said
}

fn kind(kind: &Type, version: Version, raw: &Value) -> Value {
    match kind {
        Type::String => json!({"type": "string"}),
        Type::Bool => json!({"type": "boolean"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Double => json!({"type": "number", "format": "double"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Time | Type::MicroTime => json!({"type": "string", "format": "date-time"}),
        Type::Quantity => json!({"type": "string"}),
        Type::IntOrString => json!({"type": "string", "format": "int-or-string"}),
        Type::Fields => json!({"type": "object"}),
        Type::Raw => raw.clone(),
        Type::ExtraValue => json!({"type": "array", "items": {"type": "string"}}),
        Type::List(item) => json!({"type": "array", "items": self::kind(item, version, raw)}),
        Type::Map(item) => json!({"type": "object", "additionalProperties": self::kind(item, version, raw)}),
        Type::Message(name) => match (schema::message(name), version) {
            (Some(message), Version::Two) => json!({"$ref": version.reference(message)}),
            // Beside a bare reference nothing else is permitted in OpenAPI 3.0.
            (Some(message), Version::Three) => {
                json!({"allOf": [{"$ref": version.reference(message)}], "default": {}})
            }
            (None, _) => json!({"type": "object"}),
        },
    }
}

fn definition(message: &'static Message, owners: &[Resource], version: Version) -> Value {
    let mut properties = serde_json::Map::new();
    if !owners.is_empty() {
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
    }
    let fields = message.all_fields();
    for field in &fields {
        let mut said = property(message, field, version);
        describe(&mut said, &format!("{}.{}", message.title(), field.name));
        properties.insert(field.name.to_owned(), said);
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut said = json!({"type": "object", "properties": properties});
    describe(&mut said, message.title());
    // Fields that the server sets before validation are not required from clients.
    if !required.is_empty() && message.name != palisade_k8s::scc::KIND {
        put(&mut said, &["required"], json!(required));
    }
    if message.atomic {
        put(&mut said, &["x-kubernetes-map-type"], "atomic".into());
    }
    if !owners.is_empty() {
        let kinds = owners.iter().map(gvk);
        put(&mut said, &["x-kubernetes-group-version-kind"], kinds.collect());
    }
    said
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group(), "version": resource.version(), "kind": resource.kind()})
}

/// The types that some types refer to, including themselves.
fn closure(roots: impl Iterator<Item = &'static str>) -> Vec<&'static Message> {
    let mut names: Vec<&'static str> = roots.collect();
    let mut at = 0;
    while let Some(name) = names.get(at).copied() {
        at += 1;
        let fields = schema::message(name).map(Message::all_fields).unwrap_or_default();
        for field in fields {
            let mut kind = &field.kind;
            while let Some(item) = kind.item() {
                kind = item;
            }
            if let Type::Message(inner) = kind
                && !names.contains(inner)
            {
                names.push(inner);
            }
        }
    }
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(schema::message).collect()
}

fn definitions(resources: &[Resource], version: Version, schemas: Schemas<'_>) -> Value {
    let roots = resources.iter().filter_map(|resource| resource.message().map(|message| message.name));
    let mut map = serde_json::Map::new();
    for message in closure(roots.chain(["DeleteOptions", "Status", "ObjectMeta"])) {
        let is_own = |resource: &&Resource| resource.message().is_some_and(|own| own.name == message.name);
        let owners: Vec<Resource> = resources.iter().filter(is_own).cloned().collect();
        map.insert(format!("{}.{}", message.package, message.title()), definition(message, &owners, version));
    }
    for resource in resources.iter().filter(|resource| resource.message().is_none()) {
        if let Some(schema) = schemas(resource) {
            map.insert(custom::name(resource), custom::definition(resource, schema, version));
        }
    }
    Value::Object(map)
}

/// The schemas of custom resources, from their definitions.
pub type Schemas<'s> = &'s dyn Fn(&Resource) -> Option<Value>;

/// Parameters of write requests: clients find out by them which features the server supports.
const OF_WRITES: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const OF_LISTS: &[&str] =
    &["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "timeoutSeconds", "watch"];

/// The HTTP method of a verb.
fn method(verb: &str) -> &str {
    match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    }
}

/// The operation of an HTTP method on a resource, with its parameters.
fn operation(resource: &Resource, action: &str, place: &str, version: Version) -> Value {
    let names = match action {
        "list" => OF_LISTS,
        "get" => &[],
        _ => OF_WRITES,
    };
    let parameters: Vec<Value> = names
        .iter()
        .map(|name| match version {
            Version::Two => json!({"name": name, "in": "query", "type": "string", "uniqueItems": true}),
            Version::Three => {
                json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}})
            }
        })
        .collect();
    let group = if resource.group().is_empty() { "core" } else { resource.group() };
    let is_only =
        resource.message().is_some() && kind::version_of(resource.group()) == Some(resource.version());
    let version_of_own = if is_only { "" } else { resource.version() };
    let id = format!("{action}.{group}.{version_of_own}{}{place}", resource.kind());
    json!({
        "operationId": id.replace(['/', '.'], "_"),
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(resource),
    })
}

/// The paths of a resource, each with the methods that it supports.
fn paths(resource: &Resource, version: Version) -> Vec<(String, Value)> {
    let base = match resource.group() {
        "" => "/api/v1".to_owned(),
        group => format!("/apis/{group}/{}", resource.version()),
    };
    let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let many = format!("{base}{scope}/{}", resource.plural());
    let path = |methods: &[(&str, &str, &str)], place: &str| -> Value {
        let allowed = methods.iter().filter(|(_, _, verb)| resource.allows(verb));
        let methods = allowed
            .map(|(method, action, _)| ((*method).to_owned(), operation(resource, action, place, version)));
        Value::Object(methods.collect())
    };
    let all = [
        ("get", "list", "list"),
        ("post", "post", "create"),
        ("delete", "deletecollection", "deletecollection"),
    ];
    let one = [
        ("get", "get", "get"),
        ("put", "put", "update"),
        ("patch", "patch", "patch"),
        ("delete", "delete", "delete"),
    ];
    let mut found = vec![(many.clone(), path(&all, "")), (format!("{many}/{{name}}"), path(&one, ""))];
    if resource.namespaced {
        let everywhere = path(&[("get", "list", "list")], "/everywhere");
        found.push((format!("{base}/{}", resource.plural()), everywhere));
    }
    for part in resource.subresources() {
        let place = format!("/{}", part.name);
        let methods = part.verbs.iter().map(|verb| method(verb));
        let methods = methods.map(|method| (method.to_owned(), operation(resource, method, &place, version)));
        found.push((format!("{many}/{{name}}{place}"), Value::Object(methods.collect())));
    }
    found.retain(|(_, methods)| methods.as_object().is_some_and(|methods| !methods.is_empty()));
    found
}

/// `GET /openapi/v2`.
pub fn two(registry: &Registry, schemas: Schemas<'_>) -> Value {
    let mut all = registry.of_group("", "v1");
    for group in registry.groups() {
        all.extend(group.versions.iter().flat_map(|version| registry.of_group(&group.name, version)));
    }
    let paths: serde_json::Map<String, Value> =
        all.iter().flat_map(|resource| paths(resource, Version::Two)).collect();
    json!({
        "swagger": "2.0", "info": {"title": "Palisade", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths, "definitions": definitions(&all, Version::Two, schemas),
    })
}

/// `GET /openapi/v2` in protobuf.
pub fn two_in_protobuf(registry: &Registry, schemas: Schemas<'_>) -> Vec<u8> {
    protobuf::document(&two(registry, schemas))
}

/// `GET /openapi/v3`: the URLs of the documents of the groups. Clients cache a document by the hash in its URL.
pub fn index(registry: &Registry) -> Value {
    let mut paths = serde_json::Map::new();
    let mut add = |path: String, mark: &str| {
        let mark = if mark.is_empty() { String::new() } else { format!("-{mark}") };
        let url = format!("/openapi/v3/{path}?hash={}{mark}", env!("CARGO_PKG_VERSION"));
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    add("api/v1".to_owned(), "");
    for Group { name, versions } in registry.groups() {
        versions
            .iter()
            .for_each(|version| add(format!("apis/{name}/{version}"), &registry.mark(&name, version)));
    }
    json!({ "paths": paths })
}

/// `GET /openapi/v3/api/v1` and the other groups.
pub fn three(registry: &Registry, group: &str, version: &str, schemas: Schemas<'_>) -> Option<Value> {
    let resources = registry.of_group(group, version);
    if resources.is_empty() {
        return None;
    }
    let paths: serde_json::Map<String, Value> =
        resources.iter().flat_map(|resource| paths(resource, Version::Three)).collect();
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Palisade", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths, "components": {"schemas": definitions(&resources, Version::Three, schemas)},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::RESOURCES;

    #[test]
    fn every_method_has_a_name_of_its_own() {
        let mut names = std::collections::HashSet::new();
        for (path, methods) in RESOURCES.iter().flat_map(|resource| paths(resource, Version::Two)) {
            for (method, operation) in methods.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                assert!(names.insert(name.clone()), "{method} {path}: {name} is another's");
            }
        }
        let pods = crate::kind::find("", "pods").unwrap();
        let found: Vec<String> = paths(pods, Version::Three).into_iter().map(|(path, _)| path).collect();
        let one = "/api/v1/namespaces/{namespace}/pods/{name}";
        assert!(
            found.iter().any(|path| path == one) && found.contains(&"/api/v1/pods".to_owned()),
            "{found:?}"
        );
        for part in pods.subresources() {
            assert!(found.contains(&format!("{one}/{}", part.name)), "{}", part.name);
        }
    }

    #[test]
    fn any_json_has_no_type() {
        for version in [Version::Two, Version::Three] {
            let shown = definition(schema::message(SCHEMA).unwrap(), &[], version);
            for field in ["default", "example", "additionalProperties", "additionalItems"] {
                let mut field = shown["properties"][field].clone();
                field.as_object_mut().unwrap().shift_remove("description");
                assert_eq!(field, json!({}), "{version:?}");
            }
            assert_eq!(shown["properties"]["enum"]["items"], json!({}));
            assert_eq!(shown["properties"]["dependencies"]["additionalProperties"], json!({}));
            let data = definition(schema::message("ControllerRevision").unwrap(), &[], version);
            assert_eq!(data["properties"]["data"]["type"], "object");
        }
    }

    #[test]
    fn descriptions_name_existing_types_and_cover_scc() {
        for what in WORDS.keys() {
            let (kind, field) = what.split_once('.').unwrap_or((what, ""));
            let message = schema::message(kind).unwrap_or_else(|| panic!("{what}"));
            assert!(field.is_empty() || message.field(field).is_some(), "{what}");
        }
        // All types and fields of Palisade's own have descriptions.
        for field in schema::message(palisade_k8s::scc::KIND).unwrap().all_fields() {
            assert!(
                WORDS.contains_key(format!("SecurityContextConstraints.{}", field.name).as_str()),
                "{}",
                field.name
            );
        }
    }
}
