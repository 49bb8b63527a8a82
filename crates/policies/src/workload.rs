//! The policy on workloads: the author of a workload is warned at once that its pods would be refused.

use palisade_k8s::workload::KINDS;
use serde_json::{Value, json};

use crate::cel::text;
use crate::entry::Translated;
use crate::facts::Variable;
use crate::trial::{self, Trial};

/// Maximum number of SCCs that it can evaluate: each may take an authorizer check.
pub(crate) const LIMIT: usize = 26;

/// The variables of the policy. `everybody` names the SCCs that all authenticated users may use.
pub(crate) fn variables(sccs: &[Translated<'_>], everybody: &[String]) -> Vec<Variable> {
    let mut variables = vec![Variable::new("template", template())];
    variables.extend(trial::variables(sccs, Trial::Workload(everybody)));
    variables
}

/// The template, wherever the kind of the object has it: most have it in one place.
fn template() -> String {
    const MOST: &str = "spec.template";
    let others = KINDS.iter().filter(|kind| is_matched(kind.group, kind.kind) && kind.template != MOST);
    let cases =
        others.map(|kind| format!("request.kind.kind == {} ? object.{} : ", text(kind.kind), kind.template));
    format!("{}object.{MOST}", cases.collect::<String>())
}

fn is_matched(group: &str, kind: &str) -> bool {
    RULES.iter().any(|(known, resources)| {
        *known == group && resources.iter().any(|resource| *resource == format!("{}s", kind.to_lowercase()))
    })
}

/// The matched resources, by group.
const RULES: [(&str, &[&str]); 3] = [
    ("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"]),
    ("batch", &["jobs", "cronjobs"]),
    ("", &["replicationcontrollers"]),
];

pub(crate) fn rules() -> Value {
    let rule = |(group, resources): (&str, &[&str])| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources});
    RULES.map(rule).to_vec().into()
}

/// The only validation.
pub(crate) fn validations() -> Value {
    json!([{
        "expression": "!variables.relevant || !variables.hasRanges || variables.admitted",
        "messageExpression": "'its pods would be refused: ' + string(variables.refusal)",
    }])
}
