//! `kubectl rollout` of a Deployment, a StatefulSet and a DaemonSet. The test plays the node.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::Server;

const KINDS: [&str; 3] = ["deployment/web", "statefulset/db", "daemonset/log"];

/// One workload of each kind, with one pod.
fn workloads() -> Value {
    let workload = |kind: &str, name: &str, more: Value| {
        let labels = json!({"app": name});
        let mut spec = json!({"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]}}});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "roll"}, "spec": spec})
    };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "roll"}});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}});
    let items = [
        namespace,
        node,
        workload("Deployment", "web", json!({"replicas": 1})),
        workload("StatefulSet", "db", json!({"replicas": 1, "serviceName": "db"})),
        workload("DaemonSet", "log", json!({})),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Makes pods ready, and removes those that are to go.
fn play(server: &Server) {
    let pods: Value = serde_json::from_str(&server.run("kubectl -n roll get pods -o json")).unwrap();
    for pod in pods["items"].as_array().unwrap() {
        let path = format!("/api/v1/namespaces/roll/pods/{}", pod["metadata"]["name"].as_str().unwrap());
        // Its controller may be faster; then it is gone, or another.
        if pod["metadata"].get("deletionTimestamp").is_some() {
            server.shell(&format!("kubectl delete --raw '{path}?gracePeriodSeconds=0'"));
        } else if pod["status"]["phase"] == "Pending" {
            let mut pod = pod.clone();
            pod["status"] = json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
            server.write("pod.json", &pod.to_string());
            server.shell(&format!("kubectl replace --raw {path}/status -f pod.json"));
        }
    }
}

/// Plays until all have rolled out, as kubectl says.
fn roll(server: &Server) {
    let since = Instant::now();
    let is_done = |kind: &&str| {
        let said = server.run(&format!("kubectl -n roll rollout status {kind} --watch=false"));
        said.contains("successfully rolled out") || said.contains("complete")
    };
    let mut left = KINDS.to_vec();
    while !left.is_empty() {
        assert!(since.elapsed() < Duration::from_secs(180), "{left:?} do not roll out");
        play(server);
        left.retain(|kind| !is_done(kind));
    }
}

/// The numbers of the revisions that there are.
fn history(server: &Server, kind: &str) -> Vec<u32> {
    let said = server.run(&format!("kubectl -n roll rollout history {kind}"));
    said.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

fn images(server: &Server) -> String {
    let path = "jsonpath='{.items[*].spec.template.spec.containers[0].image}'";
    server.run(&format!("kubectl -n roll get deployments,statefulsets,daemonsets -o {path}"))
}

#[test]
fn kubectl_rolls_workloads_out_and_back() {
    let server = Server::start("4");
    if !server.shell("command -v kubectl").status.success() {
        eprintln!("skipped: there is no kubectl; install the package kubernetes-client");
        return;
    }
    server.write("workloads.json", &workloads().to_string());
    server.run("kubectl create -f workloads.json");
    roll(&server);
    server.run(&format!("kubectl -n roll set image {} app=app:2", KINDS.join(" ")));
    roll(&server);
    for kind in KINDS {
        assert_eq!(history(&server, kind), [1, 2], "{kind}");
        let first = server.run(&format!("kubectl -n roll rollout history {kind} --revision=1"));
        assert!(first.contains("app:1"), "{first}");
        let said = server.run(&format!("kubectl -n roll rollout undo {kind}"));
        assert!(said.contains("rolled back"), "{said}");
    }
    roll(&server);
    assert_eq!(images(&server), "app:1 app:1 app:1");
    for kind in KINDS {
        assert_eq!(history(&server, kind), [2, 3], "{kind}");
        server.run(&format!("kubectl -n roll rollout undo {kind} --to-revision=2"));
        server.run(&format!("kubectl -n roll rollout restart {kind}"));
    }
    roll(&server);
    assert_eq!(images(&server), "app:2 app:2 app:2");
    for kind in KINDS {
        // The controller may not have seen what was there before the restart.
        let numbers = history(&server, kind);
        assert!(matches!(numbers.last(), Some(4 | 5)), "{kind}: {numbers:?}");
        let said = server.run(&format!("kubectl -n roll get {kind} -o yaml"));
        assert!(said.contains("kubectl.kubernetes.io/restartedAt"), "{said}");
    }
}
