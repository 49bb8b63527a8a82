//! A compromised node: it has the rights that its own pods need, and no others.

use serde_json::{Value, json};

use super::world::Who::{Admin, Alice, Node};
use super::world::{Case, World};

const REVIEW: &str = "POST /apis/authentication.k8s.io/v1/tokenreviews";

async fn place(world: &World, namespace: &str, name: &str, node: &str, spec: Value) -> Value {
    let mut pod =
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    let made = world.must(Admin, &format!("POST /api/v1/namespaces/{namespace}/pods"), pod).await;
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
    world.must(Admin, &format!("POST /api/v1/namespaces/{namespace}/pods/{name}/binding"), binding).await;
    made
}

fn uid(pod: &Value) -> Value {
    pod["metadata"]["uid"].clone()
}

/// A request for a token that is bound to a pod.
fn bound(name: &str, uid: Value, audience: Value) -> Value {
    json!({"spec": {"audiences": audience, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid}}})
}

fn node(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "mine": "1"}}})
}

fn of_range(name: &str, range: &str) -> Value {
    let mut node = node(name);
    node["spec"] = json!({"podCIDR": range, "podCIDRs": [range]});
    node
}

/// Secrets, config maps and claims of its own pods and of others.
fn objects_of_pods() -> Vec<Case> {
    vec![
        ("its pod's secret", Node, "GET /api/v1/namespaces/shop/secrets/own", Value::Null, 200, ""),
        (
            "its pod's secret, by a list of one",
            Node,
            "GET /api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Down",
            Value::Null,
            200,
            "",
        ),
        ("another's secret", Node, "GET /api/v1/namespaces/shop/secrets/other", Value::Null, 403, ""),
        (
            "another's secret, by a list of one",
            Node,
            "GET /api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Dother",
            Value::Null,
            403,
            "",
        ),
        ("all secrets", Node, "GET /api/v1/namespaces/shop/secrets", Value::Null, 403, ""),
        ("all secrets of all", Node, "GET /api/v1/secrets", Value::Null, 403, ""),
        (
            "a secret of that name elsewhere",
            Node,
            "GET /api/v1/namespaces/lair/secrets/own",
            Value::Null,
            403,
            "",
        ),
        (
            "to write a secret",
            Node,
            "PATCH /api/v1/namespaces/shop/secrets/own",
            json!({"stringData": {"a": "b"}}),
            403,
            "",
        ),
        ("its pod's config", Node, "GET /api/v1/namespaces/shop/configmaps/own", Value::Null, 200, ""),
        ("another's config", Node, "GET /api/v1/namespaces/shop/configmaps/other", Value::Null, 403, ""),
        (
            "its pod's claim",
            Node,
            "GET /api/v1/namespaces/shop/persistentvolumeclaims/own",
            Value::Null,
            200,
            "",
        ),
        (
            "another's claim",
            Node,
            "GET /api/v1/namespaces/shop/persistentvolumeclaims/other",
            Value::Null,
            403,
            "",
        ),
        ("its pods", Node, "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1", Value::Null, 200, "mine"),
        (
            "its pods, as a watch",
            Node,
            "GET /api/v1/pods?watch=true&timeoutSeconds=1&fieldSelector=spec.nodeName%3Dn1",
            Value::Null,
            200,
            "mine",
        ),
        (
            "its pod's secret, as a watch",
            Node,
            "GET /api/v1/namespaces/shop/secrets?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Down",
            Value::Null,
            200,
            "\"own\"",
        ),
    ]
}

/// Pods, to read and to change.
fn pods() -> Vec<Case> {
    vec![
        ("its pod", Node, "GET /api/v1/namespaces/shop/pods/mine", Value::Null, 200, ""),
        ("all pods", Node, "GET /api/v1/pods", Value::Null, 403, ""),
        ("another's pods", Node, "GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn2", Value::Null, 403, ""),
        (
            "all pods but its own",
            Node,
            "GET /api/v1/pods?fieldSelector=spec.nodeName!%3Dn1",
            Value::Null,
            403,
            "",
        ),
        ("another's pod", Node, "GET /api/v1/namespaces/shop/pods/theirs", Value::Null, 403, ""),
        ("to exec", Node, "POST /api/v1/namespaces/shop/pods/mine/exec?command=sh", Value::Null, 403, ""),
        (
            "its pod's status",
            Node,
            "PATCH /api/v1/namespaces/shop/pods/mine/status",
            json!({"status": {"phase": "Running"}}),
            200,
            "",
        ),
        (
            "another's pod's status",
            Node,
            "PATCH /api/v1/namespaces/shop/pods/theirs/status",
            json!({"status": {"phase": "Failed"}}),
            403,
            "that are on it",
        ),
        (
            "labels of its pod",
            Node,
            "PATCH /api/v1/namespaces/shop/pods/mine/status",
            json!({"metadata": {"labels": {"app": "db"}}}),
            403,
            "labels",
        ),
        (
            "its pod's spec",
            Node,
            "PATCH /api/v1/namespaces/shop/pods/mine",
            json!({"spec": {"activeDeadlineSeconds": 1}}),
            403,
            "",
        ),
    ]
}

/// Pods that it makes, deletes, evicts or binds.
fn pods_that_are_made() -> Vec<Case> {
    vec![
        (
            "a pod of anybody",
            Node,
            "POST /api/v1/namespaces/shop/pods",
            json!({"metadata": {"name": "new"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i:1"}]}}),
            403,
            "mirror",
        ),
        (
            "a mirror pod",
            Node,
            "POST /api/v1/namespaces/shop/pods",
            json!({"metadata": {"name": "mirror", "annotations": {"kubernetes.io/config.mirror": "1"}}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i:1"}]}}),
            201,
            "",
        ),
        (
            "a mirror pod elsewhere",
            Node,
            "POST /api/v1/namespaces/shop/pods",
            json!({"metadata": {"name": "m2", "annotations": {"kubernetes.io/config.mirror": "1"}}, "spec": {"nodeName": "n2", "containers": [{"name": "c", "image": "i:1"}]}}),
            403,
            "",
        ),
        (
            "a mirror pod with a secret",
            Node,
            "POST /api/v1/namespaces/shop/pods",
            json!({"metadata": {"name": "m3", "annotations": {"kubernetes.io/config.mirror": "1"}}, "spec": {"nodeName": "n1", "volumes": [{"name": "s", "secret": {"secretName": "other"}}], "containers": [{"name": "c", "image": "i:1"}]}}),
            403,
            "secrets",
        ),
        (
            "a mirror pod with a certificate",
            Node,
            "POST /api/v1/namespaces/shop/pods",
            json!({"metadata": {"name": "m7", "annotations": {"kubernetes.io/config.mirror": "1"}}, "spec": {"nodeName": "n1", "volumes": [{"name": "s", "projected": {"sources": [{"podCertificate": {"signerName": "x.io/y", "keyType": "ED25519", "credentialBundlePath": "c"}}]}}], "containers": [{"name": "c", "image": "i:1"}]}}),
            403,
            "secrets",
        ),
        (
            "a mirror pod with an account",
            Node,
            "POST /api/v1/namespaces/shop/pods",
            json!({"metadata": {"name": "m4", "annotations": {"kubernetes.io/config.mirror": "1"}}, "spec": {"nodeName": "n1", "serviceAccountName": "other", "containers": [{"name": "c", "image": "i:1"}]}}),
            403,
            "service account",
        ),
        (
            "to evict another's pod",
            Node,
            "POST /api/v1/namespaces/shop/pods/theirs/eviction",
            json!({"metadata": {"name": "theirs"}}),
            403,
            "",
        ),
        ("to delete another's pod", Node, "DELETE /api/v1/namespaces/shop/pods/theirs", Value::Null, 403, ""),
        ("to delete all pods", Node, "DELETE /api/v1/namespaces/shop/pods", Value::Null, 403, ""),
        (
            "to bind a pod",
            Node,
            "POST /api/v1/namespaces/shop/pods/theirs/binding",
            json!({"target": {"name": "n1"}}),
            403,
            "",
        ),
    ]
}

/// Its own Node object and others.
fn nodes() -> Vec<Case> {
    vec![
        ("a neighbour", Admin, "POST /api/v1/nodes", of_range("n0", "10.9.0.0/16"), 201, ""),
        (
            "itself, with addresses of its neighbour",
            Node,
            "POST /api/v1/nodes",
            of_range("n1", "10.9.1.0/24"),
            403,
            "has 10.9.0.0/16; start it with another --pod-cidr",
        ),
        ("itself", Node, "POST /api/v1/nodes", of_range("n1", "10.10.0.0/24"), 201, ""),
        (
            "addresses of its neighbour, later",
            Node,
            "PATCH /api/v1/nodes/n1",
            json!({"spec": {"podCIDR": "10.9.1.0/24", "podCIDRs": ["10.9.1.0/24"]}}),
            403,
            "has 10.9.0.0/16; start it with another --pod-cidr",
        ),
        (
            "addresses that overlap its own of before",
            Node,
            "PATCH /api/v1/nodes/n1",
            json!({"spec": {"podCIDR": "10.10.0.0/16", "podCIDRs": ["10.10.0.0/16"]}}),
            200,
            "10.10.0.0/16",
        ),
        ("another node", Node, "POST /api/v1/nodes", node("n2"), 403, "its own node"),
        ("to see itself", Node, "GET /api/v1/nodes/n1", Value::Null, 200, ""),
        ("to see others", Node, "GET /api/v1/nodes", Value::Null, 403, ""),
        (
            "its status",
            Node,
            "PATCH /api/v1/nodes/n1/status",
            json!({"status": {"phase": "Running"}}),
            200,
            "",
        ),
        (
            "a label that others trust",
            Node,
            "PATCH /api/v1/nodes/n1",
            json!({"metadata": {"labels": {"node-restriction.kubernetes.io/fips": "1"}}}),
            403,
            "label",
        ),
        (
            "a role",
            Node,
            "PATCH /api/v1/nodes/n1",
            json!({"metadata": {"labels": {"node-role.kubernetes.io/master": ""}}}),
            403,
            "label",
        ),
        (
            "a label that others trust, by its status",
            Node,
            "PATCH /api/v1/nodes/n1/status",
            json!({"metadata": {"labels": {"node-restriction.kubernetes.io/fips": "1"}}}),
            403,
            "label",
        ),
        (
            "a label of its own",
            Node,
            "PATCH /api/v1/nodes/n1",
            json!({"metadata": {"labels": {"mine": "2"}}}),
            200,
            "",
        ),
        (
            "its taints",
            Node,
            "PATCH /api/v1/nodes/n1",
            json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
            403,
            "taints",
        ),
        ("another's status", Node, "PATCH /api/v1/nodes/n2/status", json!({"status": {}}), 403, ""),
    ]
}

/// CSI drivers, CSINodes and leases.
fn drivers_and_leases() -> Vec<Case> {
    vec![
        ("drivers of storage", Node, "GET /apis/storage.k8s.io/v1/csidrivers", Value::Null, 200, ""),
        (
            "to write a driver",
            Node,
            "POST /apis/storage.k8s.io/v1/csidrivers",
            json!({"metadata": {"name": "driver.example"}}),
            403,
            "",
        ),
        (
            "its own CSINode",
            Node,
            "POST /apis/storage.k8s.io/v1/csinodes",
            json!({"metadata": {"name": "n1"}, "spec": {"drivers": []}}),
            201,
            "",
        ),
        ("its own CSINode, to read", Node, "GET /apis/storage.k8s.io/v1/csinodes/n1", Value::Null, 200, ""),
        (
            "another's CSINode",
            Node,
            "POST /apis/storage.k8s.io/v1/csinodes",
            json!({"metadata": {"name": "n2"}, "spec": {"drivers": []}}),
            403,
            "",
        ),
        ("all CSINodes", Node, "GET /apis/storage.k8s.io/v1/csinodes", Value::Null, 403, ""),
        ("another's CSINode, to read", Node, "GET /apis/storage.k8s.io/v1/csinodes/n2", Value::Null, 403, ""),
        (
            "its lease",
            Node,
            "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            json!({"metadata": {"name": "n1"}}),
            201,
            "",
        ),
        (
            "another's lease",
            Node,
            "POST /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
            json!({"metadata": {"name": "n2"}}),
            403,
            "",
        ),
        (
            "a lease elsewhere",
            Node,
            "POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
            json!({"metadata": {"name": "n1"}}),
            403,
            "",
        ),
    ]
}

/// Tokens of service accounts, bound to its own pod and to another's.
fn tokens(own: &Value, other: &Value) -> Vec<Case> {
    vec![
        (
            "its pod's token",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/own/token",
            bound("mine", uid(own), json!([])),
            201,
            "token",
        ),
        (
            "its pod's token for another",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/own/token",
            bound("mine", uid(own), json!(["vault"])),
            403,
            "vault",
        ),
        (
            "its pod's account's token, unbound",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/own/token",
            json!({"spec": {}}),
            403,
            "bound",
        ),
        (
            "its pod's token, without its UID",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/own/token",
            bound("mine", Value::Null, json!([])),
            403,
            "UID",
        ),
        (
            "another's token",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/other/token",
            bound("theirs", uid(other), json!([])),
            403,
            "",
        ),
        (
            "another's token by its own pod",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/other/token",
            bound("mine", uid(own), json!([])),
            403,
            "",
        ),
        (
            "its account's token for another's pod",
            Node,
            "POST /api/v1/namespaces/shop/serviceaccounts/own/token",
            bound("theirs", uid(other), json!([])),
            400,
            "",
        ),
        (
            "the platform's token",
            Node,
            "POST /api/v1/namespaces/kube-system/serviceaccounts/default/token",
            json!({"spec": {}}),
            403,
            "",
        ),
    ]
}

/// Everything else.
fn others() -> Vec<Case> {
    vec![
        ("to see accounts", Node, "GET /api/v1/namespaces/shop/serviceaccounts/other", Value::Null, 403, ""),
        (
            "an event",
            Node,
            "POST /api/v1/namespaces/shop/events",
            json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "shop"}}),
            201,
            "",
        ),
        ("to ask whose a token is", Node, REVIEW, json!({"spec": {"token": "x"}}), 201, ""),
        ("namespaces", Node, "GET /api/v1/namespaces", Value::Null, 403, ""),
        (
            "SCCs",
            Node,
            "PATCH /api/v1/securitycontextconstraints/privileged",
            json!({"users": ["x"]}),
            403,
            "",
        ),
        (
            "a binding",
            Node,
            "POST /apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({"metadata": {"name": "x"}}),
            403,
            "",
        ),
        ("everything", Node, "GET /palisade/v1/backup", Value::Null, 403, ""),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reaches_what_its_own_pods_need() {
    let world = World::new().await;
    for name in ["own", "other"] {
        for (plural, object) in [
            ("secrets", json!({"metadata": {"name": name}})),
            ("configmaps", json!({"metadata": {"name": name}})),
            ("serviceaccounts", json!({"metadata": {"name": name}})),
            (
                "persistentvolumeclaims",
                json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
            ),
        ] {
            world.must(Alice, &format!("POST /api/v1/namespaces/shop/{plural}"), object).await;
        }
    }
    let needs = |name: &str| {
        json!({"serviceAccountName": name, "volumes": [
        {"name": "s", "secret": {"secretName": name}}, {"name": "c", "configMap": {"name": name}},
        {"name": "v", "persistentVolumeClaim": {"claimName": name}}]})
    };
    let own = place(&world, "shop", "mine", "n1", needs("own")).await;
    let other = place(&world, "shop", "theirs", "n2", needs("other")).await;
    for cases in [
        objects_of_pods(),
        pods(),
        pods_that_are_made(),
        nodes(),
        drivers_and_leases(),
        tokens(&own, &other),
        others(),
    ] {
        world.check(&cases).await;
    }
    // An access review reports the same.
    let may = async |name: &str| {
        let spec = json!({"resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": "shop", "name": name}});
        let path = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        world.must(Node, path, json!({"spec": spec})).await["status"]["allowed"] == true
    };
    assert!(may("own").await && !may("other").await);
    // It loses access to objects that its pods no longer need.
    world
        .must(
            Admin,
            "PATCH /api/v1/namespaces/shop/pods/mine/status",
            json!({"status": {"phase": "Succeeded"}}),
        )
        .await;
    world
        .check(&[(
            "a secret of a pod that has ended",
            Node,
            "GET /api/v1/namespaces/shop/secrets/own",
            Value::Null,
            403,
            "",
        )])
        .await;
}

/// A node's name without its group, and the group without a name, are nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_needs_its_name_and_its_group() {
    let world = World::new().await;
    place(&world, "shop", "mine", "n1", json!({})).await;
    for (name, groups) in
        [("system:node:n1", &["dev"][..]), ("bob", &["system:nodes"]), ("system:node:", &["system:nodes"])]
    {
        let connector = world.with_certificate(name, groups);
        for line in [
            "GET /api/v1/namespaces/shop/pods/mine",
            "GET /api/v1/nodes/n1",
            "GET /api/v1/pods?fieldSelector=spec.nodeName%3D",
        ] {
            let reply = world.send_with(&connector, line, &[], b"").await;
            assert_eq!(reply.code, 403, "{name} {line}: {}", reply.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nodes_that_register_at_once_one_has_a_range() {
    let world = World::new().await;
    for round in 0..5 {
        let range = format!("10.{round}.0.0/24");
        let register = async |place: usize| {
            let name = format!("n{round}-{place}");
            let user = format!("system:node:{name}");
            let headers = [
                ("impersonate-user", user.as_str()),
                ("impersonate-group", "system:nodes"),
                ("content-type", "application/json"),
            ];
            let body = of_range(&name, &range).to_string();
            world.send_as(Admin, "POST /api/v1/nodes", &headers, body.as_bytes()).await
        };
        let mut codes: Vec<u16> =
            futures::future::join_all((0..12).map(register)).await.iter().map(|reply| reply.code).collect();
        codes.sort_unstable();
        assert_eq!((codes.first(), codes.get(1..)), (Some(&201), Some(&[403; 11][..])), "{range}");
    }
}

/// A node may have a name that the server's own certificate proves as well, and say that its agent is at the server's port.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_no_node_of_its_own() {
    let world = World::new().await;
    for name in ["localhost", "kubernetes.default.svc", "127.0.0.1"] {
        world.must(Admin, "POST /api/v1/nodes", node(name)).await;
        let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": world.address.port()}}}});
        world.must(Admin, &format!("PATCH /api/v1/nodes/{name}/status"), status).await;
        let pod = format!("on-{name}");
        place(&world, "shop", &pod, name, json!({})).await;
        let log = format!("GET /api/v1/namespaces/shop/pods/{pod}/log");
        let reply = world.send(Alice, &log, &Value::Null).await;
        let text = reply.text();
        assert!(
            reply.code == 503 && text.contains("the certificate of another"),
            "{name}: {} {text}",
            reply.code
        );
    }
}

/// Streams of one user are a part of all, also while their node says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_open_streams_of_a_user_are_bounded() {
    let world = World::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.must(Admin, "POST /api/v1/nodes", node("silent")).await;
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": silent.local_addr().unwrap().port()}}}});
    world.must(Admin, "PATCH /api/v1/nodes/silent/status", status).await;
    place(&world, "shop", "quiet", "silent", json!({})).await;
    let head = format!(
        "GET /api/v1/namespaces/shop/pods/quiet/log?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        world.token(Alice)
    );
    assert_eq!(world.first_of(251, Alice, &head).await, "HTTP/1.1 429");
}
