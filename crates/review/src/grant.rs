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

/// The SCC as an object to apply. Clients of older clusters take `null` for a missing field, and refuse that.
pub fn object(scc: &SecurityContextConstraints) -> Value {
    completed(whole(scc))
}

/// An SCC with the fields that older clients require, with the values that mean the same as none.
fn completed(mut scc: Value) -> Value {
    let absent: Vec<_> = palisade_scc::absent(&scc).collect();
    for (field, value) in absent {
        // A list of volumes has no such value.
        if let (Some(scc), Ok(value)) = (scc.as_object_mut(), serde_json::from_str::<Value>(value)) {
            scc.insert(field.to_owned(), value);
        }
    }
    scc
}

fn whole(scc: &SecurityContextConstraints) -> Value {
    let mut object = json!({"apiVersion": "security.openshift.io/v1", "kind": "SecurityContextConstraints"});
    if let (Some(object), Ok(Value::Object(fields))) = (object.as_object_mut(), serde_json::to_value(scc)) {
        object.extend(fields);
        object.insert("metadata".to_owned(), json!({ "name": scc.metadata.name }));
    }
    object
}

/// The SCC as an object to be applied, without the fields that the API server fills in with the same
/// (reference/scc.md 1a), but for those of `kept` and, `for_older` clients, those that they require.
pub(crate) fn short(scc: &SecurityContextConstraints, kept: &[&str], for_older: bool) -> Value {
    let mut object = whole(scc);
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|field, value| kept.contains(&field.as_str()) || !is_filled_in(field, value));
    }
    if for_older { completed(object) } else { object }
}

/// Whether a field that is left out becomes this value.
fn is_filled_in(field: &str, value: &Value) -> bool {
    match (field, value) {
        // Without a list of volumes all are allowed.
        ("volumes", _) => false,
        ("allowPrivilegeEscalation", value) => *value == true,
        ("defaultAllowPrivilegeEscalation", value) => value.is_null(),
        ("userNamespaceLevel", value) => value == "AllowHostLevel",
        ("fsGroup" | "supplementalGroups", value) => *value == json!({"type": "RunAsAny"}),
        (_, Value::Array(items)) => items.is_empty(),
        (_, value) => value.is_null() || *value == false,
    }
}

/// A name for an SCC that is made of this one and that `is_taken` does not know.
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
    use palisade_scc::{BuiltinSet, default};
    use serde::Deserialize;

    /// The fields that hold something: an empty list permits, drops and names what none does.
    fn filled(scc: &SecurityContextConstraints) -> Value {
        let mut fields = serde_json::to_value(scc).unwrap();
        fields.as_object_mut().unwrap().retain(|_, value| !value.is_null() && *value != json!([]));
        fields
    }

    #[test]
    fn what_is_left_out_is_filled_in_again() {
        let sets = [BuiltinSet::V3, BuiltinSet::V4];
        let nodes = sets.iter().flat_map(|set| palisade_k8s::manifest::read(set.manifest()).unwrap());
        let sccs =
            nodes.map(|node| node.to_json()).filter(|object| object["kind"] == "SecurityContextConstraints");
        for scc in sccs {
            let mut whole = SecurityContextConstraints::deserialize(&scc).unwrap();
            default(&mut whole);
            whole.metadata =
                palisade_k8s::scc::ObjectMeta { name: whole.metadata.name, ..Default::default() };
            let older = short(&whole, &[], true);
            assert_eq!(palisade_scc::absent(&older).count(), 0, "{older}");
            let short = short(&whole, &["allowHostPID"], false);
            let mut again = SecurityContextConstraints::deserialize(&short).unwrap();
            default(&mut again);
            assert_eq!(filled(&again), filled(&whole));
            let count = |value: &Value| value.as_object().unwrap().len();
            assert!(count(&short) < count(&object(&whole)) && short.get("allowHostPID").is_some(), "{short}");
        }
    }

    #[test]
    fn names_are_subdomains_and_free() {
        let free = |_: &str| false;
        assert_eq!(name("Shop-web:x", free), "shop-web-x");
        assert_eq!(name("--é--", free), "least");
        assert_eq!(name("anyuid", |name| name == "anyuid"), "anyuid-own");
        assert_eq!(name(&"a".repeat(300), free).len(), 200);
    }
}
