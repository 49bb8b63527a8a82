//! Requests to the live cluster: for the pod of a connection, and before a refusal for objects that the watches may not
//! have brought yet. One request each, without retries: the API server waits for the answer.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use palisade_admission::{
    Missing, PodRequest, Policy, PolicyCache, PolicyError, PolicyKind, PolicyObject, Scopes, Subject, missing,
};
use palisade_k8s::rbac;
use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_rbac::RbacKind;
use serde_json::{Value, json};

use crate::policy::resource;
use crate::request::Request;

/// The pause between two reads of a namespace that is about to get ranges; the whole lookup has a deadline.
const RANGES_PERIOD: Duration = Duration::from_millis(60);
/// Maximum number of sequential lookups: a namespace, its ranges, a grant.
const STEPS: usize = 3;
/// Maximum number of grants to check: for each SCC that would admit the pod, the account's and the user's.
const GRANTS: usize = 4;

/// An error of reading an object of the live cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// The API server refused, or has no such object.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// It is not valid in a policy.
    #[error("{0}")]
    Object(#[from] PolicyError),
    /// It cannot be encoded as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// The policy with these objects added, for one decision.
pub(crate) fn overlay(cache: &PolicyCache, objects: impl IntoIterator<Item = PolicyObject>) -> PolicyCache {
    let overlay = PolicyCache::new(Policy::clone(&cache.snapshot()));
    objects.into_iter().for_each(|object| overlay.apply(object));
    overlay
}

/// The pod of a connection.
pub(crate) async fn pod(client: &Client, namespace: &str, name: &str) -> Result<PolicyObject, LookupError> {
    let pod = Api::<Pod>::namespaced(client.clone(), namespace).get(name).await?;
    Ok(PolicyObject::of(PolicyKind::Pod, &serde_json::to_value(&pod)?)?)
}

/// A policy with objects of the cluster that the watches have not brought yet; `None` if that changes nothing.
pub(crate) async fn fresher(
    client: &Client,
    cache: &PolicyCache,
    request: &Request<'_>,
) -> Option<PolicyCache> {
    let pod: palisade_k8s::Pod<'_> = serde_json::from_str(request.object()).ok()?;
    let mut found = None;
    // Each step may uncover the next: a namespace without ranges, and then a grant.
    for _ in 0..STEPS {
        let known = found.as_ref().unwrap_or(cache);
        let Some(objects) = look_up(client, &known.snapshot(), request, &pod).await else { break };
        found = Some(overlay(known, objects));
    }
    found
}

/// The cluster's answers about the first missing objects.
async fn look_up(
    client: &Client,
    policy: &Policy,
    request: &Request<'_>,
    pod: &palisade_k8s::Pod<'_>,
) -> Option<Vec<PolicyObject>> {
    let namespace = request.namespace();
    let groups: Vec<&str> = request.user().groups.iter().map(|group| &**group).collect();
    let user = &request.user().username;
    let scopes: Vec<&str> = request.user().extra.scopes.iter().map(|scope| &**scope).collect();
    let asked = PodRequest {
        namespace,
        user,
        groups: &groups,
        scopes: Scopes(&scopes),
        pod,
        mutation: request.mutation(),
    };
    let missing = missing(policy, &asked, GRANTS);
    match missing.first()? {
        Missing::Namespace => Some(vec![read_namespace(client, namespace).await?]),
        Missing::Ranges => Some(vec![with_ranges(client, namespace).await?]),
        Missing::Scc(name) => Some(vec![scc(client, name).await?]),
        // The watches are complete before a replica is ready: there are no such objects.
        Missing::AnyScc => None,
        Missing::Grant { .. } => {
            let grants = missing.iter().filter_map(|missing| match missing {
                Missing::Grant { scc, subject } => Some((*scc, subject)),
                _ => None,
            });
            first_grant(client, namespace, grants).await
        }
    }
}

/// The first of these grants that exists in the cluster. They are checked concurrently: the API server waits.
async fn first_grant<'g>(
    client: &Client,
    namespace: &str,
    grants: impl Iterator<Item = (&'g str, &'g Subject)>,
) -> Option<Vec<PolicyObject>> {
    let ask = |(scc, subject)| async move {
        let is_granted = is_granted(client, namespace, subject, scc).await;
        is_granted.then(|| grant(namespace, subject, scc)).flatten()
    };
    join_all(grants.map(ask)).await.into_iter().flatten().next().map(Vec::from)
}

async fn read_namespace(client: &Client, name: &str) -> Option<PolicyObject> {
    let namespace = Api::<Namespace>::all(client.clone()).get(name).await.ok()?;
    PolicyObject::of(PolicyKind::Namespace, &serde_json::to_value(&namespace).ok()?).ok()
}

async fn scc(client: &Client, name: &str) -> Option<PolicyObject> {
    let api: Api<DynamicObject> =
        Api::all_with(client.clone(), &resource((GROUP, RESOURCE, PolicyKind::Scc)));
    let scc = api.get(name).await.ok()?;
    PolicyObject::of(PolicyKind::Scc, &serde_json::to_value(&scc).ok()?).ok()
}

/// Waits until the namespace has the ranges that it is about to get.
async fn with_ranges(client: &Client, name: &str) -> Option<PolicyObject> {
    loop {
        let object = read_namespace(client, name).await?;
        let alone = PolicyCache::default();
        alone.apply(object.clone());
        if alone.snapshot().namespace(name).is_some_and(|namespace| namespace.ranges().is_ok()) {
            return Some(object);
        }
        tokio::time::sleep(RANGES_PERIOD).await;
    }
}

/// Whether any authorizer of the cluster permits the subject to use the SCC.
async fn is_granted(client: &Client, namespace: &str, subject: &Subject, scc: &str) -> bool {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(subject.user.clone()),
            groups: Some(subject.groups.clone()),
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

/// A grant by an authorizer other than RBAC, as the role and the binding that would grant it.
fn grant(namespace: &str, subject: &Subject, scc: &str) -> Option<[PolicyObject; 2]> {
    // No object of a cluster has this name: a `:` at the end is permitted, but not used in practice.
    let name = "palisade:granted:";
    let role = json!({
        "metadata": {"name": name, "namespace": namespace},
        "rules": [{"apiGroups": [GROUP], "resources": [RESOURCE], "resourceNames": [scc], "verbs": ["use"]}],
    });
    let binding = json!({
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": rbac::GROUP, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": rbac::GROUP, "kind": "User", "name": subject.user}],
    });
    let object = |kind, object: &Value| PolicyObject::of(PolicyKind::Rbac(kind), object).ok();
    Some([object(RbacKind::Role, &role)?, object(RbacKind::RoleBinding, &binding)?])
}
