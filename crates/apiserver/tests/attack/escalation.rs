//! Privilege escalation: roles and bindings with more rights than their author holds, and the like.

use serde_json::{Value, json};

use super::world::Who::{Admin, Mallory};
use super::world::{RBAC, World};

/// The way in which an object is written.
const WAYS: [(&str, &str); 5] = [
    ("POST", "application/json"),
    ("PUT", "application/json"),
    ("PATCH", "application/merge-patch+json"),
    ("PATCH", "application/strategic-merge-patch+json"),
    ("PATCH", "application/apply-patch+yaml"),
];

/// Rules that each exceed the rights of a project's administrator.
fn rules() -> Vec<Value> {
    let rule = |verbs: Value, groups: Value, resources: Value| json!({"verbs": verbs, "apiGroups": groups, "resources": resources});
    vec![
        rule(json!(["*"]), json!(["*"]), json!(["*"])),
        rule(json!(["*"]), json!([""]), json!(["secrets"])),
        rule(json!(["use"]), json!(["security.openshift.io"]), json!(["securitycontextconstraints"])),
        json!({"verbs": ["use"], "apiGroups": ["security.openshift.io"], "resources": ["securitycontextconstraints"], "resourceNames": ["privileged"]}),
        rule(json!(["escalate"]), json!(["rbac.authorization.k8s.io"]), json!(["roles"])),
        rule(json!(["bind"]), json!(["rbac.authorization.k8s.io"]), json!(["roles", "clusterroles"])),
        rule(json!(["impersonate"]), json!([""]), json!(["serviceaccounts", "users", "groups"])),
        rule(json!(["get"]), json!([""]), json!(["nodes"])),
        rule(json!(["update"]), json!([""]), json!(["namespaces"])),
        rule(json!(["create"]), json!([""]), json!(["pods/binding"])),
        rule(json!(["get"]), json!(["*"]), json!(["configmaps"])),
        rule(json!(["get"]), json!([""]), json!(["*/*"])),
    ]
}

/// Requests: path, method, media type and body.
type Shapes = Vec<(String, &'static str, &'static str, Value)>;

fn roles() -> String {
    format!("{RBAC}/namespaces/lair/roles")
}

fn bindings() -> String {
    format!("{RBAC}/namespaces/lair/rolebindings")
}

/// The rule that the user has.
fn holds() -> Value {
    json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]})
}

fn mallory() -> Value {
    json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}])
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})
}

/// Roles of one's own namespace with a rule more.
fn wider_roles(shapes: &mut Shapes) {
    let (roles, holds) = (roles(), holds());
    for rule in rules() {
        for (method, kind) in WAYS {
            let name = if method == "POST" { "new" } else { "own" };
            let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": [holds, rule]});
            if kind.contains("strategic") {
                object = json!({"rules": [rule]});
            }
            let query = if kind.contains("apply") { "?fieldManager=m&force=true" } else { "" };
            let path = if method == "POST" { roles.clone() } else { format!("{roles}/{name}{query}") };
            shapes.push((path, method, kind, object));
        }
        let patch = json!([{"op": "add", "path": "/rules/-", "value": rule}]);
        shapes.push((format!("{roles}/own"), "PATCH", "application/json-patch+json", patch));
    }
}

/// Bindings of one's own namespace to roles that hold more, or that are still to come.
fn wider_bindings(shapes: &mut Shapes) {
    let bindings = bindings();
    for (kind, name) in [
        ("ClusterRole", "cluster-admin"),
        ("ClusterRole", "cluster-reader"),
        ("ClusterRole", "system:node"),
        ("Role", "to-come"),
        ("ClusterRole", "to-come"),
    ] {
        for subject in [
            json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]),
            json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]),
            json!([{"kind": "ServiceAccount", "name": "default", "namespace": "lair"}]),
        ] {
            let mut object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "new"}, "roleRef": reference(kind, name), "subjects": subject});
            shapes.push((bindings.clone(), "POST", "application/json", object.clone()));
            object["metadata"]["name"] = "new-by-apply".into();
            shapes.push((
                format!("{bindings}/new-by-apply?fieldManager=m"),
                "PATCH",
                "application/apply-patch+yaml",
                object,
            ));
        }
        let change = json!({"roleRef": reference(kind, name)});
        shapes.push((format!("{bindings}/own"), "PATCH", "application/merge-patch+json", change));
    }
}

/// Roles and bindings where one has no rights.
fn elsewhere(shapes: &mut Shapes) {
    let (holds, subject) = (holds(), mallory());
    let labels = json!({"rbac.authorization.k8s.io/aggregate-to-admin": "true"});
    for path in [
        format!("{RBAC}/clusterroles"),
        format!("{RBAC}/clusterrolebindings"),
        format!("{RBAC}/namespaces/shop/roles"),
        format!("{RBAC}/namespaces/shop/rolebindings"),
        format!("{RBAC}/namespaces/kube-system/rolebindings"),
    ] {
        shapes.push((path.clone(), "POST", "application/json", json!({"metadata": {"name": "x", "labels": labels}, "rules": [holds], "roleRef": reference("ClusterRole", "view"), "subjects": subject})));
        shapes.push((
            format!("{path}/cluster-admin"),
            "PATCH",
            "application/merge-patch+json",
            json!({"subjects": subject}),
        ));
        shapes.push((format!("{path}/admin"), "DELETE", "application/json", Value::Null));
    }
}

/// Requests for what is not of RBAC.
fn other_requests(shapes: &mut Shapes) {
    for (path, method, object) in [
        ("/api/v1/namespaces/lair/serviceaccounts/default/token", "PUT", json!({})),
        ("/api/v1/namespaces/kube-system/serviceaccounts/default/token", "POST", json!({"spec": {}})),
        ("/api/v1/namespaces/shop/serviceaccounts/default/token", "POST", json!({"spec": {}})),
        (
            "/api/v1/namespaces/lair",
            "PATCH",
            json!({"metadata": {"labels": {"security.openshift.io/disable-securitycontextconstraints": "true"}}}),
        ),
        (
            "/api/v1/namespaces/lair",
            "PATCH",
            json!({"metadata": {"annotations": {"openshift.io/sa.scc.uid-range": "0/10000"}}}),
        ),
        ("/api/v1/namespaces", "POST", json!({"metadata": {"name": "openshift-x"}})),
        ("/api/v1/nodes", "POST", json!({"metadata": {"name": "n9"}})),
        (
            "/api/v1/namespaces/lair/bindings",
            "POST",
            json!({"metadata": {"name": "p"}, "target": {"name": "n1"}}),
        ),
        (
            "/apis/security.openshift.io/v1/securitycontextconstraints",
            "POST",
            json!({"metadata": {"name": "mine"}}),
        ),
        (
            "/apis/security.openshift.io/v1/securitycontextconstraints/restricted-v2",
            "PATCH",
            json!({"users": ["mallory"]}),
        ),
        ("/api/v1/securitycontextconstraints/restricted-v2", "PATCH", json!({"users": ["mallory"]})),
        (
            "/apis/user.openshift.io/v1/groups",
            "POST",
            json!({"metadata": {"name": "dev"}, "users": ["mallory"]}),
        ),
        ("/apis/user.openshift.io/v1/users/alice/password", "POST", json!({"password": "now it is mine"})),
        ("/apis/user.openshift.io/v1/users/~/password", "POST", json!({"password": "now it is mine"})),
        ("/palisade/v1/backup", "GET", Value::Null),
        ("/palisade/v1/backup", "POST", json!({})),
        ("/metrics", "GET", Value::Null),
        ("/api/v1/secrets", "GET", Value::Null),
        ("/api/v1/namespaces/shop/secrets", "GET", Value::Null),
        ("/api/v1/namespaces/shop/pods?watch=true", "GET", Value::Null),
        ("/api/v1/watch/namespaces/shop/secrets", "GET", Value::Null),
        ("/api/v1/namespaces/shop%2f..%2flair/secrets", "GET", Value::Null),
        ("/api/v1/namespaces/lair/../shop/secrets", "GET", Value::Null),
    ] {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        shapes.push((path.to_owned(), method, kind, object));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_grant_no_more_than_their_author_holds() {
    let world = World::new().await;
    let own = json!({"metadata": {"name": "own"}, "rules": [holds()]});
    world.must(Mallory, &format!("POST {}", roles()), own).await;
    let own =
        json!({"metadata": {"name": "own"}, "roleRef": reference("Role", "own"), "subjects": mallory()});
    world.must(Mallory, &format!("POST {}", bindings()), own).await;
    let mut shapes = Shapes::new();
    for add in [wider_roles, wider_bindings, elsewhere, other_requests] {
        add(&mut shapes);
    }
    assert!(shapes.len() >= 140, "{}", shapes.len());
    let mut wrong = Vec::new();
    for (path, method, kind, object) in &shapes {
        let body = if object.is_null() { String::new() } else { object.to_string() };
        let reply = world
            .send_as(Mallory, &format!("{method} {path}"), &[("content-type", kind)], body.as_bytes())
            .await;
        // A change of roleRef is not possible for a binding; some paths do not exist.
        if !matches!(reply.code, 403 | 404 | 405 | 415 | 422) {
            wrong.push(format!("{method} {path} {kind} {object}: {} {}", reply.code, reply.text()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), shapes.len(), wrong.join("\n"));
    let role = world.must(Admin, &format!("GET {}/own", roles()), Value::Null).await;
    assert_eq!(role["rules"], json!([holds()]));
}

/// A label aggregates a role into another: a user that may patch roles and holds the aggregated role would gain all
/// rights that are in them.
#[tokio::test(flavor = "multi_thread")]
async fn labels_cannot_add_roles_to_an_aggregated_one() {
    let world = World::new().await;
    let (roles, name) = (format!("{RBAC}/clusterroles"), "role-keeper");
    let keeps = json!({"verbs": ["get", "patch", "update"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]});
    let role = json!({"metadata": {"name": name}, "rules": [keeps]});
    world.must(Admin, &format!("POST {roles}"), role).await;
    let binding = json!({"metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}]});
    world.must(Admin, &format!("POST {RBAC}/clusterrolebindings"), binding).await;
    let labels = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    let path = format!("{roles}/cluster-admin");
    let mut whole = world.must(Mallory, &format!("GET {path}"), Value::Null).await;
    whole["metadata"]["labels"] = labels.clone();
    whole["metadata"]["resourceVersion"].take();
    let part = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "cluster-admin", "labels": labels}});
    for (method, kind, object) in [
        ("PUT", "application/json", whole),
        ("PATCH", "application/merge-patch+json", part.clone()),
        ("PATCH", "application/strategic-merge-patch+json", part.clone()),
        ("PATCH", "application/apply-patch+yaml", part),
        (
            "PATCH",
            "application/json-patch+json",
            json!([{"op": "add", "path": "/metadata/labels", "value": labels}]),
        ),
    ] {
        let query = if kind.contains("apply") { "?fieldManager=m" } else { "" };
        let line = format!("{method} {path}{query}");
        let body = object.to_string();
        let reply = world.send_as(Mallory, &line, &[("content-type", kind)], body.as_bytes()).await;
        assert_eq!(reply.code, 403, "{line} {kind}: {}", reply.text());
    }
    // A role whose rules the user holds may be labelled.
    let own = json!({"metadata": {"labels": {"team": "lair"}}});
    let line = format!("PATCH {roles}/{name}");
    let kind = [("content-type", "application/merge-patch+json")];
    let reply = world.send_as(Mallory, &line, &kind, own.to_string().as_bytes()).await;
    assert_eq!(reply.code, 200, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_delete_an_object_cannot_have_it_collected() {
    const PATCH: &str = "application/merge-patch+json";
    let world = World::new().await;
    let bind = json!({"metadata": {"name": "editor"}, "roleRef": reference("ClusterRole", "editor"), "subjects": mallory()});
    let rule = json!({"verbs": ["get", "patch", "update"], "apiGroups": [""], "resources": ["secrets", "namespaces"]});
    let role = json!({"metadata": {"name": "editor"}, "rules": [rule]});
    world.must(Admin, &format!("POST {RBAC}/clusterroles"), role).await;
    world.must(Admin, &format!("POST {RBAC}/clusterrolebindings"), bind).await;
    let maps = "/api/v1/namespaces/lair/configmaps";
    let own = world.must(Mallory, &format!("POST {maps}"), json!({"metadata": {"name": "own"}})).await;
    let owners =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "own", "uid": own["metadata"]["uid"]}]);
    let precious = json!({"metadata": {"name": "precious"}});
    world.must(Admin, "POST /api/v1/namespaces/shop/secrets", precious).await;
    for path in ["/api/v1/namespaces/shop/secrets/precious", "/api/v1/namespaces/shop"] {
        let mut whole = world.must(Mallory, &format!("GET {path}"), Value::Null).await;
        whole["metadata"]["ownerReferences"] = owners.clone();
        let change = json!({"metadata": {"ownerReferences": owners}});
        for (line, kind, body) in [
            (format!("PUT {path}"), "application/json", &whole),
            (format!("PATCH {path}"), PATCH, &change),
            (format!("PATCH {path}"), "application/strategic-merge-patch+json", &change),
            (format!("PATCH {path}?fieldManager=m&force=true"), "application/apply-patch+yaml", &whole),
        ] {
            let mut body = body.clone();
            if kind.contains("apply") {
                body = json!({"apiVersion": whole["apiVersion"], "kind": whole["kind"], "metadata": {"ownerReferences": owners}});
            }
            let reply =
                world.send_as(Mallory, &line, &[("content-type", kind)], body.to_string().as_bytes()).await;
            assert!(
                reply.code == 403 && reply.text().contains("resource you can't delete"),
                "{line}: {} {}",
                reply.code,
                reply.text()
            );
        }
        // Another change is permitted; and so is this one to those who may delete.
        world.must(Mallory, &format!("PATCH {path}"), json!({"metadata": {"labels": {"a": "b"}}})).await;
        world.must(Admin, &format!("PATCH {path}"), change).await;
    }
    // An owner that waits for an object takes the right to change its finalizers, also where the object is new.
    let blocking = |name: &str| {
        let mut owners = owners.clone();
        owners[0]["blockOwnerDeletion"] = true.into();
        json!({"metadata": {"name": name, "ownerReferences": owners}})
    };
    let rules = |resources: &[&str]| json!([{"verbs": ["create", "get", "list", "delete", "update", "patch"], "apiGroups": [""], "resources": resources}]);
    let finalizing = json!({"metadata": {"name": "finalizing"}, "rules": rules(&["configmaps/finalizers"])});
    world.must(Admin, &format!("POST {RBAC}/namespaces/lair/roles"), finalizing).await;
    for (name, code) in [("before", 403), ("after", 201)] {
        let reply = world.send(Mallory, &format!("POST {maps}"), &blocking(name)).await;
        let why = if code == 403 { "you can't set finalizers on" } else { "" };
        assert!(reply.code == code && reply.text().contains(why), "{name}: {} {}", reply.code, reply.text());
        let bind = json!({"metadata": {"name": name}, "roleRef": reference("Role", "finalizing"), "subjects": mallory()});
        world.must(Admin, &format!("POST {RBAC}/namespaces/lair/rolebindings"), bind).await;
    }
    let unknown = json!({"metadata": {"name": "unknown", "ownerReferences": [
        {"apiVersion": "v1", "kind": "Nothing", "name": "own", "uid": "1", "blockOwnerDeletion": true}]}});
    assert_eq!(world.send(Mallory, &format!("POST {maps}"), &unknown).await.code, 403);
    // The owner of another namespace takes along what is in its own only.
    let local = json!({"metadata": {"name": "local", "ownerReferences": owners}});
    world.must(Mallory, &format!("POST {maps}"), local).await;
    world.must(Mallory, &format!("DELETE {maps}/own"), Value::Null).await;
    for _ in 0..100 {
        if world.send(Mallory, &format!("GET {maps}/local"), &Value::Null).await.code == 404 {
            let kept = world.must(Admin, "GET /api/v1/namespaces/shop/secrets/precious", Value::Null).await;
            assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept}");
            let kept = world.must(Admin, "GET /api/v1/namespaces/shop", Value::Null).await;
            assert!(kept["metadata"]["deletionTimestamp"].is_null(), "{kept}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the dependent of its own namespace stays");
}
