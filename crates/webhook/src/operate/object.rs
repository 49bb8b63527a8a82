//! Objects of the installation as requests to an API server.

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::Value;

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The kind and the name, for messages.
pub(super) fn title(object: &Value) -> String {
    format!("{} {}", text(object, "/kind"), name(object))
}

/// The path of objects of this kind and namespace.
pub(super) fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let api_version = text(object, "/apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = text(object, "/kind");
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural(kind),
    };
    match text(object, "/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// The resource of a kind, for the kinds of the installation.
fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with("ss") => lower + "es",
        None if lower.ends_with('s') => lower,
        None => lower + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_installation_has_its_resource() {
        for (kind, expected) in [
            ("NetworkPolicy", "networkpolicies"),
            ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
            ("SecurityContextConstraints", "securitycontextconstraints"),
            ("Namespace", "namespaces"),
            ("RuntimeClass", "runtimeclasses"),
            ("ResourceQuota", "resourcequotas"),
        ] {
            assert_eq!(plural(kind), expected);
        }
    }
}
