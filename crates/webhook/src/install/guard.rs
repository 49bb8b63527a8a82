//! Who may opt a namespace out: a ValidatingAdmissionPolicy, so that the rule holds while no replica answers.

use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::{Value, json};

use super::{EXEMPT_LABEL, NAME, metadata};

/// The labels that make SCC leave a namespace alone.
const LABELS: [&str; 2] = [EXEMPT_LABEL, "openshift.io/run-level"];

/// A CEL expression: the label has the value that it had before the request.
fn unchanged(label: &str) -> String {
    let value = |object: &str| {
        format!(
            "({object} != null && has({object}.metadata.labels) && '{label}' in {object}.metadata.labels ? {object}.metadata.labels['{label}'] : '')"
        )
    };
    format!("{} == {}", value("object"), value("oldObject"))
}

pub(super) fn objects() -> Vec<Value> {
    let name = format!("{NAME}-exempt");
    let unchanged: Vec<String> = LABELS.iter().map(|label| unchanged(label)).collect();
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
                        "the labels {} turn SecurityContextConstraints off in a namespace: setting them takes the verb exempt on {RESOURCE}.{GROUP}",
                        LABELS.join(" and ")
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
