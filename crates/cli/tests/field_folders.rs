//! Public reports and manifests as people have them, reduced to a few lines each: folders, charts, bundles and units.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;

use assert_cmd::Command;

/// The exit code and the whole output of the command, run in a folder with these files.
fn run(files: &[(&str, &str)], args: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.current_dir(folder.path()).args(args).output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

fn assert_says(source: &str, text: &str, says: &[&str], silent: &[&str]) {
    says.iter().for_each(|words| assert!(text.contains(words), "{source}: no {words:?} in {text}"));
    silent.iter().for_each(|words| assert!(!text.contains(words), "{source}: {words:?} in {text}"));
}

/// A pod of the account `app` in the namespace `shop`, with the annotations.
fn pod(annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop, annotations: {{{annotations}}}}}, \
         spec: {{serviceAccountName: app, containers: [{{name: c, image: b}}]}}}}\n"
    )
}

#[test]
fn a_note_names_the_grant_that_another_precedes() {
    let scc = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: wide}, \
        runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, volumes: ['*'], \
        users: ['system:serviceaccount:shop:app']}";
    let (plain, pinned) = (pod(""), pod("openshift.io/required-scc: wide"));
    let required = pod("openshift.io/required-scc: restricted-v2");
    let args = ["review", "-f", "scc.yaml", "-f", "pod.yaml"];
    for (source, pod, says, silent) in [
        (
            "kiali/kiali#6586",
            &plain,
            &[
                "admitted by restricted-v2",
                "wide, granted to service account app, would admit it too",
                "openshift.io/required-scc: wide",
            ][..],
            &[][..],
        ),
        ("kiali/kiali#6586, as the note says", &pinned, &["admitted by wide"], &["would admit it too"]),
        (
            "the chart of sriov-network-operator",
            &required,
            &["admitted by restricted-v2"],
            &["may use every SCC", "would admit it too"],
        ),
    ] {
        let (code, text) = run(&[("scc.yaml", scc), ("pod.yaml", pod)], &args);
        assert_eq!(code, 0, "{source}: {text}");
        assert_says(source, &text, says, silent);
    }
}

const BAD_YAML: &str = "a: [\n";
const CONFIG_MAP: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n";

/// openshift/node-feature-discovery has a key twice in one file of its kustomize folder; policy-collection of stolostron a Deployment
/// without a template.
#[test]
fn the_rest_of_a_folder_is_judged() {
    let pod = pod("");
    let twice =
        "{apiVersion: v1, kind: Pod, metadata: {name: q}, spec: {serviceAccount: a, serviceAccount: b}}\n";
    let bare = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bare}, spec: {replicas: 1}}\n";
    let scc = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: x}, runAsUser: {type: MustRunAs}, \
        seLinuxContext: {type: RunAsAny}, fsGroup: {type: None}}\n";
    let review: &[&str] = &["review", "-f", "d"];
    for (name, text, args, says) in [
        ("d/b.yaml", BAD_YAML, review, "d/b.yaml:1:4: not valid YAML: unclosed bracket '['; left out"),
        ("d/b.yaml", twice, review, "key \"serviceAccount\" is there twice in one map; left out"),
        ("d/b.yaml", bare, review, "Deployment has no spec.template; left out"),
        ("d/b.yaml", scc, review, "; left out"),
        ("d/b.yaml", BAD_YAML, &["scc", "lint", "d"], "not valid YAML"),
        ("d/b.yaml", BAD_YAML, &["scc", "generate", "-f", "d"], "not valid YAML"),
        (
            "d/b.txt",
            "",
            &["review", "-f", "d", "-f", "e.yaml"],
            "e.yaml: No such file or directory (os error 2); left out",
        ),
    ] {
        let (code, out) = run(&[("d/a.yaml", &pod), (name, text)], args);
        assert_eq!(code, 2, "{name} {args:?}: {out}");
        assert_says(text, &out, &[says, "left out, as named above: 1"], &[]);
        let answer = if args[0] == "review" { "pod/p in shop: admitted by restricted-v2" } else { "" };
        assert_says(text, &out, &[answer], &[]);
    }
    // Nothing to judge is left.
    let (code, out) = run(&[("d/b.yaml", BAD_YAML)], review);
    assert_eq!(code, 2, "{out}");
    assert_says("alone", &out, &["unclosed bracket"], &["left out"]);
}

/// kubearmor/KubeArmor `deployments`: two charts among manifests.
#[test]
fn many_templates_are_told_at_once() {
    let (pod, template) = (pod(""), "{{ if .Values.x }}\nkind: Pod\n{{ end }}\n");
    let names: Vec<String> = (0..9).map(|n| format!("d/t{n}.yaml")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), template)).collect();
    files.push(("d/a.yaml", &pod));
    let (code, text) = run(&files, &["review", "-f", "d"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("left out").count(), 1, "{text}");
    assert_says("KubeArmor", &text, &["9 templates, the first is d/t0.yaml"], &[]);
}

/// docker/compose#5574 and nusmodifications/nusmods#3393 write quotes within the value.
#[test]
fn one_missing_profile_does_not_hide_the_others() {
    let compose = "services:\n  a: {image: x, security_opt: ['seccomp:\"./p.json\"']}\n  b: {image: x, security_opt: ['seccomp:./p.json']}\n  \
        c: {image: x, security_opt: ['seccomp:gone.json']}\n";
    let profile = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"raed\"],\"action\":\"SCMP_ACT_ALLOW\"}]}";
    let args = ["seccomp", "lint", "none.json", "c/compose.yaml"];
    let (code, text) = run(&[("c/compose.yaml", compose), ("c/p.json", profile)], &args);
    assert_eq!(code, 2, "{text}");
    let says = [
        "none.json: no such file",
        "write ./p.json without them",
        "did you mean read?",
        "names the profile gone.json: there is no file c/gone.json",
    ];
    assert_says("compose", &text, &says, &[]);
}

/// The manifests of the sriov-network-operator and the security-profiles-operator for OperatorHub.
#[test]
fn an_operators_bundle_is_reviewed() {
    let bundle = "apiVersion: operators.coreos.com/v1alpha1\nkind: ClusterServiceVersion\nmetadata: {name: op.v1, namespace: placeholder}\nspec:\n  \
        install:\n    strategy: deployment\n    spec:\n      clusterPermissions:\n      - serviceAccountName: op\n        rules:\n        - {apiGroups: \
        [security.openshift.io], resources: [securitycontextconstraints], resourceNames: [SCC], verbs: [use]}\n      deployments:\n      - name: manager\n        \
        spec:\n          selector: {matchLabels: {a: b}}\n          template:\n            metadata: {labels: {a: b}}\n            spec:\n              \
        serviceAccountName: op\n              containers:\n              - name: m\n                image: x\n                securityContext: {runAsUser: \
        0}\n";
    for (scc, namespace, code, says) in [
        ("anyuid", "op", 0, "deployment/manager in op: admitted by anyuid (granted to the service account"),
        (
            "nonroot",
            "op",
            1,
            "csv.yaml:23:46: spec.template.spec.containers[0].securityContext.runAsUser: Invalid value: 0",
        ),
    ] {
        let text = bundle.replace("SCC", scc);
        let (got, text) = run(&[("csv.yaml", &text)], &["review", "-f", "csv.yaml", "-n", namespace]);
        assert_eq!(got, code, "{scc}: {text}");
        assert_says(scc, &text, &[says], &["not looked at"]);
    }
    let wild = bundle.replace("resourceNames: [SCC], ", "");
    let (code, text) = run(&[("csv.yaml", &wild)], &["scc", "lint", "csv.yaml"]);
    assert_eq!(code, 1, "{text}");
    assert_says("lint", &text, &["may use every SCC"], &[]);
}

/// rook/rook#5435, helm/helm#9227, DataDog/helm-charts#499 and #653, signalfx/splunk-otel-collector-chart#568 and #651.
#[test]
fn fields_that_older_clients_miss_are_named() {
    let scc = |rest: &str| {
        format!(
            "{{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {{name: x}}, allowHostDirVolumePlugin: false, \
             allowHostIPC: false, allowHostNetwork: false, allowHostPID: false, allowHostPorts: false, allowPrivilegedContainer: false, \
             readOnlyRootFilesystem: false, requiredDropCapabilities: [ALL], runAsUser: {{type: RunAsAny}}, seLinuxContext: {{type: \
             MustRunAs}}, fsGroup: {{type: RunAsAny}}, volumes: [secret], {rest}}}\n"
        )
    };
    let note = "refuse it with \"missing required field\"; for them write ";
    for (rest, says, silent) in [
        ("allowedCapabilities: [], defaultAddCapabilities: []", "priority: 0 (null", ""),
        (
            "allowedCapabilities: null, defaultAddCapabilities: [], priority: 0",
            "allowedCapabilities: [] (null",
            "",
        ),
        ("allowedCapabilities: [], defaultAddCapabilities: [], priority: 0", "", note),
    ] {
        let says = if says.is_empty() { "0 findings".to_owned() } else { format!("{note}{says}") };
        let (code, text) = run(&[("scc.yaml", &scc(rest))], &["scc", "lint", "scc.yaml"]);
        assert_eq!(code, 0, "{rest}: {text}");
        assert_says(
            rest,
            &text,
            &[&says],
            if silent.is_empty() { &[] } else { std::slice::from_ref(&silent) },
        );
    }
}

/// SCCs of OpenShift 3 beside the built-in set 4, which adds others.
#[test]
fn a_note_names_the_set_beside_older_sccs() {
    let scc = |name: &str| {
        format!(
            "{{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {{name: {name}}}, runAsUser: {{type: \
             MustRunAsRange}}, seLinuxContext: {{type: MustRunAs}}, volumes: [secret], groups: ['system:authenticated']}}\n---\n"
        )
    };
    let (older, pod) = (["restricted", "anyuid", "privileged"].map(scc).concat(), pod(""));
    let newer = format!("{older}{}", scc("restricted-v2"));
    let note = "the files hold the SCCs of a cluster before OpenShift 4.11";
    for (sccs, args, is_told) in [
        (&older, &["review", "-f", "sccs.yaml", "-f", "pod.yaml"][..], true),
        (&older, &["review", "-f", "pod.yaml", "--policy", "sccs.yaml", "--scc-set", "4"], true),
        (&older, &["review", "-f", "pod.yaml", "--policy", "sccs.yaml"], false),
        (&older, &["review", "-f", "sccs.yaml", "-f", "pod.yaml", "--scc-set", "3"], false),
        (&newer, &["review", "-f", "sccs.yaml", "-f", "pod.yaml"], false),
    ] {
        let (_, text) = run(&[("sccs.yaml", sccs), ("pod.yaml", &pod)], args);
        assert_eq!(text.contains(note), is_told, "{args:?}: {text}");
    }
}

/// Who may use an SCC, without a cluster: the grants of files (openshift/origin, `oc adm policy who-can use scc`).
#[test]
fn grants_of_an_scc_are_listed() {
    let binding = |kind: &str, name: &str, subject: &str| {
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, roleRef: {{apiGroup: \
             rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:openshift:scc:anyuid'}}, subjects: [{subject}]}}\n---\n"
        )
    };
    let app = binding("RoleBinding", "app", "{kind: ServiceAccount, name: app}");
    let all = binding("ClusterRoleBinding", "all", "{kind: Group, name: dev}");
    let files = [("b.yaml", format!("{app}{all}"))];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let account =
        "User system:serviceaccount:shop:app: RoleBinding shop/app to ServiceAccount app, of ClusterRole";
    let group = "Group dev: ClusterRoleBinding all to Group dev";
    let own = "Group system:cluster-admins: groups of the SCC";
    let who = ["scc", "who-can", "anyuid", "-f", "b.yaml"];
    for (args, code, says, silent) in [
        (&who[..], 0, &[account, group, own][..], &["system:authenticated"][..]),
        (&[&who[..], &["-n", "other"]].concat(), 0, &[group, own], &[account]),
        (
            &["scc", "who-can", "nonroot", "-f", "b.yaml"],
            0,
            &["Group system:masters"],
            &[account, group, own],
        ),
        (&["scc", "who-can", "restricted-v2", "-f", "b.yaml"], 0, &["Group system:authenticated"], &[]),
        (
            &["scc", "who-can", "anyuuid", "-f", "b.yaml"],
            2,
            &["no SCC \"anyuuid\"; did you mean anyuid?"],
            &[],
        ),
    ] {
        let (got, text) = run(&files, args);
        assert_eq!(got, code, "{args:?}: {text}");
        assert_says("who-can", &text, says, silent);
    }
}

/// kubernetes-sigs/security-profiles-operator#2904: from 0.9 on its objects belong to no namespace.
#[test]
#[cfg(feature = "serve")]
fn the_operators_path_is_that_of_its_version() {
    let input = |path: &str| {
        format!(
            "{{apiVersion: security-profiles-operator.x-k8s.io/v1beta1, kind: SeccompProfile, metadata: {{name: trace, namespace: spo}}, spec: \
             {{defaultAction: SCMP_ACT_LOG}}}}\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{securityContext: {{seccompProfile: \
             {{type: Localhost, localhostProfile: {path}}}}}, containers: [{{name: c}}]}}}}\n"
        )
    };
    for (path, says, silent) in [
        ("operator/spo/trace.json", &["up to 0.8; from 0.9 on write operator/trace.json"][..], &[][..]),
        (
            "operator/trace.json",
            &["writes operator/trace.json from its version 0.9 on"],
            &["names localhostProfile"],
        ),
        ("operator/other.json", &["which none of these profiles is"], &[]),
    ] {
        let (code, text) = run(&[("p.yaml", &input(path))], &["seccomp", "path", "p.yaml"]);
        assert_eq!(code, 0, "{path}: {text}");
        assert_says(path, &text, says, silent);
    }
}

/// A generated SCC sets the SELinux type without which the pod cannot read what it mounts, as review's own does
/// (open-telemetry/opentelemetry-helm-charts, collector of logs).
#[test]
fn generated_sccs_let_pods_read_the_node() {
    let pod = |path: &str, labels: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: logs}}, spec: {{serviceAccountName: app, containers: [{{name: c, image: b, \
             securityContext: {{{labels}}}, volumeMounts: [{{name: v, mountPath: /v}}]}}], volumes: [{{name: v, hostPath: {{path: {path}}}}}]}}}}\n"
        )
    };
    for (pod, is_labelled) in [
        (pod("/var/log", ""), true),
        (pod("/lib/modules", ""), false),
        (pod("/var/log", "privileged: true"), false),
        (pod("/var/log", "seLinuxOptions: {type: spc_t}"), false),
    ] {
        let (code, text) = run(&[("p.yaml", &pod)], &["scc", "generate", "-f", "p.yaml"]);
        assert_eq!(code, 0, "{pod}: {text}");
        assert_eq!(text.contains("sets the SELinux type spc_t"), is_labelled, "{pod}: {text}");
        let sets = text.contains("type: spc_t") || !is_labelled;
        assert!(sets, "{pod}: {text}");
        let objects: String =
            text.split_inclusive('\n').filter(|line| !line.starts_with("logs-app: ")).collect();
        let files = [("p.yaml", pod.as_str()), ("least.yaml", &objects)];
        let (code, text) = run(&files, &["review", "-f", "p.yaml", "-f", "least.yaml"]);
        assert_eq!(code, 0, "{objects}: {text}");
        assert_says(&pod, &text, &["admitted by logs-app"], &["permission denied"]);
    }
}

/// A profile without findings has a line of what was checked, as packaging/systemd/miniflux.service; a unit says what becomes of other
/// syscalls (nasty-project/nasty#267, NixOS/nixpkgs#207824 and #197443).
#[test]
fn lint_says_what_it_checked() {
    let missing = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\",\"openat\"],\"action\":\"SCMP_ACT_ALLOW\"}]}";
    let kill = "SystemCallErrorNumber=EPERM lets it fail instead";
    for (name, text, code, says, silent) in [
        (
            "a.service",
            "[Service]\nRestrictRealtime=yes\nSystemCallArchitectures=native\n",
            0,
            &["no findings for ", "a program's start"][..],
            &[kill][..],
        ),
        (
            "b.service",
            "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\n",
            1,
            &[kill],
            &[],
        ),
        // 389ds/389-ds-base#7392.
        (
            "f.service",
            "[Service]\nSystemCallFilter=~memfd_create\n",
            0,
            &["ends the process", "as ~@clock:EPERM"],
            &[],
        ),
        ("g.service", "[Service]\nSystemCallFilter=~memfd_create:EPERM\n", 0, &[], &["ends the process"]),
        (
            "c.service",
            "[Service]\nSystemCallFilter=@system-service\nSystemCallErrorNumber=EPERM\n",
            1,
            &[],
            &[kill],
        ),
        (
            "d.json",
            missing,
            1,
            &["in one entry to add: {\"names\":[", "\"openat2\"", "\"execve\""],
            &["no findings"],
        ),
    ] {
        let (got, text) = run(&[(name, text)], &["seccomp", "lint", name]);
        assert_eq!(got, code, "{name}: {text}");
        assert_says(name, &text, says, silent);
    }
    let (code, text) = run(&[("c.yaml", CONFIG_MAP)], &["seccomp", "lint", "example-explorer-profile"]);
    assert_eq!(code, 0, "{text}");
    assert_says(
        "example-explorer-profile",
        &text,
        &["no findings for ", "runc, crun and a program's start"],
        &[],
    );
}

/// An account without a grant holds nothing too much, and its pods do not start.
#[test]
fn an_audit_counts_the_refused() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {hostPID: true, containers: [{name: c}]}}\n";
    let (code, text) = run(&[("p.yaml", pod)], &["scc", "generate", "-f", "p.yaml", "--audit"]);
    assert_eq!(code, 0, "{text}");
    assert_says(
        "audit",
        &text,
        &["0 of 1 accounts hold more", "may be used: 1, the first is pod/p in shop"],
        &[],
    );
}

/// The pods of a Deployment are its controller's: the rights of who applies it do not count (backube/scribe#24, among many reports of
/// "it works as a pod").
#[test]
fn workloads_do_not_have_their_creators_rights() {
    let grant = "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a, namespace: shop}, roleRef: {apiGroup: \
        rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:openshift:scc:anyuid'}, subjects: [{kind: User, name: alice, apiGroup: \
        rbac.authorization.k8s.io}]}\n";
    let spec = "{containers: [{name: c, image: b, securityContext: {runAsUser: 0}}]}";
    let pod =
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {spec}}}\n");
    let deployment = format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: p, namespace: shop}}, spec: {{selector: {{matchLabels: {{a: b}}}}, template: \
         {{metadata: {{labels: {{a: b}}}}, spec: {spec}}}}}}}\n"
    );
    let note = "the rights of alice do not count: system:serviceaccount:kube-system:replicaset-controller creates the pods";
    for (object, code, says, silent) in
        [(&pod, 0, "admitted by anyuid (granted to the user", note), (&deployment, 1, note, "admitted by")]
    {
        let files = [("a.yaml", object.as_str()), ("grant.yaml", grant)];
        let args =
            ["review", "-f", "a.yaml", "-f", "grant.yaml", "--as", "alice", "--as-group", "system:masters"];
        let (got, text) = run(&files, &args[..if code == 0 { 7 } else { 9 }]);
        assert_eq!(got, code, "{text}");
        assert_says(object, &text, &[says], if code == 0 { std::slice::from_ref(&silent) } else { &[] });
    }
}

/// The folder `examples` of the security-profiles-operator: profiles among other objects.
#[test]
fn profiles_of_a_folder_are_linted() {
    let profile = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"raed\"],\"action\":\"SCMP_ACT_ALLOW\"}]}";
    let cut = profile.split_at(40).0;
    let pod = pod("");
    let files =
        [("d/a.json", profile), ("d/b.yaml", pod.as_str()), ("d/c/package.json", "{\"name\": \"x\"}")];
    let args = ["seccomp", "lint", "d"];
    let (code, text) = run(&files, &args);
    assert_eq!(code, 1, "{text}");
    assert_says("folder", &text, &["did you mean read?", "files without a seccomp profile: 2"], &["package"]);
    let (code, text) = run(&[files[0], ("d/z.json", cut)], &args);
    assert_eq!(code, 2, "{text}");
    assert_says("cut", &text, &["did you mean read?", "d/z.json:1:"], &[]);
    let (code, text) = run(&files[1..], &args);
    assert_eq!(code, 2, "{text}");
    assert_says("none", &text, &["no seccomp profile in this folder"], &[]);
}

/// A privileged pod of the namespace `shop`, as a Deployment.
const WORKLOAD: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}, spec: {selector: {matchLabels: {a: b}}, \
     template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i, securityContext: {privileged: true}}]}}}}";
const SCC: &str = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: s}, runAsUser: {type: RunAsAny}, \
     seLinuxContext: {type: RunAsAny}, volumes: ['*'], groups: ['system:authenticated'], allowPrivilegedContainer: true}";

/// minishift/minishift#879; policy-collection of open-cluster-management-io (policy-nginx-deployment, policy-scc); Open Cluster
/// Management's ManifestWork; Hive's SelectorSyncSet.
#[test]
fn objects_inside_of_others_are_judged() {
    let configured = |kind: &str, object: &str| {
        format!(
            "{{apiVersion: policy.open-cluster-management.io/v1, kind: ConfigurationPolicy, metadata: {{name: c}}, spec: {{object-templates: \
             [{{complianceType: {kind}, objectDefinition: {object}}}]}}}}"
        )
    };
    let policy = |inner: &str| {
        format!(
            "{{apiVersion: policy.open-cluster-management.io/v1, kind: Policy, metadata: {{name: p}}, spec: {{policy-templates: \
             [{{objectDefinition: {inner}}}]}}}}"
        )
    };
    let work = format!(
        "{{apiVersion: work.open-cluster-management.io/v1, kind: ManifestWork, metadata: {{name: w}}, spec: {{workload: {{manifests: [{WORKLOAD}]}}}}}}"
    );
    let sync = format!(
        "{{apiVersion: hive.openshift.io/v1, kind: SelectorSyncSet, metadata: {{name: w}}, spec: {{resources: [{SCC}, {WORKLOAD}]}}}}"
    );
    let template = |object: &str, parameter: &str| {
        format!(
            "{{apiVersion: template.openshift.io/v1, kind: Template, metadata: {{name: t}}, objects: [{object}], parameters: [{parameter}]}}"
        )
    };
    let named = WORKLOAD.replace("name: d,", "name: '${NAME}',").replace("true", "'${{PRIVILEGED}}'");
    let given = "{name: NAME, value: web}, {name: PRIVILEGED, value: 'true'}";
    let open = WORKLOAD.replace("namespace: shop", "namespace: '{{ fromSecret }}'");
    let status = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}, status: {readyReplicas: 1}}";
    for (source, text, code, says) in [
        ("ManifestWork", work, 1, "deployment/d in shop: refused"),
        ("SelectorSyncSet", sync, 0, "admitted by s"),
        ("a policy", policy(&configured("musthave", WORKLOAD)), 1, "deployment/d in shop: refused"),
        (
            "what must not be there",
            policy(&configured("mustnothave", WORKLOAD)),
            2,
            "which holds 1 ConfigurationPolicy",
        ),
        ("a status", policy(&configured("musthave", status)), 2, "which holds 1 ConfigurationPolicy"),
        (
            "filled in there",
            policy(&configured("musthave", &open)),
            2,
            "to be filled in on the managed cluster",
        ),
        ("a template", template(&named, given), 1, "deployment/web in shop: refused"),
        (
            "without values",
            template(&WORKLOAD.replace("name: d,", "name: '${NAME}',"), "{name: NAME}"),
            1,
            "deployment/name in shop: refused",
        ),
        (
            "its note",
            template(&WORKLOAD.replace("name: d,", "name: '${NAME}',"), "{name: NAME}"),
            1,
            "stand as their names: NAME; to give them: oc process",
        ),
        (
            "a policy in it",
            template(&policy(&configured("musthave", WORKLOAD)), ""),
            1,
            "deployment/d in shop: refused",
        ),
    ] {
        let (got, text) = run(&[("p.yaml", &text)], &["review", "-f", "p.yaml"]);
        assert_eq!(got, code, "{source}: {text}");
        assert_says(source, &text, &[says], &[]);
    }
    let (code, text) = run(&[("p.yaml", &policy(&configured("musthave", SCC)))], &["scc", "lint", "p.yaml"]);
    assert_eq!(code, 1, "{text}");
    assert_says("lint of a policy", &text, &["scc-for-everybody"], &["not looked at"]);
}

/// confidential-containers/operator#67 and open-feature-operator#786 have a `config` folder of kustomize.
#[test]
fn patches_of_kustomize_are_no_workloads() {
    let patch = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}, spec: {template: {spec: {hostPID: true}}}}";
    let plain = WORKLOAD.replace("privileged: true", "runAsNonRoot: true");
    let files = [
        ("config/base/kustomization.yaml", "resources: [d.yaml]\n"),
        ("config/base/d.yaml", plain.as_str()),
        ("config/prod/kustomization.yaml", "resources: [../base]\npatches: [{path: host.yaml}]\n"),
        ("config/prod/host.yaml", patch),
    ];
    let (code, text) = run(&files, &["review", "-f", "config"]);
    assert_eq!(code, 0, "{text}");
    let says = [
        "1 admitted, 0 refused",
        "1 patch is left out; for them: kubectl kustomize DIR | palisade review -f -, where DIR is config/prod",
    ];
    assert_says("config", &text, &says, &["left out: config"]);
}

/// openshift/origin#24836, Dynatrace/dynatrace-oneagent-operator#380, jenkins-x/jenkins-x-boot-config#173.
#[test]
fn the_group_of_openshift_3_is_named() {
    for (version, is_named) in [("v1", true), ("security.openshift.io/v1", false)] {
        let scc = SCC.replace("security.openshift.io/v1", version);
        let (_, text) = run(&[("scc.yaml", &scc)], &["scc", "lint", "scc.yaml"]);
        assert_eq!(
            text.contains("write apiVersion: security.openshift.io/v1"),
            is_named,
            "{version}: {text}"
        );
    }
}

/// NVIDIA/k8s-nim-operator#405 and NVIDIA/OpenShell#3030: an SCC that admits root without capabilities, with which most such images
/// end at their start.
#[test]
fn a_proposed_scc_says_what_it_takes_from_root() {
    for (context, is_said) in [
        ("runAsUser: 0", true),
        ("runAsUser: 0, capabilities: {drop: [ALL], add: [CHOWN]}", false),
        ("runAsUser: 0, privileged: true", false),
        ("runAsUser: 7", false),
    ] {
        let text = WORKLOAD.replace("privileged: true", context);
        for (command, words) in [
            (&["review", "-f", "p.yaml"][..], "root without capabilities"),
            (&["scc", "generate", "p.yaml"], "drops all capabilities, also of deployment/d"),
        ] {
            let (_, text) = run(&[("p.yaml", &text)], command);
            assert_eq!(text.contains(words), is_said, "{command:?} {context}: {text}");
        }
    }
}

/// What is printed for clusters before OpenShift 4.11 is taken by their clients too (helm/helm#9227).
#[test]
fn printed_sccs_pass_older_clients() {
    let psp = "{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {name: p}, spec: {privileged: true, seLinux: {rule: RunAsAny}, \
        runAsUser: {rule: RunAsAny}, fsGroup: {rule: RunAsAny}, supplementalGroups: {rule: RunAsAny}, volumes: ['*']}}";
    let says = ["allowHostPID: ", "allowedCapabilities: []", "defaultAddCapabilities: []", "priority: 0"];
    for args in [
        &["import", "psp", "psp.yaml"][..],
        &["scc", "generate", "d.yaml"],
        &["review", "d.yaml", "--scc-set", "3"],
    ] {
        let (_, text) = run(&[("psp.yaml", psp), ("d.yaml", WORKLOAD)], args);
        assert_says(&args.join(" "), &text, &says, &[": null"]);
    }
}

/// Files without `-f`; a resource of a controller; cloudnative-pg/cloudnative-pg#10446.
#[test]
fn what_people_type_is_answered() {
    let pod = pod("");
    let cluster =
        "{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: c}, spec: {instances: 3}}";
    let old = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO"},{"name":"chown","action":"SCMP_ACT_ERRNO"}]}"#;
    let swapped = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["access"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"op":"SCMP_CMP_MASKED_EQ","value":0,"valueTwo":4294967290}]}]}"#;
    let files = [
        ("pod.yaml", pod.as_str()),
        ("scc.yaml", SCC),
        ("cluster.yaml", cluster),
        ("old.json", old),
        ("swapped.json", swapped),
        ("lxc.seccomp", "2\ndenylist\n[all]\nkexec_load errno 1\n"),
        ("c.nspawn", "[Exec]\nSystemCallFilter=bpf\n"),
    ];
    for (args, code, says) in [
        (&["scc", "generate", "pod.yaml"][..], 0, "kind: RoleBinding"),
        (&["scc", "impact", "--with", "scc.yaml", "pod.yaml"], 0, "0 of 1 workloads move or change"),
        (&["scc", "who-can", "s", "scc.yaml"], 0, "Group system:authenticated"),
        (&["scc", "generate"], 2, "--filename <PATH>"),
        (&["review", "cluster.yaml"], 2, "kubectl get pods -o yaml | palisade review -f -"),
        // kubernetes/kubernetes#57787.
        (
            &["seccomp", "lint", "old.json"],
            1,
            "syscalls[0].name: containerd reads names alone, so that in a Localhost profile this entry (and 1 more)",
        ),
        // ihac/Cessa, profiles/httpd-test.profile.
        (&["seccomp", "lint", "swapped.json"], 1, "are the two exchanged?"),
        (&["seccomp", "explain", "RuntimeDefault", "io_uring_setup"], 0, "ERRNO(EPERM)"),
        (&["seccomp", "lint", "lxc.seccomp"], 2, "this is LXC's form, which is not read here"),
        (&["seccomp", "lint", "c.nspawn"], 2, "this is a file of systemd-nspawn"),
    ] {
        let (got, text) = run(&files, args);
        assert_eq!(got, code, "{args:?}: {text}");
        assert_says(&args.join(" "), &text, &[says], &[]);
    }
}

/// `scc impact` judges a cluster without SCC as `review` does.
#[test]
fn a_cluster_without_sccs_refuses_nothing_by_them() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}";
    let pod = pod("");
    let files = [("n.yaml", namespace), ("scc.yaml", SCC), ("pod.yaml", pod.as_str())];
    let (_, text) = run(&files, &["scc", "impact", "--policy", "n.yaml", "--with", "scc.yaml", "pod.yaml"]);
    assert_says("impact", &text, &["of 1 workloads move or change"], &["refused ->"]);
}
