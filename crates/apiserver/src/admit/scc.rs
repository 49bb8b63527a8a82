//! SCC, decided by `palisade-admission` in process: typed requests in, typed answers out.

use palisade_admission::{
    Identity as User, PodRequest, Policy, SccWrite, Scopes, Update, Verdict, admit_pod,
};
use palisade_k8s::patch::Edits;
use palisade_k8s::{FieldError, FieldPath, Pod};
use palisade_scc::Mutation;
use serde::Deserialize;
use serde_json::Value;

use crate::call::Call;
use crate::decider::Decider;
use crate::error::{ApiError, ApiResult};
use crate::failure;
use crate::identity::Identity;
use crate::request::Target;
use crate::resource::{self, text};

/// Prefix of the names of the audit log's annotations.
const AUDIT_PREFIX: &str = "securitycontextconstraints.admission.openshift.io/";

/// Decides on a pod, and completes it by the SCC that admits it.
pub(super) fn pod(
    call: &Call<'_>,
    pod: &mut Value,
    old: Option<&Value>,
    mutation: Mutation,
) -> ApiResult<()> {
    let policy = call.api.policy.snapshot();
    let decided = decide(&policy, (call.identity, call.target), pod, (old, mutation))?;
    for (key, value) in decided.audit {
        call.notes.annotate(format!("{AUDIT_PREFIX}{key}"), value);
    }
    let edits = decided
        .edits
        .map_err(|why| ApiError::forbidden(&call.target.resource, text(pod, "/metadata/name"), why))?;
    edits.apply(pod).map_err(|error| failure::internal("the changes of SCC cannot be made", &error))
}

/// Copies an answer that borrows from the pod, so that the pod can be changed.
struct Decided {
    audit: std::collections::BTreeMap<String, String>,
    /// The changes to make, or the reason for a refusal.
    edits: Result<Edits, String>,
}

fn decide(
    policy: &Policy,
    (identity, target): (&Identity, &Target),
    pod: &Value,
    (old, mutation): (Option<&Value>, Mutation),
) -> ApiResult<Decided> {
    let (parsed, groups, scopes) = (read(pod)?, identity.groups(), identity.scopes());
    let request = PodRequest {
        namespace: &target.namespace,
        user: &identity.name,
        groups: &groups,
        scopes: Scopes(&scopes),
        pod: &parsed,
        mutation,
    };
    let update = old.map(|old| Update::between(old.clone(), pod.clone()));
    let answer = admit_pod(policy, &request, update);
    let edits = match answer.verdict {
        Verdict::Exempt(_) => Ok(Edits::default()),
        Verdict::Admitted(admission) => Ok(admission.edits(&parsed)),
        Verdict::Refused(why) => Err(why),
    };
    Ok(Decided { audit: answer.audit, edits })
}

/// Decides on a connection to a running pod: exec, attach.
pub(crate) fn connect(call: &Call<'_>, pod: &Value) -> ApiResult<()> {
    if call.api.decider != Decider::Server {
        return Ok(());
    }
    let (policy, groups, scopes) =
        (call.api.policy.snapshot(), call.identity.groups(), call.identity.scopes());
    let (target, parsed) = (call.target, read(pod)?);
    let user = User { name: &call.identity.name, groups: &groups, scopes: Scopes(&scopes) };
    palisade_admission::connect(&policy, &user, target.subresource_name(), (&target.namespace, &parsed))
        .map_err(|why| ApiError::forbidden(&target.resource, &target.name, why))
}

fn read(pod: &Value) -> ApiResult<Pod<'_>> {
    Pod::deserialize(pod).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Refuses an SCC that breaks its own rules, sets defaults, and returns warnings for its author.
pub(crate) fn complete(object: &mut Value) -> ApiResult<Vec<String>> {
    let name = text(object, "/metadata/name");
    let misfit = |why: String| {
        let error = FieldError::invalid(FieldPath::root(), Value::Null, why);
        ApiError::invalid(&resource::SCCS, name, &[error])
    };
    let map = object.as_object().ok_or_else(|| misfit("must be an object".to_owned()))?;
    let scc = SccWrite::read(map).map_err(|error| misfit(error.to_string()))?;
    match scc.errors().as_slice() {
        [] => {}
        errors => return Err(ApiError::invalid(&resource::SCCS, name, errors)),
    }
    let (warnings, edits) = (scc.warnings(), scc.edits());
    edits.apply(object).map_err(|error| failure::internal("the defaults of an SCC cannot be set", &error))?;
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_admission::respond;
    use palisade_testing::corpus::{self, patched};
    use serde_json::json;
    use std::collections::HashMap;

    /// Every conformance case, updates and ephemeral containers included: the pod, the message and the audit log are
    /// those of `palisade admit`.
    #[test]
    fn pods_are_decided_as_admit_decides() {
        let mut policies: HashMap<String, Policy> = HashMap::new();
        let pods = &resource::PODS;
        for case in corpus::cases() {
            let name = case.policy.as_str();
            let policy = policies
                .entry(name.to_owned())
                .or_insert_with(|| palisade_testing::policy(&corpus::policy_text(name)));
            let request = &case.review["request"];
            let field = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
            let target = Target {
                resource: pods.clone(),
                namespace: field("namespace"),
                name: field("name"),
                subresource: pods.subresource(&field("subResource")),
            };
            let groups = serde_json::from_value(request["userInfo"]["groups"].clone()).unwrap_or_default();
            let user = text(request, "/userInfo/username").to_owned();
            let identity = Identity { name: user, uid: String::new(), groups, extra: Vec::new() };
            let old = (request["operation"] == "UPDATE").then(|| &request["oldObject"]);
            let mutation = match (old, target.subresource_name()) {
                (None, _) => Mutation::Allowed,
                (_, "ephemeralcontainers") => Mutation::EphemeralOnly,
                _ => Mutation::Forbidden,
            };
            let ours = decide(policy, (&identity, &target), &request["object"], (old, mutation)).unwrap();
            let theirs = respond(policy, &case.review.to_string()).unwrap();
            assert_eq!(ours.audit, theirs.audit_annotations);
            match &ours.edits {
                Ok(edits) => {
                    let mut pod = request["object"].clone();
                    edits.apply(&mut pod).unwrap();
                    assert!(theirs.allowed);
                    assert_eq!(pod, patched(&request["object"], &serde_json::to_value(&theirs).unwrap()));
                }
                Err(why) => assert_eq!(Some(why), theirs.status.map(|status| status.message).as_ref()),
            }
        }
    }

    #[test]
    fn sccs_are_completed_and_warned_of_as_admit_does() {
        let policy = Policy::default();
        let mut warned = 0;
        for case in corpus::sccs() {
            let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
                "uid": "1", "operation": "CREATE", "object": case.scc,
                "resource": {"group": palisade_k8s::scc::GROUP, "version": "v1", "resource": palisade_k8s::scc::RESOURCE}}});
            let Ok(theirs) = respond(&policy, &review.to_string()) else {
                let read = case.scc.as_object().map(SccWrite::read);
                assert!(read.is_none_or(|read| read.is_err()), "{}", case.scc);
                continue;
            };
            let mut object = case.scc.clone();
            match complete(&mut object) {
                Ok(warnings) => {
                    assert_eq!(warnings, theirs.warnings, "{}", case.scc);
                    warned += usize::from(!warnings.is_empty());
                    assert_eq!(object, patched(&case.scc, &serde_json::to_value(&theirs).unwrap()));
                }
                Err(error) => assert_eq!(Some(error.message), theirs.status.map(|status| status.message)),
            }
        }
        assert!(warned > 20, "only {warned} cases have warnings");
    }
}
