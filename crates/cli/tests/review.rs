//! `palisade review` and `palisade scc`, as used by a person and by a program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::PathBuf;

use assert_cmd::Command;
use serde_json::Value;

/// Runs in the repository's root; returns the exit code and the output.
fn run(args: &[&str], input: &str) -> (i32, String) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.current_dir(root).args(args).write_stdin(input).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn json(args: &[&str], input: &str) -> Value {
    serde_json::from_str(&run(args, input).1).unwrap()
}

#[test]
fn the_examples_are_reviewed() {
    let (code, text) = run(&["review", "-f", "examples"], "");
    assert_eq!(code, 1);
    insta::assert_snapshot!(text);
}

#[test]
fn the_wide_form_tells_what_every_scc_says() {
    let (code, text) =
        run(&["review", "-f", "examples/workshop/explorer.yaml", "-o", "wide", "--scc-set", "3"], "");
    assert_eq!(code, 1);
    insta::assert_snapshot!(text);
}

#[test]
fn the_pod_is_shown_as_it_would_run() {
    let (code, text) = run(&["review", "-f", "examples/realistic/operator.yaml", "--show-pod"], "");
    assert_eq!(code, 0);
    insta::assert_snapshot!(text);
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      containers:
      - name: app
        securityContext:
          runAsUser: 0
";

#[test]
fn a_refusal_points_at_the_field_and_says_both_ways_out() {
    let item = json(&["review", "-f", "-", "-o", "json"], DEPLOYMENT)["items"][0].clone();
    assert_eq!(item["verdict"], "refused");
    let refusal = &item["refusal"];
    let error = &refusal["errors"][0];
    assert_eq!((&error["file"], &error["line"], &error["column"]), (&"stdin".into(), &11.into(), &22.into()));
    assert_eq!(error["field"], "spec.template.spec.containers[0].securityContext.runAsUser");
    assert_eq!(refusal["grant"], "oc adm policy add-scc-to-user anyuid -z default -n shop");
    assert_eq!(refusal["edits"][0], "remove spec.template.spec.containers[0].securityContext.runAsUser");
    assert_eq!((&refusal["by"], &refusal["editsFor"]), (&"scc".into(), &"restricted-v2".into()));
    assert_eq!(item["user"], "system:serviceaccount:kube-system:replicaset-controller");
}

#[test]
fn the_grant_command_is_what_helps() {
    let granted = format!(
        "{DEPLOYMENT}---\n{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: b, namespace: shop}},\n\
         roleRef: {{kind: ClusterRole, name: 'system:openshift:scc:anyuid'}}, subjects: [{{kind: ServiceAccount, name: default}}]}}\n"
    );
    let item = json(&["review", "-f", "-", "-o", "json"], &granted)["items"][0].clone();
    assert_eq!((&item["verdict"], &item["scc"]), (&"admitted".into(), &"anyuid".into()));
    assert_eq!((&item["grantedTo"], &item["byUser"]), (&"serviceaccount".into(), &Value::Null));
}

#[test]
fn every_kind_of_workload_is_reviewed() {
    let template = "template: {spec: {containers: [{name: c}]}}";
    let kinds = [
        ("v1", "PodTemplate", template.to_owned()),
        ("v1", "ReplicationController", format!("spec: {{{template}}}")),
        ("apps/v1", "Deployment", format!("spec: {{{template}}}")),
        ("apps/v1", "ReplicaSet", format!("spec: {{{template}}}")),
        ("apps/v1", "StatefulSet", format!("spec: {{{template}}}")),
        ("apps/v1", "DaemonSet", format!("spec: {{{template}}}")),
        ("batch/v1", "Job", format!("spec: {{{template}}}")),
        ("batch/v1", "CronJob", format!("spec: {{jobTemplate: {{spec: {{{template}}}}}}}")),
        ("apps.openshift.io/v1", "DeploymentConfig", format!("spec: {{{template}}}")),
        ("v1", "Pod", "spec: {containers: [{name: c}]}".to_owned()),
    ];
    let items: Vec<String> = kinds
        .iter()
        .map(|(v, k, body)| format!("{{apiVersion: {v}, kind: {k}, metadata: {{name: x}}, {body}}}"))
        .collect();
    let list = format!("{{apiVersion: v1, kind: List, items: [{}]}}", items.join(","));
    for input in [items.join("\n---\n"), list] {
        let reviewed = json(&["review", "-f", "-", "-o", "json"], &input);
        let found: Vec<&str> =
            reviewed["items"].as_array().unwrap().iter().map(|i| i["kind"].as_str().unwrap()).collect();
        assert_eq!(found, kinds.iter().map(|(_, kind, _)| *kind).collect::<Vec<_>>());
        assert!(
            reviewed["items"].as_array().unwrap().iter().all(|item| item["scc"] == "restricted-v2"),
            "{reviewed}"
        );
    }
}

#[test]
fn identities_come_from_the_options() {
    let pod =
        "{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: shop}, spec: {containers: [{name: c}]}}";
    let scc = |args: &[&str]| {
        json(&[&["review", "-f", "-", "-o", "json"], args].concat(), pod)["items"][0]["scc"].clone()
    };
    assert_eq!(scc(&[]), "restricted-v2");
    assert_eq!(scc(&["--as", "root", "--as-group", "system:masters"]), "anyuid");
    assert_eq!(scc(&["--scc-set", "3"]), "restricted");
}

#[test]
fn sarif_and_yaml_are_well_formed() {
    let log = json(&["review", "-f", "-", "-o", "sarif"], DEPLOYMENT);
    assert_eq!(log["version"], "2.1.0");
    let region = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&11.into(), &22.into()));
    let (_, yaml) = run(&["review", "-f", "-", "-o", "yaml"], DEPLOYMENT);
    let read = palisade_k8s::manifest::read(&yaml).unwrap()[0].to_json();
    assert_eq!(read["items"], json(&["review", "-f", "-", "-o", "json"], DEPLOYMENT)["items"]);
}

#[test]
fn wrong_input_exits_with_two() {
    for (args, input, expected) in [
        (vec!["review", "-f", "-"], "a: [1\nb: 2", "stdin:2:"),
        (vec!["review", "-f", "-"], "kind: ConfigMap", "no pod and no workload among the input"),
        (
            vec!["review", "-f", "-"],
            "{apiVersion: apps/v1, kind: Deployment}",
            "stdin:1:1: Deployment has no spec.template",
        ),
        (
            vec!["review", "-f", "-"],
            "{apiVersion: v1, kind: Pod, spec: {containers: 5}}",
            "stdin:1:48: the pod does not fit its type: spec.containers",
        ),
        (vec!["review", "-f", "-"], "[]", "stdin:1:1: an object with kind"),
        (vec!["review", "-f", "/nonexistent"], "", "/nonexistent: "),
        (vec!["scc", "diff", "restricted", "nope"], "", "nope: no such file"),
        (vec!["review"], "", "required"),
    ] {
        let (code, text) = run(&args, input);
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(expected), "{text}, not {expected}");
    }
}

#[test]
fn scc_commands_print_what_a_person_reads() {
    insta::assert_snapshot!("order", run(&["scc", "order"], "").1);
    insta::assert_snapshot!("diff", run(&["scc", "diff", "restricted-v2", "anyuid"], "").1);
    insta::assert_snapshot!("lint", run(&["scc", "lint", "examples"], "").1);
    assert_eq!(run(&["scc", "diff", "restricted-v2", "restricted-v2"], "").0, 0);
}

#[test]
fn impact_names_what_moves() {
    let hijack = "{kind: SecurityContextConstraints, apiVersion: v1, metadata: {name: hijack}, priority: 20,\n\
        runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, groups: ['system:authenticated']}";
    let (code, text) =
        run(&["scc", "impact", "--with", "-", "-f", "examples/realistic/operator.yaml"], hijack);
    // The operator names a seccomp profile, which the new SCC permits nobody to set.
    assert_eq!((code, text.trim()), (0, "0 of 1 workloads move or change"));
    let open = hijack.replace("groups", "seccompProfiles: ['*'], groups");
    let (code, text) =
        run(&["scc", "impact", "--with", "-", "-f", "examples/realistic/operator.yaml"], &open);
    assert_eq!(code, 1);
    assert!(text.starts_with("deployment/backup-operator in backup: restricted-v2 -> hijack\n"), "{text}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(run(&["completions", shell], "").1.contains("review"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", folder.path().to_str().unwrap()], "").0, 0);
    let page = std::fs::read_to_string(folder.path().join("palisade-review.1")).unwrap();
    assert!(page.contains("which SCC would admit"), "{page}");
}

/// A value that does not fit its type is reported by its field, at its place in the file.
#[test]
fn misfits_are_pointed_at() {
    let scc = "kind: SecurityContextConstraints\napiVersion: v1\nmetadata: {name: x}\nrunAsUser:\n  type: MustRunAs\n  uid: many\n";
    let role = "kind: ClusterRole\napiVersion: rbac.authorization.k8s.io/v1\nmetadata: {name: a}\nrules:\n- verbs: use\n";
    let pod = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec:\n  containers:\n  - securityContext: {runAsUser: root}\n";
    for (input, place) in [
        (scc, "stdin:6:8: SecurityContextConstraints does not fit its type: runAsUser.uid: "),
        (role, "stdin:5:10: ClusterRole does not fit its type: rules[0].verbs: "),
        (pod, "stdin:6:34: the pod does not fit its type: spec.containers[0].securityContext.runAsUser: "),
    ] {
        let (code, text) = run(&["review", "-f", "-"], input);
        assert_eq!((code, text.contains(place)), (2, true), "{text}");
    }
}
