//! The decision on a pod: fast, and in full.

use std::fmt;

use palisade_k8s::Pod;
use palisade_k8s::scc::annotation::REQUIRED_SCC;
use palisade_rbac::{Scopes, service_account_user};
use palisade_scc::{Changes, Context, Entry, Mutation, Outcome, RangeError};

use crate::Policy;
use crate::grants::{GrantPath, Identity, Usable, service_account_groups};
use crate::namespace::{EXEMPT_NAMESPACES, Namespace};

/// Maximum number of containers of a pod: an object of the maximum size (1.5 MB) has fewer, and a patch for millions
/// would be a hundred times the size of the request.
pub const MAX_CONTAINERS: usize = 10_000;

/// A pod, and the user who requests it.
#[derive(Clone, Copy, Debug)]
pub struct PodRequest<'x> {
    /// The namespace of the pod.
    pub namespace: &'x str,
    /// The user's name.
    pub user: &'x str,
    /// The groups that the user is in.
    pub groups: &'x [&'x str],
    /// The scopes of the user's token; empty for an unrestricted one.
    pub scopes: Scopes<'x>,
    /// The pod.
    pub pod: &'x Pod<'x>,
    /// The part of it that SCC may change.
    pub mutation: Mutation,
}

/// The reason why SCC does not apply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exemption {
    /// The pod is for Windows.
    Windows,
    /// The namespace is exempt by name.
    Namespace,
    /// The namespace has this label.
    Label(&'static str),
    /// The update changes nothing that SCC looks at.
    MetadataOnly,
    /// The request is for another resource.
    Resource,
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Windows => f.write_str("the pod is for Windows"),
            Self::Namespace => f.write_str("the namespace is exempt by its name"),
            Self::Label(label) => write!(f, "the namespace is exempt by its label {label}"),
            Self::MetadataOnly => f.write_str("the update changes nothing that SCC looks at"),
            Self::Resource => f.write_str("SCC does not apply to this resource"),
        }
    }
}

/// The subject whose right to use the SCC admitted the pod; the service account goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectType {
    /// The pod's service account.
    ServiceAccount,
    /// The requesting user.
    User,
}

impl SubjectType {
    /// The value of the pod's annotation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceaccount",
            Self::User => "user",
        }
    }
}

/// The SCC that admits a pod.
#[derive(Clone, Debug)]
pub struct Admission<'x> {
    /// The SCC.
    pub(crate) entry: &'x Entry,
    /// Its name.
    pub scc: &'x str,
    /// The subject with the right to use it.
    pub subject: SubjectType,
    /// The changes of the pod.
    pub changes: Changes<'x>,
}

/// The reason why a pod is refused before or after SCCs are evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy lacks the namespace.
    #[error("namespace {0:?} is not part of the policy")]
    UnknownNamespace(String),
    /// The namespace's ranges are not allocated.
    #[error("namespace {namespace:?} cannot take pods: {why}")]
    Ranges {
        /// The namespace.
        namespace: String,
        /// The problem.
        why: RangeError,
    },
    /// The pod requires an SCC that does not exist.
    #[error("failed to retrieve the required SCC: there is no SecurityContextConstraints {0:?}")]
    UnknownRequired(String),
    /// An update requires another SCC than before.
    #[error("invalid change to SCC annotation, {REQUIRED_SCC} cannot be changed")]
    RequiredChanged,
    /// The pod has more containers than any object that a cluster stores.
    #[error("the pod has {0} containers, more than {MAX_CONTAINERS}")]
    TooManyContainers(usize),
    /// The policy has no SCC at all.
    #[error("the policy holds no SecurityContextConstraints")]
    NoScc,
    /// No SCC that may be used admits the pod; [`explain`] has the reasons.
    #[error("unable to validate against any security context constraint")]
    NoneFits,
}

/// The decision on a pod.
#[expect(clippy::large_enum_variant, reason = "there is one a request, and a box would cost an allocation")]
#[derive(Clone, Debug)]
pub enum Decision<'x> {
    /// SCC does not apply.
    Exempt(Exemption),
    /// It is admitted.
    Admitted(Admission<'x>),
    /// It is refused.
    Refused(Refusal),
}

/// The reason why no SCC is evaluated.
#[derive(Clone, Debug)]
pub(crate) enum NotTried {
    /// SCC does not apply.
    Exempt(Exemption),
    /// The pod is refused as it is.
    Refused(Refusal),
}

impl From<NotTried> for Decision<'_> {
    fn from(outcome: NotTried) -> Self {
        match outcome {
            NotTried::Exempt(why) => Self::Exempt(why),
            NotTried::Refused(why) => Self::Refused(why),
        }
    }
}

/// The SCCs that may be used, for one request.
#[derive(Clone, Debug)]
pub(crate) struct Grants<'x> {
    pub(crate) service_account: Usable<'x>,
    pub(crate) candidates: Usable<'x>,
}

/// A request for which SCCs are to be evaluated.
pub(crate) struct Prepared<'x> {
    pub(crate) context: Context<'x>,
    pub(crate) grants: Grants<'x>,
    /// The only SCC to evaluate, if the pod requires one.
    pub(crate) required: Option<&'x Entry>,
}

impl<'x> Prepared<'x> {
    /// The SCCs to evaluate, in order: usable, and the required one if there is one.
    pub(crate) fn candidates(&self, policy: &'x Policy) -> impl Iterator<Item = &'x Entry> {
        let usable = self.grants.candidates.iter(policy.sccs());
        usable.filter(|entry| self.considers(entry))
    }

    /// Whether an SCC is evaluated, if it may be used.
    pub(crate) fn considers(&self, entry: &Entry) -> bool {
        self.required.is_none_or(|only| std::ptr::eq(only, entry))
    }
}

/// Decides: the first SCC in order that may be used and admits the pod.
#[must_use]
pub fn evaluate<'x>(policy: &'x Policy, request: &PodRequest<'x>) -> Decision<'x> {
    match prepare(policy, request) {
        Ok(prepared) => decide(policy, request, &prepared),
        Err(outcome) => outcome.into(),
    }
}

pub(crate) fn decide<'x>(
    policy: &'x Policy,
    request: &PodRequest<'x>,
    prepared: &Prepared<'x>,
) -> Decision<'x> {
    let candidates = prepared.candidates(policy);
    let chosen = palisade_scc::evaluate(candidates, prepared.context, request.pod, request.mutation);
    let Some((entry, changes)) = chosen else { return Decision::Refused(Refusal::NoneFits) };
    let subject = match prepared.grants.service_account.contains(entry) {
        true => SubjectType::ServiceAccount,
        false => SubjectType::User,
    };
    Decision::Admitted(Admission { entry, scc: entry.name(), subject, changes })
}

pub(crate) fn prepare<'x>(policy: &'x Policy, request: &PodRequest<'x>) -> Result<Prepared<'x>, NotTried> {
    if request.pod.spec.is_windows() {
        return Err(NotTried::Exempt(Exemption::Windows));
    }
    let namespace = policy.namespace(request.namespace);
    if let Some(why) = exemption(request.namespace, namespace) {
        return Err(NotTried::Exempt(why));
    }
    let refused = |refusal| Err(NotTried::Refused(refusal));
    let Some(namespace) = namespace else {
        return refused(Refusal::UnknownNamespace(request.namespace.to_owned()));
    };
    if policy.sccs().is_empty() {
        return refused(Refusal::NoScc);
    }
    let spec = &request.pod.spec;
    let containers = spec.init_containers.len() + spec.containers.len() + spec.ephemeral_containers.len();
    if containers > MAX_CONTAINERS {
        return refused(Refusal::TooManyContainers(containers));
    }
    let required = match request.pod.metadata.annotation(REQUIRED_SCC) {
        None | Some("") => None,
        Some(name) => match policy.sccs().get(name) {
            Some(entry) => Some(entry),
            None => return refused(Refusal::UnknownRequired(name.to_owned())),
        },
    };
    let ranges = match namespace.ranges() {
        Ok(ranges) => ranges,
        Err(why) => {
            return refused(Refusal::Ranges { namespace: request.namespace.to_owned(), why: why.clone() });
        }
    };
    Ok(Prepared {
        context: Context { ranges, kernel: policy.kernel() },
        grants: grants(policy, request),
        required,
    })
}

/// The exemption of a namespace, if any.
pub(crate) fn exempt_namespace(policy: &Policy, name: &str) -> Option<Exemption> {
    exemption(name, policy.namespace(name))
}

fn exemption(name: &str, namespace: Option<&Namespace>) -> Option<Exemption> {
    if EXEMPT_NAMESPACES.contains(&name) {
        return Some(Exemption::Namespace);
    }
    namespace?.opt_out().map(Exemption::Label)
}

/// The user name of the pod's service account and its groups.
pub(crate) fn service_account(request: &PodRequest<'_>) -> Option<(String, [String; 2])> {
    let (namespace, account) = (request.namespace, request.pod.spec.service_account_name.as_str());
    (!account.is_empty())
        .then(|| (service_account_user(namespace, account), service_account_groups(namespace)))
}

fn grants<'x>(policy: &'x Policy, request: &PodRequest<'_>) -> Grants<'x> {
    let identity = Identity { name: request.user, groups: request.groups, scopes: request.scopes };
    let user = policy.usable(&identity, request.namespace);
    let service_account = match service_account(request) {
        None => Usable::default(),
        Some((name, [all, own])) => policy.usable(
            &Identity { name: &name, groups: &[&all, &own], scopes: Scopes::default() },
            request.namespace,
        ),
    };
    Grants { candidates: user.union(&service_account), service_account }
}

/// The evaluation of one SCC in a decision.
#[derive(Clone, Debug)]
pub struct Step<'x> {
    /// The SCC.
    pub entry: &'x Entry,
    /// The user's grant, if there is one.
    pub user: Option<GrantPath>,
    /// The grant of the pod's service account, if there is one.
    pub service_account: Option<GrantPath>,
    /// The result for the pod, whether the SCC may be used or not.
    pub outcome: Outcome<'x>,
}

impl Step<'_> {
    /// Whether it may be used at all.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.user.is_some() || self.service_account.is_some()
    }
}

/// A decision with the evaluation that led to it.
#[derive(Clone, Debug)]
pub struct Trace<'x> {
    /// The decision, equal to that of [`evaluate`].
    pub decision: Decision<'x>,
    /// Every SCC in order; only the required one if the pod requires one; empty if no SCC was evaluated.
    pub steps: Vec<Step<'x>>,
}

/// Decides as [`evaluate`] does, with the result of every SCC.
#[must_use]
pub fn explain<'x>(policy: &'x Policy, request: &PodRequest<'x>) -> Trace<'x> {
    let prepared = match prepare(policy, request) {
        Ok(prepared) => prepared,
        Err(outcome) => return Trace { decision: outcome.into(), steps: Vec::new() },
    };
    let user = Identity { name: request.user, groups: request.groups, scopes: request.scopes };
    let account = service_account(request);
    let account_groups = account.as_ref().map(|(_, [all, own])| [all.as_str(), own.as_str()]);
    let account = account.as_ref().zip(account_groups.as_ref());
    let service_account =
        account.map(|((name, _), groups)| Identity { name, groups, scopes: Scopes::default() });
    let path =
        |entry, identity: &Identity<'_>| GrantPath::find(entry, policy.rbac(), identity, request.namespace);
    let considered = policy.sccs().entries().filter(|entry| prepared.considers(entry));
    let steps = considered
        .map(|entry| Step {
            entry,
            user: path(entry, &user),
            service_account: service_account.as_ref().and_then(|identity| path(entry, identity)),
            outcome: entry.outcome(prepared.context, request.pod, request.mutation),
        })
        .collect();
    Trace { decision: decide(policy, request, &prepared), steps }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PolicyBuilder;
    use palisade_scc::BuiltinSet;
    use serde::Deserialize;
    use serde_json::{Value, json};

    const EVERYBODY: &[&str] = &["system:authenticated"];

    fn policy() -> Policy {
        let mut builder = PolicyBuilder::default();
        builder.add_set(BuiltinSet::V4).unwrap();
        builder.assume_namespace("dev");
        for object in [
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": "off", "labels": {"openshift.io/run-level": "1"}}}),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bare"}}),
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                   "metadata": {"name": "b", "namespace": "dev"},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                               "name": "system:openshift:scc:hostnetwork-v2"},
                   "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "dev"}]}),
        ] {
            builder.add(&object).unwrap();
        }
        builder.build()
    }

    /// A decision in short: the SCC and the subject, or the exemption or refusal.
    fn short(decision: &Decision<'_>) -> String {
        match decision {
            Decision::Exempt(why) => format!("exempt: {why}"),
            Decision::Admitted(admission) => format!("{} for {}", admission.scc, admission.subject.as_str()),
            Decision::Refused(why) => format!("refused: {why}"),
        }
    }

    #[test]
    fn the_fast_decision_and_the_full_one_are_the_same() {
        let policy = policy();
        let plain = json!({"spec": {"containers": [{"name": "a"}]}});
        let host = json!({"spec": {"hostNetwork": true, "containers": [{"name": "a"}]}});
        let by = |account: &str, pod: &Value| {
            let mut pod = pod.clone();
            pod["spec"]["serviceAccountName"] = account.into();
            pod
        };
        let pinned =
            |scc: &str| json!({"metadata": {"annotations": {REQUIRED_SCC: scc}}, "spec": plain["spec"]});
        let windows = json!({"spec": {"os": {"name": "windows"}, "containers": [{"name": "a"}]}});
        let many: Vec<Value> = (0..=MAX_CONTAINERS).map(|_| json!({"name": "a"})).collect();
        let many = json!({"spec": {"containers": many}});
        let none = "refused: unable to validate against any security context constraint";
        let cases: [(&str, &[&str], Value, &str); 14] = [
            ("dev", EVERYBODY, plain.clone(), "restricted-v2 for user"),
            ("dev", &[], plain.clone(), none),
            ("dev", &["system:masters"], plain.clone(), "anyuid for user"),
            ("dev", EVERYBODY, host.clone(), none),
            ("dev", EVERYBODY, by("web", &host), "hostnetwork-v2 for serviceaccount"),
            ("dev", &[], by("web", &plain), "hostnetwork-v2 for serviceaccount"),
            ("dev", EVERYBODY, pinned("restricted-v2"), "restricted-v2 for user"),
            ("dev", EVERYBODY, pinned("privileged"), none),
            (
                "dev",
                EVERYBODY,
                pinned("nosuch"),
                "refused: failed to retrieve the required SCC: there is no SecurityContextConstraints \"nosuch\"",
            ),
            ("dev", EVERYBODY, windows, "exempt: the pod is for Windows"),
            ("dev", EVERYBODY, many, "refused: the pod has 10001 containers, more than 10000"),
            ("kube-system", &[], host.clone(), "exempt: the namespace is exempt by its name"),
            ("off", &[], host, "exempt: the namespace is exempt by its label openshift.io/run-level=1"),
            ("lost", EVERYBODY, plain, "refused: namespace \"lost\" is not part of the policy"),
        ];
        for (namespace, groups, pod, expected) in cases {
            let pod = Pod::deserialize(&pod).unwrap();
            let request = PodRequest {
                namespace,
                user: "alice",
                groups,
                scopes: Scopes::default(),
                pod: &pod,
                mutation: Mutation::Allowed,
            };
            let decision = short(&evaluate(&policy, &request));
            assert_eq!(decision, expected);
            assert_eq!(short(&explain(&policy, &request).decision), decision);
        }
    }

    #[test]
    fn a_namespace_without_ranges_takes_no_pods() {
        let policy = policy();
        let pod = json!({"spec": {"containers": [{"name": "a"}]}});
        let pod = Pod::deserialize(&pod).unwrap();
        let request = PodRequest {
            namespace: "bare",
            user: "alice",
            groups: EVERYBODY,
            scopes: Scopes::default(),
            pod: &pod,
            mutation: Mutation::Allowed,
        };
        let decision = evaluate(&policy, &request);
        assert!(matches!(decision, Decision::Refused(Refusal::Ranges { .. })), "{decision:?}");
        let empty = PolicyBuilder::default();
        let mut empty = empty;
        empty.assume_namespace("bare");
        let empty = empty.build();
        let decision = evaluate(&empty, &request);
        assert!(matches!(decision, Decision::Refused(Refusal::NoScc)), "{decision:?}");
    }

    #[test]
    fn an_update_may_not_need_a_change() {
        let policy = policy();
        let pod = json!({"spec": {"containers": [{"name": "a"}]}});
        let pod = Pod::deserialize(&pod).unwrap();
        for (mutation, expected) in [
            (Mutation::Allowed, "restricted-v2 for user"),
            (Mutation::Forbidden, "refused: unable to validate against any security context constraint"),
            (Mutation::EphemeralOnly, "refused: unable to validate against any security context constraint"),
        ] {
            let request = PodRequest {
                namespace: "dev",
                user: "alice",
                groups: EVERYBODY,
                scopes: Scopes::default(),
                pod: &pod,
                mutation,
            };
            assert_eq!(short(&evaluate(&policy, &request)), expected, "{mutation:?}");
        }
    }
}
