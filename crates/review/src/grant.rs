//! An SCC of one's own with its grant: the SCC, a role that may use it, and the role's binding to accounts.

use palisade_k8s::SecurityContextConstraints;
use serde_json::{Value, json};

/// The role of a namespace that may use an SCC, and its binding to accounts of the namespace.
pub fn role(scc: &str, namespace: &str, accounts: &[&str]) -> [Value; 2] {
    let role = format!("use-scc-{scc}");
    let metadata = json!({"name": role, "namespace": namespace});
    let subjects: Vec<Value> = accounts
        .iter()
        .map(|account| json!({"kind": "ServiceAccount", "name": account, "namespace": namespace}))
        .collect();
    [
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": [
            {"apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"],
             "resourceNames": [scc], "verbs": ["use"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
             "subjects": subjects}),
    ]
}

/// The SCC as an object to apply.
pub fn object(scc: &SecurityContextConstraints) -> Value {
    let mut object = json!({"apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints"});
    if let (Some(object), Ok(Value::Object(fields))) = (object.as_object_mut(), serde_json::to_value(scc)) {
        object.extend(fields);
        object.insert("metadata".to_owned(), json!({ "name": scc.metadata.name }));
    }
    object
}

/// A name for an SCC derived from this one for which `is_taken` is false.
pub fn name(wished: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let lower = wished.chars().map(|c| match c {
        'a'..='z' | '0'..='9' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '-',
    });
    let mut name: String = lower.take(200).collect();
    name = name.trim_matches('-').to_owned();
    if name.is_empty() {
        name.push_str("least");
    }
    while is_taken(&name) {
        name.push_str("-own");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_subdomains_and_free() {
        let free = |_: &str| false;
        assert_eq!(name("Shop-web:x", free), "shop-web-x");
        assert_eq!(name("--é--", free), "least");
        assert_eq!(name("anyuid", |name| name == "anyuid"), "anyuid-own");
        assert_eq!(name(&"a".repeat(300), free).len(), 200);
    }
}
