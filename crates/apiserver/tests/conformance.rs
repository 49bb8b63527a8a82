//! Pods created through the API get the decisions that `palisade admit` gives: the same cases, the same policy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod start;

use std::collections::BTreeMap;

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use palisade_admission::{Policy, PolicyBuilder, respond};
use palisade_k8s::manifest;
use palisade_testing::corpus::{self, Case};
use serde_json::{Value, json};
use start::start;

async fn send(client: &Client, request: http::request::Builder, object: &Value) -> (u16, Value) {
    let request =
        request.header("content-type", "application/json").body(Body::from(object.to_string().into_bytes()));
    let response = client.send(request.unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

/// The path of objects of a kind, and whether they are namespaced.
const PLACES: [(&str, &str, bool); 6] = [
    ("Namespace", "/api/v1/{}namespaces", false),
    ("SecurityContextConstraints", "/apis/security.openshift.io/v1/{}securitycontextconstraints", false),
    ("ClusterRole", "/apis/rbac.authorization.k8s.io/v1/{}clusterroles", false),
    ("Role", "/apis/rbac.authorization.k8s.io/v1/{}roles", true),
    ("ClusterRoleBinding", "/apis/rbac.authorization.k8s.io/v1/{}clusterrolebindings", false),
    ("RoleBinding", "/apis/rbac.authorization.k8s.io/v1/{}rolebindings", true),
];

/// Makes the objects of a policy, in place of the server's own of the same name.
async fn load(client: &Client, policy: &str) {
    let objects: Vec<Value> = manifest::read(policy).unwrap().iter().map(manifest::Node::to_json).collect();
    for (kind, place, namespaced) in PLACES {
        for object in objects.iter().filter(|object| object["kind"] == kind) {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
            let prefix = if namespaced { format!("namespaces/{namespace}/") } else { String::new() };
            let (path, name) = (place.replace("{}", &prefix), object["metadata"]["name"].as_str().unwrap());
            let (code, answer) = send(client, http::Request::post(&path), object).await;
            if code == 409 {
                let (code, answer) = send(client, http::Request::put(format!("{path}/{name}")), object).await;
                // A binding keeps its role; the server's own is of the same one.
                assert!(code == 200 || kind.ends_with("Binding"), "{kind} {name}: {answer}");
            } else {
                assert_eq!(code, 201, "{kind} {name}: {answer}");
            }
        }
    }
}

/// The policy that the server has now, read through its API.
async fn snapshot(client: &Client) -> Policy {
    let mut builder = PolicyBuilder::default();
    for (_, place, _) in PLACES {
        let (code, list) = send(client, http::Request::get(place.replace("{}", "")), &Value::Null).await;
        assert_eq!(code, 200);
        for object in list["items"].as_array().unwrap() {
            builder.add(object).unwrap();
        }
    }
    builder.build()
}

fn header(request: http::request::Builder, name: &str, values: &[String]) -> http::request::Builder {
    values.iter().fold(request, |request, value| request.header(name, value))
}

/// The API's answer to a case: the SCC, or that it is refused; `None` if the case cannot be sent to it.
async fn through_the_api(client: &Client, case: &mut Case) -> Option<Option<String>> {
    let request = &mut case.review["request"];
    let namespace = request["namespace"].as_str()?.to_owned();
    let user = request["userInfo"]["username"].as_str()?.to_owned();
    let mut groups: Vec<String> =
        serde_json::from_value(request["userInfo"]["groups"].clone()).unwrap_or_default();
    // An impersonated user must exist.
    if !groups.iter().any(|group| group == "system:authenticated") {
        groups.push("system:authenticated".to_owned());
        request["userInfo"]["groups"] = json!(groups);
    }
    // The token's volume is the API's business, not the case's.
    request["object"]["spec"]["automountServiceAccountToken"] = false.into();
    // Every pod that reaches SCC has an account; the cases come from below the plugin that sees to it.
    let account = request["object"]["spec"]["serviceAccountName"].as_str().unwrap_or_default().to_owned();
    let account = if account.is_empty() { "default".to_owned() } else { account };
    request["object"]["spec"]["serviceAccountName"] = account.clone().into();
    let pod = request["object"].clone();
    let account = json!({"metadata": {"name": account}});
    send(client, http::Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts")), &account)
        .await;
    let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Ignore");
    let request = http::Request::post(path).header("impersonate-user", user);
    let (code, answer) = send(client, header(request, "impersonate-group", &groups), &pod).await;
    match code {
        201 => Some(Some(
            answer["metadata"]["annotations"]["openshift.io/scc"].as_str().unwrap_or_default().to_owned(),
        )),
        403 => Some(None),
        // No namespace, or a pod that Kubernetes itself refuses.
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_decides_as_admit_does() {
    let mut by_policy: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in corpus::cases() {
        let request = &case.review["request"];
        let is_new = request["operation"] == "CREATE"
            && request["subResource"].as_str().unwrap_or_default().is_empty();
        if is_new && request["resource"]["resource"] == "pods" {
            by_policy.entry(case.policy.clone()).or_default().push(case);
        }
    }
    let (mut compared, mut differences) = (0, Vec::new());
    for (name, cases) in by_policy {
        let client = start(palisade_apiserver::Config::default()).await;
        load(&client, &corpus::policy_text(&name)).await;
        let role = json!({"metadata": {"name": "test:pods"}, "rules": [
            {"verbs": ["create"], "apiGroups": [""], "resources": ["pods"]}]});
        let everybody = json!({"metadata": {"name": "test:pods"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test:pods"},
            "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}]});
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        assert_eq!(send(&client, http::Request::post(format!("{rbac}/clusterroles")), &role).await.0, 201);
        assert_eq!(
            send(&client, http::Request::post(format!("{rbac}/clusterrolebindings")), &everybody).await.0,
            201
        );
        let policy = snapshot(&client).await;
        for mut case in cases {
            let Some(said) = through_the_api(&client, &mut case).await else { continue };
            let response = respond(&policy, &case.review.to_string()).unwrap();
            let pod = &case.review["request"]["object"];
            let answer = serde_json::to_value(&response).unwrap();
            let expected = response.allowed.then(|| {
                let patched = corpus::patched(pod, &answer);
                patched["metadata"]["annotations"]["openshift.io/scc"].as_str().unwrap_or_default().to_owned()
            });
            compared += 1;
            if said != expected {
                let user = case.review["request"]["userInfo"].clone();
                differences.push(format!(
                    "{name}: {said:?}, admit says {expected:?}: {user} {}: {pod}",
                    case.review["request"]["namespace"]
                ));
            }
        }
    }
    assert!(compared > 500, "only {compared} cases could be put to the API");
    assert!(
        differences.is_empty(),
        "{} of {compared}:\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    );
}

/// An SCC through the API: the code, the object or the refusal, and the warnings of the answer's headers.
async fn create_scc(client: &Client, scc: &Value) -> (u16, Value, Vec<String>) {
    let path = "/apis/security.openshift.io/v1/securitycontextconstraints?dryRun=All&fieldValidation=Ignore";
    let request = http::Request::post(path).header("content-type", "application/json");
    let response =
        client.send(request.body(Body::from(scc.to_string().into_bytes())).unwrap()).await.unwrap();
    let headers = response.headers().get_all("warning").iter();
    let warnings = headers.map(|header| header.to_str().unwrap().to_owned()).collect();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap(), warnings)
}

/// SCC objects: defaults, refusals and warnings equal those of `admit`, for fields that the type has. The API drops
/// others before admission sees them, as a kube-apiserver does.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_sccs_as_admit_does() {
    let client = start(palisade_apiserver::Config::default()).await;
    let (mut taken, mut refused, mut warned) = (0, 0, 0);
    for case in corpus::sccs() {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1", "operation": "CREATE", "object": case.scc,
            "resource": {"group": "security.openshift.io", "version": "v1", "resource": "securitycontextconstraints"}}});
        let (code, object, warnings) = create_scc(&client, &case.scc).await;
        let Ok(said) = respond(&Policy::default(), &review.to_string()) else {
            assert!(matches!(code, 400 | 422), "{code}: {} {object}", case.scc);
            continue;
        };
        assert_eq!(code == 201, said.allowed, "{code}: {} {object}", case.scc);
        if !said.allowed {
            refused += 1;
            let message = said.status.unwrap().message;
            assert_eq!(object["message"], message, "{}", case.scc);
            continue;
        }
        taken += 1;
        let expected: Vec<String> =
            said.warnings.iter().filter(|warning| !warning.contains("(unknown-field)")).cloned().collect();
        warned += usize::from(!expected.is_empty());
        assert_eq!(warnings.len(), expected.len(), "{warnings:?} {expected:?} {}", case.scc);
        for (ours, theirs) in warnings.iter().zip(&expected) {
            let begin: String = theirs.chars().take(40).collect();
            assert!(ours.contains(&begin.replace('"', "'")), "{ours} {theirs}");
        }
    }
    assert!(taken > 50 && refused > 50 && warned > 20, "{taken} {refused} {warned}");
}
