//! `exec` and `attach`: allowed to whom the pod, as it runs, would be admitted again.

use palisade_k8s::Pod;
use palisade_k8s::review::{AdmissionRequest, AdmissionResponse, Status};
use palisade_scc::Mutation;

use crate::Policy;
use crate::audit::refusal_message;
use crate::decide::{Decision, PodRequest, evaluate, exempt_namespace};

/// Decides whether the user may connect to the pod of the policy that the request names.
pub(crate) fn respond(policy: &Policy, request: &AdmissionRequest<'_>, groups: &[&str]) -> AdmissionResponse {
    let (namespace, name) = (request.namespace.as_str(), request.name.as_str());
    let allowed = || AdmissionResponse { uid: request.uid.to_string(), allowed: true, ..Default::default() };
    // An exempt namespace is so whether or not the pod is known.
    if exempt_namespace(policy, namespace).is_some() {
        return allowed();
    }
    let Some(text) = policy.pod(namespace, name) else {
        return forbid(
            request,
            format!("pod {namespace}/{name} is not part of the policy, so who may connect cannot be decided"),
        );
    };
    let pod: Pod<'_> = match serde_json::from_str(text) {
        Ok(pod) => pod,
        Err(error) => return forbid(request, format!("pod {namespace}/{name} of the policy: {error}")),
    };
    let user = request.user_info.username.as_str();
    let again = PodRequest { namespace, user, groups, pod: &pod, mutation: Mutation::Allowed };
    match evaluate(policy, &again) {
        Decision::Exempt(_) | Decision::Admitted(_) => allowed(),
        Decision::Refused(refusal) => {
            let why = refusal_message(policy, &again, &refusal);
            let verb = &request.sub_resource;
            forbid(
                request,
                format!(
                    "{verb} operation is not allowed because the pod's security context exceeds your permissions: {why}"
                ),
            )
        }
    }
}

fn forbid(request: &AdmissionRequest<'_>, message: String) -> AdmissionResponse {
    let status = Some(Status::forbidden(message));
    AdmissionResponse { uid: request.uid.to_string(), status, ..Default::default() }
}
