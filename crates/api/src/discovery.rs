//! Discovery: lists of groups, versions and resources.

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::kind::{self, RESOURCES, Resource};

/// Groups in the order of the table, the core group left out.
pub fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = RESOURCES.iter().map(|resource| resource.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|group| !group.is_empty());
    groups
}

fn version_of(group: &str) -> &'static str {
    kind::version_of(group).unwrap_or("v1")
}

fn of_group(group: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().copied().filter(move |resource| resource.group() == group)
}

/// Every group with everything, in one answer.
pub fn aggregated(core: bool, version: &str) -> Value {
    let groups = if core { vec![""] } else { groups() };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let resources: Vec<Value> = of_group(group).map(aggregated_resource).collect();
            let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": metadata,
                   "versions": [{"version": version_of(group), "resources": resources, "freshness": "Current"}]})
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
pub fn group_list() -> Value {
    let groups: Vec<Value> = groups().iter().map(|group| group_entry(group)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/GROUP`.
pub fn group(name: &str) -> Option<Value> {
    let mut entry = groups().contains(&name).then(|| group_entry(name))?;
    put(&mut entry, &["kind"], "APIGroup".into());
    put(&mut entry, &["apiVersion"], "v1".into());
    Some(entry)
}

fn group_entry(group: &str) -> Value {
    let version = version_of(group);
    let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `GET /api/v1` and `GET /apis/GROUP/v1`.
pub fn resources(group: &str) -> Option<Value> {
    let mut list = Vec::new();
    for resource in of_group(group) {
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
    let version = version_of(group);
    let version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!list.is_empty()).then(
        || json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": list}),
    )
}
