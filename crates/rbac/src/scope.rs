//! Scopes of a token: the upper limit of its bearer's rights, whatever roles they hold.
//!
//! OpenShift's OAuth server issues tokens with fewer rights than their user has: the scopes come with the user, as
//! `extra`. The rules are those of its scope authorizer (`openshift/apiserver-library-go`,
//! `pkg/authorization/scope/converter.go`).

use palisade_k8s::rbac::PolicyRule;

use crate::role::covers;
use crate::{Action, Rbac, RbacKind};

/// The name under which a user's `extra` carries scopes.
pub const SCOPES: &str = "scopes.authorization.openshift.io";

/// Paths that every token may get, so that clients find out what a server has.
const DISCOVERY: [&str; 18] = [
    "/version",
    "/version/*",
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/oapi",
    "/oapi/*",
    "/openapi/v2",
    "/swaggerapi",
    "/swaggerapi/*",
    "/swagger.json",
    "/swagger-2.0.0.pb-v1",
    "/osapi",
    "/osapi/",
    "/.well-known",
    "/.well-known/*",
    "/",
];

/// The permissions of a scope that names a user's own affairs: verbs, groups, resources, names.
type Rule = (&'static [&'static str], &'static [&'static str], &'static str, Option<&'static str>);

const INFO: &[Rule] = &[(&["get"], &["user.openshift.io", ""], "users", Some("~"))];
const CHECK_ACCESS: &[Rule] = &[
    (&["create"], &["authorization.k8s.io"], "selfsubjectaccessreviews", None),
    (&["create"], &["authorization.openshift.io", ""], "selfsubjectrulesreviews", None),
];
const SCOPED_PROJECTS: &[Rule] = &[(&["list", "watch"], &["project.openshift.io", ""], "projects", None)];
const ALL_PROJECTS: &[Rule] = &[
    (&["list", "watch"], &["project.openshift.io", ""], "projects", None),
    (&["get"], &[""], "namespaces", None),
];

/// Resources that lead to further rights, so that a scope lets them out of the role that it names.
const ESCALATING: [(&str, &[&str]); 9] = [
    ("secrets", &[""]),
    ("imagestreams/secrets", &["image.openshift.io", ""]),
    ("oauthauthorizetokens", &["oauth.openshift.io", ""]),
    ("oauthaccesstokens", &["oauth.openshift.io", ""]),
    ("roles", &["authorization.openshift.io", ""]),
    ("rolebindings", &["authorization.openshift.io", ""]),
    ("clusterroles", &["authorization.openshift.io", ""]),
    ("clusterrolebindings", &["authorization.openshift.io", ""]),
    ("service/externalips", &["network.openshift.io"]),
];

/// The scopes of the token that a user has shown; none at all for a token that is good for everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes<'a>(pub &'a [&'a str]);

/// One scope.
enum Scope<'a> {
    /// Everything that the user may.
    Full,
    Own(&'static [Rule]),
    /// The permissions of a cluster role, in one namespace or in all (`*`); all of it only if it says so.
    Role {
        name: &'a str,
        namespace: &'a str,
        is_whole: bool,
    },
}

impl<'a> Scope<'a> {
    /// An unknown scope allows nothing.
    fn parse(text: &'a str) -> Option<Self> {
        match text {
            "user:full" => return Some(Self::Full),
            "user:info" => return Some(Self::Own(INFO)),
            "user:check-access" => return Some(Self::Own(CHECK_ACCESS)),
            "user:list-scoped-projects" => return Some(Self::Own(SCOPED_PROJECTS)),
            "user:list-projects" => return Some(Self::Own(ALL_PROJECTS)),
            _ => {}
        }
        let text = text.strip_prefix("role:")?;
        let (text, is_whole) = text.strip_suffix(":!").map_or((text, false), |text| (text, true));
        let (name, namespace) = text.rsplit_once(':')?;
        (!name.is_empty() && !namespace.is_empty()).then_some(Self::Role { name, namespace, is_whole })
    }

    fn permits(&self, rbac: &Rbac, action: &Action<'_>) -> bool {
        match self {
            Self::Full => true,
            Self::Own(rules) => rules.iter().any(|(verbs, groups, resource, name)| {
                verbs.contains(&action.verb)
                    && groups.contains(&action.group)
                    && *resource == action.resource
                    && name.is_none_or(|name| name == action.name)
            }),
            Self::Role { name, namespace, is_whole } => {
                let is_here = *namespace == "*" || *namespace == action.namespace;
                let rules = is_here.then(|| rbac.role_rules(RbacKind::ClusterRole, "", name)).flatten();
                rules.into_iter().flatten().any(|rule| {
                    covers(rule, action.verb, action.group, action.resource)
                        && (rule.resource_names.is_empty()
                            || rule.resource_names.iter().any(|n| n == action.name))
                        && (*is_whole || is_bounded(rule, action))
                })
            }
        }
    }
}

/// Whether a rule lists what it allows, and lists the resource of an action without leading to further rights.
fn is_bounded(rule: &PolicyRule, action: &Action<'_>) -> bool {
    let all = |list: &[String]| list.iter().any(|listed| listed == "*");
    let is_escalating = ESCALATING.iter().any(|(resource, groups)| {
        *resource == action.resource && rule.api_groups.iter().any(|group| groups.contains(&group.as_str()))
    });
    !all(&rule.verbs) && !all(&rule.resources) && !all(&rule.api_groups) && !is_escalating
}

impl Scopes<'_> {
    /// Whether the token is good for an action, by the cluster roles that its scopes name.
    #[must_use]
    pub fn permit(&self, rbac: &Rbac, action: &Action<'_>) -> bool {
        self.0.is_empty() || self.known().any(|scope| scope.permits(rbac, action))
    }

    /// Whether the token permits a path outside of resources.
    #[must_use]
    pub fn permit_path(&self, verb: &str, path: &str) -> bool {
        let is_listed = |listed: &&str| match listed.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => *listed == path,
        };
        self.0.is_empty()
            || (verb == "get" && DISCOVERY.iter().any(is_listed))
            || self.known().any(|scope| matches!(scope, Scope::Full))
    }

    fn known(&self) -> impl Iterator<Item = Scope<'_>> {
        self.0.iter().filter_map(|text| Scope::parse(text))
    }
}

#[cfg(test)]
mod tests {
    use palisade_k8s::rbac::Role;
    use serde_json::json;

    use super::*;
    use crate::RbacObject;

    fn rbac() -> Rbac {
        let rule = |verbs: &[&str], groups: &[&str], resources: &[&str], names: &[&str]| json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names});
        let roles = [
            ("edit", vec![rule(&["get", "create"], &[""], &["pods", "secrets"], &[])]),
            ("all", vec![rule(&["*"], &["*"], &["*"], &[])]),
            (
                "system:scc:one",
                vec![rule(&["use"], &["security.openshift.io"], &["securitycontextconstraints"], &["one"])],
            ),
        ];
        let role = |(name, rules)| -> Role {
            serde_json::from_value(json!({"metadata": {"name": name}, "rules": rules})).unwrap()
        };
        roles.into_iter().map(|of| RbacObject::cluster_role(role(of))).collect()
    }

    #[test]
    fn scopes_bound_what_a_token_is_good_for() {
        let rbac = rbac();
        let pods = Action { verb: "get", group: "", resource: "pods", name: "p", namespace: "shop" };
        let secrets = Action { resource: "secrets", ..pods };
        let scc = Action {
            verb: "use",
            group: "security.openshift.io",
            resource: "securitycontextconstraints",
            name: "one",
            namespace: "shop",
        };
        let me = Action { group: "user.openshift.io", resource: "users", name: "~", namespace: "", ..pods };
        for (scopes, action, permitted) in [
            (&[][..], pods, true),
            (&["user:full"], pods, true),
            (&["user:info"], pods, false),
            (&["user:info"], me, true),
            (&["user:info"], Action { name: "joe", ..me }, false),
            (&["user:info", "role:edit:shop"], pods, true),
            (&["role:edit:shop"], Action { namespace: "other", ..pods }, false),
            (&["role:edit:*"], Action { namespace: "other", ..pods }, true),
            (&["role:edit:shop"], secrets, false),
            (&["role:edit:shop:!"], secrets, true),
            (&["role:all:*"], pods, false),
            (&["role:all:*:!"], pods, true),
            (&["role:system:scc:one:shop"], scc, true),
            (&["role:system:scc:one:shop"], Action { name: "two", ..scc }, false),
            (&["role:none:*"], pods, false),
            (&["role:edit:"], pods, false),
            (&["role::shop"], pods, false),
            (&["role:edit"], pods, false),
            (&["everything"], pods, false),
            (
                &["user:check-access"],
                Action {
                    verb: "create",
                    group: "authorization.k8s.io",
                    resource: "selfsubjectaccessreviews",
                    ..pods
                },
                true,
            ),
            (&["user:list-projects"], Action { resource: "namespaces", ..pods }, true),
            (&["user:list-scoped-projects"], Action { resource: "namespaces", ..pods }, false),
        ] {
            assert_eq!(Scopes(scopes).permit(&rbac, &action), permitted, "{scopes:?} {action:?}");
        }
    }

    #[test]
    fn every_token_may_look_around() {
        for (scopes, verb, path, permitted) in [
            (&[][..], "post", "/x", true),
            (&["user:info"], "get", "/api/v1", true),
            (&["user:info"], "get", "/", true),
            (&["user:info"], "post", "/api", false),
            (&["user:info"], "get", "/metrics", false),
            (&["user:full"], "get", "/metrics", true),
        ] {
            assert_eq!(Scopes(scopes).permit_path(verb, path), permitted, "{scopes:?} {path}");
        }
    }
}
