//! The right to opt a namespace out: a ValidatingAdmissionPolicy, so that the rule holds while no replica answers.

use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use palisade_k8s::scc::{GROUP, RESOURCE};
use serde_json::{Value, json};

use super::webhooks::exempt_names;
use super::{EXEMPT_LABEL, NAME, Settings, metadata};
use crate::mode::MODE_LABEL;

/// The labels that make SCC leave a namespace alone.
const LABELS: [&str; 2] = [EXEMPT_LABEL, "openshift.io/run-level"];
/// The annotations with the users and levels of a namespace's pods.
const RANGES: [&str; 3] = [UID_RANGE, MCS, SUPPLEMENTAL_GROUPS];

/// A CEL expression: the value of a label or an annotation, empty if it is not set.
fn value(object: &str, map: &str, key: &str) -> String {
    format!(
        "({object} != null && has({object}.metadata.{map}) && '{key}' in {object}.metadata.{map} ? {object}.metadata.{map}['{key}'] : '')"
    )
}

/// A CEL expression: the label is unchanged by the request.
fn unchanged(label: &str) -> String {
    format!("{} == {}", value("object", "labels", label), value("oldObject", "labels", label))
}

/// A CEL expression: the mode is unchanged, or becomes the strictest one.
fn no_weaker() -> String {
    format!("({} || {} == 'enforce')", unchanged(MODE_LABEL), value("object", "labels", MODE_LABEL))
}

/// A CEL expression: the ranges are unchanged. If there were none, they may be set.
fn same_ranges(account: &str) -> String {
    let same = RANGES.map(|key| {
        let (new, old) = (value("object", "annotations", key), value("oldObject", "annotations", key));
        format!("({old} == '' || {new} == {old})")
    });
    format!(
        "request.operation == 'CREATE' || request.userInfo.username == '{account}' || ({})",
        same.join(" && ")
    )
}

/// A CEL expression: a new namespace does not have a name that SCC exempts.
fn no_exempt_name(settings: &Settings) -> String {
    let names: Vec<String> = exempt_names(settings).iter().map(|name| format!("'{name}'")).collect();
    format!("request.operation != 'CREATE' || !(object.metadata.name in [{}])", names.join(", "))
}

pub(super) fn objects(settings: &Settings) -> Vec<Value> {
    let name = format!("{NAME}-exempt");
    let mut unchanged: Vec<String> = LABELS.iter().map(|label| unchanged(label)).collect();
    unchanged.push(no_weaker());
    let may = format!("authorizer.group('{GROUP}').resource('{RESOURCE}').check('exempt').allowed()");
    let verb = format!("takes the verb exempt on {RESOURCE}.{GROUP}");
    let account = palisade_rbac::service_account_user(&settings.namespace, NAME);
    let rule = |holds: &str, message: String| json!({"expression": format!("({holds}) || {may}"), "message": message, "reason": "Forbidden"});
    let validations = [
        rule(
            &unchanged.join(" && "),
            format!(
                "the labels {}, {MODE_LABEL} turn SecurityContextConstraints off in a namespace: changing them {verb}",
                LABELS.join(", ")
            ),
        ),
        rule(
            &no_exempt_name(settings),
            format!("SecurityContextConstraints leave a namespace of this name alone: making one {verb}"),
        ),
        rule(
            &same_ranges(&account),
            format!(
                "the annotations {} are the namespace's own users and levels: changing them {verb}",
                RANGES.join(", ")
            ),
        ),
    ];
    vec![
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata(&name, None),
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [{
                    // All requests that can write a namespace's metadata, including those of its subresources.
                    "apiGroups": [""], "apiVersions": ["v1"],
                    "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
                    "operations": ["CREATE", "UPDATE"],
                }]},
                "validations": validations,
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata(&name, None),
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        }),
    ]
}
