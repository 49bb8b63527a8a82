//! Looks at the live cluster: for the pod of a connection, and before a refusal for what the watches may not have told
//! yet. One request each, without retries: the API server waits for the answer.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::PostParams;
use kube::{Api, Client};
use palisade_admission::{PodRequest, Policy, PolicyCache, PolicyError, PolicyKind, PolicyObject, explain};
use palisade_k8s::rbac;
use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_rbac::RbacKind;
use palisade_scc::{Mutation, Outcome};
use serde_json::{Value, json};

use crate::request::Request;

/// The pause between two looks at a namespace that is about to get ranges; the whole look-up has a deadline.
const RANGES_PERIOD: Duration = Duration::from_millis(60);

/// Why an object of the live cluster is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// The API server refused, or has no such object.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// It cannot be part of a policy.
    #[error("{0}")]
    Object(#[from] PolicyError),
    /// It cannot be written as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// The policy with these objects too, for one decision.
pub(crate) fn overlay(cache: &PolicyCache, objects: impl IntoIterator<Item = PolicyObject>) -> PolicyCache {
    let overlay = PolicyCache::new(Policy::clone(&cache.snapshot()));
    objects.into_iter().for_each(|object| overlay.apply(object));
    overlay
}

/// The pod that somebody connects to.
pub(crate) async fn pod(client: &Client, namespace: &str, name: &str) -> Result<PolicyObject, LookupError> {
    let pod = Api::<Pod>::namespaced(client.clone(), namespace).get(name).await?;
    Ok(PolicyObject::of(PolicyKind::Pod, &serde_json::to_value(&pod)?)?)
}

/// A policy that knows what the cluster knows and the watches have not told; `None` where that changes nothing.
pub(crate) async fn fresher(
    client: &Client,
    cache: &PolicyCache,
    request: &Request<'_>,
) -> Option<PolicyCache> {
    let policy = cache.snapshot();
    if policy.namespace(request.namespace()).is_none() {
        let namespace = Api::<Namespace>::all(client.clone()).get(request.namespace()).await.ok()?;
        let namespace = serde_json::to_value(&namespace).ok()?;
        let object = PolicyObject::of(PolicyKind::Namespace, &namespace).ok()?;
        return Some(overlay(cache, [object]));
    }
    if policy.namespace(request.namespace()).is_some_and(|namespace| namespace.ranges().is_err()) {
        return with_ranges(client, cache, request.namespace()).await;
    }
    let (scc, account) = ungranted(&policy, request)?;
    if !is_granted(client, request.namespace(), &account, &scc).await {
        return None;
    }
    Some(overlay(cache, grant(request.namespace(), &account, &scc)?))
}

/// Waits until the namespace has the ranges that it is about to be given.
async fn with_ranges(client: &Client, cache: &PolicyCache, name: &str) -> Option<PolicyCache> {
    let api = Api::<Namespace>::all(client.clone());
    loop {
        let namespace = serde_json::to_value(&api.get(name).await.ok()?).ok()?;
        let object = PolicyObject::of(PolicyKind::Namespace, &namespace).ok()?;
        let overlay = overlay(cache, [object]);
        if overlay.snapshot().namespace(name).is_some_and(|namespace| namespace.ranges().is_ok()) {
            return Some(overlay);
        }
        tokio::time::sleep(RANGES_PERIOD).await;
    }
}

/// The first SCC in order that would admit the pod if its service account might use it, and the account.
fn ungranted(policy: &Policy, request: &Request<'_>) -> Option<(String, String)> {
    let pod: palisade_k8s::Pod<'_> = serde_json::from_str(request.object()).ok()?;
    let account = pod.spec.service_account_name.as_str();
    if account.is_empty() {
        return None;
    }
    let groups: Vec<&str> = request.user().groups.iter().map(|group| &**group).collect();
    let asked = PodRequest {
        namespace: request.namespace(),
        user: &request.user().username,
        groups: &groups,
        pod: &pod,
        mutation: Mutation::Allowed,
    };
    let trace = explain(policy, &asked);
    let step =
        trace.steps.iter().find(|step| !step.is_usable() && matches!(step.outcome, Outcome::Admits(_)))?;
    Some((step.entry.name().to_owned(), account.to_owned()))
}

/// Whether any authorizer of the cluster lets the account use the SCC.
async fn is_granted(client: &Client, namespace: &str, account: &str, scc: &str) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(palisade_rbac::service_account_user(namespace, account)),
            // The API server adds none itself.
            groups: Some(vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
            ]),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(RESOURCE.to_owned()),
                name: Some(scc.to_owned()),
                namespace: Some(namespace.to_owned()),
                verb: Some("use".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.is_ok_and(|answer| answer.status.is_some_and(|status| status.allowed))
}

/// What an authorizer other than RBAC grants, as the role and the binding that would grant it.
fn grant(namespace: &str, account: &str, scc: &str) -> Option<[PolicyObject; 2]> {
    // No object of a cluster has this name: `:` at the end is refused nowhere, but nobody writes it.
    let name = "palisade:granted:";
    let role = json!({
        "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": [GROUP], "resources": [RESOURCE], "resourceNames": [scc], "verbs": ["use"]}],
    });
    let binding = json!({
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": rbac::GROUP, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
    });
    let object = |kind, object: &Value| PolicyObject::of(PolicyKind::Rbac(kind), object).ok();
    Some([object(RbacKind::Role, &role)?, object(RbacKind::RoleBinding, &binding)?])
}
