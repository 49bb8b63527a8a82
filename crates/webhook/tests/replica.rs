//! One replica against an API server in this process: it follows the policy, answers over TLS, and gives ranges.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod harness;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::between::{Between, Fault};
use harness::{
    NAMESPACE, Replica, api_server, api_server_config, authority, create, namespace, patched, plain, pod,
    trusting_config,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use palisade_webhook::install::{LEASE, Settings};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_by_what_the_cluster_holds() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;

    let plain = pod(json!({"containers": [{"name": "app", "image": "x"}]}));
    let admitted = replica.review("/mutate/pods", create("shop", plain.clone())).await;
    assert_eq!(admitted["allowed"], true, "{admitted}");
    let made = patched(&plain, &admitted);
    assert_eq!(made["metadata"]["annotations"]["openshift.io/scc"], "restricted-v2", "{made}");

    // A completed pod passes; a pod that was changed afterwards does not, and a defect of the SCC is not repaired.
    let validated = replica.review("/validate/pods", create("shop", made.clone())).await;
    assert_eq!((&validated["allowed"], validated.get("patch")), (&json!(true), None), "{validated}");
    let mut changed = made.clone();
    changed["spec"]["hostNetwork"] = true.into();
    for (object, path) in [(changed, "/validate/pods"), (plain.clone(), "/validate/pods")] {
        let refused = replica.review(path, create("shop", object)).await;
        assert_eq!(refused["allowed"], false, "{refused}");
        assert_eq!(refused["status"]["code"], 403, "{refused}");
    }

    // The watch has not brought this namespace when the review comes, or just has: either way it is found.
    namespace(&cluster, "fresh").await;
    let fresh = replica.review("/mutate/pods", create("fresh", plain)).await;
    assert_eq!(fresh["allowed"], true, "{fresh}");
    drop(replica.stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_their_end_are_followed() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;
    let host = pod(json!({
        "serviceAccountName": "agent", "hostNetwork": true, "containers": [{"name": "app", "image": "x"}],
    }));
    let binding: k8s_openapi::api::rbac::v1::RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "agent", "namespace": "shop"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:openshift:scc:hostnetwork-v2"},
        "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "shop"}],
    }))
    .unwrap();
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(cluster.clone(), "shop");
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    // Granted by the cluster, whether the watch has brought it or a SubjectAccessReview finds it.
    let admitted = replica.review("/mutate/pods", create("shop", host.clone())).await;
    assert_eq!(admitted["auditAnnotations"]["chosen"], "hostnetwork-v2", "{admitted}");

    let until = async |allowed: bool| {
        for _ in 0..100 {
            if replica.review("/mutate/pods", create("shop", host.clone())).await["allowed"] == allowed {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the grant is not noticed, or its end: allowed must become {allowed}");
    };
    bindings.delete("agent", &DeleteParams::default()).await.unwrap();
    until(false).await;
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    until(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_judged_by_the_pod_that_runs() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;
    let pods: Api<Pod> = Api::namespaced(cluster.clone(), "shop");
    for (name, host_network) in [("plain", false), ("host", true)] {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"hostNetwork": host_network, "containers": [{"name": "app", "image": "x"}]},
        }))
        .unwrap();
        pods.create(&PostParams::default(), &pod).await.unwrap();
    }
    for (name, allowed) in [("plain", true), ("host", false), ("absent", false)] {
        let mut request =
            create("shop", json!({"kind": "PodExecOptions", "apiVersion": "v1", "container": "app"}));
        request["operation"] = "CONNECT".into();
        request["subResource"] = "exec".into();
        request["name"] = name.into();
        let answer = replica.review("/validate/connect", request).await;
        assert_eq!(answer["allowed"], allowed, "{name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_warned_about_and_never_refused() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;
    for (privileged, warns) in [(true, true), (false, false)] {
        let request = json!({
            "uid": "1", "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, "operation": "CREATE",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "namespace": "shop", "name": "web",
            "userInfo": {"username": "alice"},
            "object": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {
                "spec": {"containers": [{"name": "app", "image": "x", "securityContext": {"privileged": privileged}}]}}}},
        });
        let answer = replica.review("/validate/workloads", request).await;
        assert_eq!(answer["allowed"], true, "{answer}");
        let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
        assert_eq!(!warnings.is_empty(), warns, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_review_is_refused_and_health_is_told() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    let replica = Replica::start(&cluster).await;
    assert_eq!(replica.get("/livez").await.unwrap(), "ok\n");
    for (path, body, code) in [
        ("/mutate/pods", &b"{"[..], 400),
        ("/mutate/pods", b"\xff\xfe", 400),
        ("/mutate/pods", b"{}", 400),
        ("/mutate/nothing", b"{}", 404),
    ] {
        let request = http::Request::post(path).body(body.to_vec()).unwrap();
        match replica.client.request_text(request).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, code, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    assert!(replica.get("/mutate/pods").await.is_err());
    let metrics = replica.get("/metrics").await.unwrap();
    assert!(
        metrics.contains("palisade_webhook_request_total{webhook=\"/mutate/pods\",code=\"400\"} 3"),
        "{metrics}"
    );
}

/// The dashboard and the alerts ask for metrics that there are.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_and_the_alerts_name_metrics_of_a_replica() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;
    replica.review("/mutate/pods", create("shop", plain())).await;
    let metrics = replica.get("/metrics").await.unwrap();
    let samples: HashSet<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let dashboard = include_str!("../../../docs/monitoring/grafana.json");
    let panels = serde_json::from_str::<Value>(dashboard).unwrap()["panels"].as_array().unwrap().len();
    let rules = include_str!("../../../docs/monitoring/rules.yaml");
    let rules = palisade_k8s::manifest::read(rules).unwrap()[0].to_json();
    let alerts = rules["spec"]["groups"][0]["rules"].as_array().unwrap();
    let asked: Vec<String> = format!("{dashboard}{alerts:?}")
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| ["palisade_", "process_"].iter().any(|prefix| word.starts_with(prefix)))
        .map(str::to_owned)
        .collect();
    assert!(panels > 5 && alerts.len() > 3 && asked.len() > panels);
    for name in &asked {
        assert!(samples.contains(name.as_str()), "{name} is none of {samples:?}");
    }
    // Each alert has a row in the manual that says what to do.
    let manual = include_str!("../../../docs/cluster.md");
    for alert in alerts {
        let row = format!("| {} | ", alert["alert"].as_str().unwrap());
        assert!(manual.lines().any(|line| line.starts_with(&row)), "{row}");
    }
    assert!(metrics.contains("palisade_webhook_opt_outs{kind=\"exempt\"} 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_are_for_clients_with_a_certificate_where_one_is_asked_for() {
    // The administrator's certificate stands for an API server's; nobody else has one of that authority.
    let admin = api_server_config().await;
    let cluster = Client::try_from(admin.clone()).unwrap();
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let der = &admin.root_cert.as_ref().unwrap()[0];
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let mut replica = Replica::asking(&cluster, pem).await;

    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": create("shop", pod(json!({"containers": [{"name": "app", "image": "x"}]})))});
    let request = http::Request::post("/mutate/pods").body(serde_json::to_vec(&review).unwrap()).unwrap();
    let refused = replica.client.request_text(request).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 401), "{refused:?}");

    // Its certificate is renewed with the same demand.
    let mut config = trusting_config(replica.address, &[authority(&cluster).await]);
    config.auth_info = admin.auth_info;
    replica.client = Client::try_from(config).unwrap();
    let plain = pod(json!({"containers": [{"name": "app", "image": "x"}]}));
    assert_eq!(replica.review("/mutate/pods", create("shop", plain)).await["allowed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lease_is_taken_and_given_back() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    let replica = Replica::start(&cluster).await;
    let leases: Api<Lease> = Api::namespaced(cluster, NAMESPACE);
    let holder =
        |lease: Option<Lease>| lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
    let mut seen = String::new();
    for _ in 0..100 {
        seen = holder(leases.get_opt(LEASE).await.unwrap());
        if !seen.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen, "replica-1");
    replica.stop.send(()).unwrap();
    for _ in 0..100 {
        if holder(leases.get_opt(LEASE).await.unwrap()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the lease is kept");
}

/// Only reading requests reach a cluster that has SCC itself, or is too old.
#[tokio::test(flavor = "multi_thread")]
async fn clusters_that_need_no_installation_are_left_as_they_are() {
    let cluster = api_server().await;
    let group = |name: &str| {
        let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
        json!({"name": name, "versions": [version], "preferredVersion": version})
    };
    let openshift = json!({"kind": "APIGroupList", "apiVersion": "v1",
        "groups": [group("apps"), group("security.openshift.io"), group("config.openshift.io")]});
    let old = json!({"major": "1", "minor": "29+", "gitVersion": "v1.29.3+k3s1", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    for (path, answer, why) in [
        ("/apis", openshift, "this is OpenShift (it serves config.openshift.io)"),
        ("/version", old, "v1.29.3+k3s1"),
    ] {
        let between = Between::before(&cluster).await;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        between.script(move |target| {
            seen.lock().unwrap().push(target.to_owned());
            (target == path).then(|| Fault::Say(200, answer.clone()))
        });
        let waited = Duration::from_secs(5);
        let result =
            palisade_webhook::operate::apply(&between.client, &Settings::default(), waited, &mut |_| {})
                .await;
        let error = result.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|target| ["/apis", "/version"].contains(&target.as_str())), "{asked:?}");
    }
    let lines = palisade_webhook::operate::status(&cluster, NAMESPACE, &[]).await.unwrap();
    let [_, sccs] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(
        sccs.state == palisade_webhook::operate::State::Holds && sccs.text.contains("built in"),
        "{sccs:?}"
    );
}
