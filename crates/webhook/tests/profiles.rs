//! Rules 23 and 24: profiles on nodes, against an API server of this process.
//!
//! The policy that restricts agents to their nodes is evaluated here as it is rendered; docs/verification.md has the
//! results of a real API server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod harness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::between::{Between, Fault, gone};
use harness::{NAMESPACE, Replica, api_server, create, namespace, pod};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use palisade_api::cel::{Authorizer, Decision, Expression, Scope};
use palisade_profiles::{Catalog, Config, Digest, Name, Origin, report};
use palisade_webhook::MissingProfile;
use palisade_webhook::install::{Part, Settings, objects};
use serde_json::{Value, json};

/// Creates an object.
async fn put<K>(api: &Api<K>, object: Value)
where
    K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

fn profiles(client: &Client) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "palisade.openshift.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "palisade.openshift.io/v1".to_owned(),
        kind: "SeccompProfile".to_owned(),
        plural: "seccompprofiles".to_owned(),
    };
    Api::all_with(client.clone(), &resource)
}

fn profile(name: &str, base: &str, syscall: &str) -> Value {
    json!({"apiVersion": "palisade.openshift.io/v1", "kind": "SeccompProfile", "metadata": {"name": name}, "spec": {
        "defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": base,
        "syscalls": [{"names": [syscall], "action": "SCMP_ACT_ALLOW"}]}})
}

/// The digest of a profile without an object for its base.
fn digest(profile: &Value) -> Digest {
    let mut catalog = Catalog::default();
    let name = Name::new(Origin::Palisade, "", "x");
    catalog.put(name.clone(), profile["spec"].clone());
    catalog.chain(&name).unwrap().digest()
}

/// A cluster with the definitions, and a node `a`.
async fn cluster() -> Client {
    let client = api_server().await;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in objects(Part::Definitions, &Settings::default()) {
        // This API server has SCCs of its own.
        if definition["spec"]["group"] == "palisade.openshift.io" {
            put(&api, definition).await;
        }
    }
    until("the definitions are served", async || profiles(&client).list(&Default::default()).await.is_ok())
        .await;
    put(
        &Api::<Node>::all(client.clone()),
        json!({"metadata": {"name": "a", "labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "a"}}}),
    )
    .await;
    client
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not so: {what}");
}

/// An agent on a folder, until it is dropped.
struct Agent(tokio::task::JoinHandle<()>);

impl Agent {
    fn start(client: &Client, kubelet: &Path, grace: Duration) -> Self {
        let config = Config { node: "a".to_owned(), kubelet: kubelet.to_owned(), grace };
        let client = client.clone();
        Self(tokio::spawn(async move {
            palisade_profiles::run(client, config, std::future::pending()).await.unwrap();
        }))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn file(kubelet: &Path, digest: Digest) -> PathBuf {
    kubelet.join("seccomp").join(digest.localhost_profile())
}

/// The states of the node's profiles, by digest or else by the first name.
async fn told(client: &Client) -> Vec<(String, String)> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &report::resource());
    let Some(object) = api.get_opt("a").await.unwrap() else { return Vec::new() };
    let profiles = object.data["status"]["profiles"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    profiles
        .iter()
        .map(|profile| {
            let key = profile.get("digest").unwrap_or(&profile["names"][0]);
            (text(key), text(&profile["state"]))
        })
        .collect()
}

async fn is_told(client: &Client, key: &str, state: &str) -> bool {
    told(client).await.iter().any(|(found, said)| found == key && said == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_profile_stays_while_a_pod_uses_it_and_then_goes() {
    let client = cluster().await;
    let kubelet = tempfile::tempdir().unwrap();
    let first = profile("web", "runc", "accept4");
    let second = profile("web", "runc", "accept");
    put(&profiles(&client), first.clone()).await;
    put(&profiles(&client), profile("hostile", "../../../etc/passwd", "read")).await;
    let agent = Agent::start(&client, kubelet.path(), Duration::from_millis(300));
    let (old, new) = (digest(&first), digest(&second));
    until("the profile is there", async || is_told(&client, &old.to_string(), "Ready").await).await;
    let broken = "seccompprofiles.palisade.openshift.io/hostile";
    assert!(is_told(&client, broken, "Invalid").await, "{:?}", told(&client).await);
    let text = std::fs::read_to_string(file(kubelet.path(), old)).unwrap();
    assert!(text.contains("accept4") && text.contains("epoll_ctl"), "the base counts: {text}");

    // A pod of this node uses it, and one of another node uses a path that is not a file here.
    namespace(&client, "shop").await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "shop");
    let uses = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"nodeName": "a",
        "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": old.localhost_profile()}},
        "containers": [{"name": "app", "image": "x"}]}});
    put(&pods, uses).await;

    // Edited, it is another profile; the old one stays for as long as the pod.
    let edit = PatchParams::apply("test").force();
    profiles(&client).patch("web", &edit, &Patch::Apply(&second)).await.unwrap();
    until("the new one is there", async || is_told(&client, &new.to_string(), "Ready").await).await;
    until("the old one is kept", async || is_told(&client, &old.to_string(), "Kept").await).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(file(kubelet.path(), old).exists(), "a pod uses it");
    // An agent that is started anew forgets nothing.
    drop(agent);
    let _agent = Agent::start(&client, kubelet.path(), Duration::from_millis(300));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(file(kubelet.path(), old).exists(), "a pod uses it");
    pods.delete("web", &DeleteParams::default().grace_period(0)).await.unwrap();
    until("the old one goes", async || !file(kubelet.path(), old).exists()).await;
    assert!(file(kubelet.path(), new).exists());

    // Nothing is in the way of a profile that is deleted, or of its node: no finalizer.
    profiles(&client).delete("web", &DeleteParams::default()).await.unwrap();
    assert!(profiles(&client).get_opt("web").await.unwrap().is_none());
    until("the new one goes", async || !file(kubelet.path(), new).exists()).await;
    until("it is told", async || told(&client).await.iter().all(|(key, _)| *key != new.to_string())).await;
}

/// A file that may be in use stays; what is there is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_told_while_pods_cannot_be_listed() {
    let client = cluster().await;
    let between = Between::before(&client).await;
    let forbidden = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 403,
        "reason": "Forbidden", "message": "pods are forbidden", "metadata": {}});
    between
        .script(move |target| target.starts_with("/api/v1/pods").then(|| Fault::Say(403, forbidden.clone())));
    let kubelet = tempfile::tempdir().unwrap();
    let (first, second) = (profile("web", "runc", "accept4"), profile("api", "runc", "accept"));
    put(&profiles(&client), first.clone()).await;
    let _agent = Agent::start(&between.client, kubelet.path(), Duration::from_millis(1));
    let (old, new) = (digest(&first), digest(&second));
    until("the profile is there", async || is_told(&client, &old.to_string(), "Ready").await).await;
    profiles(&client).delete("web", &DeleteParams::default()).await.unwrap();
    until("it may go", async || is_told(&client, &old.to_string(), "Kept").await).await;
    put(&profiles(&client), second).await;
    until("the new one is told", async || is_told(&client, &new.to_string(), "Ready").await).await;
    assert!(file(kubelet.path(), old).exists(), "a pod may use it");
    between.script(|_| None);
    until("the old one goes", async || !file(kubelet.path(), old).exists()).await;
}

/// Readers see the whole of a file or nothing, however often the agent is interrupted and the content changes.
#[tokio::test(flavor = "multi_thread")]
async fn rule_23_nobody_ever_reads_half_a_file() {
    let kubelet = tempfile::tempdir().unwrap();
    let spec = |n: u64| {
        json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"}]}]})
    };
    let client = cluster().await;
    for n in 0..20 {
        let object = json!({"apiVersion": "palisade.openshift.io/v1", "kind": "SeccompProfile",
            "metadata": {"name": format!("p{n}")}, "spec": spec(n)});
        put(&profiles(&client), object).await;
    }
    let folder = kubelet.path().join("seccomp/palisade");
    let (done, stopped) = (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), folder.clone());
    let end = std::sync::Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let mut read = 0;
        while !end.load(std::sync::atomic::Ordering::Acquire) {
            for entry in std::fs::read_dir(&stopped).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                if Digest::of_file(&name).is_some()
                    && let Ok(text) = std::fs::read_to_string(entry.path())
                {
                    serde_json::from_str::<Value>(&text)
                        .unwrap_or_else(|error| panic!("{name}: {error}: {text:?}"));
                    read += 1;
                }
            }
        }
        read
    });
    for round in 0..6 {
        let agent = Agent::start(&client, kubelet.path(), Duration::from_secs(600));
        tokio::time::sleep(Duration::from_millis(150 * (1 + round))).await;
        drop(agent);
        // Half of them are damaged, so that they are written again, and one is half written.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten().step_by(2) {
            // The agent may still be running: its temporary files are renamed meanwhile.
            drop(std::fs::remove_file(entry.path()));
        }
        if folder.exists() {
            let half = format!(".writing-0-{}", digest(&json!({"spec": spec(1)})).file());
            std::fs::write(folder.join(half), "{").unwrap();
        }
    }
    let _agent = Agent::start(&client, kubelet.path(), Duration::from_secs(600));
    until("all are there", async || {
        (0..20).all(|n| file(kubelet.path(), digest(&json!({"spec": spec(n)}))).exists())
    })
    .await;
    until("nothing is half written", async || {
        std::fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .all(|entry| Digest::of_file(entry.file_name().to_str().unwrap()).is_some())
    })
    .await;
    done.store(true, std::sync::atomic::Ordering::Release);
    assert!(reader.join().unwrap() > 0);
}

/// The rendered policy's answer to a write of the object of node `name`.
fn permits(settings: &Settings, user: &Value, name: &str, administers: bool) -> bool {
    let rendered = objects(Part::Profiles, settings);
    let policy = rendered.iter().find(|object| object["kind"] == "ValidatingAdmissionPolicy").unwrap();
    let expression = policy["spec"]["validations"][0]["expression"].as_str().unwrap();
    let compiled = Expression::compile(expression, &["request", "object", "authorizer"]).unwrap();
    let authorizer = Authorizer::new(move |check| {
        assert_eq!((&*check.verb, &*check.resource), ("administer", "nodeseccompprofiles"));
        Decision { allowed: administers, reason: String::new() }
    });
    let scope = Scope::default()
        .with("request", &json!({"userInfo": user}))
        .with("object", &json!({"metadata": {"name": name}}))
        .with_authorizer(authorizer);
    compiled.holds(&scope).unwrap()
}

#[test]
fn rule_24_an_agent_writes_the_object_of_its_node_alone() {
    for namespace in ["palisade-system", "elsewhere"] {
        let settings = Settings { namespace: namespace.to_owned(), ..Settings::default() };
        let rendered = objects(Part::Profiles, &settings);
        let account = rendered.iter().find(|object| object["kind"] == "ServiceAccount").unwrap();
        let daemon_set = rendered.iter().find(|object| object["kind"] == "DaemonSet").unwrap();
        assert_eq!(daemon_set["spec"]["template"]["spec"]["serviceAccountName"], account["metadata"]["name"]);
        let [name, of] = ["name", "namespace"].map(|field| account["metadata"][field].as_str().unwrap());
        // The user as a real API server tells of it (docs/verification.md).
        let user = |node: Value| {
            json!({"username": format!("system:serviceaccount:{of}:{name}"), "groups": ["system:serviceaccounts"],
                "extra": {"authentication.kubernetes.io/node-name": node, "authentication.kubernetes.io/pod-name": ["x"]}})
        };
        assert!(permits(&settings, &user(json!(["a"])), "a", false));
        assert!(!permits(&settings, &user(json!(["a"])), "b", false));
        assert!(!permits(&settings, &user(json!(["a", "b"])), "b", false));
        assert!(!permits(&settings, &user(json!([])), "a", false));
        // Even if the account was given too many rights.
        assert!(!permits(&settings, &user(json!(["a"])), "b", true));
        let mut bare = user(json!(null));
        bare["extra"] = json!({});
        assert!(!permits(&settings, &bare, "a", false), "a token that is bound to no pod");
        bare.as_object_mut().unwrap().remove("extra");
        assert!(!permits(&settings, &bare, "a", false));
        // Other users with the right to write the resource are restricted too, except administrators.
        let other = json!({"username": "system:serviceaccount:shop:default"});
        assert!(!permits(&settings, &other, "a", false));
        assert!(permits(&settings, &json!({"username": "admin"}), "a", true));
    }
}

#[test]
fn rule_24_the_agent_may_write_nothing_else() {
    let rendered = objects(Part::Profiles, &Settings::default());
    let roles: Vec<&Value> = rendered.iter().filter(|object| object["kind"] == "ClusterRole").collect();
    assert_eq!(roles.len(), 1);
    for rule in roles[0]["rules"].as_array().unwrap() {
        for verb in rule["verbs"].as_array().unwrap() {
            let reads = ["get", "list", "watch"].contains(&verb.as_str().unwrap());
            assert!(reads || rule["resources"] == json!(["nodeseccompprofiles"]), "{rule}");
            assert!(verb != "delete" && verb != "*", "{rule}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_whose_profile_no_fitting_node_has_are_warned_of() {
    let client = cluster().await;
    let kubelet = tempfile::tempdir().unwrap();
    namespace(&client, NAMESPACE).await;
    namespace(&client, "shop").await;
    let replica = Replica::start(&client).await;
    let web = profile("web", "crun", "accept4");
    let path = digest(&web).localhost_profile();
    let named = |path: &str, selector: Value| {
        let mut object =
            pod(json!({"nodeSelector": selector, "containers": [{"name": "app", "image": "x"}]}));
        object["metadata"]["annotations"] =
            json!({"container.seccomp.security.alpha.kubernetes.io/app": format!("localhost/{path}")});
        object
    };
    let warnings = async |object: Value| {
        let mut request = create("kube-system", object);
        request["userInfo"]["groups"] = json!(["system:authenticated"]);
        let answer = replica.review("/validate/pods", request).await;
        assert_eq!(answer["allowed"], true, "{answer}");
        answer["warnings"].to_string()
    };
    let plain = || json!({});
    until("the nodes' objects are read", async || {
        warnings(named(&path, plain())).await.contains("no node tells of profiles")
    })
    .await;
    put(&profiles(&client), web).await;
    let _agent = Agent::start(&client, kubelet.path(), Duration::from_secs(600));
    until("it is there", async || warnings(named(&path, plain())).await == "null").await;
    assert_eq!(warnings(named(&path, json!({"kubernetes.io/arch": "amd64", "own": "x"}))).await, "null");
    let elsewhere = warnings(named(&path, json!({"kubernetes.io/arch": "arm64"}))).await;
    assert!(elsewhere.contains("no node that fits the pod"), "{elsewhere}");
    let other = Digest::of_localhost_profile(&format!("palisade/{}.json", "0".repeat(64))).unwrap();
    let missing = warnings(named(&other.localhost_profile(), plain())).await;
    assert!(missing.contains("no node that fits the pod has it"), "{missing}");
    assert!(warnings(named("palisade/web.json", plain())).await.contains("named by digests"));
    assert_eq!(warnings(named("operator/web.json", plain())).await, "null");
}

/// While the API server does not serve the nodes' objects, what they told counts no more, and nothing is refused.
#[tokio::test(flavor = "multi_thread")]
async fn pods_are_not_refused_while_the_nodes_objects_are_not_served() {
    let client = cluster().await;
    for name in [NAMESPACE, "shop"] {
        namespace(&client, name).await;
    }
    let between = Between::before(&client).await;
    let is_about_nodes =
        |target: &str| target.starts_with("/apis/palisade.openshift.io/v1/nodeseccompprofiles");
    // Watches end at once, so that the next one follows soon.
    let quick = move |target: &str| is_about_nodes(target) && target.contains("watch=");
    between.script(move |target| quick(target).then(|| Fault::Lines(Vec::new())));
    let replica = Replica::treating(&client, &between.client, MissingProfile::Refuse).await;
    let path = format!("palisade/{}.json", "0".repeat(64));
    let web = pod(json!({"containers": [{"name": "app", "image": "x"}],
        "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": path}}}));
    let answer = async || {
        let mut request = create("kube-system", web.clone());
        request["userInfo"]["groups"] = json!(["system:authenticated"]);
        replica.review("/validate/pods", request).await
    };
    until("it is refused", async || answer().await["allowed"] == false).await;
    assert!(answer().await.to_string().contains("no node tells of profiles"));

    // The API server cannot be asked: a warning at most.
    let busy = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 503,
        "reason": "ServiceUnavailable", "message": "busy", "metadata": {}});
    between.script(move |target| match target {
        target if quick(target) => Some(Fault::Lines(Vec::new())),
        target => is_about_nodes(target).then(|| Fault::Say(503, busy.clone())),
    });
    let warned = answer().await;
    assert_eq!(warned["allowed"], true, "{warned}");
    assert!(warned["warnings"].to_string().contains("no node tells of profiles"), "{warned}");

    let unserved = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404,
        "reason": "NotFound", "message": "not found", "metadata": {}});
    between.script(move |target| match target {
        target if quick(target) => Some(Fault::Say(410, gone())),
        target => is_about_nodes(target).then(|| Fault::Say(404, unserved.clone())),
    });
    let began = std::time::Instant::now();
    while answer().await["warnings"] != json!(null) {
        assert!(began.elapsed() < Duration::from_secs(45), "what is forgotten still counts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answer().await["allowed"], true);
}
