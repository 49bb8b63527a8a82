//! `exec` and `attach`: permitted to a user for whom the running pod would be admitted again.

use palisade_k8s::Pod;
use palisade_k8s::review::{AdmissionRequest, AdmissionResponse, Status};
use palisade_scc::Mutation;

use crate::Policy;
use crate::audit::refusal_message;
use crate::decide::{Decision, PodRequest, evaluate, exempt_namespace};
use crate::grants::Identity;

/// Decides whether a user may connect to a running pod; `verb` is `exec` or `attach`.
///
/// # Errors
///
/// The user may not: the message for them.
pub fn connect(
    policy: &Policy,
    user: &Identity<'_>,
    verb: &str,
    (namespace, pod): (&str, &Pod<'_>),
) -> Result<(), String> {
    let again = PodRequest {
        namespace,
        user: user.name,
        groups: user.groups,
        scopes: user.scopes,
        pod,
        mutation: Mutation::Allowed,
    };
    match evaluate(policy, &again) {
        Decision::Exempt(_) | Decision::Admitted(_) => Ok(()),
        Decision::Refused(refusal) => Err(format!(
            "{verb} operation is not allowed because the pod's security context exceeds your permissions: {}",
            refusal_message(policy, &again, &refusal)
        )),
    }
}

/// Decides on a review, whose pod is one of the policy.
pub(crate) fn respond(
    policy: &Policy,
    request: &AdmissionRequest<'_>,
    user: &Identity<'_>,
) -> AdmissionResponse {
    let decided = decide(policy, request, user);
    AdmissionResponse {
        uid: request.uid.to_string(),
        allowed: decided.is_ok(),
        status: decided.err().map(Status::forbidden),
        ..AdmissionResponse::default()
    }
}

fn decide(policy: &Policy, request: &AdmissionRequest<'_>, user: &Identity<'_>) -> Result<(), String> {
    let (namespace, name) = (request.namespace.as_str(), request.name.as_str());
    // A namespace is exempt whether or not the pod is known.
    if exempt_namespace(policy, namespace).is_some() {
        return Ok(());
    }
    let Some(text) = policy.pod(namespace, name) else {
        return Err(format!(
            "pod {namespace}/{name} is not part of the policy, so who may connect cannot be decided"
        ));
    };
    let pod: Pod<'_> = serde_json::from_str(text)
        .map_err(|error| format!("pod {namespace}/{name} of the policy: {error}"))?;
    connect(policy, user, &request.sub_resource, (namespace, &pod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyBuilder;
    use palisade_scc::BuiltinSet;
    use serde::Deserialize;
    use serde_json::json;

    #[test]
    fn exec_is_decided_by_the_running_pod() {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("dev");
        let policy = builder.build();
        let plain = json!({"spec": {"containers": [{"name": "a"}]}});
        let host = json!({"spec": {"hostNetwork": true, "containers": [{"name": "a"}]}});
        for (pod, namespace, groups, allowed) in [
            (&plain, "dev", &["system:authenticated"][..], true),
            (&plain, "dev", &[], false),
            (&host, "dev", &["system:authenticated"], false),
            (&host, "kube-system", &[], true),
            (&plain, "lost", &["system:authenticated"], false),
        ] {
            let pod = Pod::deserialize(pod).unwrap();
            let alice = Identity { name: "alice", groups, scopes: palisade_rbac::Scopes::default() };
            let decided = connect(&policy, &alice, "attach", (namespace, &pod));
            assert_eq!(decided.is_ok(), allowed, "{decided:?}");
            let begin = "attach operation is not allowed because the pod's security context exceeds your permissions: ";
            assert!(decided.err().is_none_or(|why| why.starts_with(begin) && why.len() > begin.len() + 5));
        }
    }
}
