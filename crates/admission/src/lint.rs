//! What stands beside SCCs and spoils them: grants of everything, and pins and ranges in the wrong place.

use palisade_k8s::rbac::Role;
use palisade_k8s::scc::{GROUP, KIND, RESOURCE, annotation};
use palisade_k8s::workload::WorkloadKind;
use palisade_k8s::{FieldPath, SecurityContextConstraints, fit};
use palisade_scc::{Finding, NamespaceRanges, Severity};
use serde::Deserialize;
use serde_json::Value;

use crate::policy::EXEMPT_NAMESPACES;

/// Lints one object of any kind; kinds that have nothing to do with SCC give no findings.
#[must_use]
pub fn lint(object: &Value) -> Vec<Finding> {
    let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
    let mut findings = Vec::new();
    match text("kind") {
        KIND => scc(object, &mut findings),
        "ClusterRole" | "Role" => role(object, &mut findings),
        "Namespace" => namespace(object, &mut findings),
        kind => {
            if let Some(workload_kind) = WorkloadKind::of(text("apiVersion"), kind) {
                workload(object, workload_kind, &mut findings);
            }
        }
    }
    findings
}

fn scc(object: &Value, findings: &mut Vec<Finding>) {
    match fit::<SecurityContextConstraints, _>(object) {
        Err(misfit) => findings.push(Finding::new(
            "malformed",
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

/// Accounts by name, in namespaces that whoever may make projects can make: once it is gone, or before it is there, that
/// is anybody.
fn accounts(field: &'static str, names: &[String], prefix: &str, findings: &mut Vec<Finding>) {
    let is_reserved = |namespace: &str| {
        let of = |own: &&str| {
            namespace.strip_prefix(*own).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        namespace == "default" || ["openshift", "kubernetes", "kube"].iter().any(|own| of(&own))
    };
    for (index, name) in names.iter().enumerate() {
        let namespace = name.strip_prefix(prefix).map(|rest| rest.split(':').next().unwrap_or(rest));
        let Some(namespace) = namespace.filter(|namespace| !is_reserved(namespace)) else { continue };
        findings.push(Finding::new(
            "account-of-open-namespace",
            Severity::Warning,
            FieldPath::of(field).index(index),
            format!(
                "whoever makes the namespace {namespace}, before it is there or after it is gone, may use this SCC"
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
        let lists = |list: &[String], name: &str| list.iter().any(|listed| listed == "*" || listed == name);
        let covers =
            lists(&rule.api_groups, GROUP) && lists(&rule.resources, RESOURCE) && lists(&rule.verbs, "use");
        if covers && rule.resource_names.is_empty() {
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

fn namespace(object: &Value, findings: &mut Vec<Finding>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(object: &Value) -> Vec<&'static str> {
        lint(object).iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn finds_what_spoils_an_scc_from_outside() {
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
