//! Tokens and passwords: they end with their user or service account.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::Who::{Admin, Alice, Delegate, Mallory};
use super::world::{PASSWORD, RBAC, World, private};

const USERS: &str = "/apis/user.openshift.io/v1/users";
const SELF: &str = "GET /apis/user.openshift.io/v1/users/~";

async fn code(world: &World, token: &str) -> u16 {
    world.with_token(token, SELF, &Value::Null).await.code
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_passwords_end_with_their_user() {
    let world = World::new().await;
    world.make_user("bob", PASSWORD).await;
    let token = world.login("bob", PASSWORD).await.unwrap();
    assert_eq!(code(&world, &token).await, 200);
    // A new password revokes the tokens of the old one.
    world.set_password("bob", "another password").await;
    assert_eq!((code(&world, &token).await, world.login("bob", PASSWORD).await), (401, None));
    let token = world.login("bob", "another password").await.unwrap();
    assert_eq!(code(&world, &token).await, 200);
    world.must(Admin, &format!("DELETE {USERS}/bob"), Value::Null).await;
    // As if the server were killed right after it reported that the user is deleted.
    let copy = private();
    copy_all(&world.data(), &copy.path().join("data"));
    assert_eq!((code(&world, &token).await, world.login("bob", "another password").await), (401, None));
    let killed = World::start(copy, |_| {}).await;
    for world in [&world, &killed] {
        assert_eq!(code(world, &token).await, 401);
        // A new user of the same name gets nothing of the old one's.
        world.must(Admin, &format!("POST {USERS}"), json!({"metadata": {"name": "bob"}})).await;
        assert_eq!((code(world, &token).await, world.login("bob", "another password").await), (401, None));
    }
    // A user that is being deleted cannot log in.
    world.set_password("bob", PASSWORD).await;
    let token = world.login("bob", PASSWORD).await.unwrap();
    world.must(Admin, &format!("PATCH {USERS}/bob"), json!({"metadata": {"finalizers": ["a/b"]}})).await;
    world.must(Admin, &format!("DELETE {USERS}/bob"), Value::Null).await;
    assert_eq!((code(&world, &token).await, world.login("bob", PASSWORD).await), (401, None));
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_few_tokens_at_once() {
    let world = World::new().await;
    world.make_user("bob", PASSWORD).await;
    let mut tokens = Vec::new();
    for _ in 0..66 {
        tokens.push(world.login("bob", PASSWORD).await.unwrap());
    }
    assert_eq!((code(&world, &tokens[0]).await, code(&world, tokens.last().unwrap()).await), (401, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_whom_they_are_made() {
    let world = World::new().await;
    let token = world.login("alice", PASSWORD).await.unwrap();
    let path = "POST /apis/authentication.k8s.io/v1/tokenreviews";
    let review = async |token: &str, audiences: Value| {
        let reply =
            world.must(Delegate, path, json!({"spec": {"token": token, "audiences": audiences}})).await;
        (reply["status"]["authenticated"] == true, reply["status"]["audiences"].clone())
    };
    let own = "https://kubernetes.default.svc";
    assert_eq!(review(&token, json!([])).await, (true, json!([own])));
    assert_eq!(review(&token, json!(["vault", own])).await, (true, json!([own])));
    assert_eq!(review(&token, json!(["vault"])).await, (false, Value::Null));
    let mint = "POST /api/v1/namespaces/lair/serviceaccounts/default/token";
    let many: Vec<String> = (0..65).map(|at| at.to_string()).collect();
    let refused = world.send(Mallory, mint, &json!({"spec": {"audiences": many}})).await;
    assert!(refused.code == 422 && refused.text().contains("spec.audiences"), "{}", refused.text());
    let minted = world.must(Mallory, mint, json!({"spec": {"audiences": ["vault"]}})).await;
    let token = minted["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(review(&token, json!(["vault"])).await, (true, json!(["vault"])));
    assert_eq!(review(&token, json!([])).await, (false, Value::Null));
    assert_eq!(code(&world, &token).await, 401);
    // No token is for longer, or for less long, than Kubernetes gives one.
    for (seconds, wanted) in
        [(599, 422), (600, 201), (1 << 32, 201), ((1_i64 << 32) + 1, 422), (i64::MAX, 422)]
    {
        let reply = world.send(Mallory, mint, &json!({"spec": {"expirationSeconds": seconds}})).await;
        assert_eq!(reply.code, wanted, "{seconds}: {}", reply.text());
    }
    // A dry run returns no token.
    let dry = world.must(Mallory, &format!("{mint}?dryRun=All"), json!({"spec": {}})).await;
    assert_eq!(dry["status"]["token"], "", "{dry}");
    // A token ends with the pod that it is bound to, and with its account.
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    world.must(Mallory, "POST /api/v1/namespaces/lair/pods", pod).await;
    let bound = json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}});
    let bound = world.must(Mallory, mint, bound).await;
    let bound = bound["status"]["token"].as_str().unwrap().to_owned();
    assert_eq!(code(&world, &bound).await, 200);
    world.must(Mallory, "DELETE /api/v1/namespaces/lair/pods/p", Value::Null).await;
    assert_eq!(code(&world, &bound).await, 401);
}

/// Reads what comes until a text is in it, or the stream ends.
async fn read_until(stream: &mut (impl AsyncReadExt + Unpin), text: &str, time: u64) -> (String, bool) {
    let (mut found, mut piece) = (String::new(), vec![0; 4096]);
    let reading = async {
        loop {
            match stream.read(&mut piece).await {
                Ok(count @ 1..) => found.push_str(&String::from_utf8_lossy(&piece[..count])),
                _ => return true,
            }
            if !text.is_empty() && found.contains(text) {
                return false;
            }
        }
    };
    let is_over = tokio::time::timeout(Duration::from_secs(time), reading).await.unwrap_or(false);
    (found, is_over)
}

/// A watch sends nothing after the right to it, or its user, was removed; and it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_right_to_it() {
    let world = World::new().await;
    let minted = world
        .must(Alice, "POST /api/v1/namespaces/shop/serviceaccounts", json!({"metadata": {"name": "eye"}}))
        .await;
    assert_eq!(minted["metadata"]["name"], "eye");
    let view = |name: &str, subject: Value| {
        json!({"metadata": {"name": name}, "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}})
    };
    let bindings = format!("{RBAC}/namespaces/shop/rolebindings");
    world
        .must(
            Alice,
            &format!("POST {bindings}"),
            view("eye", json!({"kind": "ServiceAccount", "name": "eye", "namespace": "shop"})),
        )
        .await;
    let user = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"});
    world.must(Alice, &format!("POST {bindings}"), view("bob", user)).await;
    let group = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"});
    world.must(Alice, &format!("POST {bindings}"), view("dev", group)).await;
    let groups = "/apis/user.openshift.io/v1/groups";
    world
        .must(Admin, &format!("POST {groups}"), json!({"metadata": {"name": "dev"}, "users": ["carol"]}))
        .await;
    for name in ["bob", "carol"] {
        world.make_user(name, PASSWORD).await;
    }
    let token = async |name: &str| {
        if name != "eye" {
            return world.login(name, PASSWORD).await.unwrap();
        }
        let path = "POST /api/v1/namespaces/shop/serviceaccounts/eye/token";
        let minted = world.must(Alice, path, json!({"spec": {}})).await;
        minted["status"]["token"].as_str().unwrap().to_owned()
    };
    let account = "/api/v1/namespaces/shop/serviceaccounts/eye";
    let another = json!({"password": "another password"});
    let cases = [
        ("carol", "their group", format!("PATCH {groups}/dev"), json!({"users": []})),
        ("bob", "their binding", format!("DELETE {bindings}/bob"), Value::Null),
        ("bob", "their user", format!("DELETE {USERS}/bob"), Value::Null),
        ("carol", "their password", format!("POST {USERS}/carol/password"), another),
        ("eye", "their account", format!("DELETE {account}"), Value::Null),
    ];
    for (number, (name, what, line, body)) in cases.into_iter().enumerate() {
        let token = token(name).await;
        let mut stream = world.open(Mallory).await;
        let request = format!(
            "GET /api/v1/namespaces/shop/configmaps?watch=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let (seen, _) = read_until(&mut stream, "kube-root-ca.crt", 10).await;
        assert!(seen.contains("kube-root-ca.crt"), "{what}: {seen}");
        world.must(Admin, &line, body).await;
        let name = format!("hidden-{number}");
        let made = json!({"metadata": {"name": name}});
        world.must(Alice, "POST /api/v1/namespaces/shop/configmaps", made).await;
        // The answer is over, though the connection may go on.
        let (seen, is_over) = read_until(&mut stream, "0\r\n\r\n", 8).await;
        let is_over = is_over || seen.ends_with("0\r\n\r\n");
        assert!(is_over && !seen.contains(&name), "{what}: over {is_over}: {seen}");
        // A user that lost only this right gets it again for the next case.
        if what == "their group" {
            world.must(Admin, &format!("PATCH {groups}/dev"), json!({"users": ["carol"]})).await;
        }
        if what == "their binding" {
            let user = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"});
            world.must(Alice, &format!("POST {bindings}"), view("bob", user)).await;
        }
    }
}

/// A scoped token of OpenShift, which permits less than its user may do, whoever that is.
#[tokio::test(flavor = "multi_thread")]
async fn scopes_bound_what_anybody_may() {
    let world = World::new().await;
    let ask = async |user: &str, scope: &str, line: &str| {
        let headers = [
            ("impersonate-user", user),
            ("impersonate-group", "system:masters"),
            ("impersonate-extra-scopes.authorization.openshift.io", scope),
        ];
        world.send_as(Admin, line, &headers, b"").await
    };
    for (scope, line, code) in [
        ("user:full", "GET /api/v1/namespaces/shop/secrets", 200),
        ("user:info", "GET /api/v1/namespaces/shop/secrets", 403),
        ("user:info", "GET /apis/user.openshift.io/v1/users/~", 200),
        ("user:info", "GET /api/v1", 200),
        ("user:info", "GET /metrics", 403),
        ("role:view:shop", "GET /api/v1/namespaces/shop/pods", 200),
        ("role:view:shop", "GET /api/v1/namespaces/lair/pods", 403),
        ("role:admin:shop", "GET /api/v1/namespaces/shop/secrets", 403),
    ] {
        let reply = ask("alice", scope, line).await;
        assert_eq!(reply.code, code, "{scope} {line}: {}", reply.text());
        if code == 403 && line.contains("namespaces") {
            assert!(reply.text().contains("prevent this action"), "{}", reply.text());
        }
    }
}
