use palisade_admission::PolicyBuilder;
use palisade_console::files;

use super::*;
use crate::{Accounts, Options, Report, Subject, Surroundings, Verdict};

/// The report of the pod in `text`, beside the other objects there and `more`.
fn review(text: String, more: Option<&serde_json::Value>) -> Report {
    let mut builder = PolicyBuilder::default();
    builder.add_set(palisade_scc::BuiltinSet::V4).unwrap();
    let listed = more.and_then(|list| list["items"].as_array()).into_iter().flatten();
    listed.for_each(|object| assert!(builder.add(object).unwrap()));
    review_by(builder, text)
}

/// The same by the SCCs of `builder`, if it has any.
fn review_by(mut builder: PolicyBuilder, text: String) -> Report {
    let documents = files::parse("pod.yaml", text).unwrap();
    let accounts = Accounts::new(&documents);
    let pod = documents.iter().find(|document| document.text("kind") == "Pod").unwrap();
    let subject = Subject::new(pod, &accounts, &Options::default()).unwrap().unwrap();
    builder.assume_namespace("shop");
    let surroundings = Surroundings::new(&documents).without_scc(!builder.has_sccs());
    Report::new(&builder.build(), &surroundings, &subject)
}

/// A namespace of a Pod Security level, and a pod in it.
fn in_namespace(level: &str, spec: &Value) -> String {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"pod-security.kubernetes.io/enforce": level}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
    format!("{namespace}\n---\n{pod}\n")
}

/// adyanth/cloudflare-operator#110, medik8s/node-maintenance-operator#61, kubernetes.io's tutorial of Pod Security.
#[test]
fn without_scc_pod_security_alone_decides_and_each_edit_is_needed() {
    let container =
        |context: Value| json!({"containers": [{"name": "c", "image": "i", "securityContext": context}]});
    let host = json!({"hostNetwork": true, "hostPID": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 80}]}],
        "volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]});
    let two = json!({"securityContext": {"runAsNonRoot": true}, "containers": [
        {"name": "kube-rbac-proxy", "image": "i"},
        {"name": "manager", "image": "i", "securityContext": {"allowPrivilegeEscalation": false}}]});
    let cases = [
        ("restricted", container(json!({})), Some(4)),
        ("restricted", two.clone(), Some(4)),
        ("restricted", container(json!({"privileged": true, "runAsUser": 0})), None),
        ("restricted", container(json!({"capabilities": {"add": ["NET_ADMIN"], "drop": ["KILL"]}})), None),
        ("restricted", container(json!({"seccompProfile": {"type": "Unconfined"}})), None),
        ("restricted", host.clone(), None),
        ("baseline", host, None),
        ("baseline", container(json!({"privileged": true})), Some(1)),
        ("baseline", container(json!({"runAsUser": 0})), Some(0)),
        ("privileged", two, Some(0)),
    ];
    for (level, spec, edits) in cases {
        let pod = |changes: &[Edit]| {
            let mut pod = json!({"metadata": {}, "spec": spec});
            changes.iter().for_each(|edit| assert!(edit.apply(&edit.path, &mut pod), "{edit:?}"));
            review_by(PolicyBuilder::default(), in_namespace(level, &pod["spec"])).verdict
        };
        let report = review_by(PolicyBuilder::default(), in_namespace(level, &spec));
        let changes = report.refusal.map(|refusal| refusal.advice.changes).unwrap_or_default();
        assert_eq!(changes.len(), edits.unwrap_or(changes.len()), "{level} {spec}: {changes:?}");
        assert_eq!(
            (report.verdict == Verdict::Refused, pod(&changes)),
            (!changes.is_empty(), Verdict::Exempt),
            "{level} {spec}"
        );
        for place in 0..changes.len() {
            let mut fewer = changes.clone();
            fewer.remove(place);
            assert_eq!(pod(&fewer), Verdict::Refused, "{level} {spec}: {place} of {changes:?}");
        }
    }
}

/// Containers read the node's files only with the label `spc_t`: fluent/fluent-bit-kubernetes-logging#63, kubernetes-sigs/aws-efs-csi-driver#193,
/// vmware-tanzu/velero#2085. Sysfs they may read: OpenShift's node exporter.
#[test]
fn an_scc_of_ones_own_lets_a_pod_read_the_paths_that_it_mounts() {
    for (path, context, label) in [
        ("/var/log", json!({}), "spc_t"),
        ("/", json!({"readOnlyRootFilesystem": true}), "spc_t"),
        ("/sys/kernel/debug", json!({}), "spc_t"),
        ("/sys", json!({}), ""),
        ("/sys/class/net", json!({}), ""),
        ("/lib/modules", json!({}), ""),
        ("/system", json!({}), "spc_t"),
        ("/var/log", json!({"privileged": true}), ""),
    ] {
        let spec = json!({"volumes": [{"name": "v", "hostPath": {"path": path}}], "containers": [
            {"name": "c", "image": "i", "securityContext": context, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]});
        let text = in_namespace("privileged", &spec);
        let own = review(text.clone(), None).refusal.unwrap().advice.own;
        let scc = own.as_ref().map(|own| own["items"][0]["seLinuxContext"].clone()).unwrap_or_default();
        assert_eq!(
            scc["seLinuxOptions"]["type"].as_str().unwrap_or_default(),
            label,
            "{path} {context}: {own:#?}"
        );
        let again = review(text, own.as_ref());
        assert_eq!(
            again.verdict,
            if own.is_some() { Verdict::Admitted } else { Verdict::Refused },
            "{path} {context}"
        );
        let mounts = again.notes.iter().any(|note| note.contains("permission denied"));
        assert!(!mounts || own.is_none(), "{path} {context}: {:?}", again.notes);
    }
}

#[test]
fn an_scc_of_ones_own_works_beside_the_label_that_it_needs() {
    for context in
        ["{privileged: true, runAsUser: 0}", "{privileged: true}", "{capabilities: {add: [SYS_ADMIN]}}"]
    {
        let text = |level: &str| {
            format!(
                "{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{pod-security.kubernetes.io/enforce: {level}}}}}}}\n---\n\
                 {{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {{hostNetwork: true, containers: [{{name: c, image: i, \
                 securityContext: {context}}}]}}}}\n"
            )
        };
        let report = review(text("restricted"), None);
        let advice = report.refusal.unwrap().advice;
        let level = advice.together.last().unwrap();
        let level = level.split('=').nth(1).unwrap().split(' ').next().unwrap();
        let again = review(text(level), advice.own.as_ref());
        assert_eq!((again.verdict, again.scc.as_deref()), (Verdict::Admitted, Some("shop-p")), "{context}");
    }
}

/// IBM/resilient-java-microservices-with-istio#35: containers without a user beside one with a user of its own.
#[test]
fn an_scc_that_forbids_root_says_what_that_asks_of_images() {
    let container = |name: &str, user: Value| json!({"name": name, "image": "i", "securityContext": user});
    let pod = |second: Value| {
        let containers = [container("a", json!({"runAsUser": 1337})), container("b", second)];
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": containers}})
    };
    for (second, is_told) in [(json!({}), true), (json!({"runAsUser": 2000}), false)] {
        let report = review(pod(second.clone()).to_string(), None);
        let summary = report.refusal.unwrap().advice.own_summary.unwrap();
        let words = "starts only if its image's USER is a number other than 0";
        assert_eq!(summary.contains(words), is_told, "{second}: {summary}");
    }
}
