//! Cases of people who had this problem: each folder of `field/` is a public report, reduced to the essential. The
//! source of each is beside its test. The right answer is asserted, and the information that would have helped the
//! reporter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/field").join(name)
}

/// Runs in a folder of `field/`; returns the exit code and the output.
fn run_in(folder: &Path, args: &[&str], input: &str) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
    let output = command.current_dir(folder).args(args).write_stdin(input).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn run(name: &str, args: &[&str]) -> (i32, String) {
    run_in(&folder(name), args, "")
}

fn items(name: &str, args: &[&str], input: &str) -> Vec<Value> {
    let text = run_in(&folder(name), &[args, &["-o", "json"]].concat(), input).1;
    let list: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    list["items"].as_array().unwrap().clone()
}

/// Lints a text; returns the rules.
fn lint(text: &str) -> String {
    run_in(Path::new("."), &["scc", "lint", "-"], text).1
}

fn assert_says(text: &str, expected: &[&str]) {
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// An SCC that permits little, with more fields.
fn scc(more: &str) -> String {
    format!(
        "apiVersion: security.openshift.io/v1\nkind: SecurityContextConstraints\nmetadata: {{name: x}}\nvolumes: [secret]\n\
         runAsUser: {{type: RunAsAny}}\nseLinuxContext: {{type: RunAsAny}}\n{more}\n"
    )
}

/// argoproj/argo-workflows#5308
#[test]
fn case_01_argo_role_typo() {
    let name = "01-argo-role-typo";
    let (code, text) = run(name, &["scc", "lint", "scc.yaml", "rbac.yaml"]);
    assert_eq!(code, 1);
    assert_says(
        &text,
        &[
            "rbac.yaml:9:15",
            "\"securiy.openshift.io\"",
            "write security.openshift.io",
            "\"argo:scc\" in groups matches nobody",
        ],
    );
    let (code, text) =
        run(name, &["review", "-f", "scc.yaml", "-f", "rbac.yaml", "-f", "pod.yaml", "-n", "argo-nim"]);
    assert_eq!(code, 1);
    assert_says(&text, &["rules[0].apiGroups[0]", "securiy.openshift.io"]);
}

/// IBM/cert-manager chart
#[test]
fn case_02_psp_words_in_scc() {
    let (code, text) = run("02-psp-words-in-scc", &["scc", "lint", "scc.yaml"]);
    assert_eq!(code, 1);
    assert_says(&text, &["write seLinuxContext", "write type", "fsGroup.rule"]);
    assert!(!text.contains("remove it"), "{text}");
    // Others of the kind.
    for (more, expected) in [
        ("privileged: true", "write allowPrivilegedContainer"),
        ("hostNetwork: true", "write allowHostNetwork"),
        ("seccompProfile: runtime/default", "write seccompProfiles"),
        ("allowedHostPaths: []", "allowHostDirVolumePlugin"),
        ("supplementalGroups: {type: MayRunAs}", "MustRunAs with ranges"),
    ] {
        assert_says(&lint(&scc(more)), &[expected]);
    }
}

/// libopenstorage/operator#1143; openshift/cluster-openshift-apiserver-operator#433
#[test]
fn case_04_privileged_but_no_escalation() {
    let name = "04-privileged-but-no-escalation";
    assert_says(&run(name, &["scc", "lint", "scc.yaml"]).1, &["privileged-without-escalation"]);
    let item = &items(name, &["review", "-f", "scc.yaml", "-f", "pod.yaml"], "")[0];
    assert_eq!((&item["verdict"], &item["refusal"]["by"]), (&"refused".into(), &"kubernetes".into()));
    let message = item["refusal"]["errors"][0]["message"].as_str().unwrap();
    assert_says(message, &["allowPrivilegeEscalation", "privileged"]);
    let said = item["refusal"]["message"].as_str().unwrap();
    assert_says(said, &["SCC portworx", "sets spec.containers[0].securityContext.allowPrivilegeEscalation"]);
    assert_own_scc_helps(name, &["scc.yaml", "pod.yaml"], item);
    // Similar cases: fields that SCC permits and Kubernetes does not.
    for spec in [
        "hostPID: true, shareProcessNamespace: true, containers: [{name: c, image: i}]",
        "containers: [{name: C_, image: i}]",
        "containers: [{name: c, image: i, volumeMounts: [{name: gone, mountPath: /x}]}]",
    ] {
        let pod =
            format!("{{apiVersion: v1, kind: Pod, metadata: {{name: x, namespace: ns}}, spec: {{{spec}}}}}");
        let item = &items(name, &["review", "-f", "-", "--as", "a", "--as-group", "system:masters"], &pod)[0];
        assert_eq!(item["refusal"]["by"], "kubernetes", "{item}");
    }
}

/// redhat-appstudio/infra-deployments#13526
#[test]
fn case_05_first_seccomp_profile_is_default() {
    let name = "05-first-seccomp-profile-is-default";
    assert_says(&run(name, &["scc", "lint", "scc.yaml"]).1, &["seccomp-default", "runtime/default first"]);
    let (code, text) = run(name, &["scc", "diff", "before.yaml", "scc.yaml"]);
    assert_eq!(code, 1);
    assert_says(&text, &["seccomp profile: runtime/default -> localhost/profiles/unshare.json"]);
    let (code, text) =
        run(name, &["scc", "impact", "--policy", "before.yaml", "--with", "scc.yaml", "-f", "pod.yaml"]);
    assert_eq!(code, 1);
    assert_says(&text, &["seccompProfile", "unshare.json", "1 of 1 workloads move or change"]);
}

/// README of a user-namespace demo for OpenShift 4.20
#[test]
fn case_07_userns_nested_scc() {
    let name = "07-userns-nested-scc";
    let text = run(name, &["scc", "lint", "scc.yaml", "pod.yaml"]).1;
    assert_says(&text, &["openshift.io/required-scc requires an SCC", "volumes-absent"]);
    let verdict = |more: &[&str]| {
        items(name, &[&["review", "-f", "scc.yaml", "-f", "pod.yaml"], more].concat(), "")[0].clone()
    };
    let refused = verdict(&["--as", "dev"]);
    assert_eq!(refused["verdict"], "refused");
    assert_own_scc_helps(
        name,
        &["pod.yaml"],
        &items(name, &["review", "-f", "pod.yaml", "--as", "dev"], "")[0],
    );
    assert_eq!(verdict(&["--as", "admin", "--as-group", "system:masters"])["scc"], "container-in-container");
}

/// Fields that user namespaces exclude are reported at their place, and required ones are proposed. The rules are those
/// of `validateHostUsers` and `procMount` in `pkg/apis/core/validation/validation.go`.
#[test]
fn user_namespaces_exclude_and_are_required() {
    let review = |spec: &str, security: &str| {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: ns}}, spec: {{{spec}containers: \
             [{{name: c, image: i, securityContext: {{{security}}}}}]}}}}"
        );
        let args = ["review", "-f", "-", "--as", "admin", "--as-group", "system:masters"];
        run_in(Path::new("."), &args, &pod).1
    };
    let unmasked = review("", "procMount: Unmasked");
    let keeps =
        "to keep procMount: Unmasked, set spec.hostUsers: false instead: it takes Kubernetes 1.30 or newer";
    let masks = "edit:  remove spec.containers[0].securityContext.procMount";
    assert_says(&unmasked, &["refused by Kubernetes' validation", masks, keeps, "restricted-v3"]);
    let grant = review("hostUsers: false, ", "procMount: Unmasked, capabilities: {add: [SYS_TIME]}");
    assert_says(&grant, &["1 admitted"]);
    let shared = review("hostNetwork: true, ", "procMount: Unmasked");
    assert_says(&shared, &["edit:  remove spec.containers[0].securityContext.procMount"]);
    assert!(!shared.contains("set spec.hostUsers"), "{shared}");
    let both = review("hostUsers: false, hostPID: true, ", "");
    assert_says(&both, &["spec.hostPID: Forbidden: when `hostUsers` is false"]);
    assert_says(&review("hostUsers: false, ", "procMount: Unmasked"), &["1 admitted"]);
    let text = lint(&scc("userNamespaceLevel: RequirePodLevel\nallowHostPID: true"));
    assert_says(&text, &["useless-beside-users", "allowHostPID: no pod can use it"]);
    assert_says(
        &lint(&scc("userNamespaceLevel: RequirePod")),
        &["write one of AllowHostLevel, RequirePodLevel"],
    );
}

/// openshift/origin#20470
#[test]
fn case_08_sysctls_in_dead_annotations() {
    let name = "08-sysctls-in-dead-annotations";
    let item = &items(name, &["review", "-f", "scc.yaml", "-f", "dc.yaml"], "")[0];
    assert_eq!((&item["verdict"], &item["scc"]), (&"admitted".into(), &"psh".into()));
    let notes = item["notes"].to_string();
    assert_says(
        &notes,
        &["unsafe-sysctls is not read", "spec.securityContext.sysctls", "openshift.io/required-scc"],
    );
    assert_says(&run(name, &["scc", "lint", "scc.yaml", "dc.yaml"]).1, &["dead-annotation", "dc.yaml:12"]);
    for key in [
        "container.apparmor.security.beta.kubernetes.io/c",
        "seccomp.security.alpha.kubernetes.io/pod",
        "scheduler.alpha.kubernetes.io/critical-pod",
    ] {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, annotations: {{{key}: unconfined}}}}, spec: {{containers: [{{name: c}}]}}}}"
        );
        assert_says(&lint(&pod), &["dead-annotation"]);
    }
}

/// JAORMX/selinux-operator#2
#[test]
fn case_09_custom_selinux_type() {
    let name = "09-custom-selinux-type";
    let item = &items(name, &["review", "-f", "deploy.yaml"], "")[0];
    assert_eq!(item["verdict"], "refused");
    let refusal = &item["refusal"];
    assert_eq!(
        refusal["edits"],
        serde_json::json!(["remove spec.template.spec.securityContext.seLinuxOptions"])
    );
    assert!(refusal["grantAlsoGives"].to_string().contains("hostPath"), "{refusal}");
    assert_own_scc_helps(name, &["deploy.yaml"], item);
    let deployment = std::fs::read_to_string(folder(name).join("deploy.yaml")).unwrap();
    let edited: String = deployment
        .lines()
        .filter(|line| !line.contains("seLinuxOptions"))
        .map(|line| format!("{line}\n"))
        .collect();
    let edited = edited.replace("securityContext:\n", "securityContext: {}\n");
    assert_eq!(items(name, &["review", "-f", "-"], &edited)[0]["verdict"], "admitted", "{edited}");
}

/// openshift/origin#19575; openshift/openshift-docs#12477; redhat-performance/openshift-psap#35
#[test]
fn case_10_default_add_star() {
    let name = "10-default-add-star";
    assert_says(
        &run(name, &["scc", "lint", "scc.yaml"]).1,
        &["error: defaultAddCapabilities[0]", "default-add-unknown"],
    );
    let item = &items(name, &["review", "-f", "scc.yaml", "-f", "pod.yaml"], "")[0];
    assert_says(&item["notes"].to_string(), &["which no runtime knows", "does not start"]);
    for (capability, is_fine) in
        [("NET_RAWW", false), ("CAP_", false), ("SYS_ADMIN", true), ("cap_chown", true)]
    {
        let text = lint(&scc(&format!("defaultAddCapabilities: [{capability}]")));
        assert_eq!(!text.contains("default-add-unknown"), is_fine, "{text}");
    }
}

/// rook/rook#15019; noobaa/noobaa-operator#1965
#[test]
fn case_11_right_scc_wrong_serviceaccount() {
    let name = "11-right-scc-wrong-serviceaccount";
    let items = items(name, &["review", "-f", "chart.yaml"], "");
    for item in &items {
        assert_eq!(item["verdict"], "refused");
        let accounts = item["refusal"]["accounts"].to_string();
        assert_says(&accounts, &["rook-ceph-default"]);
    }
    assert_says(items[1]["refusal"]["message"].as_str().unwrap(), &["pinned to rook-ceph", "default"]);
}

/// IBM/spm-kubernetes chart; openshift/origin#18885
#[test]
fn case_13_psp_given() {
    let name = "13-psp-given";
    let (code, text) = run(name, &["scc", "lint", "psp.yaml"]);
    assert_eq!(code, 1);
    assert_says(&text, &["removed in Kubernetes 1.25", "palisade import psp psp.yaml"]);
    let (code, text) = run(name, &["import", "psp", "psp.yaml"]);
    assert_eq!(code, 0);
    assert!(!lint(&text).contains("error"), "{}", lint(&text));
    let granted = text.replace("users: []", "users: ['system:serviceaccount:spm:default']");
    let pod = std::fs::read_to_string(folder(name).join("pod.yaml")).unwrap();
    let item = &items(name, &["review", "-f", "-"], &format!("{granted}---\n{pod}"))[0];
    assert_eq!(item["scc"], "ibm-anyuid-psp", "{item}");
    assert_says(&run(name, &["scc", "diff", "psp.yaml", "anyuid"]).1, &["palisade import psp"]);
    let (code, text) = run(name, &["scc", "lint", "kindtypo.yaml"]);
    assert_eq!(code, 1);
    assert_says(&text, &["did you mean SecurityContextConstraints?"]);
    for (input, expected) in [
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", "nothing was judged"),
        ("{apiVersion: apps/v1, kind: Deploymnt, metadata: {name: x}}", "did you mean Deployment?"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: {{ .Values.name }}}}", "render it first"),
        ("kind: '{{ .Values.kind }}'\napiVersion: v1\nmetadata: {name: x}", "render it first"),
    ] {
        let (code, text) = run_in(Path::new("."), &["scc", "lint", "-"], input);
        assert_ne!(code, 0, "{text}");
        assert_says(&text, &[expected]);
    }
}

/// rh-mobb/documentation#428; openshift/kubernetes#1499
#[test]
fn case_16_csi_inline_and_pod_security() {
    let items = items("16-csi-inline-and-pod-security", &["review", "-f", "all.yaml"], "");
    assert_eq!(items[0]["refusal"]["by"], "csi-volumes", "{}", items[0]);
    assert_eq!(items[1]["refusal"]["by"], "pod-security");
    assert_says(
        items[1]["refusal"]["message"].as_str().unwrap(),
        &["enforces Pod Security level restricted"],
    );
    // Similar cases: fields that only cause a warning, and those that the level permits.
    let pod = |labels: &str| {
        format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: ns, labels: {{{labels}}}}}}}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: ns}}, spec: {{containers: [{{name: c, image: i}}]}}}}"
        )
    };
    let review = |labels: &str| {
        let args = ["review", "-f", "-", "--scc-set", "4", "--as", "a", "--as-group", "system:masters"];
        let text = run_in(Path::new("."), &[&args[..], &["-o", "json"]].concat(), &pod(labels)).1;
        serde_json::from_str::<Value>(&text).unwrap()["items"][0].clone()
    };
    let warned = review("pod-security.kubernetes.io/warn: restricted");
    assert_eq!(warned["verdict"], "admitted");
    assert_says(&warned["notes"].to_string(), &["warns", "restricted"]);
    assert_eq!(review("pod-security.kubernetes.io/enforce: baseline")["verdict"], "admitted");
    assert_eq!(review("pod-security.kubernetes.io/enforce: restricted")["refusal"]["by"], "pod-security");
}

#[test]
fn sccs_in_config_maps_and_secrets_are_linted() {
    use base64::Engine;
    let bad = scc("privileged: true");
    let indented: String = bad.lines().map(|line| format!("    {line}\n")).collect();
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: policies}}\ndata:\n  scc.yaml: |\n{indented}  other: 'x: ['\n"
    );
    assert_says(&lint(&map), &["(data.scc.yaml of policies):7:1", "write allowPrivilegedContainer"]);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&bad);
    let secret =
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: {encoded}, b: '!'}}\n");
    assert_says(&lint(&secret), &["write allowPrivilegedContainer"]);
}

/// After the namespace is labelled as proposed, the pod is admitted.
#[test]
fn the_proposed_label_helps() {
    let name = "16-csi-inline-and-pod-security";
    let text = std::fs::read_to_string(folder(name).join("all.yaml")).unwrap();
    for (index, item) in items(name, &["review", "-f", "all.yaml"], "").iter().enumerate() {
        let label = item["refusal"]["label"].as_str().unwrap();
        let level = label.split("enforce=").nth(1).unwrap().split(' ').next().unwrap();
        let labelled = text.replace("enforce: restricted", &format!("enforce: {level}"));
        assert_eq!(items(name, &["review", "-f", "-"], &labelled)[index]["verdict"], "admitted", "{label}");
    }
}

/// Applying the printed SCC, with its role and binding, makes the pod admitted.
fn assert_own_scc_helps(name: &str, files: &[&str], item: &Value) {
    let own = &item["refusal"]["own"];
    assert_eq!(own["kind"], "List", "{item}");
    let arguments: Vec<&str> = files.iter().flat_map(|file| ["-f", *file]).collect();
    let args = [&["review"], &arguments[..], &["-f", "-", "--as", item["user"].as_str().unwrap()]].concat();
    let again = &items(name, &args, &own.to_string())[0];
    assert_eq!(
        (&again["verdict"], &again["scc"]),
        (&"admitted".into(), &own["items"][0]["metadata"]["name"]),
        "{own}"
    );
}

/// The layout is that of `oc adm must-gather`: objects that are there twice, lists, and files that are not manifests.
#[test]
fn a_must_gather_folder_is_decided_offline() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: baseline}, annotations: {openshift.io/sa.scc.uid-range: 1000/10, openshift.io/sa.scc.mcs: 's0:c1,c0'}}}";
    write(
        "image/cluster-scoped-resources/security.openshift.io/securitycontextconstraints/x.yaml",
        &scc("groups: ['system:authenticated']\nallowHostPID: true"),
    );
    write("image/cluster-scoped-resources/core/namespaces/shop.yaml", namespace);
    write("image/namespaces/shop/shop.yaml", namespace);
    write("image/namespaces/shop/pods/gone/logs.json", "not json {");
    write(
        "image/namespaces/shop/apps/deployments.yaml",
        "{apiVersion: apps/v1, kind: DeploymentList, items: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}]}",
    );
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, ownerReferences: [{kind: ReplicaSet, name: web, controller: true}]}, spec: {containers: [{name: c, image: i}]}}";
    write("image/namespaces/shop/pods/web-1/web-1.yaml", pod);
    write(
        "image/namespaces/shop/pods/root/root.yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: root, namespace: shop}, spec: {hostPID: true, containers: [{name: c, image: i}]}}",
    );
    let path = folder.path().to_str().unwrap();
    let (code, text) = run_in(Path::new("."), &["review", "--must-gather", path], "");
    assert_eq!(code, 1, "{text}");
    assert_says(
        &text,
        &[
            "deployment/web in shop: admitted by x",
            "pod/root in shop: refused by Pod Security",
            "1 admitted, 1 refused",
            "files that are not manifests: 1",
        ],
    );
    assert!(!text.contains("web-1 in"), "{text}");
}

/// The edits can be made by hand at the lines that they name, in a file with comments and in any style.
#[test]
fn edits_name_the_lines_to_edit() {
    let manifest = "\
# Our shop; ask before you touch it.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      hostNetwork: true   # for the old balancer
      containers:
      # the shop itself
      - name: web
        image: web:1
        securityContext:
          privileged: true  # why?
          runAsUser: 0
          capabilities:
            add:
            - SYS_ADMIN # mounts
            - CHOWN
        ports:
        - containerPort: 80
          hostPort: 80
";
    let args = ["review", "-f", "-", "--scc-set", "4", "-o", "json"];
    let review =
        |text: &str| -> Value { serde_json::from_str(&run_in(Path::new("."), &args, text).1).unwrap() };
    let refused = review(manifest);
    let advice = &refused["items"][0]["refusal"];
    let (edits, places) = (advice["edits"].as_array().unwrap(), advice["editPlaces"].as_array().unwrap());
    assert!(edits.len() >= 4 && edits.len() == places.len(), "{advice}");
    let mut lines: Vec<Option<String>> = manifest.lines().map(|line| Some(line.to_owned())).collect();
    for (edit, place) in edits.iter().zip(places) {
        let (edit, at) = (edit.as_str().unwrap(), place["line"].as_u64().unwrap() as usize - 1);
        assert_eq!(place["file"], "stdin");
        let line = lines[at].clone().unwrap_or_else(|| panic!("{edit}: line {} is gone", at + 1));
        if let Some(set) = edit.strip_prefix("set ") {
            let (path, value) = set.split_once(": ").unwrap();
            let key = path.rsplit_once('.').unwrap().1;
            let start = line.find(&format!("{key}:")).unwrap_or_else(|| panic!("{edit}: {line}"));
            lines[at] = Some(format!("{}{key}: {value}", line.get(..start).unwrap()));
        } else {
            let what = edit.strip_prefix("remove ").unwrap();
            let named = match what.split_once(" from ") {
                Some((item, _)) => item.trim_matches('"'),
                None => what.rsplit_once('.').unwrap().1,
            };
            assert!(line.contains(named), "{edit}: {line}");
            lines[at] = None;
        }
    }
    let edited: Vec<String> = lines.into_iter().flatten().collect();
    let edited = edited.join("\n") + "\n";
    let admitted = review(&edited);
    assert_eq!(admitted["items"][0]["verdict"], "admitted", "{edited}\n{advice}");
    assert_eq!(admitted["items"][0]["scc"], advice["editsFor"]);
    // People read the same lines.
    let (_, text) = run_in(Path::new("."), &args[..5], manifest);
    assert_says(&text, &["hostNetwork (stdin:10)"]);
}

/// The output of `oc adm must-gather` (openshift/enhancements, enhancements/oc/must-gather.md; openshift/oc,
/// pkg/cli/admin/inspect): an image's folder with cluster-scoped-resources/GROUP/RESOURCE/NAME.yaml,
/// namespaces/NS/NS.yaml, namespaces/NS/GROUP/RESOURCE.yaml with lists, whose elements may lack their kind,
/// pods/POD/POD.yaml with logs beside.
#[test]
fn a_must_gather_of_a_real_layout_is_decided_offline() {
    let folder = tempfile::tempdir().unwrap();
    let image = "quay-io-openshift-release-dev-ocp-v4-0-art-dev-sha256-0f1e2d";
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let gathered = |path: &str, text: &str| write(&format!("{image}/{path}"), &format!("---\n{text}"));
    write("event-filter.html", "<html>{{");
    write("timestamp", "2026-11-26 03:00:00 start\n");
    write("must-gather.logs", "[must-gather] OUT\n");
    write(&format!("{image}/version"), "openshift/must-gather\n4.21.0\n");
    write(&format!("{image}/gather-debug.log"), "x: [\n");
    let meta = |name: &str| {
        format!(
            "metadata: {{name: '{name}', uid: 0f, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z', managedFields: [{{manager: x, operation: Update, fieldsV1: {{'f:spec': {{}}}}}}]}}"
        )
    };
    let sccs = "cluster-scoped-resources/security.openshift.io/securitycontextconstraints";
    gathered(
        &format!("{sccs}/restricted-v2.yaml"),
        &format!(
            "apiVersion: security.openshift.io/v1\nkind: SecurityContextConstraints\n{}\nallowHostDirVolumePlugin: false\nallowHostIPC: false\nallowHostNetwork: false\nallowHostPID: false\nallowHostPorts: false\nallowPrivilegeEscalation: false\nallowPrivilegedContainer: false\nallowedCapabilities: [NET_BIND_SERVICE]\ndefaultAddCapabilities: null\nfsGroup: {{type: MustRunAs}}\ngroups: []\npriority: null\nreadOnlyRootFilesystem: false\nrequiredDropCapabilities: [ALL]\nrunAsUser: {{type: MustRunAsRange}}\nseLinuxContext: {{type: MustRunAs}}\nseccompProfiles: [runtime/default]\nsupplementalGroups: {{type: RunAsAny}}\nuserNamespaceLevel: AllowHostLevel\nusers: []\nvolumes: [configMap, csi, downwardAPI, emptyDir, ephemeral, persistentVolumeClaim, projected, secret]\n",
            meta("restricted-v2")
        ),
    );
    let rbac = "cluster-scoped-resources/rbac.authorization.k8s.io";
    gathered(
        &format!("{rbac}/clusterroles/system_openshift_scc_restricted-v2.yaml"),
        &format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n{}\nrules:\n- apiGroups: [security.openshift.io]\n  resourceNames: [restricted-v2]\n  resources: [securitycontextconstraints]\n  verbs: [use]\n",
            meta("system:openshift:scc:restricted-v2")
        ),
    );
    gathered(
        &format!("{rbac}/clusterrolebindings/b.yaml"),
        &format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n{}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:openshift:scc:restricted-v2'}}\nsubjects:\n- {{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:authenticated'}}\n",
            meta("system:openshift:scc:restricted-v2")
        ),
    );
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations: {openshift.io/sa.scc.mcs: 's0:c26,c5', openshift.io/sa.scc.supplemental-groups: 1000670000/10000, openshift.io/sa.scc.uid-range: 1000670000/10000}\n  labels: {pod-security.kubernetes.io/warn: restricted, pod-security.kubernetes.io/warn-version: v1.24}\nspec: {finalizers: [kubernetes]}\nstatus: {phase: Active}\n";
    gathered("namespaces/shop/shop.yaml", namespace);
    gathered("cluster-scoped-resources/core/namespaces/shop.yaml", namespace);
    let controlled = "{name: web-5d-x, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d, uid: u, controller: true}]}";
    gathered(
        "namespaces/shop/core/pods.yaml",
        &format!(
            "apiVersion: v1\nitems:\n- metadata: {controlled}\n  spec: {{containers: [{{name: c, image: i}}]}}\n- metadata: {{name: debug, namespace: shop}}\n  spec: {{hostPID: true, containers: [{{name: c, image: i}}]}}\nkind: PodList\nmetadata: {{resourceVersion: '9'}}\n"
        ),
    );
    gathered(
        "namespaces/shop/core/secrets.yaml",
        "apiVersion: v1\nitems: []\nkind: SecretList\nmetadata: {}\n",
    );
    gathered(
        "namespaces/shop/core/events.yaml",
        "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Event\n  metadata: {name: e, namespace: shop}\nkind: EventList\n",
    );
    gathered(
        "namespaces/shop/apps/deployments.yaml",
        "apiVersion: apps/v1\nitems:\n- metadata: {name: web, namespace: shop}\n  spec: {template: {spec: {containers: [{name: c, image: i}]}}}\nkind: DeploymentList\nmetadata: {}\n",
    );
    gathered(
        "namespaces/shop/apps/replicasets.yaml",
        "apiVersion: apps/v1\nitems:\n- metadata: {name: web-5d, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]}\n  spec: {template: {spec: {containers: [{name: c, image: i}]}}}\nkind: ReplicaSetList\n",
    );
    gathered(
        "namespaces/shop/pods/web-5d-x/web-5d-x.yaml",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {controlled}\nspec: {{containers: [{{name: c, image: i}}]}}\n"
        ),
    );
    write(&format!("{image}/namespaces/shop/pods/web-5d-x/c/c/logs/current.log"), "2026 {\n");
    write(&format!("{image}/namespaces/shop/pods/web-5d-x/c/c/metrics.json"), "go_gc{ [\n");
    let path = folder.path().to_str().unwrap();
    let (code, text) = run_in(Path::new("."), &["review", "--must-gather", path], "");
    assert_eq!(code, 1, "{text}");
    assert_says(
        &text,
        &[
            "deployment/web in shop: admitted by restricted-v2",
            "pod/debug in shop: refused",
            "hostPID",
            "namespaces/shop/core/pods.yaml:",
            "1 admitted, 1 refused",
            "files that are not manifests: 1",
        ],
    );
    assert!(!text.contains("web-5d"), "what a controller made is not reviewed beside it: {text}");
}

/// Grants and pins without effect, each from a report of its own.
#[test]
fn grants_that_do_nothing_are_said_where_they_are() {
    let rbac = "apiVersion: rbac.authorization.k8s.io/v1\n";
    // openshift/openshift-docs#775: the annotation that records the chosen SCC, mistaken for one that chooses it.
    let by_hand = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop, annotations: {openshift.io/scc: privileged}}, spec: {containers: [{name: c, image: i, securityContext: {runAsUser: 0}}]}}";
    assert_says(&lint(by_hand), &["[openshift.io/scc]", "requests nothing", "openshift.io/required-scc"]);
    let (code, text) = run_in(Path::new("."), &["review", "-f", "-", "--scc-set", "4"], by_hand);
    assert_eq!(code, 1);
    assert_says(&text, &["openshift.io/scc requests nothing"]);
    // opendatahub-io/opendatahub-operator#3642: the operator's own pods got an SCC that was meant for others.
    let wild = format!(
        "{rbac}kind: ClusterRole\nmetadata: {{name: manager}}\nrules:\n- apiGroups: [security.openshift.io]\n  resources: [securitycontextconstraints]\n  verbs: ['*']\n"
    );
    assert_says(&lint(&wild), &["may use every SCC", "highest priority"]);
    // operator-framework/operator-lifecycle-manager#499: the verb is `use`.
    let verb = wild.replace("['*']", "[uses]").replace("constraints]", "constraint]");
    assert_says(&lint(&verb), &["write use", "write securitycontextconstraints"]);
    // openshift/openshift-docs#63723: the pin belongs on the pod template.
    let pin = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, annotations: {openshift.io/required-scc: nonroot-v2}}, spec: {template: {spec: {containers: [{name: c, image: i}]}}}}";
    assert_says(&lint(pin), &["on a Deployment it does nothing", "pod template"]);
    // oracle/oracle-database-operator#47 and pulp/pulp-operator#1319 had roles and bindings that did not meet.
    let role = wild.replace("['*']", "[use]").replace("manager", "use-sidb-scc");
    let bound = |name: &str, subject: &str| {
        lint(&format!(
            "{role}---\n{rbac}kind: RoleBinding\nmetadata: {{name: b, namespace: shop}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}\nsubjects: [{subject}]\n"
        ))
    };
    let account = "{kind: ServiceAccount, name: sidb-sa, namespace: shop}";
    assert_says(
        &bound("use-sidb-sc", account),
        &["there is no ClusterRole use-sidb-sc", "did you mean use-sidb-scc?"],
    );
    assert!(
        !bound("use-sidb-scc", account).contains("missing-role")
            && !bound("edit", account).contains("missing-role")
    );
    let group =
        "{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'system:serviceaccount:shop:sidb-sa'}";
    assert_says(&bound("use-sidb-scc", group), &["matches no subject", "ServiceAccount"]);
    let full = "{kind: ServiceAccount, name: 'system:serviceaccount:shop:sidb-sa', namespace: shop}";
    assert_says(
        &bound("use-sidb-scc", full),
        &["matches no subject", "write name: sidb-sa, namespace: shop"],
    );
}
