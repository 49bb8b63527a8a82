//! Tokens that are good for less than their users may (`userInfo.extra`): what OpenShift's scope authorizer denies, no
//! role grants.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use palisade_admission::{Policy, PolicyBuilder, respond};
use palisade_scc::BuiltinSet;
use serde_json::{Value, json};

fn policy() -> Policy {
    let mut builder = PolicyBuilder::default();
    builder.add_set(BuiltinSet::V4).unwrap();
    for name in ["dev", "ops"] {
        let annotations =
            json!({"openshift.io/sa.scc.uid-range": "1000/10", "openshift.io/sa.scc.mcs": "s0:c1,c0"});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": annotations}});
        builder.add(&namespace).unwrap();
    }
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b", "namespace": "dev"},
        "roleRef": {"kind": "ClusterRole", "name": "system:openshift:scc:anyuid"},
        "subjects": [{"kind": "ServiceAccount", "name": "runner"}]});
    builder.add(&binding).unwrap();
    builder.build()
}

/// The SCC that admits a plain pod, or none.
fn admitted(user: &str, groups: &[&str], scopes: &Value, namespace: &str, account: &str) -> String {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": namespace, "name": "p", "operation": "CREATE",
        "userInfo": {"username": user, "groups": groups, "extra": {"scopes.authorization.openshift.io": scopes, "other": ["x"]}},
        "object": {"metadata": {"name": "p"}, "spec": {"serviceAccountName": account, "containers": [{"name": "c"}]}}}});
    let answer = respond(&policy(), &review.to_string()).unwrap();
    let reason = answer.audit_annotations.get("reason").cloned().unwrap_or_default();
    if answer.allowed { reason.split(' ').next().unwrap_or_default().to_owned() } else { "none".to_owned() }
}

#[test]
fn roles_grant_within_the_scopes_of_the_token() {
    let everybody = &["system:authenticated"][..];
    for (scopes, namespace, wanted) in [
        (Value::Null, "dev", "restricted-v2"),
        (json!([]), "dev", "restricted-v2"),
        (json!(["user:full"]), "dev", "restricted-v2"),
        (json!(["user:info", "user:check-access"]), "dev", "none"),
        (json!(["user:info", "user:full"]), "dev", "restricted-v2"),
        (json!(["role:system:openshift:scc:restricted-v2:dev"]), "dev", "restricted-v2"),
        (json!(["role:system:openshift:scc:restricted-v2:dev"]), "ops", "none"),
        (json!(["role:system:openshift:scc:restricted-v2:*"]), "ops", "restricted-v2"),
        (json!(["role:cluster-admin:*"]), "dev", "none"),
        (json!(["role:cluster-admin:*:!"]), "dev", "restricted-v2"),
        (json!(["nonsense"]), "dev", "none"),
    ] {
        assert_eq!(admitted("ann", everybody, &scopes, namespace, ""), wanted, "{scopes} {namespace}");
    }
}

/// An SCC's own lists of users and groups are not RBAC, which token scopes restrict, and the service account of the pod
/// has no scopes.
#[test]
fn lists_of_an_scc_and_service_accounts_know_no_scopes() {
    let info = json!(["user:info"]);
    assert_ne!(admitted("system:admin", &[], &info, "dev", ""), "none");
    assert_ne!(admitted("root", &["system:masters"], &info, "dev", ""), "none");
    assert_eq!(admitted("ann", &["system:authenticated"], &info, "dev", "other"), "none");
    assert_eq!(admitted("ann", &["system:authenticated"], &info, "dev", "runner"), "anyuid");
}
