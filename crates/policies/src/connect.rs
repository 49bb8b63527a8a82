//! The policy on `exec` and `attach`, which decides as `palisade admit` does, by the running pod.
//!
//! A CONNECT request has no pod. The API server finds it as the policy's parameter, of which it passes all in the
//! namespace, one after the other: the cost grows with the number of pods in the namespace.

use serde_json::{Value, json};

use crate::entry::Translated;
use crate::facts::Variable;
use crate::trial::{self, Trial};
use crate::validating;

/// The variables of the policy.
pub(crate) fn variables(sccs: &[Translated<'_>]) -> Vec<Variable> {
    trial::variables(sccs, Trial::Connection)
}

/// The only validation.
pub(crate) fn validations() -> Value {
    validating::forbidding(json!([{
        "expression": "!variables.relevant || variables.hasRanges && variables.admitted",
        "messageExpression": "request.subResource + ' operation is not allowed because the pod\\'s security context exceeds your permissions: ' + \
            (variables.hasRanges ? string(variables.refusal) : 'namespace ' + request.namespace + ' has no ranges')",
    }]))
}

/// The condition that selects the pod of the request among those of its namespace.
pub(crate) fn conditions() -> Value {
    json!([{"name": "pod-of-the-request", "expression": "params.metadata.name == request.name"}])
}
