//! Lint of objects beside SCCs: overly broad grants, and pins and ranges in the wrong place.

use std::collections::HashSet;

use palisade_k8s::rbac::Role;
use palisade_k8s::scc::{KIND, annotation};
use palisade_k8s::workload::WorkloadKind;
use palisade_k8s::{FieldPath, SecurityContextConstraints, fit, seccomp};
use palisade_scc::{Finding, NamespaceRanges, Severity};
use serde::Deserialize;
use serde_json::Value;

use crate::namespace::EXEMPT_NAMESPACES;

mod grants;

use grants::Known;
pub use grants::NamedInGrants;

/// Annotations that are no longer read, and the field that took their place.
const DEAD: &[(&str, &str)] = &[
    ("security.alpha.kubernetes.io/sysctls", "spec.securityContext.sysctls, since Kubernetes 1.11"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "spec.securityContext.sysctls, since Kubernetes 1.11"),
    ("scheduler.alpha.kubernetes.io/affinity", "spec.affinity, since Kubernetes 1.6"),
    ("scheduler.alpha.kubernetes.io/tolerations", "spec.tolerations, since Kubernetes 1.6"),
    ("scheduler.alpha.kubernetes.io/critical-pod", "spec.priorityClassName, since Kubernetes 1.16"),
    ("pod.alpha.kubernetes.io/init-containers", "spec.initContainers, since Kubernetes 1.8"),
    ("pod.beta.kubernetes.io/init-containers", "spec.initContainers, since Kubernetes 1.8"),
];
/// The API groups of roles and bindings: Kubernetes' and OpenShift's.
const RBAC_GROUPS: [&str; 2] = ["rbac.authorization.k8s.io/", "authorization.openshift.io/"];
/// The rule that an object which is not of its kind's type breaks.
pub const MALFORMED: &str = "malformed";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Checks objects of any kind, each by itself and together with the others; each finding has the position of its
/// object. Kinds unrelated to SCC have none.
#[must_use]
pub fn lint_all(objects: &[Value]) -> Vec<(usize, Finding)> {
    let known = Known::new(objects);
    let mut found: Vec<(usize, Finding)> = Vec::new();
    for (place, object) in objects.iter().enumerate() {
        found.extend(lint_with(object, &known).into_iter().map(|finding| (place, finding)));
    }
    let is_scc = |object: &&Value| object.get("kind").and_then(Value::as_str) == Some(KIND);
    let sccs = objects.iter().enumerate().filter(|(_, object)| is_scc(object));
    let sccs: Vec<(usize, SecurityContextConstraints)> = sccs
        .filter_map(|(place, object)| Some((place, fit::<SecurityContextConstraints, _>(object).ok()?)))
        .collect();
    let defaulted: Vec<SecurityContextConstraints> = sccs
        .iter()
        .map(|(_, scc)| {
            let mut scc = scc.clone();
            palisade_scc::default(&mut scc);
            scc
        })
        .collect();
    let of_set = palisade_scc::lint_set(&defaulted).into_iter();
    found.extend(of_set.filter_map(|(index, finding)| Some((sccs.get(index)?.0, finding))));
    found.sort_by_key(|(place, _)| *place);
    found
}

/// Checks one object of any kind, without others.
#[must_use]
pub fn lint(object: &Value) -> Vec<Finding> {
    lint_with(object, &Known::new(std::slice::from_ref(object)))
}

/// The message for an annotation that has less effect than its name suggests, if it is one.
#[must_use]
pub fn dead_annotation(key: &str) -> Option<String> {
    if let Some((_, instead)) = DEAD.iter().find(|(dead, _)| *dead == key) {
        return Some(format!("annotation {key} is not read; set {instead}"));
    }
    if let Some(container) = key.strip_prefix(APPARMOR) {
        return Some(format!(
            "annotation {key} gives way to a field since Kubernetes 1.30; set securityContext.appArmorProfile of container {container}"
        ));
    }
    if key == annotation::VALIDATED_SCC {
        return Some(format!(
            "annotation {key} requests nothing and is overwritten; {} requires an SCC",
            annotation::REQUIRED_SCC
        ));
    }
    seccomp::is_annotation(key).then(|| {
        format!(
            "annotation {key} is read by SCC alone; the kubelet reads securityContext.seccompProfile since Kubernetes 1.27"
        )
    })
}

fn lint_with(object: &Value, known: &Known) -> Vec<Finding> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut findings = Vec::new();
    if matches!(text("kind"), "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding")
        && !text("apiVersion").is_empty()
        && !RBAC_GROUPS.iter().any(|group| text("apiVersion").starts_with(group))
    {
        let message = format!("there is no {} in {:?}", text("kind"), text("apiVersion"));
        let help = "write rbac.authorization.k8s.io/v1";
        let path = FieldPath::of("apiVersion");
        findings.push(Finding::new("wrong-api-version", Severity::Warning, path, message, help));
    }
    if text("kind") == KIND && text("apiVersion") == "v1" {
        let message = "v1 is that of OpenShift 3: on later ones only oc takes it for the right one, and kubectl, Helm and Argo CD say \
            \"no matches for kind SecurityContextConstraints in version v1\"";
        let (help, path) = ("write apiVersion: security.openshift.io/v1", FieldPath::of("apiVersion"));
        findings.push(Finding::new("wrong-api-version", Severity::Warning, path, message, help));
    }
    match text("kind") {
        KIND => scc(object, &mut findings),
        "ClusterRole" | "Role" => {
            role(object, &mut findings);
            grants::role(object, known, &mut findings);
        }
        "ClusterRoleBinding" | "RoleBinding" => grants::binding(object, known, &mut findings),
        "Namespace" => namespace(object, &mut findings),
        kind => {
            if let Some(workload_kind) = WorkloadKind::of(text("apiVersion"), kind) {
                workload(object, workload_kind, &mut findings);
                template_annotations(object, workload_kind, known, &mut findings);
            }
        }
    }
    findings
}

fn scc(object: &Value, findings: &mut Vec<Finding>) {
    match fit::<SecurityContextConstraints, _>(object) {
        Err(misfit) => findings.push(Finding::new(
            MALFORMED,
            Severity::Error,
            misfit.path.clone(),
            format!("does not fit its type: {}", misfit.why),
            "see the fields of security.openshift.io/v1",
        )),
        Ok(mut scc) => {
            palisade_scc::default(&mut scc);
            findings.extend(palisade_scc::validate(&scc).into_iter().map(|error| {
                Finding::new(
                    "invalid",
                    Severity::Error,
                    error.path.clone(),
                    error.message(),
                    "the API server refuses it",
                )
            }));
            findings.extend(palisade_scc::lint(&scc, object.as_object()));
            findings.extend(grants::granted_to_everybody(&scc));
            accounts("users", scc.users.as_deref().unwrap_or_default(), "system:serviceaccount:", findings);
            accounts(
                "groups",
                scc.groups.as_deref().unwrap_or_default(),
                "system:serviceaccounts:",
                findings,
            );
        }
    }
}

/// Accounts by name, in namespaces that any user with the right to create projects can create: after its deletion, or
/// before its creation, that is any user.
fn accounts(field: &'static str, names: &[String], prefix: &str, findings: &mut Vec<Finding>) {
    let is_reserved = |namespace: &str| {
        let of = |own: &str| {
            namespace.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        namespace == "default" || ["openshift", "kubernetes", "kube"].iter().any(|own| of(own))
    };
    let mut told = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        let namespace = name.strip_prefix(prefix).map(|rest| rest.split(':').next().unwrap_or(rest));
        let Some(namespace) = namespace.filter(|namespace| !is_reserved(namespace)) else { continue };
        if !told.insert(namespace) {
            continue;
        }
        findings.push(Finding::new(
            "account-of-open-namespace",
            Severity::Warning,
            FieldPath::of(field).index(index),
            format!(
                "whoever creates the namespace {namespace}, if it does not exist yet or was deleted, may use this SCC"
            ),
            "leave the account out, and bind a role with `use` of this SCC in that namespace: the binding goes with it",
        ));
    }
}

fn role(object: &Value, findings: &mut Vec<Finding>) {
    let Ok(role) = Role::deserialize(object) else { return };
    if role.metadata.name == "cluster-admin" {
        return;
    }
    for (index, rule) in role.rules.iter().enumerate() {
        if grants::is_use(rule) && rule.resource_names.is_empty() {
            findings.push(Finding::new(
                "use-of-every-scc",
                Severity::Warning,
                FieldPath::of("rules").index(index),
                "whoever holds this role may use every SCC, privileged among them, and gets the one of highest priority",
                "list the SCCs in resourceNames, and leave `*` out of verbs, apiGroups or resources",
            ));
        }
    }
}

/// SCCs that are asked for on a namespace, where nothing reads them.
fn misplaced_requests(object: &Value, findings: &mut Vec<Finding>) {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    for part in ["labels", "annotations"] {
        let entries = object.pointer(&format!("/metadata/{part}"));
        for key in [annotation::VALIDATED_SCC, annotation::REQUIRED_SCC] {
            let Some(scc) = entries.and_then(|entries| entries.get(key)?.as_str()) else { continue };
            findings.push(Finding::new(
                "dead-annotation",
                Severity::Warning,
                FieldPath::of("metadata").name(part).key(key),
                "nothing reads this on a namespace: an SCC is granted to an account",
                format!("oc adm policy add-scc-to-user {scc} -z ACCOUNT -n {name}"),
            ));
        }
    }
}

fn namespace(object: &Value, findings: &mut Vec<Finding>) {
    misplaced_requests(object, findings);
    let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let get = |key: &str| annotations.and_then(|annotations| annotations.get(key)).and_then(Value::as_str);
    let present = [annotation::UID_RANGE, annotation::MCS].map(|key| get(key).is_some());
    let path = |key: &str| FieldPath::of("metadata.annotations").key(key);
    if present == [true, false] {
        findings.push(Finding::new(
            "range-without-level",
            Severity::Error,
            path(annotation::UID_RANGE),
            format!(
                "without {} no pod is admitted, and none is allocated since this annotation is there",
                annotation::MCS
            ),
            "set both annotations, or neither",
        ));
    }
    for key in [annotation::UID_RANGE, annotation::SUPPLEMENTAL_GROUPS] {
        for rest in palisade_scc::ignored_of_range(key, get(key).unwrap_or_default()) {
            findings.push(Finding::new(
                "ignored-range",
                Severity::Warning,
                path(key),
                match key {
                    annotation::UID_RANGE => format!("{rest:?} is not read: as on OpenShift, what follows the first block of user IDs is ignored"),
                    _ => format!("{rest:?} is not read: as on OpenShift, what follows the numbers of a block is ignored"),
                },
                match key {
                    annotation::UID_RANGE => "write one block; for other user IDs give the account an SCC whose runAsUser holds them",
                    _ => "write start/size or start-end, with commas between",
                },
            ));
        }
    }
    let Ok(ranges) = NamespaceRanges::read(get) else { return };
    let errors = [ranges.uids().err(), ranges.supplemental_groups().err(), ranges.level().err()];
    let mut messages: Vec<String> = errors.into_iter().flatten().map(ToString::to_string).collect();
    messages.dedup();
    for message in messages {
        let help = "write start/size or start-end";
        findings.push(Finding::new(
            "malformed-range",
            Severity::Error,
            FieldPath::of("metadata.annotations"),
            message,
            help,
        ));
    }
}

fn workload(object: &Value, kind: &WorkloadKind, findings: &mut Vec<Finding>) {
    let metadata = object.get("metadata");
    let required = metadata
        .and_then(|metadata| metadata.get("annotations"))
        .and_then(|annotations| annotations.get(annotation::REQUIRED_SCC));
    if required.is_some() && !kind.template.is_empty() {
        findings.push(Finding::new(
            "pin-on-workload",
            Severity::Warning,
            FieldPath::of("metadata.annotations").key(annotation::REQUIRED_SCC),
            format!("{} is read from pods; on a {} it does nothing", annotation::REQUIRED_SCC, kind.kind),
            "move it to the annotations of the pod template",
        ));
    }
    let namespace = metadata.and_then(|metadata| metadata.get("namespace")).and_then(Value::as_str);
    if let Some(namespace) = namespace.filter(|name| EXEMPT_NAMESPACES.contains(name)) {
        findings.push(Finding::new(
            "exempt-namespace",
            Severity::Warning,
            FieldPath::of("metadata.namespace"),
            format!("SCC leaves namespace {namespace} alone: nothing is defaulted and nothing is refused"),
            "use a namespace of its own",
        ));
    }
}

/// Annotations of the pod, or of its template, that have no effect or require a missing SCC.
fn template_annotations(object: &Value, kind: &WorkloadKind, known: &Known, findings: &mut Vec<Finding>) {
    let template = kind.template_path();
    let steps = kind.template.split('.').filter(|step| !step.is_empty());
    let pointer: String = steps.map(|step| format!("/{step}")).collect();
    let annotations = object.pointer(&format!("{pointer}/metadata/annotations")).and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        let path = || template.clone().join(&FieldPath::of("metadata.annotations")).key(key.as_str());
        if key == annotation::REQUIRED_SCC {
            grants::pin(value.as_str().unwrap_or_default(), path(), known, findings);
        } else if let Some(message) = dead_annotation(key) {
            let help = "move it to the field, or remove it";
            findings.push(Finding::new("dead-annotation", Severity::Warning, path(), message, help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(objects: &[Value]) -> Vec<String> {
        let found = lint_all(objects);
        found.iter().map(|(place, finding)| format!("{place} {} {}", finding.path, finding.rule)).collect()
    }

    #[test]
    fn grants_that_grant_nothing_are_told() {
        let rule = |group: &str, resource: &str, verb: &str, name: &str| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "r", "namespace": "n"},
                "rules": [{"apiGroups": [group], "resources": [resource], "verbs": [verb], "resourceNames": [name]}]})
        };
        let scc = "securitycontextconstraints";
        let group = "security.openshift.io";
        for (group, resource, verb, name, expected) in [
            (group, scc, "use", "anyuid", &[][..]),
            ("securiy.openshift.io", scc, "use", "anyuid", &["0 rules[0].apiGroups[0] dead-rule"]),
            ("security.openshift.io/v1", scc, "use", "anyuid", &["0 rules[0].apiGroups[0] dead-rule"]),
            (group, "securitycontextconstraint", "use", "anyuid", &["0 rules[0].resources[0] dead-rule"]),
            (group, "scc", "use", "anyuid", &["0 rules[0].resources[0] dead-rule"]),
            (group, scc, "used", "anyuid", &["0 rules[0].verbs[0] dead-rule"]),
            (group, scc, "use", "anyudi", &["0 rules[0].resourceNames[0] unknown-scc"]),
            (group, scc, "get", "anyuid", &[]),
            ("", "pods", "use", "x", &[]),
            ("", scc, "use", "anyuid", &["0 rules[0].apiGroups dead-rule"]),
        ] {
            assert_eq!(
                all(&[rule(group, resource, verb, name)]),
                expected,
                "{group} {resource} {verb} {name}"
            );
        }
    }

    #[test]
    fn bindings_to_nothing_and_to_nobody_are_told() {
        let binding = |kind: &str, role: &str, subject: Value| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "b", "namespace": "n"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}, "subjects": [subject]})
        };
        let account = || json!({"kind": "ServiceAccount", "name": "a", "namespace": "n"});
        for (kind, role, subject, expected) in [
            ("ClusterRole", "system:openshift:scc:anyuid", account(), &[][..]),
            ("ClusterRole", "system:openshift:scc:anyudi", account(), &["0 roleRef.name missing-role"]),
            ("ClusterRole", "theirs", account(), &[]),
            ("Role", "gone", account(), &["0 roleRef.name missing-role"]),
            (
                "ClusterRole",
                "view",
                json!({"kind": "ServiceAccount", "name": "system:serviceaccount:n:a", "namespace": "n"}),
                &["0 subjects[0].name impossible-subject"],
            ),
            // For a RoleBinding the account's namespace defaults to the binding's.
            ("ClusterRole", "view", json!({"kind": "ServiceAccount", "name": "a"}), &[]),
            (
                "ClusterRole",
                "view",
                json!({"kind": "Group", "name": "system:serviceaccount:n"}),
                &["0 subjects[0].name impossible-subject"],
            ),
            (
                "ClusterRole",
                "view",
                json!({"kind": "User", "name": "system:serviceaccounts:n:a"}),
                &["0 subjects[0].name impossible-subject"],
            ),
            (
                "ClusterRole",
                "system:openshift:scc:hostaccess",
                json!({"kind": "Group", "name": "system:authenticated"}),
                &["0 subjects[0].name scc-for-everybody"],
            ),
            (
                "ClusterRole",
                "system:openshift:scc:nonroot-v2",
                json!({"kind": "Group", "name": "system:authenticated"}),
                &[],
            ),
            ("Role", "view", account(), &["0 roleRef.kind missing-role"]),
            (
                "ClusterRole",
                "view",
                json!({"kind": "Serviceaccount", "name": "a"}),
                &["0 subjects[0].kind impossible-subject"],
            ),
            (
                "ClusterRole",
                "view",
                json!({"kind": "Group", "name": "system:serviceaccount:n:a"}),
                &["0 subjects[0].kind impossible-subject"],
            ),
            (
                "ClusterRole",
                "view",
                json!({"kind": "Group", "name": "n:a"}),
                &["0 subjects[0].name impossible-subject"],
            ),
            (
                "ClusterRole",
                "view",
                json!({"kind": "User", "name": "system:authenticated"}),
                &["0 subjects[0].kind impossible-subject"],
            ),
            (
                "ClusterRole",
                "view",
                json!({"kind": "User", "name": "team-*"}),
                &["0 subjects[0].name impossible-subject"],
            ),
            ("ClusterRole", "view", json!({"kind": "User", "name": "ann"}), &[]),
        ] {
            assert_eq!(all(&[binding(kind, role, subject.clone())]), expected, "{kind} {role} {subject}");
        }
    }

    #[test]
    fn annotations_that_do_nothing_are_told() {
        let pod = |key: &str, value: &str| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": {key: value}}});
        for (key, value, expected) in [
            ("openshift.io/scc", "privileged", "dead-annotation"),
            ("security.alpha.kubernetes.io/sysctls", "a=1", "dead-annotation"),
            ("container.apparmor.security.beta.kubernetes.io/c", "unconfined", "dead-annotation"),
            ("seccomp.security.alpha.kubernetes.io/pod", "unconfined", "dead-annotation"),
            (annotation::REQUIRED_SCC, "anyudi", "unknown-scc"),
        ] {
            assert_eq!(all(&[pod(key, value)]), [format!("0 metadata.annotations[{key}] {expected}")]);
        }
        assert_eq!(all(&[pod(annotation::REQUIRED_SCC, "anyuid")]), [""; 0]);
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "labels": {"openshift.io/scc": "privileged"}}});
        assert_eq!(all(&[namespace]), ["0 metadata.labels[openshift.io/scc] dead-annotation"]);
    }

    fn rules(object: &Value) -> Vec<&'static str> {
        lint(object).iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn pins_and_ranges_in_the_wrong_place_are_found() {
        let role = |names: Value| {
            json!({"kind": "ClusterRole", "metadata": {"name": "x"}, "rules": [{
                "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": names}]})
        };
        assert_eq!(rules(&role(json!([]))), ["use-of-every-scc"]);
        assert_eq!(rules(&role(json!(["a"]))), [""; 0]);
        let namespace = |annotations: Value| json!({"kind": "Namespace", "metadata": {"name": "x", "annotations": annotations}});
        assert_eq!(rules(&namespace(json!({annotation::UID_RANGE: "1/2"}))), ["range-without-level"]);
        assert_eq!(
            rules(&namespace(json!({annotation::UID_RANGE: "x", annotation::MCS: "s0"}))),
            ["malformed-range"]
        );
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "namespace": "default", "annotations": {annotation::REQUIRED_SCC: "x"}}});
        assert_eq!(rules(&deployment), ["pin-on-workload", "exempt-namespace"]);
        assert_eq!(rules(&json!({"kind": KIND, "metadata": {"name": "x"}, "priority": "x"})), ["malformed"]);
    }

    #[test]
    fn accounts_of_namespaces_that_anybody_can_make_are_found() {
        let set = palisade_scc::BuiltinSet::V4.manifest();
        let documents = palisade_k8s::manifest::read(set).unwrap();
        let mut scc = documents
            .iter()
            .map(|document| document.to_json())
            .find(|scc| scc["metadata"]["name"] == "restricted-v2")
            .unwrap();
        scc["users"] = json!([
            "system:serviceaccount:shop:default",
            "system:serviceaccount:openshift-infra:x",
            "alice",
            "system:serviceaccount:openshifter:x"
        ]);
        scc["groups"] = json!([
            "system:serviceaccounts:shop",
            "system:serviceaccounts:kube-system",
            "system:serviceaccounts"
        ]);
        let found: Vec<String> = lint(&scc)
            .iter()
            .filter(|finding| finding.rule == "account-of-open-namespace")
            .map(|finding| finding.path.to_string())
            .collect();
        assert_eq!(found, ["users[0]", "users[3]", "groups[0]"]);
    }
}
