//! Reviews disclose nothing that the requester cannot see.

use serde_json::{Value, json};

use super::world::Who::{Alice, Mallory, Nobody};
use super::world::World;

const GROUP: &str = "/apis/security.openshift.io/v1";

fn template() -> Value {
    json!({"spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_of_pods_say_nothing_of_others() {
    let world = World::new().await;
    let account = json!({"metadata": {"name": "hidden"}});
    world.must(Alice, "POST /api/v1/namespaces/shop/serviceaccounts", account).await;
    let accounts = |names: Value| json!({"spec": {"template": template(), "serviceAccountNames": names}});
    let subject = |user: &str| json!({"spec": {"template": template(), "user": user}});
    let path = format!("POST {GROUP}/namespaces/lair/podsecuritypolicyreviews");
    for (names, code) in [
        (json!(["default"]), 201),
        (json!(["system:serviceaccount:lair:default"]), 201),
        (json!(["system:serviceaccount:shop:hidden"]), 422),
        (json!(["system:serviceaccount:shop:missing"]), 422),
        (json!(["system:serviceaccount:kube-system:default"]), 422),
        (json!(["a/b"]), 422),
    ] {
        let reply = world.send(Mallory, &path, &accounts(names.clone())).await;
        assert_eq!(reply.code, code, "{names}: {}", reply.text());
    }
    let path = format!("POST {GROUP}/namespaces/lair/podsecuritypolicysubjectreviews");
    let replies = [
        world.send(Mallory, &path, &subject("system:serviceaccount:shop:hidden")).await,
        world.send(Mallory, &path, &subject("system:serviceaccount:nowhere:x")).await,
    ];
    assert!(replies.iter().all(|reply| reply.code == 403), "{replies:?}");
    assert_eq!(world.send(Mallory, &path, &subject("system:serviceaccount:lair:default")).await.code, 201);
    // Nor if groups stand beside the account, or instead of it.
    for (user, group, code) in [
        ("system:serviceaccount:shop:hidden", "x", 403),
        ("joe", "system:serviceaccounts:shop", 403),
        ("joe", "system:serviceaccounts:nowhere", 403),
        ("system:serviceaccount:lair:default", "system:serviceaccounts:lair", 201),
    ] {
        let review = json!({"spec": {"template": template(), "user": user, "groups": [group]}});
        let reply = world.send(Mallory, &path, &review).await;
        assert_eq!(reply.code, code, "{user} {group}: {}", reply.text());
    }
    // The answers for a hidden namespace and for a missing one are equal.
    let own =
        |namespace: &str| format!("POST {GROUP}/namespaces/{namespace}/podsecuritypolicyselfsubjectreviews");
    let said = async |namespace: &str| {
        let reply = world.send(Mallory, &own(namespace), &json!({"spec": {"template": template()}})).await;
        (reply.code, reply.text().replace(namespace, "NAMESPACE"))
    };
    let (hidden, missing) = (said("shop").await, said("nowhere").await);
    assert_eq!((hidden.0, &hidden.1), (403, &missing.1));
    assert_eq!(said("kube-system").await.0, 403);
    assert_eq!(said("lair").await.0, 201);
}

/// A review of many accounts, or of rights that are bound again and again, is answered in the size of what it is about.
#[tokio::test(flavor = "multi_thread")]
async fn answers_grow_with_what_is_asked_only() {
    let world = World::new().await;
    let path = format!("POST {GROUP}/namespaces/shop/podsecuritypolicyreviews");
    let containers: Vec<Value> =
        (0..100).map(|at| json!({"name": format!("c{at}"), "image": "i:1"})).collect();
    let review = |names: Vec<String>| json!({"spec": {"template": {"spec": {"containers": containers}}, "serviceAccountNames": names}});
    let many = (0..1000).map(|at| format!("a{at}")).collect();
    let reply = world.send(Alice, &path, &review(many)).await;
    assert!(reply.code == 422 && reply.text().contains("1000 names"), "{}", reply.text());
    let reply = world.send(Alice, &path, &review(vec!["default".to_owned(); 1000])).await;
    let answered = reply.json()["status"]["allowedServiceAccounts"].as_array().map(Vec::len);
    assert_eq!((reply.code, answered), (201, Some(1)));

    let rules = async || {
        let review = json!({"spec": {"namespace": "shop"}});
        let reply =
            world.must(Alice, "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review).await;
        let status = &reply["status"];
        (status["resourceRules"].as_array().map_or(0, Vec::len), status["incomplete"] == true)
    };
    let (before, _) = rules().await;
    const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";
    let role = |count: usize| {
        let rules: Vec<Value> = (0..count)
            .map(|at| json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [at.to_string()]}))
            .collect();
        json!({"metadata": {"name": "r"}, "rules": rules})
    };
    world.must(Alice, &format!("POST {ROLES}/roles"), role(20)).await;
    for at in 0..20 {
        let binding = json!({"metadata": {"name": format!("b{at}")}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]});
        world.must(Alice, &format!("POST {ROLES}/rolebindings"), binding).await;
    }
    assert_eq!(rules().await, (before + 20, false));
    world.must(Alice, &format!("PUT {ROLES}/roles/r"), role(2000)).await;
    let (listed, is_cut) = rules().await;
    assert!(is_cut && listed > 100 && listed < 1900, "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_missing_objects_are_refused_alike() {
    let world = World::new().await;
    world.must(Alice, "POST /api/v1/namespaces/shop/secrets", json!({"metadata": {"name": "s"}})).await;
    for (there, missing) in [
        ("GET /api/v1/namespaces/shop", "GET /api/v1/namespaces/nowhere"),
        ("GET /api/v1/namespaces/shop/secrets/s", "GET /api/v1/namespaces/shop/secrets/x"),
        ("GET /api/v1/namespaces/shop/secrets/s", "GET /api/v1/namespaces/nowhere/secrets/s"),
        ("DELETE /api/v1/namespaces/shop/secrets/s", "DELETE /api/v1/namespaces/shop/secrets/x"),
        (
            "GET /apis/project.openshift.io/v1/projects/shop",
            "GET /apis/project.openshift.io/v1/projects/nowhere",
        ),
        ("GET /apis/user.openshift.io/v1/users/alice", "GET /apis/user.openshift.io/v1/users/nobody"),
        ("PUT /api/v1/namespaces/shop/secrets/s", "PUT /api/v1/namespaces/shop/secrets/x"),
        (
            "POST /api/v1/namespaces/shop/serviceaccounts/default/token",
            "POST /api/v1/namespaces/shop/serviceaccounts/x/token",
        ),
        (
            "GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Ds",
            "GET /api/v1/namespaces/shop/pods?fieldSelector=metadata.name%3Dx",
        ),
    ] {
        for identity in [Nobody, Mallory] {
            let (one, other) = (
                world.send(identity, there, &json!({})).await,
                world.send(identity, missing, &json!({})).await,
            );
            assert_eq!(
                (one.code, other.code),
                (403, 403),
                "{identity:?} {there}: {} {}",
                one.text(),
                other.text()
            );
            let bare = |text: String, line: &str| {
                // A client that may not see which paths exist is told the one that it sent.
                let path = line.split([' ', '?']).nth(1).unwrap();
                let text = text.replace(path, "N");
                ["shop", "nowhere", "alice", "nobody", "default"]
                    .iter()
                    .fold(text, |text, name| text.replace(name, "N"))
                    .replace("\\\"s\\\"", "N")
                    .replace("\\\"x\\\"", "N")
                    .replace("\\\"N\\\"", "N")
                    .replace("\"s\"", "N")
                    .replace("\"x\"", "N")
                    .replace("\"N\"", "N")
            };
            assert_eq!(bare(one.text(), there), bare(other.text(), missing), "{identity:?} {there}");
        }
    }
    let projects = world.must(Mallory, "GET /apis/project.openshift.io/v1/projects", Value::Null).await;
    let names: Vec<&str> =
        projects["items"].as_array().unwrap().iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["lair"]);
}
