//! Workloads: the author of a workload is warned at once that its pods would be refused, and not only by the workload's
//! condition later. It is only a warning: the decision is made when the pods are created, by the rights of that moment.

use palisade_admission::{Decision, PodRequest, Scopes, evaluate, refusal_message};
use palisade_k8s::workload::{WorkloadKind, add_claims, claim_templates, name_of};
use palisade_k8s::{Pod, put};
use palisade_scc::Mutation;
use serde::Deserialize;
use serde_json::Value;

use super::pod_security;
use crate::call::Call;
use crate::decider::Decider;
use crate::error::ApiResult;
use crate::identity::Identity;
use crate::resource::text;

/// Maximum length of the warning, in bytes.
const LENGTH: usize = 1024;

/// Warns of pods that would be refused: by the namespace's Pod Security levels, and by SCC unless the template is
/// unchanged.
pub(super) fn check(call: &Call<'_>, object: &Value, old: Option<&Value>) -> ApiResult<()> {
    let resource = &call.target.resource;
    let Some(kind) = WorkloadKind::of(&resource.api_version(), resource.kind()) else { return Ok(()) };
    if let Some(template) = template(kind, object) {
        pod_security::check_template(call, template)?;
    }
    if call.api.decider == Decider::Server {
        call.notes.warn(refusal(call, kind, object, old));
    }
    Ok(())
}

fn template<'o>(kind: &WorkloadKind, object: &'o Value) -> Option<&'o Value> {
    kind.template.split('.').try_fold(object, |at: &Value, field| at.get(field))
}

fn refusal(call: &Call<'_>, kind: &WorkloadKind, object: &Value, old: Option<&Value>) -> Option<String> {
    if kind.controller.is_empty() {
        return None;
    }
    let template_of = |object| template(kind, object);
    let mut template = template_of(object)?.clone();
    if old.is_some_and(|old| template_of(old) == Some(&template)) {
        return None;
    }
    add_claims(&mut template, claim_templates(object).map(name_of), str::to_owned);
    if text(&template, "/spec/serviceAccountName").is_empty() {
        put(&mut template, &["spec", "serviceAccountName"], "default".into());
    }
    let pod = Pod::deserialize(&template).ok()?;
    // The rights of its controller count too, as they do when it creates the pods.
    let account = kind.controller.rsplit(':').next().unwrap_or_default();
    let controller = Identity::service_account("kube-system", account, "");
    let (policy, groups) = (call.api.policy.snapshot(), controller.groups());
    let request = PodRequest {
        namespace: &call.target.namespace,
        user: kind.controller,
        groups: &groups,
        scopes: Scopes::default(),
        pod: &pod,
        mutation: Mutation::Allowed,
    };
    let Decision::Refused(refusal) = evaluate(&policy, &request) else { return None };
    let mut why = refusal_message(&policy, &request, &refusal);
    if why.len() > LENGTH {
        why.truncate(why.floor_char_boundary(LENGTH));
        why.push_str("...");
    }
    Some(format!("its pods would be refused: {why}"))
}
