//! Profiles on nodes: the agent's DaemonSet, its rights, an SCC of its own, and the policy that restricts each agent to
//! the object of its node.

use palisade_k8s::scc::{GROUP as SCC_GROUP, KIND as SCC_KIND};
use palisade_profiles::report::{KIND, RESOURCE};
use palisade_profiles::{GROUP, Origin, VERSION};
use serde_json::{Value, json};

use super::{Engine, NAME, Settings, labels};

/// The name of all objects of the agent.
pub const AGENT: &str = "palisade-node-profiles";
/// The verb of the right to write the objects of all nodes.
const ADMINISTER: &str = "administer";
const RBAC: &str = "rbac.authorization.k8s.io";
/// The kubelet's root directory, within the agent's container.
const KUBELET: &str = "/kubelet";
/// The root directory of the node, within the container that copies the OCI runtime.
const ROOT: &str = "/node";
/// The folder of the OCI runtime on the nodes (palisade-oci, `install`).
const OCI_FOLDER: &str = "/usr/local/lib/palisade";
/// The RuntimeClass of the OCI runtime, and the handler of the engine.
const RUNTIME: &str = "palisade";
/// The label by which an administrator says that a node's engine has the handler.
const OCI_LABEL: &str = "palisade.openshift.io/oci";

/// The namespace of the agents alone, since Pod Security must permit them to mount a folder of the node.
#[must_use]
pub fn namespace(namespace: &str) -> String {
    format!("{namespace}-nodes")
}

/// The path of the agent's own profile.
fn own_profile() -> String {
    // The profile is part of the program and parsed by its own tests.
    palisade_profiles::own().map(|own| own.digest().localhost_profile()).unwrap_or_default()
}

pub(super) fn definitions() -> Vec<Value> {
    vec![seccomp_profiles(), node_profiles()]
}

fn definition(kind: &str, plural: &str, short: &str, columns: &Value, schema: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}"), "labels": labels()},
        "spec": {
            "group": GROUP, "scope": "Cluster",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_ascii_lowercase(), "shortNames": [short]},
            "versions": [{"name": VERSION, "served": true, "storage": true,
                "additionalPrinterColumns": columns, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

/// The fields are those of the security-profiles-operator and of Docker's form; the nodes report errors in a profile,
/// so that nothing is refused that a newer node understands.
fn seccomp_profiles() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let texts =
        |description: &str| json!({"type": "array", "items": {"type": "string"}, "description": description});
    let entry = json!({
        "type": "object", "required": ["names", "action"], "x-kubernetes-preserve-unknown-fields": true,
        "properties": {"names": texts("Names of syscalls."), "action": text("What happens to them, as SCMP_ACT_ALLOW.")},
    });
    let spec = json!({
        "type": "object", "required": ["defaultAction"], "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "defaultAction": text("What happens to all other syscalls, as SCMP_ACT_ERRNO."),
            "baseProfileName": text("A SeccompProfile whose syscalls are added; runc and crun, unless an object has that name, are the syscalls that these runtimes need."),
            "architectures": texts("ABIs beside the node's own, as SCMP_ARCH_X86."),
            "syscalls": {"type": "array", "items": entry, "description": "The first entry that fits decides."},
        },
    });
    let columns = json!([
        {"name": "Default", "type": "string", "jsonPath": ".spec.defaultAction"},
        {"name": "Base", "type": "string", "jsonPath": ".spec.baseProfileName"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]);
    let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": spec},
        "description": "A seccomp profile, which every node has as a file named by its digest."});
    definition("SeccompProfile", "seccompprofiles", "scp", &columns, &schema)
}

fn node_profiles() -> Value {
    let text = json!({"type": "string"});
    let number = json!({"type": "integer"});
    let profile = json!({"type": "object", "properties": {
        "digest": text, "localhostProfile": text, "state": text, "message": text, "names": {"type": "array", "items": text},
    }});
    let status = json!({"type": "object", "properties": {
        "architecture": text, "kernel": text, "runtime": text, "ready": number, "failed": number, "beyondLimit": number,
        "profiles": {"type": "array", "items": profile},
    }});
    let column = |name: &str, kind: &str, field: &str| json!({"name": name, "type": kind, "jsonPath": format!(".status.{field}")});
    let columns = json!([
        column("Ready", "integer", "ready"),
        column("Failed", "integer", "failed"),
        column("Architecture", "string", "architecture"),
        column("Kernel", "string", "kernel"),
        column("Runtime", "string", "runtime"),
    ]);
    let schema = json!({"type": "object", "properties": {"status": status},
        "description": "The seccomp profiles of the node of this name, as its agent tells."});
    definition(KIND, RESOURCE, "nsp", &columns, &schema)
}

pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    let mut objects = vec![own_namespace(settings), scc(settings)];
    objects.extend(rights(settings));
    objects.extend(policy(settings));
    objects.extend([quota(settings), daemon_set(settings)]);
    objects.extend(settings.oci.map(|_| runtime_class()));
    objects
}

/// Pods of the class keep to nodes whose engine has been started anew with the handler.
fn runtime_class() -> Value {
    json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME, "labels": labels()},
        "handler": RUNTIME, "scheduling": {"nodeSelector": {OCI_LABEL: "ready"}},
    })
}

fn metadata(settings: &Settings) -> Value {
    json!({"name": AGENT, "namespace": namespace(&settings.namespace), "labels": labels()})
}

fn cluster_metadata() -> Value {
    json!({"name": AGENT, "labels": labels()})
}

fn own_namespace(settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace(&settings.namespace), "labels": {
            "app.kubernetes.io/name": NAME, "pod-security.kubernetes.io/enforce": "privileged",
        }},
    })
}

/// The resources of the agent, for clusters whose policies also apply to its namespace.
fn scc(settings: &Settings) -> Value {
    json!({
        "apiVersion": format!("{SCC_GROUP}/v1"), "kind": SCC_KIND, "metadata": cluster_metadata(),
        "allowHostDirVolumePlugin": true, "allowHostIPC": false, "allowHostNetwork": false, "allowHostPID": false,
        "allowHostPorts": false, "allowPrivilegedContainer": false, "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true, "requiredDropCapabilities": ["ALL"],
        "runAsUser": {"type": "MustRunAs", "uid": 0}, "seLinuxContext": {"type": "RunAsAny"},
        "fsGroup": {"type": "RunAsAny"}, "supplementalGroups": {"type": "RunAsAny"},
        "seccompProfiles": ["runtime/default", format!("localhost/{}", own_profile())],
        "users": [account(settings)], "volumes": ["hostPath", "projected"],
    })
}

/// The agent's user name.
fn account(settings: &Settings) -> String {
    format!("system:serviceaccount:{}:{AGENT}", namespace(&settings.namespace))
}

fn rights(settings: &Settings) -> Vec<Value> {
    let subject =
        json!([{"kind": "ServiceAccount", "name": AGENT, "namespace": namespace(&settings.namespace)}]);
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(settings)}),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": cluster_metadata(),
            "rules": [
                {"apiGroups": [GROUP, Origin::Operator.group()], "resources": ["seccompprofiles"], "verbs": ["get", "list", "watch"]},
                // The policy below restricts it to the node's own: roles cannot select by fields. Objects are never
                // deleted.
                {"apiGroups": [GROUP], "resources": [RESOURCE], "verbs": ["get", "create", "patch"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
                // The pods of the node, before a file is removed; roles cannot select by fields.
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            ],
        }),
        json!({
            "apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRoleBinding", "metadata": cluster_metadata(),
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": AGENT}, "subjects": subject,
        }),
    ]
}

/// A write is restricted to the node that the token is bound to, whichever account's token it is: a wrongly named
/// service account here would not open it. Other writers need the verb `administer`, which cluster administrators have.
fn policy(settings: &Settings) -> Vec<Value> {
    let key = "authentication.kubernetes.io/node-name";
    let own = format!(
        "has(request.userInfo.extra) && '{key}' in request.userInfo.extra && request.userInfo.extra['{key}'] == [object.metadata.name]"
    );
    let agent = account(settings);
    let may = format!("authorizer.group('{GROUP}').resource('{RESOURCE}').check('{ADMINISTER}').allowed()");
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": cluster_metadata(),
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{"apiGroups": [GROUP], "apiVersions": ["*"],
                    "resources": [RESOURCE], "operations": ["CREATE", "UPDATE"]}]},
                "validations": [{
                    "expression": format!("({own}) || (request.userInfo.username != '{agent}' && {may})"),
                    "message": format!("only the agent of a node, which runs as {agent}, may write its {KIND}: the token must be bound to that node"),
                    "reason": "Forbidden",
                }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": cluster_metadata(),
            "spec": {"policyName": AGENT, "validationActions": ["Deny"]},
        }),
    ]
}

/// Some clusters permit `system-node-critical` outside of kube-system only if a quota names it.
fn quota(settings: &Settings) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(settings),
        "spec": {"hard": {"pods": "100k"}, "scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}]}},
    })
}

fn daemon_set(settings: &Settings) -> Value {
    let selector = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "node-profiles"});
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata(settings),
        "spec": {
            "selector": {"matchLabels": selector},
            // An absent agent does no harm: the files stay.
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
            "template": {"metadata": {"labels": selector}, "spec": pod(settings)},
        },
    })
}

fn pod(settings: &Settings) -> Value {
    let directory = settings.kubelet_dir.as_str();
    let agent = |name: &str, argument: &str, profile: &Value| {
        let arguments = ["node-profiles".to_owned(), argument.to_owned(), format!("--kubelet-dir={KUBELET}")];
        container(settings, name, &arguments, profile, ("seccomp", format!("{KUBELET}/seccomp")))
    };
    let own = agent("own-profile", "--own", &json!({"type": "RuntimeDefault"}));
    let volume = |name: &str, path: String| json!({"name": name, "hostPath": {"path": path, "type": "DirectoryOrCreate"}});
    let (mut initial, mut volumes) = (vec![own], vec![volume("seccomp", format!("{directory}/seccomp"))]);
    if let Some(engine) = settings.oci {
        initial.push(oci(settings, engine));
        volumes.push(volume("oci", OCI_FOLDER.to_owned()));
    }
    json!({
        "serviceAccountName": AGENT,
        "priorityClassName": "system-node-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 5,
        "initContainers": initial,
        "containers": [agent("node-profiles", "--node=$(NODE_NAME)",
            &json!({"type": "Localhost", "localhostProfile": own_profile()}))],
        "volumes": volumes,
    })
}

/// Copies the program to the node, with the settings of the engine's handler. The engine's own configuration and its
/// restart are left to its administrator.
fn oci(settings: &Settings, engine: Engine) -> Value {
    let root = format!("--root={ROOT}");
    let arguments = ["oci", "install", engine.option(), "--copy", &root].map(str::to_owned);
    let profile = json!({"type": "RuntimeDefault"});
    container(settings, "oci", &arguments, &profile, ("oci", format!("{ROOT}{OCI_FOLDER}")))
}

/// Root without capabilities: it owns the folder, and can do nothing else.
fn container(
    settings: &Settings,
    name: &str,
    arguments: &[String],
    profile: &Value,
    (volume, path): (&str, String),
) -> Value {
    json!({
        "name": name, "image": settings.image, "args": arguments,
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "runAsUser": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "privileged": false,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": profile,
        },
        "volumeMounts": [{"name": volume, "mountPath": path}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_admission::{PolicyBuilder, PolicyCache, PolicyKind, PolicyObject, respond};
    use palisade_scc::BuiltinSet;

    /// The agents start even if their namespace is not exempt, by an SCC of their own.
    #[test]
    fn the_agents_keep_to_an_scc_of_their_own() {
        let settings = Settings { oci: Some(Engine::Containerd), ..Settings::default() };
        let object = json!({"metadata": {"name": "agent"}, "spec": pod(&settings)});
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace(&namespace(&settings.namespace));
        let policy = PolicyCache::new(builder.build());
        policy.apply(PolicyObject::of(PolicyKind::Scc, &scc(&settings)).unwrap());
        let request = json!({"uid": "1", "namespace": namespace(&settings.namespace), "name": "agent", "operation": "CREATE",
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "object": object,
            "userInfo": {"username": "system:serviceaccount:kube-system:daemon-set-controller", "groups": ["system:authenticated"]}});
        let review =
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let response = respond(&policy.snapshot(), &review.to_string()).unwrap();
        assert!(response.allowed, "{response:?}");
        assert_eq!(response.audit_annotations["chosen"], AGENT);
    }
}
