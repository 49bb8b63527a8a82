//! Who may do what, given roles and bindings: the rules of `rbac.authorization.k8s.io/v1`.
//!
//! ```
//! use palisade_k8s::rbac::{Role, RoleBinding};
//! use palisade_rbac::{Action, Rbac, RbacObjects, User};
//!
//! let role: Role = serde_json::from_str(r#"{"metadata": {"name": "use-anyuid"}, "rules": [{
//!     "verbs": ["use"], "apiGroups": ["security.openshift.io"],
//!     "resources": ["securitycontextconstraints"], "resourceNames": ["anyuid"]}]}"#)?;
//! let binding: RoleBinding = serde_json::from_str(r#"{"metadata": {"name": "b", "namespace": "sso"},
//!     "roleRef": {"kind": "ClusterRole", "name": "use-anyuid"},
//!     "subjects": [{"kind": "ServiceAccount", "name": "section9"}]}"#)?;
//! let rbac = Rbac::new(RbacObjects {
//!     cluster_roles: vec![role],
//!     role_bindings: vec![binding],
//!     ..RbacObjects::default()
//! });
//!
//! let action = Action {
//!     verb: "use", group: "security.openshift.io", resource: "securitycontextconstraints",
//!     name: "anyuid", namespace: "sso",
//! };
//! let user = User { name: "system:serviceaccount:sso:section9", groups: &[] };
//! let grant = rbac.authorize(&user, &action).expect("granted in its own namespace");
//! assert_eq!(grant.to_string(), "RoleBinding sso/b to ServiceAccount section9, of ClusterRole use-anyuid");
//! assert!(rbac.authorize(&user, &Action { namespace: "dev", ..action }).is_none());
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use palisade_k8s::rbac::{PolicyRule, Role, RoleBinding, Subject};

/// All RBAC objects of a cluster, as written.
#[derive(Clone, Debug, Default)]
pub struct RbacObjects {
    /// `ClusterRole`s.
    pub cluster_roles: Vec<Role>,
    /// `Role`s.
    pub roles: Vec<Role>,
    /// `ClusterRoleBinding`s.
    pub cluster_role_bindings: Vec<RoleBinding>,
    /// `RoleBinding`s.
    pub role_bindings: Vec<RoleBinding>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The groups that the user is in.
    pub groups: &'a [&'a str],
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The resource's API group.
    pub group: &'a str,
    /// The resource, with `/subresource` where meant.
    pub resource: &'a str,
    /// The object's name; empty for none in particular.
    pub name: &'a str,
    /// The namespace; empty for the whole cluster.
    pub namespace: &'a str,
}

/// Which objects a rule lets its verbs be used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names<'a> {
    /// All.
    All,
    /// Those of these names.
    Only(&'a [String]),
}

/// Whose binding it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder<'a> {
    /// A user, or a service account by its user name.
    User(&'a str),
    /// A group.
    Group(&'a str),
}

/// One holder's right to some objects, and where it comes from.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    binding: &'a Bound,
    subject: &'a Subject,
    /// Who holds it.
    pub holder: Holder<'a>,
    /// Where it holds; `None` for the whole cluster.
    pub namespace: Option<&'a str>,
    /// On which objects.
    pub names: Names<'a>,
}

impl Grant<'_> {
    /// The name of the binding.
    #[must_use]
    pub fn binding(&self) -> &str {
        &self.binding.binding.metadata.name
    }

    /// The name of the role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.binding.binding.role_ref.name
    }
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bound { binding, .. } = self.binding;
        match self.namespace {
            Some(namespace) => write!(f, "RoleBinding {namespace}/{}", binding.metadata.name)?,
            None => write!(f, "ClusterRoleBinding {}", binding.metadata.name)?,
        }
        let Subject { kind, name, .. } = self.subject;
        write!(f, " to {kind} {name}, of {} {}", binding.role_ref.kind, binding.role_ref.name)
    }
}

/// A binding with the rules of its role looked up.
#[derive(Clone, Debug)]
struct Bound {
    binding: RoleBinding,
    /// Parallel to the binding's subjects; `None` for one that nobody can be.
    holders: Vec<Option<OwnedHolder>>,
    rules: Vec<PolicyRule>,
    namespaced: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum OwnedHolder {
    User(String),
    Group(String),
}

impl OwnedHolder {
    fn as_ref(&self) -> Holder<'_> {
        match self {
            Self::User(name) => Holder::User(name),
            Self::Group(name) => Holder::Group(name),
        }
    }
}

/// Bindings with their roles resolved, found by who holds them.
#[derive(Clone, Debug, Default)]
pub struct Rbac {
    bindings: Vec<Bound>,
    by_user: HashMap<String, Vec<(usize, usize)>>,
    by_group: HashMap<String, Vec<(usize, usize)>>,
    cluster_roles: HashMap<String, Vec<PolicyRule>>,
    roles: HashMap<(String, String), Vec<PolicyRule>>,
}

impl Rbac {
    /// Looks up every binding's role; a binding of a role that does not exist grants nothing.
    #[must_use]
    pub fn new(objects: RbacObjects) -> Self {
        let cluster_roles = aggregate(objects.cluster_roles);
        let roles: HashMap<(String, String), Vec<PolicyRule>> = objects
            .roles
            .into_iter()
            .map(|role| ((role.metadata.namespace, role.metadata.name), role.rules))
            .collect();
        let cluster = objects.cluster_role_bindings.into_iter().map(|binding| (binding, false));
        let namespaced = objects.role_bindings.into_iter().map(|binding| (binding, true));
        let mut rbac = Self::default();
        for (binding, namespaced) in cluster.chain(namespaced) {
            let rules = match (binding.role_ref.kind.as_str(), namespaced) {
                ("ClusterRole", _) => cluster_roles.get(&binding.role_ref.name),
                ("Role", true) => {
                    roles.get(&(binding.metadata.namespace.clone(), binding.role_ref.name.clone()))
                }
                _ => None,
            };
            let rules = rules.cloned().unwrap_or_default();
            rbac.insert(binding, namespaced, rules);
        }
        rbac.cluster_roles = cluster_roles;
        rbac.roles = roles;
        rbac
    }

    fn insert(&mut self, binding: RoleBinding, namespaced: bool, rules: Vec<PolicyRule>) {
        let index = self.bindings.len();
        let holders: Vec<_> =
            binding.subjects.iter().map(|subject| holder(subject, &binding.metadata.namespace)).collect();
        for (place, holder) in holders.iter().enumerate() {
            let found = match holder {
                Some(OwnedHolder::User(name)) => self.by_user.entry(name.clone()),
                Some(OwnedHolder::Group(name)) => self.by_group.entry(name.clone()),
                None => continue,
            };
            found.or_default().push((index, place));
        }
        self.bindings.push(Bound { binding, holders, rules, namespaced });
    }

    /// The first binding that lets `user` do `action`, cluster-wide ones before namespaced ones.
    #[must_use]
    pub fn authorize(&self, user: &User<'_>, action: &Action<'_>) -> Option<Grant<'_>> {
        let groups = user.groups.iter().filter_map(|group| self.by_group.get(*group));
        let held = self.by_user.get(user.name).into_iter().chain(groups).flatten();
        let mut held: Vec<(usize, usize)> = held.copied().collect();
        held.sort_unstable();
        held.into_iter().find_map(|(index, place)| {
            let bound = self.bindings.get(index)?;
            let applies = !bound.namespaced || bound.binding.metadata.namespace == action.namespace;
            if !applies {
                return None;
            }
            bound.grants(place, action.verb, action.group, action.resource).find(|grant| match grant.names {
                Names::All => true,
                Names::Only(names) => names.iter().any(|name| name == action.name),
            })
        })
    }

    /// Whether `user` may use `verb` on a path that is no resource.
    #[must_use]
    pub fn authorize_path(&self, user: &User<'_>, verb: &str, path: &str) -> bool {
        let is_path = |listed: &String| match listed.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => listed == path,
        };
        let rules = self.held(user).filter(|bound| !bound.namespaced).flat_map(|bound| &bound.rules);
        rules
            .filter(|rule| rule.verbs.iter().any(|listed| listed == "*" || listed == verb))
            .any(|rule| rule.non_resource_urls.iter().any(is_path))
    }

    /// The rules that `user` has in a namespace, cluster-wide ones included.
    pub fn rules<'a>(&'a self, user: &User<'_>, namespace: &str) -> impl Iterator<Item = &'a PolicyRule> {
        self.held(user)
            .filter(move |bound| !bound.namespaced || bound.binding.metadata.namespace == namespace)
            .flat_map(|bound| &bound.rules)
    }

    /// The rules of a role as they count, aggregation included.
    #[must_use]
    pub fn role_rules(&self, kind: &str, namespace: &str, name: &str) -> Option<&[PolicyRule]> {
        match kind {
            "ClusterRole" => self.cluster_roles.get(name),
            _ => self.roles.get(&(namespace.to_owned(), name.to_owned())),
        }
        .map(Vec::as_slice)
    }

    /// The bindings of a user, each once.
    fn held<'a>(&'a self, user: &User<'_>) -> impl Iterator<Item = &'a Bound> + use<'a> {
        let groups = user.groups.iter().filter_map(|group| self.by_group.get(*group));
        let held = self.by_user.get(user.name).into_iter().chain(groups).flatten();
        let places: BTreeSet<usize> = held.map(|(index, _)| *index).collect();
        places.into_iter().filter_map(|index| self.bindings.get(index))
    }

    /// Everybody's rights to use `verb` on a resource: what an index of them is built from.
    pub fn grants<'a, 'q>(
        &'a self,
        verb: &'q str,
        group: &'q str,
        resource: &'q str,
    ) -> impl Iterator<Item = Grant<'a>> + use<'a, 'q> {
        self.bindings.iter().flat_map(move |bound| {
            let places = 0..bound.binding.subjects.len();
            places.flat_map(move |place| bound.grants(place, verb, group, resource))
        })
    }
}

impl Bound {
    fn grants<'a, 'q>(
        &'a self,
        place: usize,
        verb: &'q str,
        group: &'q str,
        resource: &'q str,
    ) -> impl Iterator<Item = Grant<'a>> + use<'a, 'q> {
        let holder = self.holders.get(place).and_then(Option::as_ref);
        let subject = self.binding.subjects.get(place);
        let namespace = self.namespaced.then_some(self.binding.metadata.namespace.as_str());
        let rules = self.rules.iter().filter(move |rule| covers(rule, verb, group, resource));
        let names = rules.map(|rule| match rule.resource_names.as_slice() {
            [] => Names::All,
            names => Names::Only(names),
        });
        holder.zip(subject).into_iter().flat_map(move |(holder, subject)| {
            let names = names.clone();
            names.map(move |names| Grant {
                binding: self,
                subject,
                holder: holder.as_ref(),
                namespace,
                names,
            })
        })
    }
}

fn covers(rule: &PolicyRule, verb: &str, group: &str, resource: &str) -> bool {
    let lists = |list: &[String], name: &str| list.iter().any(|listed| listed == "*" || listed == name);
    let any_with_subresource = |listed: &String| {
        resource.split_once('/').is_some_and(|(_, sub)| listed.strip_prefix("*/") == Some(sub))
    };
    lists(&rule.verbs, verb)
        && lists(&rule.api_groups, group)
        && (lists(&rule.resources, resource) || rule.resources.iter().any(any_with_subresource))
}

/// Whether everything that `rule` allows is allowed by `held`: nobody grants what they do not have.
#[must_use]
pub fn covers_rule(held: &[&PolicyRule], rule: &PolicyRule) -> bool {
    let lists = |list: &[String], name: &str| list.iter().any(|listed| listed == "*" || listed == name);
    let paths = rule.non_resource_urls.iter().all(|path| {
        let is_under = |listed: &String| {
            listed == path || listed.strip_suffix('*').is_some_and(|start| path.starts_with(start))
        };
        rule.verbs.iter().all(|verb| {
            held.iter().any(|held| lists(&held.verbs, verb) && held.non_resource_urls.iter().any(is_under))
        })
    });
    let names: Vec<Option<&String>> = match rule.resource_names.as_slice() {
        [] => vec![None],
        names => names.iter().map(Some).collect(),
    };
    let is_held = |verb: &str, group: &str, resource: &str, name: Option<&String>| {
        held.iter().any(|held| {
            let is_named =
                held.resource_names.is_empty() || name.is_some_and(|name| held.resource_names.contains(name));
            is_named && covers(held, verb, group, resource)
        })
    };
    let resources = rule.verbs.iter().all(|verb| {
        rule.api_groups.iter().all(|group| {
            rule.resources
                .iter()
                .all(|resource| names.iter().all(|name| is_held(verb, group, resource, *name)))
        })
    });
    paths && resources
}

/// Who a subject is; a service account's namespace defaults to that of a `RoleBinding`.
fn holder(subject: &Subject, binding_namespace: &str) -> Option<OwnedHolder> {
    match subject.kind.as_str() {
        "User" => Some(OwnedHolder::User(subject.name.clone())),
        "Group" => Some(OwnedHolder::Group(subject.name.clone())),
        "ServiceAccount" => {
            let own = subject.namespace.as_str();
            let namespace = if own.is_empty() { binding_namespace } else { own };
            let name = service_account_user(namespace, &subject.name);
            (!namespace.is_empty()).then_some(OwnedHolder::User(name))
        }
        _ => None,
    }
}

/// The user name of a service account.
#[must_use]
pub fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The rules of every cluster role, those of aggregated ones collected from the roles that they
/// select, through any number of steps.
fn aggregate(roles: Vec<Role>) -> HashMap<String, Vec<PolicyRule>> {
    let by_name: BTreeMap<&str, &Role> =
        roles.iter().map(|role| (role.metadata.name.as_str(), role)).collect();
    by_name
        .keys()
        .map(|name| {
            let mut seen = BTreeSet::new();
            let mut rules = Vec::new();
            collect(name, &by_name, &mut seen, &mut rules);
            ((*name).to_owned(), rules)
        })
        .collect()
}

fn collect<'r>(
    name: &'r str,
    roles: &BTreeMap<&'r str, &'r Role>,
    seen: &mut BTreeSet<&'r str>,
    rules: &mut Vec<PolicyRule>,
) {
    let mut waiting = vec![name];
    while let Some(name) = waiting.pop() {
        let Some(role) = roles.get(name).filter(|_| seen.insert(name)) else { continue };
        match &role.aggregation_rule {
            None => rules
                .extend(role.rules.iter().filter(|rule| !rules.contains(rule)).cloned().collect::<Vec<_>>()),
            Some(aggregation) => waiting.extend(roles.iter().rev().filter_map(|(other, candidate)| {
                let labels = &candidate.metadata.labels;
                let selected =
                    aggregation.cluster_role_selectors.iter().any(|selector| selector.matches(labels));
                selected.then_some(*other)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::manifest;

    fn rbac(yaml: &str) -> Rbac {
        let mut objects = RbacObjects::default();
        for document in manifest::read(yaml).unwrap() {
            let json = document.to_json();
            let role = || serde_json::from_value(json.clone()).unwrap();
            let binding = || serde_json::from_value(json.clone()).unwrap();
            match document.get("kind").unwrap().as_str().unwrap() {
                "ClusterRole" => objects.cluster_roles.push(role()),
                "Role" => objects.roles.push(role()),
                "ClusterRoleBinding" => objects.cluster_role_bindings.push(binding()),
                _ => objects.role_bindings.push(binding()),
            }
        }
        Rbac::new(objects)
    }

    fn may(rbac: &Rbac, user: &str, groups: &[&str], name: &str, namespace: &str) -> bool {
        let action = Action { verb: "use", group: "g", resource: "things", name, namespace };
        rbac.authorize(&User { name: user, groups }, &action).is_some()
    }

    const RULE: &str = "verbs: [use], apiGroups: [g], resources: [things]";

    #[test]
    fn scopes_and_subjects() {
        let rbac = rbac(&format!(
            "{{kind: ClusterRole, metadata: {{name: all}}, rules: [{{{RULE}}}]}}\n---\n\
             {{kind: Role, metadata: {{name: one, namespace: a}}, rules: [{{{RULE}, resourceNames: [x]}}]}}\n---\n\
             {{kind: ClusterRoleBinding, metadata: {{name: b1}}, roleRef: {{kind: ClusterRole, name: all}},\n\
              subjects: [{{kind: Group, name: admins}}, {{kind: ServiceAccount, name: lost}}]}}\n---\n\
             {{kind: RoleBinding, metadata: {{name: b2, namespace: a}}, roleRef: {{kind: Role, name: one}},\n\
              subjects: [{{kind: ServiceAccount, name: sa}}, {{kind: User, name: joe}}]}}\n---\n\
             {{kind: RoleBinding, metadata: {{name: b3, namespace: b}}, roleRef: {{kind: Role, name: one}},\n\
              subjects: [{{kind: User, name: joe}}]}}"
        ));
        assert!(may(&rbac, "any", &["admins"], "y", ""));
        assert!(may(&rbac, "system:serviceaccount:a:sa", &[], "x", "a"));
        assert!(!may(&rbac, "system:serviceaccount:a:sa", &[], "y", "a"));
        assert!(!may(&rbac, "system:serviceaccount:b:sa", &[], "x", "a"));
        assert!(may(&rbac, "joe", &[], "x", "a"));
        assert!(!may(&rbac, "joe", &[], "x", "b"), "the role is in another namespace");
        assert!(!may(&rbac, "system:serviceaccount::lost", &[], "x", ""));
    }

    #[test]
    fn aggregation_follows_labels_through_cycles() {
        let rbac = rbac(&format!(
            "{{kind: ClusterRole, metadata: {{name: leaf, labels: {{to: mid}}}}, rules: [{{{RULE}}}]}}\n---\n\
             {{kind: ClusterRole, metadata: {{name: mid, labels: {{to: top}}}},\n\
              aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{to: mid}}}}, {{matchLabels: {{to: top}}}}]}}}}\n---\n\
             {{kind: ClusterRole, metadata: {{name: top}}, rules: [{{verbs: ['*'], apiGroups: ['*'], resources: ['*']}}],\n\
              aggregationRule: {{clusterRoleSelectors: [{{matchExpressions: [{{key: to, operator: In, values: [top]}}]}}]}}}}\n---\n\
             {{kind: ClusterRoleBinding, metadata: {{name: b}}, roleRef: {{kind: ClusterRole, name: top}},\n\
              subjects: [{{kind: User, name: joe}}]}}"
        ));
        assert!(may(&rbac, "joe", &[], "x", "a"));
        let other = Action { verb: "get", group: "g", resource: "things", name: "x", namespace: "a" };
        let joe = User { name: "joe", groups: &[] };
        assert!(rbac.authorize(&joe, &other).is_none(), "own rules of an aggregated role do not count");
    }

    #[test]
    fn wildcards_cover_subresources() {
        let rule = |resource: &str| PolicyRule {
            verbs: vec!["*".into()],
            api_groups: vec!["*".into()],
            resources: vec![resource.into()],
            ..PolicyRule::default()
        };
        assert!(covers(&rule("*"), "get", "", "pods/log"));
        assert!(covers(&rule("*/log"), "get", "", "pods/log"));
        assert!(!covers(&rule("pods"), "get", "", "pods/log"));
        assert!(!covers(&rule("*/log"), "get", "", "pods"));
    }
}
