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
            "a misspelt kind",
            &format!("{{apiVersion: apps/v1, kind: Deploymnet, metadata: {{name: d}}}}{ROOT}"),
            "did you mean Deployment?",
        ),
    ] {
        let text = run(REVIEW, input);
        assert!(text.contains(expected), "{source}: {expected:?} is not in:\n{text}");
    }
}

/// A binding of the account `app` to a role.
fn bound(role: &str) -> String {
    binding("RoleBinding", "shop", "{kind: ServiceAccount, name: app, namespace: shop}")
        .replace("anyuid", role)
}

/// Each with what is said, and what is not.
#[test]
fn what_is_said_of_a_pod_holds_under_its_own_sccs() {
    let mounting = |role: &str, context: &str| {
        format!(
            "{}\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {{serviceAccountName: app, \
             volumes: [{{name: v, hostPath: {{path: /var/log}}}}], containers: [{{name: c, image: i, \
             volumeMounts: [{{name: v, mountPath: /l}}], securityContext: {{{context}}}}}]}}}}",
            bound(role)
        )
    };
    let claim = bound("anyuid")
        + "\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: shop}, spec: {selector: {matchLabels: \
           {a: b}}, template: {metadata: {labels: {a: b}}, spec: {serviceAccountName: app, volumes: [{name: v, \
           persistentVolumeClaim: {claimName: data}}], containers: [{name: c, image: i}]}}}}";
    let csi = |drivers: &str, mode: &str| {
        format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: my, labels: {{pod-security.kubernetes.io/{mode}: restricted}}}}}}\n\
             ---\n{drivers}{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: my}}, spec: {{containers: \
             [{{name: c, image: b}}], volumes: [{{name: s, csi: {{driver: d.example.com}}}}]}}}}"
        )
    };
    let driver = "{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: d.example.com}}\n---\n";
    let network = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {hostNetwork: true, hostPID: true, \
         containers: [{name: c, image: i, ports: [{containerPort: 80, hostPort: 80}]}]}}";
    let custom = |held: &str| {
        format!("{{apiVersion: example.com/v1, kind: Thing, metadata: {{name: t}}, spec: {{{held}}}}}{ROOT}")
    };
    let beside = |version: &str, kind: &str| {
        format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: x}}, spec: {{a: b}}}}{ROOT}")
    };
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r, namespace: shop}, rules: []}";
    let plain = |spec: &str| {
        format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {{{spec}}}}}")
    };
    let probe = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: dog}, users: \
         ['system:serviceaccount:shop:default'], runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, volumes: ['*'], \
         seccompProfiles: [runtime/default, localhost/probe]}\n---\n".to_owned()
        + &plain("containers: [{name: c, image: i, securityContext: {seccompProfile: {type: Localhost, localhostProfile: localhost/probe}}}]");
    for (input, said, unsaid) in [
        (beside("route.openshift.io/v1", "Route"), "refused", "did you mean"),
        (beside("v1", "Route"), "refused", "did you mean"),
        (beside("kyverno.io/v1", "ClusterPolicy"), "refused", "did you mean"),
        (beside("batch.volcano.sh/v1alpha1", "Job"), "refused", "there is no Job"),
        (beside("apps.kruise.io/v1beta1", "StatefulSet"), "refused", "there is no StatefulSet"),
        (beside("app/v1", "Deployment"), "write apiVersion: apps/v1", "did you mean Deployment"),
        (role.to_owned(), "which holds 1 Role; add the file of a pod or workload by -f", "unknown kind"),
        (
            plain("hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 80}]}]"),
            "edit:  remove spec.hostNetwork",
            "edit:  remove spec.containers[0].ports",
        ),
        (
            plain("containers: [{name: c, image: i}], volumes: [{name: data, nfs: {server: s, path: /d}}]"),
            r#"set spec.volumes[0]: {"name":"data","persistentVolumeClaim":{"claimName":"data"}}"#,
            "emptyDir:",
        ),
        (probe, "seccompProfile.localhostProfile: \"probe\"", "edit:  remove"),
        (
            mounting("hostmount-anyuid", ""),
            "it needs an SCC with seLinuxContext: {type: MustRunAs, seLinuxOptions: {type: spc_t}}",
            "; set its",
        ),
        (mounting("privileged", ""), "type: spc_t, or privileged: true", "it needs an SCC"),
        (mounting("privileged", "privileged: true"), "admitted", "permission denied"),
        (
            mounting("view", "").replace("namespace: shop", "namespace: kube-system"),
            "or privileged: true",
            "it needs an SCC",
        ),
        (claim.clone(), "the claim data may not", "the claim v"),
        (claim, "set spec.template.spec.securityContext.fsGroup", "set spec.securityContext"),
        (csi(driver, "enforce"), "says which it is", "is not among the input"),
        (csi("", "enforce"), "is not among the input", "says which it is"),
        (csi(driver, "enforce"), "label:", "also grants"),
        (csi(driver, "warn"), "warns of inline volumes of CSIDriver d.example.com", "pod/p in my: refused"),
        (network.to_owned(), "# beyond restricted-v2: ", "# beyond restricted-v2: allowHostNetwork"),
        (custom("template: {containers: [{name: c}]}"), "are not looked at: 1 Thing", "nothing"),
        (custom("size: 3"), "refused", "are not looked at"),
    ] {
        let text = run(REVIEW, &input);
        assert!(text.contains(said) && !text.contains(unsaid), "{said:?}, {unsaid:?}, {input}:\n{text}");
    }
    let text = run(REVIEW, network);
    let comments = text.lines().filter(|line| line.contains("# beyond ")).count();
    let summary = text.lines().find(|line| line.contains("own SCC:")).unwrap();
    assert_eq!(comments, summary.matches(": ").count() - 1, "{text}");
}

const NODE_EXPORTER: &str = "{kind: SecurityContextConstraints, apiVersion: security.openshift.io/v1, metadata: {name: custom-scc}, \
    allowHostNetwork: true, allowHostPID: true, allowHostPorts: true, volumes: [configMap, secret, projected], \
    allowedHostPaths: [{pathPrefix: /proc, readOnly: true}], runAsUser: {type: RunAsAny}, seLinuxContext: {type: MustRunAs}, \
    users: ['system:serviceaccount:openshift-monitoring:exporter']}\n---\n\
    {apiVersion: apps/v1, kind: DaemonSet, metadata: {name: exporter, namespace: monitoring}, spec: {template: {spec: \
    {serviceAccountName: exporter, hostNetwork: true, hostPID: true, securityContext: {fsGroup: 65534, runAsUser: 65534}, \
    containers: [{name: c, image: q, ports: [{containerPort: 9100}]}], volumes: [{name: proc, hostPath: {path: /proc}}]}}}}";

const FLAGD: &str = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: nfs-scc}, \
    runAsUser: {type: MustRunAsRange, uidRangeMin: 1000, uidRangeMax: 2000}, seLinuxContext: {type: MustRunAs}, \
    volumes: [configMap, nfs, projected], users: ['system:serviceaccount:shop:app']}\n---\n\
    {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {serviceAccountName: app, containers: \
    [{name: web, image: a}, {name: flagd, image: f, securityContext: {runAsUser: 65532}}]}}";

/// Rights of cluster administrators by the bindings of OpenShift's bootstrap policy, and the SCC that their pods require.
#[test]
fn cluster_admins_are_openshifts() {
    let pod = |spec: &str| {
        format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: my, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {{{spec}}}}}"
        )
    };
    let host = pod("hostNetwork: true, containers: [{name: c, image: i}]");
    let strict = pod("containers: [{name: c, image: i, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]")
        .replace("namespace: shop", "namespace: my");
    let group = ["--as", "kube:admin", "--as-group", "system:cluster-admins"];
    for (who, input, said, unsaid) in [
        (&group[..], &host, "admitted by hostnetwork-v2", "privileged ("),
        (&["--as", "system:admin"], &host, "admitted by hostnetwork-v2", "privileged ("),
        (&["--as", "system:admins"], &host, "refused", "admitted by"),
        (&group[..], &strict, "openshift.io/required-scc]: \"restricted-v", "priority: 1"),
    ] {
        let text = run(&[REVIEW, who].concat(), input);
        assert!(text.contains(said) && !text.contains(unsaid), "{who:?}: {said:?}, {unsaid:?}:\n{text}");
    }
}

/// Objects of other API groups are not checked, and are not findings.
#[test]
fn lint_leaves_what_is_of_others() {
    for (input, code) in [
        ("{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: c}}", 0),
        ("{apiVersion: route.openshift.io/v1, kind: Route, metadata: {name: r}}", 0),
        ("{apiVersion: apps/v1, kind: Deploymnet, metadata: {name: d}}", 1),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}", 1),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        let output = command.args(LINT).write_stdin(input).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{input}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

/// Of several ways that which asks for least: an SCC that the account has, no user namespace, a short SCC of one's own.
#[test]
fn the_nearest_way_is_shown() {
    let copied = "{apiVersion: v1, kind: Namespace, metadata: {name: fybrik, annotations: {openshift.io/sa.scc.uid-range: \
        1000860000/10000, openshift.io/sa.scc.mcs: 's0:c29,c14'}}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: opa, \
        namespace: fybrik}, spec: {securityContext: {runAsUser: 1000810000}, containers: [{name: a, image: a}]}}";
    let criu = "{apiVersion: v1, kind: Pod, metadata: {name: app, namespace: shop}, spec: {containers: [{name: app, image: liberty, \
        securityContext: {allowPrivilegeEscalation: true, capabilities: {add: [CHECKPOINT_RESTORE, SETPCAP], drop: [ALL]}}}]}}";
    let pinned = "{apiVersion: v1, kind: Pod, metadata: {name: app, namespace: shop, annotations: {openshift.io/required-scc: \
        privileged}}, spec: {hostPID: true, containers: [{name: app, image: a}]}}";
    // Two SCCs of one level would do; an account of the namespace has one of them.
    let used = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: theirs}, runAsUser: \
        {type: MustRunAsNonRoot}, seLinuxContext: {type: MustRunAs}, fsGroup: {type: RunAsAny}, volumes: \
        [projected, persistentVolumeClaim], defaultAddCapabilities: [NET_BIND_SERVICE], allowPrivilegeEscalation: false, requiredDropCapabilities: [ALL], seccompProfiles: [runtime/default], \
        users: ['system:serviceaccount:shop:other']}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, \
        spec: {containers: [{name: c, image: i, securityContext: {runAsUser: 7}}]}}";
    for (source, input, expected, other) in [
        ("open-feature/open-feature-operator#636", FLAGD, "nearest is nfs-scc", "set spec.hostUsers"),
        (
            "prometheus-community/helm-charts#4207",
            NODE_EXPORTER,
            "nearest is restricted-v2",
            "hostUsers: false",
        ),
        (
            "prometheus-community/helm-charts#4207",
            NODE_EXPORTER,
            "it is the account exporter of namespace openshift-monitoring",
            "1 admitted",
        ),
        (
            "opendatahub-io-contrib/data-mesh-pattern#79",
            copied,
            "edit:  remove spec.securityContext.runAsUser",
            "edit:  set",
        ),
        (
            "WASdev/websphere-liberty-operator#692",
            criu,
            "      # beyond restricted-v2: CHECKPOINT_RESTORE, SETPCAP\n      allowedCapabilities:",
            "allowHostIPC: false",
        ),
        ("a grant of a pinned SCC", pinned, "which also grants what the pod does not request", "own SCC"),
        (
            "a grant of what others have",
            used,
            "add-scc-to-user theirs -z default",
            "add-scc-to-user nonroot-v2",
        ),
    ] {
        let text = run(REVIEW, input);
        assert!(text.contains(expected), "{source}: {expected:?} is not in:\n{text}");
        assert!(!text.contains(other), "{source}: {other:?} is in:\n{text}");
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
    assert!(
        text.contains("a.json:3:1: an object with kind") && text.contains("left out, as named above: 1"),
        "{text}"
    );
    assert!(text.contains("0 admitted, 1 refused"), "{text}");
}

/// A template, and many files without an object, such as kustomize's patches (redhat-cop/gitops-catalog, openshift/microshift
/// `assets`), do not keep the other files of a folder from being read.
#[test]
fn templates_and_patches_of_a_folder_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let review = || run(&["review", "-f", folder.path().to_str().unwrap()], "");
    write("service.yaml", "kind: Service\nspec:\n{{- if .Ports }}\n- a\n{{- end }}\n");
    let text = review();
    assert!(text.contains("service.yaml:3:") && text.contains("render it first"), "{text}");
    write("pod.yaml", ROOT.trim_start_matches("\n---\n"));
    for name in ["a", "b", "c", "d"] {
        write(&format!("{name}.yaml"), "- {op: replace, path: /spec/channel, value: stable}\n");
    }
    let text = review();
    assert!(text.contains("0 admitted, 1 refused") && text.contains("service.yaml:3:"), "{text}");
    assert!(text.contains("4 files without an object, the first is ") && !text.contains("b.yaml"), "{text}");
}

/// Objects that name no namespace are of that of the command, roles and bindings too: backube/scribe `mover-rsync`, the output of
/// `helm template` and of `kustomize build` without a namespace.
#[test]
fn roles_and_bindings_without_a_namespace_are_of_that_of_the_workload() {
    let policy = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r}, rules: [{apiGroups: [security.openshift.io], resources: [securitycontextconstraints], resourceNames: [anyuid], verbs: [use]}]}\n---\n\
        {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: }, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: app}]}\n---\n\
        {apiVersion: v1, kind: ServiceAccount, metadata: {name: app}}";
    let pod = ROOT.replace(", namespace: shop", "");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, policy).unwrap();
    let file = file.to_str().unwrap();
    let all = format!("{policy}{pod}");
    let other = all.replacen("name: b, namespace: ", "name: b, namespace: other", 1);
    for (args, input, says) in [
        (vec!["review", "-f", "-"], all.as_str(), "admitted by anyuid"),
        (vec!["review", "-f", "-", "-n", "shop"], all.as_str(), "p in shop: admitted by anyuid"),
        (
            vec!["review", "-f", "-", "-n", "shop", "--policy", file, "--scc-set", "4"],
            &pod,
            "admitted by anyuid",
        ),
        (vec!["review", "-f", "-", "-n", "shop"], other.as_str(), "p in shop: refused"),
        (
            vec!["scc", "impact", "-f", "-", "-n", "shop", "--with", file],
            &pod,
            "p in shop: refused -> anyuid",
        ),
    ] {
        let text = run(&args, input);
        assert!(text.contains(says), "{args:?}: {says:?} in {text}");
    }
}

/// What is right where the person's cluster, or what they ask, is another: no SCC at all, an administrator, a user.
#[test]
fn what_the_answer_depends_on_is_told() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted, pod-security.kubernetes.io/audit: restricted}}}";
    let admin = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: admins}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: alice}]}";
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (namespace, admin) = (write("ns.yaml", namespace), write("admin.yaml", admin));
    let (namespace, admin) = (namespace.as_str(), admin.as_str());
    let first = "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: first}, priority: 20, runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, volumes: ['*']}";
    let first = write("first.yaml", first);
    let several = write(
        "several.yaml",
        &format!(
            "{}\n---\n{}",
            std::fs::read_to_string(&first).unwrap(),
            std::fs::read_to_string(&first).unwrap().replace("name: first", "name: second")
        ),
    );
    let second = format!("{several}#second");
    let alice = ["review", "-f", "-", "-f", admin, "--as"];
    for (source, args, says, count) in [
        (
            "adyanth/cloudflare-operator#110",
            vec!["review", "-f", "-", "--policy", namespace],
            "set spec.containers[0].securityContext.allowPrivilegeEscalation: false",
            1,
        ),
        ("its list, once", vec!["review", "-f", "-", "--policy", namespace], "unrestricted capabilities", 1),
        ("not SCC's", vec!["review", "-f", "-", "--policy", namespace], "oc adm policy", 0),
        ("openshift/origin#5317", [&alice[..], &["alice"][..]].concat(), "alice may use every SCC", 1),
        ("someone else", [&alice[..], &["bob"][..]].concat(), "may use every SCC", 0),
        (
            "opendatahub-io/kserve#1662",
            vec!["scc", "impact", "-f", "-", "-f", admin, "--with", first.as_str(), "--as", "alice"],
            "anyuid -> first",
            1,
        ),
        (
            "not the controller",
            vec!["scc", "impact", "-f", "-", "-f", admin, "--with", first.as_str()],
            "0 of 1 workloads",
            1,
        ),
        (
            "kserve's two SCCs",
            vec!["scc", "diff", several.as_str(), "restricted-v2"],
            "as FILE#NAME: first, second",
            1,
        ),
        ("one of them", vec!["scc", "diff", second.as_str(), first.as_str()], "permit and set the same", 1),
    ] {
        let text = run(&args, ROOT.trim_start_matches("\n---\n"));
        assert_eq!(text.matches(says).count(), count, "{source}: {says:?} in {text}");
    }
}

/// Pods that are admitted but do not work, objects that are not read, and gaps of a must-gather folder.
#[test]
fn what_comes_after_admission_is_told() {
    let pod = |account: &str, more: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop}}, spec: {{serviceAccountName: {account}, {more}}}}}\n"
        )
    };
    let grant = |scc: &str| {
        format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: b, namespace: shop}}, roleRef: {{kind: ClusterRole, name: 'system:openshift:scc:{scc}'}}, subjects: [{{kind: ServiceAccount, name: app, namespace: shop}}]}}\n---\n"
        )
    };
    let host = |context: &str| {
        grant("privileged")
            + &pod(
                "app",
                &format!(
                    "containers: [{{name: c, image: b, securityContext: {{{context}}}, volumeMounts: [{{name: h, mountPath: /h}}]}}], volumes: [{{name: h, hostPath: {{path: /var/lib/kubelet/pods}}}}]"
                ),
            )
    };
    let claim = |context: &str| {
        grant("anyuid")
            + &pod(
                "app",
                &format!(
                    "securityContext: {{{context}}}, containers: [{{name: c, image: b}}], volumes: [{{name: queues, persistentVolumeClaim: {{claimName: q}}}}]"
                ),
            )
    };
    let ranges = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {openshift.io/sa.scc.mcs: 's0:c1,c0', openshift.io/sa.scc.uid-range: '1000000000/10000,99-99'}}}\n---\n".to_owned()
        + &pod("default", "containers: [{name: c, image: b, securityContext: {runAsUser: 99}}]");
    let permission = "mounts /var/lib/kubelet/pods of the node and is not privileged";
    let group = "anyuid sets no fsGroup, so that the claim q may not be writable";
    for (source, args, input, says, hides) in [
        ("velero#2085, tekton-example#16", REVIEW, host(""), permission, ""),
        ("what it says, done", REVIEW, host("privileged: true"), "admitted by privileged", permission),
        (
            "the other way",
            REVIEW,
            host("seLinuxOptions: {type: spc_t}"),
            "admitted by privileged",
            permission,
        ),
        ("opentelemetry-operator#5224", REVIEW, claim(""), group, ""),
        ("what it says, done", REVIEW, claim("fsGroup: 5"), "admitted by anyuid", group),
        ("openshift/origin#7014", REVIEW, ranges.clone(), "\",99-99\" is not read", ""),
        ("openshift/origin#7014", LINT, ranges, "[ignored-range]", ""),
    ] {
        let text = run(args, &input);
        assert!(text.contains(says), "{source}: {says:?} in {text}");
        assert!(hides.is_empty() || !text.contains(hides), "{source}: {hides:?} in {text}");
    }
}

/// flannel's policy, its role and its pod: what comes out stands in place of the policy and the role, and admits the pod.
#[test]
fn a_converted_policy_admits_with_its_role() {
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: flannel}, rules: [{apiGroups: [policy], resources: [podsecuritypolicies], verbs: [use], resourceNames: [flannel]}]}";
    let policy = "{apiVersion: policy/v1beta1, kind: PodSecurityPolicy, metadata: {name: flannel, annotations: {apparmor.security.beta.kubernetes.io/allowedProfileNames: runtime/default}}, spec: {hostNetwork: true, allowedCapabilities: [NET_ADMIN], \
        seccomp: {}, volumes: ['*'], runAsUser: {rule: RunAsAny}, seLinux: {rule: RunAsAny}, fsGroup: {rule: RunAsAny}, supplementalGroups: {rule: RunAsAny}}}";
    let rest = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: flannel}, roleRef: {kind: ClusterRole, name: flannel}, subjects: [{kind: ServiceAccount, name: flannel, namespace: net}]}\n---\n\
        {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: net}, spec: {hostNetwork: true, serviceAccountName: flannel, containers: [{name: c, image: b, securityContext: {capabilities: {add: [NET_ADMIN]}}}]}}\n";
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command
        .args(["import", "psp", "-"])
        .write_stdin(format!("{policy}\n---\n{role}\n"))
        .output()
        .unwrap();
    let converted = String::from_utf8(output.stdout).unwrap();
    for says in [
        "# apparmor.security.beta.kubernetes.io/allowedProfileNames: an SCC does not look at AppArmor",
        "# spec.seccomp: no PodSecurityPolicy has this field",
        "with `use` of the SCC instead of the policy",
    ] {
        assert!(converted.contains(says), "{says:?} in {converted}");
    }
    let text = run(REVIEW, &format!("{converted}---\n{rest}"));
    assert!(text.contains("admitted by flannel"), "{text}\n{converted}");
}

#[test]
fn a_folder_without_cluster_roles_has_cluster_admin() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "scc.yaml",
        "{apiVersion: security.openshift.io/v1, kind: SecurityContextConstraints, metadata: {name: own}, runAsUser: {type: RunAsAny}, seLinuxContext: {type: RunAsAny}, fsGroup: {type: RunAsAny}, supplementalGroups: {type: RunAsAny}, volumes: ['*']}",
    );
    write(
        "namespace.yaml",
        "{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {openshift.io/sa.scc.mcs: 's0:c1,c0', openshift.io/sa.scc.uid-range: 5/5}}}",
    );
    write(
        "binding.yaml",
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: b}, roleRef: {kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: app, namespace: shop}]}",
    );
    write(
        "pod.yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {serviceAccountName: app, containers: [{name: c, image: b}]}}",
    );
    let text = run(&["review", "--must-gather", folder.path().to_str().unwrap()], "");
    assert!(text.contains("admitted by own"), "{text}");
    assert!(text.contains("ClusterRole cluster-admin is not in this folder; every cluster has it"), "{text}");
}
