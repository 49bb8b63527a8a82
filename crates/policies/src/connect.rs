//! The policy on `exec` and `attach`: as `palisade admit` decides them, by the pod as it runs.
//!
//! A request to connect holds no pod. The API server finds it as the policy's parameter, of which it hands over all that
//! the namespace has, one after the other: the cost grows with the number of pods in the namespace.

use serde_json::{Value, json};

use crate::entry::Translated;
use crate::facts::Variable;
use crate::trial::{self, Trial};

/// The variables of the policy.
pub(crate) fn variables(sccs: &[Translated<'_>]) -> Vec<Variable> {
    trial::variables(sccs, Trial::Connection)
}

/// The only validation.
pub(crate) fn validations() -> Value {
    json!([{
        "expression": "!variables.relevant || variables.hasRanges && variables.admitted",
        "messageExpression": "request.subResource + ' operation is not allowed because the pod\\'s security context exceeds your permissions: ' + \
            (variables.hasRanges ? string(variables.refusal) : 'namespace ' + request.namespace + ' has no ranges')",
    }])
}

/// The condition that picks the pod of the request out of those of its namespace.
pub(crate) fn conditions() -> Value {
    json!([{"name": "pod-of-the-request", "expression": "params.metadata.name == request.name"}])
}
