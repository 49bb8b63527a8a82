//! The right to opt a namespace out: a ValidatingAdmissionPolicy, so that the rule holds while no replica answers.

use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::{Value, json};

use super::{EXEMPT_LABEL, NAME, metadata};
use crate::mode::MODE_LABEL;

/// The labels that make SCC leave a namespace alone.
const LABELS: [&str; 2] = [EXEMPT_LABEL, "openshift.io/run-level"];

/// A CEL expression: the value of a label, empty where it is not set.
fn value(object: &str, label: &str) -> String {
    format!(
        "({object} != null && has({object}.metadata.labels) && '{label}' in {object}.metadata.labels ? {object}.metadata.labels['{label}'] : '')"
    )
}

/// A CEL expression: the label has the value that it had before the request.
fn unchanged(label: &str) -> String {
    format!("{} == {}", value("object", label), value("oldObject", label))
}

/// A CEL expression: the mode is what it was, or it is the strictest one.
fn no_weaker() -> String {
    format!("({} || {} == 'enforce')", unchanged(MODE_LABEL), value("object", MODE_LABEL))
}

pub(super) fn objects() -> Vec<Value> {
    let name = format!("{NAME}-exempt");
    let mut unchanged: Vec<String> = LABELS.iter().map(|label| unchanged(label)).collect();
    unchanged.push(no_weaker());
    let may = format!("authorizer.group('{GROUP}').resource('{RESOURCE}').check('exempt').allowed()");
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata(&name, None),
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["namespaces"],
                    "operations": ["CREATE", "UPDATE"],
                }]},
                "validations": [{
                    "expression": format!("({}) || {may}", unchanged.join(" && ")),
                    "message": format!(
                        "the labels {}, {MODE_LABEL} turn SecurityContextConstraints off in a namespace: changing them takes the verb exempt on {RESOURCE}.{GROUP}",
                        LABELS.join(", ")
                    ),
                    "reason": "Forbidden",
                }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata(&name, None),
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}
