//! `palisade describe`, `get -o custom-columns` and their like, on a server.
//!
//! The snapshots are, but for the names that are chosen at random, what kubectl 1.32 printed of the same objects.
#![cfg(all(feature = "cluster", feature = "serve"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod server;

use server::Server;

/// Replaces the five letters after a prefix, which are chosen at random.
fn without_chance(text: &str) -> String {
    let mut parts = text.split("kube-api-access-");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push_str("kube-api-access-XXXXX");
        out.push_str(part.get(5..).unwrap());
    }
    out
}

#[test]
fn objects_are_described_as_kubectl_does() {
    let server = Server::start("4");
    for (name, text) in [
        ("objects.yaml", include_str!("describe/objects.yaml")),
        ("status.json", include_str!("describe/status.json")),
    ] {
        server.write(name, text);
    }
    server.run("oc create namespace ds");
    server.run("oc apply -f objects.yaml");
    server.run("oc patch pod rich -n ds --subresource=status --type=merge --patch-file status.json");
    let what = [
        "pod rich",
        "serviceaccount robot",
        "configmap conf",
        "secret keys",
        "pvc disk",
        "pv vol",
        "role reader",
        "rolebinding readers",
        "clusterrole ds-paths",
        "clusterrolebinding cluster-admin",
    ];
    let mut said = String::new();
    for what in what {
        said.push_str(&format!(
            "$ oc describe {what}\n{}",
            server.run(&format!("TZ=UTC oc describe {what} -n ds"))
        ));
    }
    insta::assert_snapshot!(without_chance(&said));
}

#[test]
fn events_and_nodes_are_described() {
    let server = Server::start("4");
    server.run("oc create -f - <<'Y'\nkind: Node\napiVersion: v1\nmetadata: {name: n1, labels: {node-role.kubernetes.io/worker: ''}}\nspec: {unschedulable: true, taints: [{key: a, value: b, effect: NoSchedule}]}\nstatus: {allocatable: {cpu: '2', memory: 1Gi}}\nY");
    server.run("oc create -f - <<'Y'\nkind: Pod\napiVersion: v1\nmetadata: {name: p, namespace: default}\nspec: {nodeName: n1, containers: [{name: a, image: i, resources: {limits: {cpu: 500m, memory: 256Mi}}}]}\nY");
    let uid = server.run("oc get pod p -o jsonpath='{.metadata.uid}'");
    server.run(&format!("oc create -f - <<'Y'\nkind: Event\napiVersion: v1\nmetadata: {{name: e, namespace: default}}\ninvolvedObject: {{kind: Pod, name: p, namespace: default, uid: {uid}}}\nreason: Started\nmessage: it runs\ntype: Normal\nsource: {{component: agent, host: n1}}\nfirstTimestamp: 2020-01-01T00:00:00Z\nlastTimestamp: 2020-01-02T00:00:00Z\ncount: 3\nY"));
    let pod = server.run("oc describe pod p");
    let event = pod.lines().last().unwrap();
    assert!(event.starts_with("  Normal  Started ") && event.contains(" (x3 over "), "{pod}");
    assert!(event.ends_with("  agent, n1  it runs"), "{pod}");
    let node = server.run("oc describe node n1");
    for line in [
        "Roles:              worker",
        "Taints:             a=b:NoSchedule",
        "Unschedulable:      true",
        "  default                     p       500m (25%)    500m (25%)  256Mi (25%)      256Mi (25%)    ",
        "  cpu                500m (25%)   500m (25%)",
    ] {
        assert!(node.contains(line), "{line:?} is not in\n{node}");
    }
    let events = server.run("oc get events");
    assert!(events.starts_with("LAST SEEN   TYPE     REASON    OBJECT   MESSAGE\n"), "{events}");
}

/// Command lines of kubectl print the same here.
#[test]
fn lists_are_sorted_and_columns_chosen() {
    let server = Server::start("4");
    server.write("file", "in a file");
    server.run("oc create configmap b --from-literal=x=1 --from-file=file");
    server.run("oc create cm a --from-literal=x=2");
    let cases = [
        ("oc get cm -l nothing=here -o name --sort-by=.metadata.name", ""),
        ("oc get cm a b --no-headers --sort-by=.data.x -o custom-columns=N:.metadata.name", "b\na\n"),
        (
            "oc get cm b -o custom-columns=N:.metadata.name,F:.data.file,X:.nope",
            "N   F           X\nb   in a file   <none>\n",
        ),
        ("oc get cm b -o jsonpath='{.data}'", r#"{"file":"in a file","x":"1"}"#),
        ("oc create secret generic s --from-literal=user=bob", "secret/s created\n"),
        ("oc get secret s -o jsonpath='{.type} {.data.user}'", "Opaque Ym9i"),
        ("oc label cm a tier=front", "configmap/a labeled\n"),
        ("oc label cm a tier-", "configmap/a unlabeled\n"),
        ("oc annotate cm a note=x --dry-run=server", "configmap/a annotated (server dry run)\n"),
        (
            "oc patch cm a -p '{\"data\":{\"x\":\"3\"}}' --dry-run=server",
            "configmap/a patched (server dry run)\n",
        ),
        ("oc delete cm a --dry-run=server", "configmap \"a\" deleted (server dry run)\n"),
        ("oc get cm a -o jsonpath='{.data.x}{.metadata.annotations}'", "2"),
        ("oc delete cm -l no=such", "No resources found\n"),
    ];
    for (line, said) in cases {
        assert_eq!(server.run(line), said, "{line}");
    }
    let refused = server.shell("oc label cm a x=1; oc label cm a x=2");
    assert!(
        String::from_utf8_lossy(&refused.stderr)
            .contains("'x' already has a value (1), and --overwrite is false")
    );
    let twice = server.shell("oc create cm c --from-literal=a=1 --from-literal=a=2");
    assert!(
        twice.status.code() == Some(2)
            && String::from_utf8_lossy(&twice.stderr).contains("\"a\" is given twice")
    );
    let rights = server.run("oc auth can-i --list --as ann");
    let head = "Resources                                                   Non-Resource URLs   Resource Names    Verbs\n";
    assert!(rights.starts_with(head), "{rights}");
    assert!(rights.contains("selfsubjectaccessreviews.authorization.k8s.io               []                  []                [create]\n"), "{rights}");
}
