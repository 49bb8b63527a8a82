//! Discovery: lists of groups, versions and resources.

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::kind::Resource;
use crate::registry::{Group, Registry};

/// Every group with its resources, in one answer.
pub fn aggregated(registry: &Registry, core: bool, version: &str) -> Value {
    let groups = match core {
        true => vec![Group { name: String::new(), versions: vec!["v1".to_owned()] }],
        false => registry.groups(),
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions = group.versions.iter().map(|version| {
                let resources = registry.of_group(&group.name, version);
                let resources: Vec<Value> = resources.iter().map(aggregated_resource).collect();
                json!({"version": version, "resources": resources, "freshness": "Current"})
            });
            let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
            json!({"metadata": metadata, "versions": versions.collect::<Vec<_>>()})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
           "metadata": {}, "items": items})
}

fn aggregated_resource(resource: &Resource) -> Value {
    let response = |kind: &str, group: &str| json!({"group": group, "version": "", "kind": kind});
    let mut item = json!({
        "resource": resource.plural(),
        "responseKind": response(resource.kind(), ""),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular(),
        "verbs": resource.verbs,
    });
    if !resource.short_names().is_empty() {
        put(&mut item, &["shortNames"], json!(resource.short_names()));
    }
    if !resource.categories().is_empty() {
        put(&mut item, &["categories"], json!(resource.categories()));
    }
    let subresources: Vec<Value> = resource
        .subresources()
        .iter()
        .map(|part| {
            let (group, version, kind) = part.kind.unwrap_or(("", "", resource.kind()));
            json!({"subresource": part.name, "responseKind": {"group": group, "version": version, "kind": kind},
                   "verbs": part.verbs})
        })
        .collect();
    if !subresources.is_empty() {
        put(&mut item, &["subresources"], subresources.into());
    }
    item
}

/// `GET /api`.
pub fn versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
           "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]})
}

/// `GET /apis`.
pub fn group_list(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry.groups().iter().map(group_entry).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/GROUP`.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    let mut entry = group_entry(registry.groups().iter().find(|group| group.name == name)?);
    put(&mut entry, &["kind"], "APIGroup".into());
    put(&mut entry, &["apiVersion"], "v1".into());
    Some(entry)
}

fn group_entry(group: &Group) -> Value {
    let versions = group.versions.iter();
    let versions = versions
        .map(|version| json!({"groupVersion": format!("{}/{version}", group.name), "version": version}));
    let versions: Vec<Value> = versions.collect();
    json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions})
}

/// `GET /api/v1` and `GET /apis/GROUP/VERSION`.
pub fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for resource in registry.of_group(group, version) {
        let mut entry = json!({
            "name": resource.plural(), "singularName": resource.singular(), "namespaced": resource.namespaced,
            "kind": resource.kind(), "verbs": resource.verbs,
        });
        if !resource.short_names().is_empty() {
            put(&mut entry, &["shortNames"], json!(resource.short_names()));
        }
        if !resource.categories().is_empty() {
            put(&mut entry, &["categories"], json!(resource.categories()));
        }
        list.push(entry);
        for part in resource.subresources() {
            let (group, version, kind) = part.kind.unwrap_or(("", "", resource.kind()));
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural(), part.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": part.verbs,
            });
            if !version.is_empty() {
                put(&mut entry, &["group"], group.into());
                put(&mut entry, &["version"], version.into());
            }
            list.push(entry);
        }
    }
    let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!list.is_empty()).then(
        || json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}),
    )
}
