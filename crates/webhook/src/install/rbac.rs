//! The rights of the replicas: the objects that they read, and the few that they write.

use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::{Value, json};

use super::{NAME, Settings, metadata};

/// The Secret that holds the certificate authority.
pub const CA_SECRET: &str = "palisade-ca";
/// The Lease of the replica that runs the controllers.
pub const LEASE: &str = "palisade-controllers";

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    let account = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": settings.namespace}]);
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME, Some(settings))}),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": metadata(NAME, None),
            "rules": cluster_rules(settings),
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": metadata(NAME, None),
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": NAME}, "subjects": account,
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": metadata(NAME, Some(settings)),
            "rules": own_rules(),
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": metadata(NAME, Some(settings)),
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": NAME}, "subjects": account,
        }),
    ]
}

/// No Secrets and no watch of pods: a single pod is read for a connection to it.
fn cluster_rules(settings: &Settings) -> Value {
    let mut rules = vec![
        json!({"apiGroups": [GROUP], "resources": [RESOURCE], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch", "patch"]}),
        json!({"apiGroups": [RBAC], "resources": ["roles", "clusterroles", "rolebindings", "clusterrolebindings"],
            "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": [""], "resources": ["pods", "serviceaccounts"], "verbs": ["get"]}),
        json!({"apiGroups": [""], "resources": ["events"], "verbs": ["get", "create", "update"]}),
        json!({"apiGroups": [palisade_profiles::GROUP], "resources": [palisade_profiles::report::RESOURCE], "verbs": ["list", "watch"]}),
        json!({"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}),
        json!({"apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [NAME], "verbs": ["get", "patch"]}),
    ];
    if settings.reports {
        rules.push(
            json!({"apiGroups": ["openreports.io"], "resources": ["reports"], "verbs": ["get", "create", "update"]}),
        );
    }
    rules.into()
}

fn own_rules() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [CA_SECRET], "verbs": ["get", "list", "watch", "update"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [LEASE], "verbs": ["get", "update"]},
    ])
}
