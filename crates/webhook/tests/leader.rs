//! The work that one replica does for all: ranges, the lease, the bundle of the webhooks. The rules are those of rules.rs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::between::{Between, Fault};
use harness::{NAMESPACE, Replica, api_server, create, namespace};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::PostParams;
use kube::{Api, Client};
use palisade_webhook::Mode;
use palisade_webhook::install::{LEASE, Part, Settings, objects};
use serde_json::{Value, json};

/// A replica that leads, beside an API server with a namespace `shop`.
async fn leader() -> (Client, Replica) {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let replica = Replica::start(&cluster).await;
    until("it leads", async || leads(&replica).await).await;
    (cluster, replica)
}

/// Whether a replica leads, by what it says itself.
async fn leads(replica: &Replica) -> bool {
    let status: Value = serde_json::from_str(&replica.get("/status").await.unwrap()).unwrap();
    status["leads"] == true
}

/// Waits until something holds; a loaded machine takes its time.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("in a minute it has not come true that {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_07_dry_runs_and_taken_names_take_no_block() {
    let (_cluster, replica) = leader().await;
    let create = |name: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let mut request = create(name, object);
        request["name"] = name.into();
        request["resource"]["resource"] = "namespaces".into();
        request["kind"]["kind"] = "Namespace".into();
        request
    };
    let mut request = create("new");
    request["dryRun"] = true.into();
    let first = replica.review("/mutate/namespaces", request.clone()).await;
    assert!(first.get("patch").is_some(), "{first}");
    for _ in 0..1000 {
        let next = replica.review("/mutate/namespaces", request.clone()).await;
        assert_eq!(next["patch"], first["patch"], "a dry run has taken a block");
        let taken = replica.review("/mutate/namespaces", create("shop")).await;
        assert_eq!((&taken["allowed"], taken.get("patch")), (&json!(true), None), "{taken}");
    }
    request["dryRun"] = false.into();
    let (taken, next) = (
        replica.review("/mutate/namespaces", request.clone()).await,
        replica.review("/mutate/namespaces", request).await,
    );
    assert_eq!(taken["patch"], first["patch"]);
    assert_ne!(next["patch"], taken["patch"], "one block was given twice");
}

/// Each write carries the version that was read: of two replicas of which one was shown an old lease, or none, one leads.
#[tokio::test(flavor = "multi_thread")]
async fn rule_14_a_replica_that_sees_an_old_lease_does_not_take_it() {
    let (cluster, first) = leader().await;
    let leases: Api<Lease> = Api::namespaced(cluster.clone(), NAMESPACE);
    let mut old = serde_json::to_value(leases.get(LEASE).await.unwrap()).unwrap();
    old["metadata"]["resourceVersion"] = "1".into();
    old["spec"]["holderIdentity"] = "".into();
    let none = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound",
        "message": "not found", "metadata": {}});
    for (name, code, shown) in [("replica-2", 404, none), ("replica-3", 200, old)] {
        let between = Between::before(&cluster).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        between.script(move |target| {
            let is_first = target.contains("/leases") && counted.fetch_add(1, Ordering::AcqRel) == 0;
            is_first.then(|| Fault::Say(code, shown.clone()))
        });
        let second = Replica::named(&cluster, &between.client, name).await;
        until("it has tried to write", async || asked.load(Ordering::Acquire) > 1).await;
        for _ in 0..20 {
            assert!(leads(&first).await && !leads(&second).await, "{name}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let holder = leases.get(LEASE).await.unwrap().spec.unwrap().holder_identity;
        assert_eq!(holder.as_deref(), Some("replica-1"));
    }
}

/// As a cloud's controller does, which adds its own selector to every webhook.
#[tokio::test(flavor = "multi_thread")]
async fn rule_15_selectors_that_others_rewrite_are_left_to_them() {
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    let between = Between::before(&cluster).await;
    let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (read, written) = (Arc::clone(&reads), Arc::clone(&writes));
    between.script(move |target| {
        if target.contains("validatingwebhookconfigurations/palisade") {
            let count = if target.contains("fieldManager=") { &written } else { &read };
            count.fetch_add(1, Ordering::AcqRel);
        }
        None
    });
    // It leads before there are webhooks, as in an installation by kubectl.
    let replica = Replica::with_mode(&cluster, &between.client, Mode::Enforce).await;
    until("it leads", async || leads(&replica).await).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster.clone());
    let webhooks = serde_json::from_value(objects(Part::Webhooks, &Settings::default()).remove(0)).unwrap();
    configurations.create(&PostParams::default(), &webhooks).await.unwrap();
    let bundles = async || {
        let webhooks = configurations.get("palisade").await.unwrap().webhooks.unwrap();
        webhooks.into_iter().map(|webhook| webhook.client_config.ca_bundle).collect::<Vec<_>>()
    };
    until("every webhook has the bundle", async || bundles().await.iter().all(Option::is_some)).await;
    let published = bundles().await;

    let mut current = configurations.get("palisade").await.unwrap();
    let selector: LabelSelector = serde_json::from_value(
        json!({"matchExpressions": [{"key": "control-plane", "operator": "DoesNotExist"}]}),
    )
    .unwrap();
    for webhook in current.webhooks.iter_mut().flatten() {
        webhook.namespace_selector = Some(selector.clone());
    }
    configurations.replace("palisade", &PostParams::default(), &current).await.unwrap();
    let before = reads.load(Ordering::Acquire);
    until("it has looked twice", async || reads.load(Ordering::Acquire) > before + 1).await;
    assert_eq!(writes.load(Ordering::Acquire), 1, "writes of the bundle");
    let webhooks = configurations.get("palisade").await.unwrap().webhooks.unwrap();
    assert!(webhooks.iter().all(|webhook| webhook.namespace_selector.as_ref() == Some(&selector)));
    assert_eq!(bundles().await, published);
}
