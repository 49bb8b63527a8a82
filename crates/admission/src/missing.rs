//! The facts on which a refusal depends and that a fresher view of the cluster might change: a server whose policy
//! comes from watches looks these few facts up before it refuses.

use palisade_k8s::scc::annotation::REQUIRED_SCC;
use palisade_scc::Entry;

use crate::Policy;
use crate::decide::{Decision, NotTried, PodRequest, Refusal, SubjectType, decide, prepare, service_account};

/// A missing fact. Of several, any one would suffice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing<'x> {
    /// The namespace of the request.
    Namespace,
    /// The annotations with the namespace's ranges.
    Ranges,
    /// The SCC of this name, which the pod requires.
    Scc(&'x str),
    /// Any SCC at all.
    AnyScc,
    /// The right of a subject to `use` an SCC that would admit the pod.
    Grant {
        /// The SCC's name.
        scc: &'x str,
        /// The user, or the pod's service account.
        subject: Subject,
    },
}

/// The user and the groups for an authorizer, as in a `SubjectAccessReview`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which of the two it is.
    pub subject_type: SubjectType,
    /// The user's name.
    pub user: String,
    /// The groups, which an authorizer does not add by itself.
    pub groups: Vec<String>,
}

/// The grants and annotations that are missing for a pod to be admitted, by the SCCs in their order, `most` of them at most; none if it is
/// admitted or exempt, or if no right would help. For a grant, the service account is listed before the
/// user.
#[must_use]
pub fn missing<'x>(policy: &'x Policy, request: &PodRequest<'x>, most: usize) -> Vec<Missing<'x>> {
    let prepared = match prepare(policy, request) {
        Ok(prepared) => prepared,
        Err(NotTried::Exempt(_)) => return Vec::new(),
        Err(NotTried::Refused(refusal)) => return of_refusal(request, &refusal).into_iter().collect(),
    };
    if !matches!(decide(policy, request, &prepared), Decision::Refused(Refusal::NoneFits)) {
        return Vec::new();
    }
    let (subjects, mutation) = (subjects(request), request.mutation);
    let would_admit = |entry: &&Entry| {
        prepared.considers(entry)
            && !prepared.grants.candidates.contains(entry)
            && palisade_scc::evaluate([*entry], prepared.context, request.pod, mutation).is_some()
    };
    let sccs = policy.sccs().entries().filter(would_admit).map(Entry::name);
    sccs.flat_map(|scc| subjects.iter().map(move |subject| Missing::Grant { scc, subject: subject.clone() }))
        .take(most)
        .collect()
}

fn of_refusal<'x>(request: &PodRequest<'x>, refusal: &Refusal) -> Option<Missing<'x>> {
    match refusal {
        Refusal::UnknownNamespace(_) => Some(Missing::Namespace),
        Refusal::Ranges { .. } => Some(Missing::Ranges),
        Refusal::UnknownRequired(_) => request.pod.metadata.annotation(REQUIRED_SCC).map(Missing::Scc),
        Refusal::NoScc => Some(Missing::AnyScc),
        Refusal::RequiredChanged | Refusal::TooManyContainers(_) | Refusal::NoneFits => None,
    }
}

fn subjects(request: &PodRequest<'_>) -> Vec<Subject> {
    let account = service_account(request).map(|(user, groups)| Subject {
        subject_type: SubjectType::ServiceAccount,
        user,
        groups: groups.into(),
    });
    let user = Subject {
        subject_type: SubjectType::User,
        user: request.user.to_owned(),
        groups: request.groups.iter().map(|group| (*group).to_owned()).collect(),
    };
    account.into_iter().chain([user]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyBuilder;
    use palisade_k8s::Pod;
    use palisade_rbac::Scopes;
    use palisade_scc::{BuiltinSet, Mutation};
    use serde::Deserialize;
    use serde_json::{Value, json};

    fn names(found: &[Missing<'_>]) -> Vec<String> {
        let name = |missing: &Missing<'_>| match missing {
            Missing::Grant { scc, subject } => format!("{scc} for {}", subject.user),
            other => format!("{other:?}"),
        };
        found.iter().map(name).collect()
    }

    #[test]
    fn missing_names_the_grants_and_annotations_that_would_admit() {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("dev");
        let bare = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bare"}});
        builder.add(&bare).unwrap();
        let policy = builder.build();
        let pod = |spec: Value, annotations: Value| {
            let mut pod =
                json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "a"}]}});
            pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
            pod
        };
        let require = |scc: &str| json!({"openshift.io/required-scc": scc});
        let root = || json!({"securityContext": {"runAsUser": 0}, "serviceAccountName": "sa"});
        for (pod, namespace, expected) in [
            (pod(json!({}), json!({})), "dev", &[][..]),
            (pod(json!({}), json!({})), "kube-system", &[]),
            (pod(json!({}), json!({})), "lost", &["Namespace"]),
            (pod(json!({}), json!({})), "bare", &["Ranges"]),
            (pod(json!({}), require("mine")), "dev", &["Scc(\"mine\")"]),
            (
                pod(root(), require("anyuid")),
                "dev",
                &["anyuid for system:serviceaccount:dev:sa", "anyuid for alice"],
            ),
            (
                pod(json!({"hostPID": true}), json!({})),
                "dev",
                &["hostaccess for alice", "privileged for alice"],
            ),
            (pod(json!({"hostPID": true}), require("nonroot")), "dev", &[]),
        ] {
            let parsed = Pod::deserialize(&pod).unwrap();
            let request = PodRequest {
                namespace,
                user: "alice",
                groups: &["system:authenticated"],
                scopes: Scopes::default(),
                pod: &parsed,
                mutation: Mutation::Allowed,
            };
            assert_eq!(names(&missing(&policy, &request, 2)), expected, "{pod} in {namespace}");
        }
        let parsed = Pod::default();
        let request = PodRequest {
            namespace: "dev",
            user: "a",
            groups: &[],
            scopes: Scopes::default(),
            pod: &parsed,
            mutation: Mutation::Allowed,
        };
        let mut empty = Policy::default();
        empty.assume_namespace("dev");
        assert_eq!(missing(&empty, &request, 2), [Missing::AnyScc]);
    }
}
