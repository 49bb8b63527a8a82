//! Requests to the live cluster: for the pod of a connection, and before a refusal for objects that the watches may not
//! have brought yet. One request each, without retries: the API server waits for the answer. Denials of a moment ago are
//! not asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use palisade_admission::{
    Missing, PodRequest, Policy, PolicyCache, PolicyError, PolicyKind, PolicyObject, Scopes, Subject,
    SubjectType, missing,
};
use palisade_k8s::review::UserInfo;
use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_k8s::{Text, rbac};
use palisade_rbac::RbacKind;
use serde_json::{Value, json};

use crate::denials::{Answer, Denials};
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

/// The cluster as it is now.
pub(crate) struct Live {
    client: Client,
    denials: Denials,
}

impl Live {
    pub(crate) fn new(client: Client, denials: Denials) -> Self {
        Self { client, denials }
    }

    /// The pod of a connection.
    pub(crate) async fn pod(&self, namespace: &str, name: &str) -> Result<PolicyObject, LookupError> {
        let pod = Api::<Pod>::namespaced(self.client.clone(), namespace).get(name).await?;
        Ok(PolicyObject::of(PolicyKind::Pod, &serde_json::to_value(&pod)?)?)
    }

    /// A policy with objects of the cluster that the watches have not brought yet; `None` if that changes nothing.
    pub(crate) async fn fresher(&self, cache: &PolicyCache, request: &Request<'_>) -> Option<PolicyCache> {
        let pod: palisade_k8s::Pod<'_> = serde_json::from_str(request.object()).ok()?;
        let mut found = None;
        // Each step may uncover the next: a namespace without ranges, and then a grant.
        for _ in 0..STEPS {
            let known = found.as_ref().unwrap_or(cache);
            let Some(objects) = self.look_up(&known.snapshot(), request, &pod).await else { break };
            found = Some(overlay(known, objects));
        }
        found
    }

    /// The cluster's answers about the first missing objects.
    async fn look_up(
        &self,
        policy: &Policy,
        request: &Request<'_>,
        pod: &palisade_k8s::Pod<'_>,
    ) -> Option<Vec<PolicyObject>> {
        let namespace = request.namespace();
        let groups: Vec<&str> = request.user().groups.iter().map(|group| &**group).collect();
        let scopes: Vec<&str> = request.user().extra.scopes().iter().map(|scope| &**scope).collect();
        let asked = PodRequest {
            namespace,
            user: &request.user().username,
            groups: &groups,
            scopes: Scopes(&scopes),
            pod,
            mutation: request.mutation(),
        };
        let missing = missing(policy, &asked, GRANTS);
        match missing.first()? {
            Missing::Namespace => Some(vec![read_namespace(&self.client, namespace).await?]),
            Missing::Ranges => Some(vec![with_ranges(&self.client, namespace).await?]),
            Missing::Scc(name) => Some(vec![scc(&self.client, name).await?]),
            // The watches are complete before a replica is ready: there are no such objects.
            Missing::AnyScc => None,
            Missing::Grant { .. } => {
                let grants = missing.iter().filter_map(|missing| match missing {
                    Missing::Grant { scc, subject } => Some((*scc, subject)),
                    _ => None,
                });
                self.first_grant(request, grants).await
            }
        }
    }

    /// The first of these grants that exists in the cluster. They are checked concurrently: the API server waits.
    async fn first_grant<'g>(
        &self,
        request: &Request<'_>,
        grants: impl Iterator<Item = (&'g str, &'g Subject)>,
    ) -> Option<Vec<PolicyObject>> {
        let check = |(scc, subject)| async move {
            let question = question(request, subject, scc);
            let answer = self.denials.answer(&question, ask(&self.client, &question)).await;
            (answer == Answer::Granted).then(|| grant(request.namespace(), subject, scc)).flatten()
        };
        join_all(grants.map(check)).await.into_iter().flatten().next().map(Vec::from)
    }
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

/// Whether the subject may use the SCC.
fn question(request: &Request<'_>, subject: &Subject, scc: &str) -> SubjectAccessReviewSpec {
    let resource = ResourceAttributes {
        group: Some(GROUP.to_owned()),
        resource: Some(RESOURCE.to_owned()),
        name: Some(scc.to_owned()),
        namespace: Some(request.namespace().to_owned()),
        verb: Some("use".to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(subject.user.clone()),
        groups: Some(subject.groups.clone()),
        resource_attributes: Some(resource),
        ..SubjectAccessReviewSpec::default()
    };
    match subject.subject_type {
        SubjectType::ServiceAccount => spec,
        SubjectType::User => as_authenticated(request.user(), spec),
    }
}

/// The answer of all authorizers of the cluster together.
async fn ask(client: &Client, spec: &SubjectAccessReviewSpec) -> Answer {
    let review = SubjectAccessReview { spec: spec.clone(), ..SubjectAccessReview::default() };
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    match reviews.create(&PostParams::default(), &review).await.ok().and_then(|answer| answer.status) {
        Some(status) if status.allowed => Answer::Granted,
        Some(status) if status.evaluation_error.is_none() => Answer::Denied,
        _ => Answer::Unknown,
    }
}

/// With what an authorizer may know of the user beside the groups.
fn as_authenticated(user: &UserInfo<'_>, spec: SubjectAccessReviewSpec) -> SubjectAccessReviewSpec {
    let texts = |values: &Vec<Text<'_>>| values.iter().map(ToString::to_string).collect();
    let extra = user.extra.0.iter();
    let extra = extra.filter_map(|(key, values)| Some((key.to_string(), values.as_ref().map(texts)?)));
    let extra: BTreeMap<String, Vec<String>> = extra.collect();
    SubjectAccessReviewSpec {
        uid: (!user.uid.is_empty()).then(|| user.uid.to_string()),
        extra: (!extra.is_empty()).then_some(extra),
        ..spec
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_holds_all_that_an_authorizer_may_know() {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "namespace": "dev", "userInfo": {"username": "alice", "uid": "7", "groups": ["staff"],
                "extra": {"scopes.authorization.openshift.io": ["user:full"], "a/b": ["c", "d"], "e": null}}}})
        .to_string();
        let request = Request::read(&review).unwrap();
        let subject = |subject_type, user: &str| Subject {
            subject_type,
            user: user.to_owned(),
            groups: vec!["staff".to_owned()],
        };
        let resource = json!({"group": GROUP, "resource": RESOURCE, "name": "anyuid", "namespace": "dev", "verb": "use"});
        for (subject, expected) in [
            (
                subject(SubjectType::User, "alice"),
                json!({"user": "alice", "uid": "7", "groups": ["staff"], "resourceAttributes": resource,
                    "extra": {"scopes.authorization.openshift.io": ["user:full"], "a/b": ["c", "d"]}}),
            ),
            // The service account has shown no token.
            (
                subject(SubjectType::ServiceAccount, "system:serviceaccount:dev:web"),
                json!({"user": "system:serviceaccount:dev:web", "groups": ["staff"], "resourceAttributes": resource}),
            ),
        ] {
            let question = question(&request, &subject, "anyuid");
            assert_eq!(serde_json::to_value(&question).unwrap(), expected);
        }
    }
}
