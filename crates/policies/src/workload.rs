//! The policy on workloads: the author of a workload is warned at once that its pods would be refused.

use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_k8s::workload::KINDS;
use serde_json::{Value, json};

use crate::cel::text;
use crate::entry::Translated;
use crate::facts::{self, Variable};
use crate::trial::{self, Trial};

/// Maximum number of SCCs that it can evaluate: each may take an authorizer check.
pub(crate) const LIMIT: usize = 26;

/// The variables of the policy. `everybody` names the SCCs that all authenticated users may use.
pub(crate) fn variables(sccs: &[Translated<'_>], everybody: &[String]) -> Vec<Variable> {
    let mut variables = vec![Variable::new("template", template())];
    variables.extend(controller());
    let asks_controller = asks_controller(sccs, everybody);
    variables.extend(trial::variables(sccs, Trial::Workload { everybody, asks_controller }));
    variables
}

/// Whether the budget pays for the rights of the controllers too: with the service account's that is two checks for each SCC
/// that not all users may use.
pub(crate) fn asks_controller(sccs: &[Translated<'_>], everybody: &[String]) -> bool {
    let closed = sccs.iter().filter(|scc| !everybody.iter().any(|name| name == scc.name()));
    closed.count() * 2 <= LIMIT
}

/// The controller that makes the pods: its user, its groups, and its rights. The API server gives a service account that it is
/// asked about no `system:authenticated`.
fn controller() -> [Variable; 4] {
    let kinds = KINDS.iter().filter(|kind| is_matched(kind.group, kind.kind));
    let cases = kinds.filter_map(|kind| {
        let name = kind.controller.strip_prefix(&format!("{}:", account_prefix()))?;
        (name != REPLICA_SET).then(|| format!("request.kind.kind == {} ? {} : ", text(kind.kind), text(name)))
    });
    let name = format!("{}{}", cases.collect::<String>(), text(REPLICA_SET));
    let rights = format!(
        "authorizer.serviceAccount({}, variables.controller).group({}).resource({}).namespace(request.namespace)",
        text(CONTROLLERS),
        text(GROUP),
        text(RESOURCE)
    );
    [
        Variable::new("controller", name),
        Variable::new(
            "controllerUser",
            format!("{} + variables.controller", text(&format!("{}:", account_prefix()))),
        ),
        Variable::new(
            "controllerGroups",
            format!("['system:serviceaccounts', {}]", text(&format!("system:serviceaccounts:{CONTROLLERS}"))),
        ),
        Variable::new("mayController", rights),
    ]
}

/// The namespace of the accounts of Kubernetes' controllers.
const CONTROLLERS: &str = "kube-system";
/// The account of most.
const REPLICA_SET: &str = "replicaset-controller";

fn account_prefix() -> String {
    format!("system:serviceaccount:{CONTROLLERS}")
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

/// The namespace needs ranges, and an SCC must admit the pods.
pub(crate) fn validations() -> Value {
    json!([
        {
            "expression": "!variables.relevant || variables.hasRanges",
            "messageExpression": format!("'its pods would be refused: ' + {}", facts::no_ranges()),
        },
        {
            "expression": "!variables.relevant || !variables.hasRanges || variables.admitted",
            "messageExpression": "'its pods would be refused: ' + string(variables.refusal)",
        },
    ])
}
