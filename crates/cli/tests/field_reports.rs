//! Public reports, reduced to a few lines each: the source, the command, and the required output.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use assert_cmd::Command;
use serde_json::Value;

fn run(args: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.args(args).write_stdin(input).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

const REVIEW: &[&str] = &["review", "-f", "-"];
const LINT: &[&str] = &["scc", "lint", "-"];

/// A pod that needs root, under an account.
const ROOT: &str = "\n---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {serviceAccountName: app, \
    containers: [{name: c, image: busybox, securityContext: {runAsUser: 0}}]}}\n";

fn binding(kind: &str, namespace: &str, subject: &str) -> String {
    format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: {kind}, metadata: {{name: b, namespace: {namespace}}}, \
         roleRef: {{kind: ClusterRole, name: 'system:openshift:scc:anyuid'}}, subjects: [{subject}]}}"
    )
}

#[test]
fn the_cause_is_named() {
    let other =
        binding("RoleBinding", "shop", "{kind: ServiceAccount, name: app, namespace: default}") + ROOT;
    let user = binding("RoleBinding", "shop", "{kind: User, name: app}") + ROOT;
    let csi = "{apiVersion: v1, kind: Namespace, metadata: {name: my, labels: {pod-security.kubernetes.io/enforce: restricted}}}\n---\n\
        {apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: d.example.com}}\n---\n\
        {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: my}, spec: {containers: [{name: c, image: b}], \
        volumes: [{name: s, csi: {driver: d.example.com}}]}}";
    let labelled = "{apiVersion: v1, kind: Namespace, metadata: {name: my, labels: {pod-security.kubernetes.io/enforce: restricted}}}\n---\n\
        {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: my}, spec: {hostPID: true, containers: [{name: c, image: b}]}}";
    let shared = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: my}, spec: {hostPID: true, \
        shareProcessNamespace: true, containers: [{name: c, image: b}]}}";
    let root = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: my}, spec: {securityContext: {runAsNonRoot: true}, \
        containers: [{name: a, image: b, securityContext: {runAsUser: 0}}]}}";
    let first = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: \
        ClusterRole, name: 'system:openshift:scc:anyuid'}, subjects: [{kind: ServiceAccount, name: app, namespace: shop}]}\n---\n\
        {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {serviceAccountName: app, \
        containers: [{name: c, image: busybox}]}}";
    for (source, input, expected) in [
        (
            "kube-notary#12",
            other.as_str(),
            "it is the account app of namespace default; the pod's is that of namespace shop",
        ),
        ("okd#793", user.as_str(), "the User app is not the service account of that name"),
        ("dell/helm-charts#535", csi, "its profile is privileged, and the namespace enforces restricted"),
        ("confidential-containers/operator#67", labelled, "grant and label: oc adm policy add-scc-to-user"),
        (
            "kubernetes: hostPID with a shared namespace",
            shared,
            "would admit it, but Kubernetes refuses the pod",
        ),
        (
            "bitnami/charts#25860",
            root,
            "container a has runAsNonRoot and runAsUser 0: whatever admits it, it does not start",
        ),
        ("cluster-version-operator#807", first, "anyuid comes first by its priority 10; restricted-v2"),
        (
            "a template",
            "{apiVersion: template.openshift.io/v1, kind: Template, metadata: {name: t}, objects: []}",
            "oc process --local",
        ),
        (
            "a misspelt kind",
            &format!("{{apiVersion: apps/v1, kind: Deploymnet, metadata: {{name: d}}}}{ROOT}"),
            "did you mean Deployment?",
        ),
    ] {
        let text = run(REVIEW, input);
        assert!(text.contains(expected), "{source}: {expected:?} is not in:\n{text}");
    }
}

#[test]
fn grants_that_do_not_do_what_they_say_are_named() {
    for (source, input, expected) in [
        (
            "openshift-docs#8769",
            binding("ClusterRoleBinding", "", "{kind: Group, name: 'system:serviceaccount:shop'}"),
            "system:serviceaccounts:shop for all accounts",
        ),
        (
            "okd#793",
            binding("ClusterRoleBinding", "", "{kind: User, name: 'system:serviceaccounts:shop:app'}"),
            "write kind: ServiceAccount, name: app, namespace: shop",
        ),
        (
            "a ServiceAccount of the whole cluster",
            binding("ClusterRoleBinding", "", "{kind: ServiceAccount, name: app}"),
            "needs its namespace",
        ),
        (
            "IBM/ibm-spectrum-scale-csi#112",
            binding("ClusterRoleBinding", "", "{kind: Group, name: 'system:authenticated'}")
                .replace("anyuid", "privileged"),
            "may use privileged, and with it privileged containers",
        ),
        (
            "openshift/origin#14078",
            "{apiVersion: v1, kind: Role, metadata: {name: r}, rules: [{apiGroups: [''], resources: [securitycontextconstraints], verbs: [use]}]}".to_owned(),
            "there is no Role in \"v1\"",
        ),
    ] {
        let text = run(LINT, &input);
        assert!(text.contains(expected), "{source}: {expected:?} is not in:\n{text}");
    }
}

#[test]
fn what_is_right_is_not_blamed() {
    // Of a RoleBinding it is the account of the binding's namespace: argoproj/argo-cd, manifests/install.yaml.
    let own = binding("RoleBinding", "shop", "{kind: ServiceAccount, name: app}") + ROOT;
    let text = run(REVIEW, &own);
    assert!(text.contains("admitted by anyuid"), "{text}");
    let text = run(LINT, &own);
    assert!(text.contains("2 objects, 0 findings"), "{text}");
}

/// A pod that the kubelet refuses cannot start by any grant.
#[test]
fn a_pod_that_cannot_start_gets_an_edit_and_no_grant() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: my}, spec: {securityContext: {runAsNonRoot: true}, \
        containers: [{name: a, image: b, securityContext: {runAsUser: 0}}]}}";
    let list: Value = serde_json::from_str(&run(&["review", "-f", "-", "-o", "json"], pod)).unwrap();
    let advice = &list["items"][0]["refusal"];
    assert_eq!(advice["grant"], Value::Null, "{advice:#}");
    assert!(advice["edits"][0].as_str().unwrap().contains("runAsUser"), "{advice:#}");
}

/// Folders hold other files beside manifests: they are named and left out.
#[test]
fn other_files_of_a_folder_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pod.yaml"), ROOT.trim_start_matches("\n---\n")).unwrap();
    std::fs::write(folder.path().join("values.yaml"), "replicas: 1\n").unwrap();
    std::fs::write(folder.path().join("a.json"), "[1]").unwrap();
    let text = run(&["review", "-f", folder.path().to_str().unwrap()], "");
    assert!(
        text.contains("values.yaml:1:1: an object with kind") && text.contains("0 admitted, 1 refused"),
        "{text}"
    );
    // A file whose other documents are objects has a mistake.
    std::fs::write(folder.path().join("a.json"), "{\"kind\": \"Pod\"}\n---\n{}").unwrap();
    let text = run(&["review", "-f", folder.path().to_str().unwrap()], "");
    assert!(text.contains("a.json:3:1: an object with kind") && !text.contains("refused"), "{text}");
}
