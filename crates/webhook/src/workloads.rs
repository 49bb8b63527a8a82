//! Workloads: the author of a workload is warned at once that its pods would be refused, instead of finding out from
//! events of a ReplicaSet. It is only a warning: the decision is made when the pods are created.

use palisade_admission::{Decision, PodRequest, Policy, Scopes, evaluate, refusal_message};
use palisade_api::weight;
use palisade_k8s::Pod;
use palisade_k8s::review::AdmissionResponse;
use palisade_k8s::workload::WorkloadKind;
use palisade_scc::Mutation;
use serde_json::Value;

use crate::memory::WEIGHT;
use crate::request::Request;
use crate::warning::shortened;

pub(crate) fn respond(policy: &Policy, request: &Request<'_>) -> AdmissionResponse {
    AdmissionResponse {
        uid: request.uid().to_owned(),
        allowed: true,
        warnings: warning(policy, request).into_iter().collect(),
        ..AdmissionResponse::default()
    }
}

/// The kinds of workloads whose pods a controller creates.
fn kind(request: &Request<'_>) -> Option<&'static WorkloadKind> {
    let (api_version, kind) = request.kind();
    WorkloadKind::of(&api_version, kind).filter(|kind| !kind.controller.is_empty())
}

/// The pod that a workload makes.
pub(crate) fn template(request: &Request<'_>) -> Option<String> {
    // It is parsed as values, which weigh many times its text.
    if weight::of_json(request.object().as_bytes()) > WEIGHT {
        return None;
    }
    let object: Value = serde_json::from_str(request.object()).ok()?;
    let template = kind(request)?.template.split('.').try_fold(&object, |at, field| at.get(field))?;
    Some(template.to_string())
}

fn warning(policy: &Policy, request: &Request<'_>) -> Option<String> {
    let kind = kind(request)?;
    let template = template(request)?;
    let pod: Pod<'_> = serde_json::from_str(&template).ok()?;
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    let asked = PodRequest {
        namespace: request.namespace(),
        user: kind.controller,
        groups: &groups,
        scopes: Scopes::default(),
        pod: &pod,
        mutation: Mutation::Allowed,
    };
    let Decision::Refused(refusal) = evaluate(policy, &asked) else { return None };
    let why = refusal_message(policy, &asked, &refusal);
    Some(shortened(&format!("its pods would be refused: {why}")))
}
