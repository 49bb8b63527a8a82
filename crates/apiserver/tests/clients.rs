//! The API as real clients use it: the kube crate, and what oc and kubectl sent when they were recorded.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::io::Read;
use std::path::Path;

use base64::Engine;
use futures::StreamExt;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Client;
use kube::api::{
    Api, AttachParams, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::client::Body;
use serde_json::{Value, json};
use start::start;

fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kube_crate_watches_patches_and_applies() {
    let client = start(palisade_apiserver::Config::default()).await;
    // SCC leaves the namespace `default` alone.
    let shop = serde_json::from_value(json!({"metadata": {"name": "shop"}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &shop).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let made = pods.create(&PostParams::default(), &pod("a")).await.unwrap();
    // The administrator may use them all: of those that admit the pod, the first in order is taken.
    assert_eq!(made.metadata.annotations.unwrap()["openshift.io/scc"], "anyuid");
    let version = made.metadata.resource_version.unwrap();

    let merge = Patch::Merge(json!({"metadata": {"labels": {"tier": "web"}}}));
    pods.patch("a", &PatchParams::default(), &merge).await.unwrap();
    let strategic = json!({"spec": {"containers": [{"name": "app", "image": "app:2"}]}});
    pods.patch("a", &PatchParams::default(), &Patch::Strategic(strategic)).await.unwrap();
    pods.delete("a", &DeleteParams::default()).await.unwrap();

    // The history since the creation, in order.
    let mut seen = Vec::new();
    let stream = pods.watch(&WatchParams::default().timeout(2), &version).await.unwrap();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        seen.push(match event.unwrap() {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
            WatchEvent::Error(error) => panic!("{error:?}"),
        });
    }
    assert_eq!(seen, ["modified", "modified", "deleted"]);

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let config = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": value}});
    maps.patch("c", &PatchParams::apply("alice"), &Patch::Apply(config("1"))).await.unwrap();
    let refused = maps.patch("c", &PatchParams::apply("bob"), &Patch::Apply(config("2"))).await.unwrap_err();
    assert!(refused.to_string().contains("conflict with \"alice\": .data.a"), "{refused}");
    maps.patch("c", &PatchParams::apply("bob").force(), &Patch::Apply(config("2"))).await.unwrap();

    let namespaces: Api<Namespace> = Api::all(client);
    let mut page = namespaces.list(&ListParams::default().limit(2)).await.unwrap();
    let mut names: Vec<String> = Vec::new();
    loop {
        names.extend(page.items.iter().filter_map(|namespace| namespace.metadata.name.clone()));
        match page.metadata.continue_.clone().filter(|token| !token.is_empty()) {
            Some(token) => {
                page = namespaces.list(&ListParams::default().limit(2).continue_token(&token)).await.unwrap()
            }
            None => break,
        }
    }
    let own = ["default", "kube-node-lease", "kube-public", "kube-system"];
    assert_eq!(names, [&own[..], &["openshift", "openshift-infra", "openshift-node", "shop"]].concat());
}

/// One request of a recording, and its answer then.
struct Exchange {
    command: String,
    line: Value,
}

fn recording() -> Vec<Exchange> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testing/corpus/wire/oc-recording.ndjson.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut command = String::new();
    let mut exchanges = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Some(said) = line["command"].as_str() {
            command = said.to_owned();
        } else if line.get("method").is_some() {
            exchanges.push(Exchange { command: command.clone(), line });
        }
    }
    exchanges
}

/// Sends a recorded request; returns the status, the media type and the body.
async fn replay(client: &Client, line: &Value) -> (u16, String, Vec<u8>) {
    let bytes = match (&line["request"]["base64"], &line["request"]["json"]) {
        (Value::String(text), _) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
        (_, Value::Null) => match line["request"].as_object().filter(|map| !map.is_empty()) {
            Some(_) => line["request"].to_string().into_bytes(),
            None => Vec::new(),
        },
        (_, json) => json.to_string().into_bytes(),
    };
    let mut request = http::Request::builder()
        .method(line["method"].as_str().unwrap())
        .uri(line["path"].as_str().unwrap())
        .header("user-agent", "oc/4.21");
    for (header, field) in [("accept", "accept"), ("content-type", "contentType")] {
        if let Some(value) = line[field].as_str() {
            request = request.header(header, value);
        }
    }
    let response = client.send(request.body(Body::from(bytes)).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let media_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    (status, media_type.unwrap_or_default(), body)
}

/// The kind of an answer, in JSON or in protobuf (whose envelope starts with the version and the kind).
fn kind(body: &[u8]) -> String {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return value["kind"].as_str().unwrap_or_default().to_owned();
    }
    let meta = body.strip_prefix(b"k8s\0\x0a").expect("an answer is JSON or protobuf");
    let version = usize::from(meta[2]);
    let length = usize::from(meta[4 + version]);
    String::from_utf8(meta[5 + version..5 + version + length].to_vec()).unwrap()
}

/// Requests of oc to a server without OpenShift's groups. They exist here, so requests that were refused then are
/// answered now; requests that were answered then are answered with the same kind of object.
#[tokio::test(flavor = "multi_thread")]
async fn what_oc_sends_is_answered() {
    let client = start(palisade_apiserver::Config::default()).await;
    let post = async |path: &str, object: Value| {
        let line =
            json!({"method": "POST", "path": path, "contentType": "application/json", "request": object});
        let (code, _, body) = replay(&client, &line).await;
        assert_eq!(code, 201, "{path}: {}", String::from_utf8_lossy(&body));
    };
    // Objects that existed when the recording began.
    post("/api/v1/namespaces", json!({"metadata": {"name": "sso"}})).await;
    let group = "rbac.authorization.k8s.io";
    let name = "system:openshift:scc:drop-capabilities";
    let rule = json!({"verbs": ["use"], "apiGroups": ["security.openshift.io"],
                      "resources": ["securitycontextconstraints"], "resourceNames": ["drop-capabilities"]});
    let role = json!({"metadata": {"name": name}, "rules": [rule]});
    post(&format!("/apis/{group}/v1/clusterroles"), role).await;
    let mut problems = Vec::new();
    let exchanges = recording();
    for Exchange { command, line } in &exchanges {
        let (method, path) = (line["method"].as_str().unwrap(), line["path"].as_str().unwrap());
        let before = u16::try_from(line["status"].as_u64().unwrap()).unwrap();
        let (code, media_type, body) = replay(&client, line).await;
        let said = || {
            format!(
                "{command}: {method} {path}: {before} before, {code} now, {}",
                String::from_utf8_lossy(&body)
            )
        };
        let is_ok = match (method, before) {
            // A PUT carries the version and the UID that the object had then.
            ("PUT" | "PATCH", 200)
                if line["request"].to_string().contains("resourceVersion") || method == "PUT" =>
            {
                matches!(code, 200 | 409)
            }
            // Some default service accounts are there from the start.
            ("POST", 201) => code == 201 || (code == 409 && path.contains("/serviceaccounts")),
            // Differences: resources that the recording's server did not know or admit.
            ("HEAD", 403) | (_, 404 | 422) => matches!(code, 200 | 201 | 400 | 404),
            (_, before) => code == before,
        };
        if !is_ok {
            problems.push(said());
            continue;
        }
        if method == "HEAD" || path.starts_with("/openapi") || before >= 400 || code >= 400 {
            continue;
        }
        let then = match line["response"]["base64"].as_str() {
            Some(text) => kind(&base64::engine::general_purpose::STANDARD.decode(text).unwrap()),
            None => line["response"]["json"]["kind"].as_str().unwrap_or_default().to_owned(),
        };
        // A token was left out of the recording.
        if !then.is_empty() && kind(&body) != then {
            problems.push(format!("{then} then: {}", said()));
        }
        let accept = line["accept"].as_str().unwrap_or_default();
        let first = media_type.split(';').next().unwrap_or_default();
        if !accept.is_empty() && !accept.contains(first) && !accept.contains("*/*") {
            problems.push(format!("{media_type}: {}", said()));
        }
    }
    assert!(exchanges.len() > 80, "{}", exchanges.len());
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), exchanges.len(), problems.join("\n"));
}

/// Bodies that are not objects, or are truncated, are refused with a message that names the defect.
#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_named() {
    let client = start(palisade_apiserver::Config::default()).await;
    let pods = "/api/v1/namespaces/default/pods";
    let json = "application/json";
    for (method, path, content_type, body, code, said) in [
        ("POST", pods, json, &br#"{"metadata": {"name": "p"}}"#[..], 422, "spec.containers: Required value"),
        ("POST", pods, json, b"{", 400, "not JSON"),
        ("POST", pods, json, br#"{"kind": "Secret"}"#, 400, "does not match the expected kind (Pod)"),
        (
            "POST",
            pods,
            json,
            br#"{"spec": {"hostPID": 1}}"#,
            400,
            "spec.hostPID: the number 1 where true or false belongs",
        ),
        ("POST", pods, json, br#"{"metadata": {"namespace": "other"}}"#, 400, "does not match the namespace"),
        ("POST", pods, "application/vnd.kubernetes.protobuf", b"k8s\0\x0a\xff", 400, "ends in the middle"),
        ("POST", pods, "text/html", b"", 415, "application/json"),
        ("PATCH", "/api/v1/namespaces/default", "application/json-patch+json", b"{}", 400, "JSON patch"),
        ("PATCH", "/api/v1/namespaces/default", "application/apply-patch+yaml", b"{}", 422, "fieldManager"),
        ("GET", "/api/v1/pods?labelSelector=a%20b", json, b"", 400, "unable to parse requirement"),
        ("GET", "/api/v1/pods?fieldSelector=spec.x%3D1", json, b"", 400, "field label not supported: spec.x"),
        ("GET", "/api/v1/pods?continue=nonsense", json, b"", 400, "continue key is not valid"),
        (
            "GET",
            "/api/v1/pods?watch=1&resourceVersion=999999999",
            json,
            b"",
            // Kubernetes too reports it by an event of the watch.
            200,
            r#""code":504"#,
        ),
        ("DELETE", "/api/v1/namespaces/default", json, b"", 403, "may not be deleted"),
    ] {
        let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
        let response = client.send(request.body(Body::from(body.to_vec())).unwrap()).await.unwrap();
        let found = response.status().as_u16();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&text);
        assert!(found == code && text.contains(said), "{method} {path}: {found} {text}");
    }
}

/// A list without `limit` is one list of one revision, in every format.
#[tokio::test(flavor = "multi_thread")]
async fn long_lists_are_whole() {
    let client = start(palisade_apiserver::Config::default()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let map = |at: usize| -> ConfigMap {
        let parity = if at.is_multiple_of(2) { "even" } else { "odd" };
        let metadata = json!({"name": format!("map-{at:04}"), "labels": {"parity": parity}});
        serde_json::from_value(json!({"metadata": metadata, "data": {"brackets": "]}"}})).unwrap()
    };
    let make = |at: usize| {
        let (maps, map) = (maps.clone(), map(at));
        async move { maps.create(&PostParams::default(), &map).await.unwrap() }
    };
    futures::stream::iter(0..1100).map(make).buffer_unordered(32).for_each(async |_| {}).await;
    let all = maps.list(&ListParams::default()).await.unwrap();
    let names: Vec<String> = all.items.into_iter().map(|map| map.metadata.name.unwrap()).collect();
    let wanted: Vec<String> = (0..1100).map(|at| format!("map-{at:04}")).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("map-")).cloned().collect::<Vec<_>>(), wanted);
    assert!(all.metadata.continue_.is_none());
    // The version is that of the moment: nothing has happened since.
    let last = maps.get("map-1099").await.unwrap().metadata.resource_version.unwrap();
    assert!(all.metadata.resource_version.unwrap().parse::<u64>().unwrap() >= last.parse::<u64>().unwrap());
    let odd = maps.list(&ListParams::default().labels("parity=odd")).await.unwrap();
    assert_eq!(odd.items.len(), 550);
    for (accept, field) in [
        ("application/json;as=Table;v=v1;g=meta.k8s.io", "rows"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "items"),
        ("application/yaml", "items"),
    ] {
        let path = "/api/v1/namespaces/default/configmaps";
        let request = http::Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let response = client.send(request).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let list: Value = match accept {
            "application/yaml" => {
                palisade_k8s::manifest::read(std::str::from_utf8(&bytes).unwrap()).unwrap()[0].to_json()
            }
            _ => serde_json::from_slice(&bytes).unwrap(),
        };
        let count = list[field].as_array().unwrap().len();
        assert_eq!(count, 1100 + 1, "{accept}: the namespace's own certificate is one more");
        assert!(list["metadata"].get("continue").is_none());
    }
}

/// Users that may exec into pods may do so only for pods that they could have created.
#[tokio::test(flavor = "multi_thread")]
async fn exec_is_decided_by_scc() {
    let client = start(palisade_apiserver::Config::default()).await;
    let send = async |method: &str, path: &str, user: Option<&str>, object: Value| {
        let mut request =
            http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(user) = user {
            request = request.header("impersonate-user", user);
        }
        let body = Body::from(object.to_string().into_bytes());
        let response = client.send(request.body(body).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    };
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"metadata": {"name": "edit"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "ann"}]});
    let made = send("POST", "/api/v1/namespaces", None, json!({"metadata": {"name": "shop"}})).await;
    assert_eq!(made.0, 201, "{}", made.1);
    let made = send("POST", &format!("/apis/{group}/v1/namespaces/shop/rolebindings"), None, binding).await;
    assert_eq!(made.0, 201, "{}", made.1);
    for (name, privileged) in [("root", true), ("plain", false)] {
        let pod = json!({"metadata": {"name": name}, "spec": {"containers": [
            {"name": "c", "image": "i", "securityContext": {"privileged": privileged}}]}});
        let user = (!privileged).then_some("ann");
        let made = send("POST", "/api/v1/namespaces/shop/pods", user, pod).await;
        assert_eq!(made.0, 201, "{}", made.1);
    }
    for (verb, name, code, said) in [
        (
            "exec",
            "root",
            403,
            "exec operation is not allowed because the pod's security context exceeds your permissions",
        ),
        ("attach", "root", 403, "attach operation is not allowed"),
        ("exec", "plain", 400, "pod plain does not have a host assigned"),
    ] {
        let path = format!("/api/v1/namespaces/shop/pods/{name}/{verb}?command=sh");
        let (found, text) = send("POST", &path, Some("ann"), Value::Null).await;
        assert!(found == code && text.contains(said), "{verb} {name}: {found} {text}");
    }
    // The kube crate asks for a WebSocket, and is answered before there is one.
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    let refused = pods.exec("plain", ["sh"], &AttachParams::default()).await.err().expect("no node runs it");
    assert!(refused.to_string().contains("400"), "{refused}");
}

/// A role that is made of others shows their rules, soon after they change.
#[tokio::test(flavor = "multi_thread")]
async fn aggregated_roles_show_their_rules() {
    use k8s_openapi::api::rbac::v1::ClusterRole;
    let roles: Api<ClusterRole> = Api::all(start(palisade_apiserver::Config::default()).await);
    let part: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}]}))
    .unwrap();
    let shows = async |role: &str, wanted: bool| {
        for _ in 0..100 {
            let rules = roles.get(role).await.unwrap().rules.unwrap_or_default();
            let groups = rules.iter().flat_map(|rule| rule.api_groups.iter().flatten());
            if groups.into_iter().any(|group| group == "example.com") == wanted && rules.len() > 1 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{role} does not come to {wanted}");
    };
    shows("view", false).await;
    roles.create(&PostParams::default(), &part).await.unwrap();
    // admin is made of edit, and edit of view.
    shows("view", true).await;
    shows("admin", true).await;
    roles.delete("widgets", &DeleteParams::default()).await.unwrap();
    shows("admin", false).await;
}

/// Users, groups, UIDs and extra information are impersonated, each by a right of its own.
#[tokio::test(flavor = "multi_thread")]
async fn impersonation_takes_a_right_for_each_part() {
    let client = start(palisade_apiserver::Config::default()).await;
    let group = "rbac.authorization.k8s.io";
    let role = json!({"metadata": {"name": "actor"}, "rules": [
        {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"]},
        {"verbs": ["impersonate"], "apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scopes"],
         "resourceNames": ["view"]}]});
    let binding = json!({"metadata": {"name": "actor"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "actor"},
        "subjects": [{"kind": "ServiceAccount", "name": "actor", "namespace": "default"}]});
    let post = async |token: &str, path: &str, headers: &[(&str, &str)], object: Value| {
        let mut request = http::Request::post(path).header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::from(object.to_string().into_bytes());
        let response = client.send(request.body(body).unwrap()).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice::<Value>(&body).unwrap())
    };
    for (path, object) in [
        ("/api/v1/namespaces/default/serviceaccounts".to_owned(), json!({"metadata": {"name": "actor"}})),
        (format!("/apis/{group}/v1/clusterroles"), role),
        (format!("/apis/{group}/v1/clusterrolebindings"), binding),
    ] {
        assert_eq!(post("", &path, &[], object).await.0, 201, "{path}");
    }
    let path = "/api/v1/namespaces/default/serviceaccounts/actor/token";
    let (_, answer) = post("", path, &[], json!({"spec": {}})).await;
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let ann = ("impersonate-user", "ann");
    let extra = ("impersonate-extra-acme%2ecom%2fscopes", "view");
    let (code, answer) =
        post("", review, &[ann, ("impersonate-uid", "7"), ("impersonate-group", "dev"), extra], json!({}))
            .await;
    assert_eq!(
        (code, &answer["status"]["userInfo"]),
        (
            201,
            &json!({"username": "ann", "uid": "7", "groups": ["dev", "system:authenticated"],
                    "extra": {"acme.com/scopes": ["view"]}})
        )
    );
    for (headers, wanted) in [
        (&[ann][..], 201),
        (&[ann, ("impersonate-extra-scopes", "view")], 201),
        (&[ann, ("impersonate-extra-scopes", "edit")], 403),
        (&[ann, ("impersonate-uid", "7")], 403),
        (&[ann, ("impersonate-group", "dev")], 403),
        (&[("impersonate-uid", "7")], 400),
        (&[ann, ("impersonate-soul", "7")], 400),
        (&[ann, ("impersonate-user", "bob")], 400),
        (&[("impersonate-user", "")], 201),
    ] {
        let (code, answer) = post(&token, review, headers, json!({})).await;
        assert_eq!(code, wanted, "{headers:?}: {answer}");
    }
}

/// Unauthenticated clients learn nothing.
#[tokio::test(flavor = "multi_thread")]
async fn anonymous_clients_learn_nothing() {
    let client = start(palisade_apiserver::Config::default()).await;
    for (path, code) in [
        ("/api/v1/namespaces/default/pods/a", 403),
        ("/api/v1/namespaces/nowhere/pods/a", 403),
        ("/apis/nothing/v1/x", 403),
        ("/version", 200),
        ("/healthz", 200),
        ("/api", 403),
    ] {
        let request = http::Request::builder()
            .uri(path)
            .header("impersonate-user", "system:anonymous")
            .header("impersonate-group", "system:unauthenticated");
        let response = client.send(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), code, "{path}");
    }
    let bad = http::Request::builder().uri("/version").header("authorization", "Bearer nonsense");
    assert_eq!(client.send(bad.body(Body::empty()).unwrap()).await.unwrap().status().as_u16(), 401);
    let large = vec![b' '; 4 * 1024 * 1024];
    let large =
        http::Request::builder().method("POST").uri("/api/v1/namespaces").body(Body::from(large)).unwrap();
    assert_eq!(client.send(large).await.unwrap().status().as_u16(), 413);
}

/// A watch shows the objects that its selector selects, an object that is no longer selected as it last was, and as
/// much of each as is requested.
#[tokio::test(flavor = "multi_thread")]
async fn watches_show_what_is_selected() {
    let client = start(palisade_apiserver::Config::default()).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let send = async |method: &str, path: String, content_type: &str, accept: &str, body: Value| {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", content_type).header("accept", accept);
        let response =
            client.send(request.body(Body::from(body.to_string().into_bytes())).unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let json = "application/json";
    let made = send(
        "POST",
        path.to_owned(),
        json,
        json,
        json!({"metadata": {"name": "a", "labels": {"t": "1"}}, "data": {"x": "1"}}),
    )
    .await;
    let version = serde_json::from_slice::<Value>(&made).unwrap()["metadata"]["resourceVersion"].clone();
    let watch = |selector: &str, accept: &'static str| {
        let query = format!("watch=1&timeoutSeconds=5&resourceVersion={}", version.as_str().unwrap());
        send("GET", format!("{path}?{query}&{selector}"), json, accept, Value::Null)
    };
    let patch = |name: &str, change: Value| {
        send("PATCH", format!("{path}/{name}"), "application/merge-patch+json", json, change)
    };
    let changes = async {
        // Until the watches have begun.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        patch("a", json!({"data": {"x": "2"}})).await;
        patch("a", json!({"metadata": {"labels": {"t": "2"}}, "data": {"x": "3"}})).await;
        patch("a", json!({"metadata": {"labels": {"t": "1"}}})).await;
        send("DELETE", format!("{path}/a"), json, json, json!({})).await;
    };
    let metadata = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let (selected, bare, old, ()) = tokio::join!(
        watch("labelSelector=t%3D1", json),
        watch("fieldSelector=metadata.name%3Da", metadata),
        send(
            "GET",
            "/api/v1/watch/namespaces/default/configmaps/a?timeoutSeconds=5".to_owned(),
            json,
            json,
            Value::Null
        ),
        changes
    );
    let shown = |bytes: &[u8]| -> Vec<String> {
        let lines = std::str::from_utf8(bytes).unwrap().lines();
        lines
            .map(|line| {
                let event: Value = serde_json::from_str(line).unwrap();
                let object = &event["object"];
                let value = object["data"]["x"].as_str().unwrap_or("-");
                format!("{} {} {value}", event["type"].as_str().unwrap(), object["kind"].as_str().unwrap())
            })
            .collect()
    };
    let of = |kind: &str, events: &[&str]| -> Vec<String> {
        events.iter().map(|event| event.replacen(' ', &format!(" {kind} "), 1)).collect()
    };
    assert_eq!(shown(&selected), of("ConfigMap", &["MODIFIED 2", "DELETED 2", "ADDED 3", "DELETED 3"]));
    let all = ["MODIFIED -", "MODIFIED -", "MODIFIED -", "DELETED -"];
    assert_eq!(shown(&bare), of("PartialObjectMetadata", &all));
    let all = ["ADDED 1", "MODIFIED 2", "MODIFIED 3", "MODIFIED 3", "DELETED 3"];
    assert_eq!(shown(&old), of("ConfigMap", &all));
}
