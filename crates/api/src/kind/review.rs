//! Reviews: requests that are answered and not stored.

use super::{BASE, Resource, Row};

/// The kind of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// Binding: a pod is put on a node.
    Binding,
    /// ProjectRequest: a project is created for the requester.
    ProjectRequest,
    /// TokenReview: the user of a token.
    Token,
    /// SelfSubjectReview: the requester.
    SelfSubject,
    /// SubjectAccessReview: whether a user may do something.
    SubjectAccess,
    /// SelfSubjectAccessReview: whether the requester may.
    SelfSubjectAccess,
    /// LocalSubjectAccessReview: whether a user may, in this namespace.
    LocalSubjectAccess,
    /// SelfSubjectRulesReview: the requester's rules in a namespace.
    SelfSubjectRules,
    /// ResourceAccessReview: the users and groups that may do something.
    ResourceAccess,
    /// LocalResourceAccessReview: the same for one namespace.
    LocalResourceAccess,
    /// OpenShift's own SubjectAccessReview.
    OpenShiftSubjectAccess,
    /// PodSecurityPolicyReview: the SCCs under which service accounts could run a pod.
    PodForAccounts,
    /// PodSecurityPolicySubjectReview: the SCC that would admit a pod of a user.
    PodForSubject,
    /// PodSecurityPolicySelfSubjectReview: the SCC that would admit a pod of the requester.
    PodForSelf,
}

const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const OPENSHIFT: &str = "authorization.openshift.io";

const fn review(
    group: &'static str,
    names: [&'static str; 3],
    schema: &'static str,
    namespaced: bool,
    review: Review,
) -> Row {
    let [plural, singular, kind] = names;
    Row {
        group,
        plural,
        singular,
        kind,
        schema,
        namespaced,
        verbs: &["create"],
        review: Some(review),
        ..BASE
    }
}

macro_rules! reviews {
    ($($name:ident: $group:expr, $plural:literal, $singular:literal, $kind:literal, $schema:literal, $namespaced:literal, $review:ident;)*) => {
        $(pub(super) static $name: Resource =
            Resource::Row(&review($group, [$plural, $singular, $kind], $schema, $namespaced, Review::$review));)*
    };
}

reviews! {
    TOKEN_REVIEWS: AUTHENTICATION, "tokenreviews", "tokenreview", "TokenReview", "TokenReview", false, Token;
    SELF_SUBJECT_REVIEWS: AUTHENTICATION, "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", "SelfSubjectReview", false, SelfSubject;
    SUBJECT_ACCESS_REVIEWS: AUTHORIZATION, "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", "SubjectAccessReview", false, SubjectAccess;
    SELF_SUBJECT_ACCESS_REVIEWS: AUTHORIZATION, "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview", "SelfSubjectAccessReview", false, SelfSubjectAccess;
    LOCAL_SUBJECT_ACCESS_REVIEWS: AUTHORIZATION, "localsubjectaccessreviews", "localsubjectaccessreview", "LocalSubjectAccessReview", "LocalSubjectAccessReview", true, LocalSubjectAccess;
    SELF_SUBJECT_RULES_REVIEWS: AUTHORIZATION, "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview", "SelfSubjectRulesReview", false, SelfSubjectRules;
    RESOURCE_ACCESS_REVIEWS: OPENSHIFT, "resourceaccessreviews", "resourceaccessreview", "ResourceAccessReview", "ResourceAccessReview", false, ResourceAccess;
    LOCAL_RESOURCE_ACCESS_REVIEWS: OPENSHIFT, "localresourceaccessreviews", "localresourceaccessreview", "LocalResourceAccessReview", "LocalResourceAccessReview", true, LocalResourceAccess;
    OPENSHIFT_SUBJECT_ACCESS_REVIEWS: OPENSHIFT, "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", "OpenShiftSubjectAccessReview", false, OpenShiftSubjectAccess;
    OPENSHIFT_LOCAL_SUBJECT_ACCESS_REVIEWS: OPENSHIFT, "localsubjectaccessreviews", "localsubjectaccessreview", "LocalSubjectAccessReview", "OpenShiftSubjectAccessReview", true, OpenShiftSubjectAccess;
    POD_SECURITY_POLICY_REVIEWS: palisade_k8s::scc::GROUP, "podsecuritypolicyreviews", "podsecuritypolicyreview", "PodSecurityPolicyReview", "PodSecurityPolicyReview", true, PodForAccounts;
    POD_SECURITY_POLICY_SUBJECT_REVIEWS: palisade_k8s::scc::GROUP, "podsecuritypolicysubjectreviews", "podsecuritypolicysubjectreview", "PodSecurityPolicySubjectReview", "PodSecurityPolicySubjectReview", true, PodForSubject;
    POD_SECURITY_POLICY_SELF_SUBJECT_REVIEWS: palisade_k8s::scc::GROUP, "podsecuritypolicyselfsubjectreviews", "podsecuritypolicyselfsubjectreview", "PodSecurityPolicySelfSubjectReview", "PodSecurityPolicySelfSubjectReview", true, PodForSelf;
}
