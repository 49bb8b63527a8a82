//! Names that are the system's: of projects, users, groups.

use serde_json::{Value, json};

use super::world::Who::{Admin, Alice, Delegate, Mallory, Nobody};
use super::world::{Case, Who, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_projects_are_nobodys_to_make() {
    let world = World::new().await;
    let path = "POST /apis/project.openshift.io/v1/projectrequests";
    let ask = |name: &str| json!({"metadata": {"name": name}});
    let mut cases: Vec<Case> = [
        "openshift",
        "openshift-infra",
        "openshift-node",
        "openshift-mine",
        "kube",
        "kube-system",
        "kube-mine",
        "kubernetes",
        "kubernetes-mine",
    ]
    .into_iter()
    .map(|name| ("a namespace of the platform", Mallory, path, ask(name), 403, "cannot request a project"))
    .collect();
    cases.extend([
        ("a name that only looks so", Mallory, path, ask("openshifter"), 201, ""),
        ("a name with it inside", Mallory, path, ask("my-kube"), 201, ""),
        ("what SCC exempts by name is there", Admin, "GET /api/v1/namespaces/openshift-infra", Value::Null, 200, ""),
        ("what SCC exempts by name is there", Admin, "GET /api/v1/namespaces/openshift-node", Value::Null, 200, ""),
        ("the platform's own annotations", Mallory, path,
            json!({"metadata": {"name": "dressed", "annotations": {"openshift.io/requester": "alice", "mine": "1"}}}), 201, ""),
    ]);
    world.check(&cases).await;
    let made = world.must(Admin, "GET /api/v1/namespaces/dressed", Value::Null).await;
    assert_eq!(made["metadata"]["annotations"]["openshift.io/requester"], "mallory");
    assert_eq!(made["metadata"]["annotations"]["mine"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_user_or_group_has_a_name_of_the_system() {
    let world = World::new().await;
    let bad = [
        "system:admin",
        "system:serviceaccount:lair:default",
        "system:node:n1",
        "a:b",
        "a/b",
        "a%b",
        "..",
        ".",
        "~",
        "a\nb",
    ];
    let mut wrong = Vec::new();
    for name in bad {
        for (line, object) in [
            ("POST /apis/user.openshift.io/v1/users", json!({"metadata": {"name": name}})),
            (
                "POST /apis/user.openshift.io/v1/groups",
                json!({"metadata": {"name": name}, "users": ["mallory"]}),
            ),
            ("POST /apis/user.openshift.io/v1/groups", json!({"metadata": {"name": "dev"}, "users": [name]})),
        ] {
            let reply = world.send(Delegate, line, &object).await;
            if reply.code != 422 {
                wrong.push(format!("{line} {object}: {}", reply.code));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let masters = json!({"apiVersion": "user.openshift.io/v1", "kind": "Group", "metadata": {"name": "system:masters"}, "users": ["mallory"]});
    let apply = world
        .send_as(
            Delegate,
            "PATCH /apis/user.openshift.io/v1/groups/system:masters?fieldManager=m",
            &[("content-type", "application/apply-patch+yaml")],
            masters.to_string().as_bytes(),
        )
        .await;
    assert_eq!(apply.code, 422, "{}", apply.text());
    world
        .check(&[
            (
                "a group by a name of another",
                Delegate,
                "POST /apis/user.openshift.io/v1/groups",
                json!({"metadata": {"name": "dev"}, "users": ["mallory"]}),
                201,
                "",
            ),
            (
                "the system's users among a group's",
                Delegate,
                "PATCH /apis/user.openshift.io/v1/groups/dev",
                json!({"users": ["system:serviceaccount:lair:default"]}),
                422,
                "users[0]",
            ),
            (
                "an identity without a provider",
                Delegate,
                "PATCH /apis/user.openshift.io/v1/users/mallory",
                json!({"identities": ["mallory"]}),
                422,
                "identities[0]",
            ),
            (
                "an identity",
                Delegate,
                "PATCH /apis/user.openshift.io/v1/users/mallory",
                json!({"identities": ["ldap:uid=m"]}),
                200,
                "",
            ),
            (
                "a group of the system's of a user",
                Delegate,
                "PATCH /apis/user.openshift.io/v1/users/mallory",
                json!({"groups": ["system:masters"]}),
                422,
                "groups[0]",
            ),
            (
                "to be root by all this",
                Mallory,
                "GET /api/v1/namespaces/kube-system/secrets",
                Value::Null,
                403,
                "",
            ),
        ])
        .await;
}

/// Objects that an older server accepted are in its store; they have no effect.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_store_holds_gives_no_rights() {
    let world = World::new().await;
    let folder = world.end().await;
    let store = palisade_store::Store::open(&folder.path().join("data")).unwrap();
    let group = json!({"kind": "Group", "apiVersion": "user.openshift.io/v1",
        "metadata": {"name": "system:masters", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}, "users": ["mallory"]});
    let key = palisade_store::Key::new("user.openshift.io/groups", "", "system:masters");
    store.create(&key, group.to_string().as_bytes()).unwrap();
    let user = json!({"kind": "User", "apiVersion": "user.openshift.io/v1", "metadata": {"name": "system:admin",
        "uid": "7a6cf1d7-6f0c-4f0e-9f55-0d9cf4d4e3a1", "creationTimestamp": "2026-01-01T00:00:00Z"}});
    let key = palisade_store::Key::new("user.openshift.io/users", "", "system:admin");
    store.create(&key, user.to_string().as_bytes()).unwrap();
    drop(store);
    let world = World::start(folder, |_| {}).await;
    let token = world.login("mallory", super::world::PASSWORD).await.unwrap();
    let reply = world.with_token(&token, "GET /api/v1/namespaces/kube-system/secrets", &Value::Null).await;
    assert_eq!(reply.code, 403, "{}", reply.text());
    let path = "POST /apis/user.openshift.io/v1/users/system:admin/password";
    let reply = world.send(Admin, path, &json!({"password": "correct horse"})).await;
    assert_eq!(reply.code, 400, "{}", reply.text());
    assert_eq!(world.login("system:admin", "correct horse").await, None);
}

/// Reserved names of the system in a certificate, or in impersonation.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_nobody_has_are_not_borrowed_either() {
    let world = World::new().await;
    let own = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews";
    let as_user = async |identity: Who, headers: &[(&str, &str)]| {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let reply = world.send_as(identity, own, &all, b"{}").await;
        let groups = reply.json().pointer("/status/userInfo/groups").cloned().unwrap_or_default();
        (reply.code, groups)
    };
    let user = "impersonate-user";
    for (headers, code) in [
        (&[(user, "alice")][..], 201),
        (&[(user, "alice"), ("impersonate-group", "dev")], 201),
        (&[(user, "alice"), ("impersonate-group", "system:masters")], 403),
        (&[(user, "system:serviceaccount:shop:default")], 403),
        (&[(user, "system:serviceaccount:shop:default:x")], 400),
        (&[(user, "system:serviceaccount:shop")], 400),
        (&[(user, "system:serviceaccount::x")], 400),
        (&[(user, "~")], 400),
        (&[(user, "a:b")], 400),
        (&[(user, "a/b")], 400),
        (&[(user, "..")], 400),
        (&[(user, "alice"), ("impersonate-group", "a:b")], 400),
    ] {
        assert_eq!(as_user(Delegate, headers).await.0, code, "{headers:?}");
        assert_eq!(as_user(Mallory, headers).await.0, if code == 201 { 403 } else { code }, "{headers:?}");
    }
    // An impersonated anonymous user has only the rights of anonymous.
    let (code, _) = as_user(Admin, &[(user, "system:anonymous")]).await;
    assert_eq!(code, 403);
    let reply = world.send_as(Admin, "GET /version", &[(user, "system:anonymous")], b"").await;
    assert_eq!(reply.code, 200);
    for (name, groups, code) in [
        ("system:admin", &["system:masters"][..], 200),
        ("bob", &["dev"], 403),
        ("system:serviceaccount:kube-system:default", &["system:masters"], 403),
        ("bob", &["system:masters", "system:serviceaccounts"], 403),
        ("system:anonymous", &["system:masters"], 403),
        ("a:b", &["system:masters"], 403),
        ("~", &["system:masters"], 403),
        ("../bob", &["system:masters"], 403),
    ] {
        let connector = world.with_certificate(name, groups);
        let reply = world.send_with(&connector, "GET /api/v1/namespaces", &[], b"").await;
        assert_eq!(reply.code, code, "{name} {groups:?}: {}", reply.text());
    }
}

/// Anonymous clients, and a user without rights, are refused.
#[tokio::test(flavor = "multi_thread")]
async fn anonymous_clients_are_refused() {
    let world = World::new().await;
    world
        .check(&[
            ("to list namespaces", Nobody, "GET /api/v1/namespaces", Value::Null, 403, ""),
            (
                "to make a project",
                Nobody,
                "POST /apis/project.openshift.io/v1/projectrequests",
                json!({"metadata": {"name": "x"}}),
                403,
                "",
            ),
            ("to know what there is", Nobody, "GET /apis/nothing/v1/x", Value::Null, 403, ""),
            (
                "a binding of one's own",
                Nobody,
                "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                json!({}),
                403,
                "",
            ),
            (
                "the roles",
                Mallory,
                "GET /apis/rbac.authorization.k8s.io/v1/clusterroles",
                Value::Null,
                403,
                "",
            ),
        ])
        .await;
}

/// An object is of the place that its request was authorized for, whatever it says of itself.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_is_of_the_place_of_its_path() {
    let world = World::new().await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
    world.must(Alice, "POST /api/v1/namespaces/shop/pods", pod).await;
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
    let set = json!({"metadata": {"name": "r"}, "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}});
    world.must(Alice, "POST /apis/apps/v1/namespaces/shop/replicasets", set).await;
    let mut cases: Vec<Case> = Vec::new();
    for (line, name, body) in [
        ("POST /api/v1/namespaces/shop/pods/p/eviction", "p", json!({})),
        (
            "POST /api/v1/namespaces/shop/pods/p/binding",
            "p",
            json!({"target": {"kind": "Node", "name": "n"}}),
        ),
        ("POST /api/v1/namespaces/shop/bindings", "p", json!({"target": {"kind": "Node", "name": "n"}})),
        ("POST /api/v1/namespaces/shop/serviceaccounts/default/token", "default", json!({"spec": {}})),
        ("PUT /apis/apps/v1/namespaces/shop/replicasets/r/scale", "r", json!({"spec": {"replicas": 1}})),
        ("PATCH /apis/apps/v1/namespaces/shop/replicasets/r/scale", "r", json!({"spec": {"replicas": 1}})),
        ("PUT /apis/apps/v1/namespaces/shop/replicasets/r/status", "r", json!({"status": {}})),
        ("POST /api/v1/namespaces/shop/configmaps", "m", json!({})),
        (
            "POST /apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews",
            "",
            json!({"spec": {}}),
        ),
    ] {
        let mut elsewhere = body.clone();
        elsewhere["metadata"] = json!({"name": name, "namespace": "default"});
        cases.push((
            "to act in another namespace",
            Admin,
            line,
            elsewhere,
            400,
            "does not match the namespace",
        ));
        if line.contains(&format!("/{name}/")) && !name.is_empty() {
            let mut another = body;
            another["metadata"] = json!({"name": "other", "namespace": "shop"});
            cases.push((
                "to act on another object",
                Admin,
                line,
                another,
                400,
                "does not match the name on the URL",
            ));
        }
    }
    world.check(&cases).await;
    let apply = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
    let kind = ("content-type", "application/apply-patch+yaml");
    let line = "PATCH /api/v1/namespaces/shop/configmaps/new?fieldManager=m";
    let reply = world.send_as(Admin, line, &[kind], apply.to_string().as_bytes()).await;
    assert_eq!(reply.code, 400, "{}", reply.text());
    world.must(Admin, "GET /api/v1/namespaces/shop/pods/p", Value::Null).await;
}

/// Without an account, kinds that exist are refused as kinds that do not.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_hidden_from_those_without_an_account() {
    let world = World::new().await;
    for (there, missing) in [
        ("GET /api/v1/pods", "GET /api/v1/pods2"),
        ("GET /api/v1/namespaces/shop/pods/p", "GET /api/v1/namespaces/shop/pods2/p"),
        ("PUT /api/v1/namespaces/shop/pods", "PUT /api/v1/namespaces/shop/pods2"),
        ("POST /apis/apps/v1/namespaces/shop/deployments", "POST /apis/apps/v9/namespaces/shop/deployments"),
        ("GET /api/v1/namespaces/shop/pods/p/log", "GET /api/v1/namespaces/shop/pods/p/logs"),
        ("GET /api/v1/pods?fieldSelector=%3D%3D%3D", "GET /api/v1/pods2?fieldSelector=%3D%3D%3D"),
    ] {
        let mut told = Vec::new();
        for line in [there, missing] {
            let reply = world.send(Nobody, line, &Value::Null).await;
            let path = line.split([' ', '?']).nth(1).unwrap();
            told.push((reply.code, reply.text().replace(path, "PATH")));
        }
        assert_eq!(told[0], told[1], "{there}");
        assert_eq!(told[0].0, 403, "{there}");
    }
    // The scheme of a token is in any case (RFC 9110, 11.1).
    let bearer = format!("bearer {}", world.token(Alice));
    let reply =
        world.send_as(Nobody, "GET /api/v1/namespaces/shop/pods", &[("authorization", &bearer)], b"").await;
    assert_eq!(reply.code, 200, "{}", reply.text());
}
