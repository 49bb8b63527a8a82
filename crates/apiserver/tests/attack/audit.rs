//! The audit log: every action leaves a line with its author.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::world::Who::{Admin, Alice, Delegate, Mallory};
use super::world::{World, private};

/// The lines that a request left, by a part of its address.
fn lines(world: &World, part: &str) -> Vec<Value> {
    let of = |line: &Value| line["requestURI"].as_str().is_some_and(|uri| uri.contains(part));
    world.audit().into_iter().filter(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_leaves_a_line() {
    let world = World::new().await;
    for number in 0..20 {
        let body = json!({"metadata": {"name": format!("left-{number}")}}).to_string();
        let mut stream = world.open(Admin).await;
        let text = format!(
            "POST /api/v1/namespaces/shop/configmaps?left={number} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // Some leave before the work is begun, some in its middle, some after it.
        tokio::time::sleep(Duration::from_millis(3 * number)).await;
        drop(stream);
    }
    // One who leaves in the middle of a body is on record too.
    let mut stream = world.open(Admin).await;
    stream.write_all(b"POST /api/v1/namespaces/shop/configmaps?half=1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    stream.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let made = world.must(Admin, "GET /api/v1/namespaces/shop/configmaps", Value::Null).await;
    let names: Vec<&str> =
        made["items"].as_array().unwrap().iter().filter_map(|map| map["metadata"]["name"].as_str()).collect();
    let made: Vec<&&str> = names.iter().filter(|name| name.starts_with("left-")).collect();
    assert!(!made.is_empty());
    for name in made {
        let number = name.strip_prefix("left-").unwrap();
        let found = lines(&world, &format!("?left={number}"));
        let found: Vec<&Value> = found
            .iter()
            .filter(|line| line["requestURI"].as_str().unwrap().ends_with(&format!("={number}")))
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(
            (&found[0]["stage"], &found[0]["responseStatus"]["code"]),
            (&json!("ResponseComplete"), &json!(201)),
            "{name}"
        );
    }
    assert_eq!(lines(&world, "?half=1").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_acts_as_another_is_named() {
    let world = World::new().await;
    let headers = [("impersonate-user", "alice"), ("content-type", "application/json")];
    let reply = world.send_as(Delegate, "GET /apis/user.openshift.io/v1/users/~?as=1", &headers, b"").await;
    assert_eq!(reply.code, 200, "{}", reply.text());
    let found = lines(&world, "?as=1");
    assert_eq!(found.len(), 1);
    let line = &found[0];
    assert_eq!(
        (&line["user"]["username"], &line["impersonatedUser"]["username"]),
        (&json!("delegate"), &json!("alice"))
    );
    let wanted =
        json!({"resource": "users", "name": "~", "apiGroup": "user.openshift.io", "apiVersion": "v1"});
    assert_eq!(
        (&line["kind"], &line["apiVersion"], &line["objectRef"]),
        (&json!("Event"), &json!("audit.k8s.io/v1"), &wanted)
    );
    // Refused users are named as well, and failed authentication is recorded without a name.
    world.send_as(Mallory, "GET /version?as=2", &headers, b"").await;
    world.with_token("nonsense", "GET /version?as=3", &Value::Null).await;
    let refused = &lines(&world, "?as=2")[0];
    assert_eq!(refused["responseStatus"]["code"], 403);
    let unknown = &lines(&world, "?as=3")[0];
    assert_eq!((&unknown["user"], &unknown["responseStatus"]["code"]), (&json!({}), &json!(401)));
}

const POLICY: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, nonResourceURLs: ['/healthz*', /version]}
- {level: None, users: [system:admin], verbs: [list], resources: [{group: '', resources: [configmaps]}]}
- {level: RequestResponse, namespaces: [shop], omitManagedFields: true, resources: [{group: ''}]}
- {level: Request, resources: [{group: '', resources: [configmaps]}], omitStages: [ResponseComplete]}
- {level: Metadata, userGroups: ['system:masters'], omitStages: [ResponseStarted]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_says_what_is_logged_and_no_secret_is() {
    let folder = private();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let world = World::settled(folder, |config| config.audit_policy = Some(policy)).await;
    let map = json!({"metadata": {"name": "m"}, "data": {"colour": "mauve"}});
    world.must(Alice, "POST /api/v1/namespaces/shop/configmaps?p=1", map.clone()).await;
    world.must(Mallory, "POST /api/v1/namespaces/lair/configmaps?p=2", map).await;
    world.must(Admin, "GET /api/v1/namespaces/shop/configmaps?p=3", Value::Null).await;
    world.must(Admin, "GET /version?p=4", Value::Null).await;
    world.must(Mallory, "GET /apis/user.openshift.io/v1/users/~?p=5", Value::Null).await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"key": "hunter2-secret"}});
    world.must(Alice, "POST /api/v1/namespaces/shop/secrets?p=6", secret).await;
    let token = world
        .must(Alice, "POST /api/v1/namespaces/shop/serviceaccounts/default/token?p=7", json!({"spec": {}}))
        .await;
    world
        .must(Admin, "GET /api/v1/namespaces/shop/configmaps?watch=true&timeoutSeconds=1&p=8", Value::Null)
        .await;
    let of = |part: &str| lines(&world, part);
    let one = of("?p=1");
    assert_eq!(one.len(), 1);
    assert_eq!(
        (
            &one[0]["level"],
            &one[0]["requestObject"]["data"]["colour"],
            &one[0]["responseObject"]["data"]["colour"]
        ),
        (&json!("RequestResponse"), &json!("mauve"), &json!("mauve"))
    );
    assert_eq!(one[0]["responseObject"]["metadata"].get("managedFields"), None);
    for part in ["?p=2", "?p=3", "?p=4", "?p=5"] {
        assert_eq!(of(part), Vec::<Value>::new(), "{part}");
    }
    for part in ["?p=6", "?p=7"] {
        let found = of(part);
        assert_eq!((found.len(), &found[0]["level"]), (1, &json!("Metadata")), "{part}");
    }
    let stages: Vec<Value> = of("p=8").iter().map(|line| line["stage"].clone()).collect();
    assert_eq!(stages, ["ResponseStarted", "ResponseComplete"]);
    let text = std::fs::read_to_string(world.folder.path().join("audit.log")).unwrap();
    let token = token["status"]["token"].as_str().unwrap();
    assert!(
        !text.contains("hunter2")
            && !text.contains(token)
            && !text.contains("correct horse")
            && !text.contains("sha256~")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_policy_is_named() {
    for (text, said) in [
        ("rules: [{level: None}]", "apiVersion"),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy}", "rules: must not be empty"),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: []}", "rules: must not be empty"),
        ("{apiVersion: audit.k8s.io/v1beta1, kind: Policy, rules: [{level: None}]}", "kind: must be"),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Some}]}", "Some"),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, verb: [get]}]}", "verb"),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, nonResourceURLs: [version]}]}",
            "rules[0].nonResourceURLs[0]",
        ),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, nonResourceURLs: ['/a*b']}]}",
            "rules[0].nonResourceURLs[0]",
        ),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, namespaces: [a], nonResourceURLs: [/a]}]}",
            "rules[0].nonResourceURLs",
        ),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, resources: [{group: apps/v1}]}]}",
            "rules[0].resources[0]",
        ),
    ] {
        let folder = private();
        let policy = folder.path().join("policy.yaml");
        std::fs::write(&policy, text).unwrap();
        let mut config = super::world::config(&folder.path().join("data"));
        config.audit_policy = Some(policy);
        let error = palisade_apiserver::Server::start(config).await.err().unwrap_or_else(|| panic!("{text}"));
        assert!(
            error.to_string().contains("policy.yaml") && error.to_string().contains(said),
            "{text}: {error}"
        );
    }
}
