//! Rule 10: the additional memory of a second list of many bindings. 20,000 of them; `PALISADE_BINDINGS=50000` for a
//! large cluster's. A file of its own, since the memory of a process is measured.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::between::{Between, Fault, gone};
use harness::{NAMESPACE, Replica, api_server, create, namespace, pod};
use palisade_webhook::Mode;
use serde_json::{Value, json};

/// A figure of this process in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A binding as in real clusters: with an owner and managed fields, which are to be dropped.
fn binding(n: usize) -> Value {
    json!({
        "metadata": {
            "name": format!("binding-of-a-team-{n}"), "namespace": format!("team-{}", n % 1000), "resourceVersion": "1",
            "uid": format!("00000000-0000-0000-0000-{n:012}"), "labels": {"app.kubernetes.io/managed-by": "somebody"},
            "managedFields": [{"manager": "somebody", "operation": "Update", "fieldsV1": {"f:roleRef": {}, "f:subjects": {}}}],
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": format!("account-{n}"), "namespace": format!("team-{}", n % 1000)}],
    })
}

/// The page of a list that a target asks for.
fn page(target: &str, all: usize) -> Value {
    let number = |name: &str| target.split(['?', '&']).find_map(|part| part.strip_prefix(name)?.parse().ok());
    let (first, limit): (usize, usize) = (number("continue=").unwrap_or(0), number("limit=").unwrap_or(all));
    let end = (first + limit).min(all);
    let mut metadata = json!({"resourceVersion": "1"});
    if end < all {
        metadata["continue"] = end.to_string().into();
    }
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBindingList", "metadata": metadata,
        "items": (first..end).map(binding).collect::<Vec<_>>()})
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_10_a_second_list_takes_little_beside_the_first() {
    let bindings = std::env::var("PALISADE_BINDINGS").map_or(20_000, |text| text.parse().unwrap());
    let cluster = api_server().await;
    namespace(&cluster, NAMESPACE).await;
    namespace(&cluster, "shop").await;
    let between = Between::before(&cluster).await;
    let (lists, expire) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, expired) = (Arc::clone(&lists), Arc::clone(&expire));
    between.script(move |target| {
        if !target.contains("/rolebindings?") {
            return None;
        }
        if target.contains("watch=true") {
            let now = expired.swap(false, Ordering::AcqRel);
            return Some(if now { Fault::Say(410, gone()) } else { Fault::Lines(Vec::new()) });
        }
        let page = page(target, bindings);
        if page["metadata"]["continue"].is_null() {
            counted.fetch_add(1, Ordering::AcqRel);
        }
        Some(Fault::Say(200, page))
    });
    let before = memory("VmRSS");
    let replica = Replica::with_mode(&cluster, &between.client, Mode::Enforce).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let rest = memory("VmRSS") - before;

    // "5" makes the highest figure so far the present one (proc(5), clear_refs).
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    for second in 2..=4 {
        expire.store(true, Ordering::Release);
        for _ in 0..6000 {
            if lists.load(Ordering::Acquire) >= second {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(lists.load(Ordering::Acquire) >= second, "there is no second list");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let peak = memory("VmHWM") - before;
    println!("{bindings} bindings: {rest} KiB at rest, {peak} KiB while they are listed again");
    assert!(peak * 10 <= rest * 13, "{bindings} bindings: {rest} KiB at rest, {peak} KiB at most");
    let plain = pod(json!({"containers": [{"name": "app", "image": "x"}]}));
    assert_eq!(replica.review("/mutate/pods", create("shop", plain)).await["allowed"], true);
}
