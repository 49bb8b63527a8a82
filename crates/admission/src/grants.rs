//! The SCCs that a user may use: those whose own lists name the user, and those that RBAC permits the user to `use`.
//!
//! A decision considers the SCCs that its user and its service account may use, however many there are. The lists of
//! SCCs are indexed by user and group; roles are looked up, so that no write of a role or a binding changes an index
//! here.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use palisade_k8s::scc::{GROUP, RESOURCE, USE};
use palisade_persistent::Map;
use palisade_rbac::{Action, Rbac, SccNames, Scopes, User};
use palisade_scc::{Entry, SccSet};
use smallvec::SmallVec;

/// A user with its groups.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The groups that the user is in.
    pub groups: &'a [&'a str],
    /// The scopes of the user's token, which restrict grants by roles, but not those by SCCs' own lists.
    pub scopes: Scopes<'a>,
}

/// SCCs that may be used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usable<'x> {
    /// Whether all SCCs may be used, whatever the list holds.
    all: bool,
    /// In order, each once.
    list: SmallVec<[&'x Entry; 16]>,
}

impl<'x> Usable<'x> {
    fn add(&mut self, sccs: &'x SccSet, granted: &SccNames) {
        self.all |= granted.all;
        if granted.names.len() <= sccs.len() {
            self.list.extend(granted.names.iter().filter_map(|name| sccs.get(name)));
        } else {
            let is_granted =
                |entry: &&Entry| granted.names.binary_search_by(|name| (**name).cmp(entry.name())).is_ok();
            self.list.extend(sccs.entries().filter(is_granted));
        }
    }

    fn settle(mut self) -> Self {
        self.list.sort_unstable_by_key(|entry| entry.rank());
        self.list.dedup_by_key(|entry| entry.rank());
        self
    }

    /// Those that it may use by their names.
    pub(crate) fn named(self) -> Vec<&'x Entry> {
        self.list.into_iter().collect()
    }

    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        self.all || self.list.binary_search_by_key(&entry.rank(), |listed| listed.rank()).is_ok()
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let list = self.list.iter().chain(&other.list).copied().collect();
        Self { all: self.all || other.all, list }.settle()
    }

    pub(crate) fn iter(&self, sccs: &'x SccSet) -> impl Iterator<Item = &'x Entry> {
        let all = self.all.then(|| sccs.entries()).into_iter().flatten();
        let listed = if self.all { &[] } else { self.list.as_slice() };
        all.chain(listed.iter().copied())
    }
}

type Named = Map<Arc<str>, Map<Arc<str>, Arc<Entry>>>;

/// SCCs by the users and groups in their lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedSubjects {
    users: Named,
    groups: Named,
}

impl NamedSubjects {
    pub(crate) fn insert(&mut self, entry: &Arc<Entry>) {
        let put = |named: &mut Named, subject: &str| {
            let sccs = named.get_or_insert_with(subject, || Arc::from(subject), Map::default);
            sccs.insert(Arc::from(entry.name()), Arc::clone(entry));
        };
        entry.scc().users.iter().flatten().for_each(|user| put(&mut self.users, user));
        entry.scc().groups.iter().flatten().for_each(|group| put(&mut self.groups, group));
    }

    pub(crate) fn remove(&mut self, entry: &Entry) {
        let take = |named: &mut Named, subject: &str| {
            let Some(sccs) = named.get_mut(subject) else { return };
            sccs.remove(entry.name());
            if sccs.is_empty() {
                named.remove(subject);
            }
        };
        entry.scc().users.iter().flatten().for_each(|user| take(&mut self.users, user));
        entry.scc().groups.iter().flatten().for_each(|group| take(&mut self.groups, group));
    }

    /// The SCCs that an identity may use for a pod in `namespace`.
    pub(crate) fn usable<'x>(
        &'x self,
        (sccs, rbac): (&'x SccSet, &'x Rbac),
        identity: &Identity<'_>,
        namespace: &str,
    ) -> Usable<'x> {
        let mut usable = Usable::default();
        let groups = identity.groups.iter().filter_map(|group| self.groups.get(*group));
        for named in self.users.get(identity.name).into_iter().chain(groups) {
            named.for_each(|entry| usable.list.push(entry));
        }
        let user = User { name: identity.name, groups: identity.groups };
        if identity.scopes == Scopes::default() {
            rbac.each_sccs(&user, namespace, |granted| usable.add(sccs, granted));
            return usable.settle();
        }
        let mut granted = Usable::default();
        rbac.each_sccs(&user, namespace, |names| granted.add(sccs, names));
        let within = |entry: &&Entry| identity.scopes.permit(rbac, &use_of(entry, namespace));
        usable.list.extend(granted.settle().iter(sccs).filter(within));
        usable.settle()
    }
}

/// The groups of a namespace's service accounts. `system:authenticated` is not among them: the reference leaves it out
/// here (reference/scc.md 2.3).
pub(crate) fn service_account_groups(namespace: &str) -> [String; 2] {
    ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")]
}

/// The use of an SCC for a pod in a namespace.
fn use_of<'e>(entry: &'e Entry, namespace: &'e str) -> Action<'e> {
    Action { verb: USE, group: GROUP, resource: RESOURCE, name: entry.name(), namespace }
}

/// The grant by which an identity may use an SCC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantPath {
    /// The SCC's `users` name it.
    User(String),
    /// The SCC's `groups` name a group that it is in.
    Group(String),
    /// RBAC permits it to `use` the SCC: by which binding, subject and role.
    Rbac(String),
}

impl GrantPath {
    /// The first grant of an SCC to an identity, in the reference's order of search.
    pub(crate) fn find(entry: &Entry, rbac: &Rbac, identity: &Identity<'_>, namespace: &str) -> Option<Self> {
        let named =
            |list: Option<&Vec<String>>, name: &str| list.is_some_and(|list| list.iter().any(|n| n == name));
        if named(entry.scc().users.as_ref(), identity.name) {
            return Some(Self::User(identity.name.to_owned()));
        }
        let groups: HashSet<&str> = entry.scc().groups.iter().flatten().map(String::as_str).collect();
        if let Some(group) = identity.groups.iter().find(|group| groups.contains(*group)) {
            return Some(Self::Group((*group).to_owned()));
        }
        let user = User { name: identity.name, groups: identity.groups };
        let action = use_of(entry, namespace);
        if !identity.scopes.permit(rbac, &action) {
            return None;
        }
        rbac.authorize(&user, &action).map(|grant| Self::Rbac(grant.to_string()))
    }
}

impl fmt::Display for GrantPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "users of the SCC: {name}"),
            Self::Group(name) => write!(f, "groups of the SCC: {name}"),
            Self::Rbac(grant) => f.write_str(grant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_rbac::RbacObject;
    use serde_json::{Value, from_value, json};

    fn entry(object: Value) -> Arc<Entry> {
        Arc::new(Entry::new(from_value(object).unwrap()))
    }

    fn rbac(names: &Value) -> Rbac {
        let role = json!({"metadata": {"name": "r"}, "rules": [
            {"verbs": [USE], "apiGroups": [GROUP], "resources": [RESOURCE], "resourceNames": names}]});
        let binding = json!({"metadata": {"name": "b", "namespace": "dev"},
            "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "Group", "name": "team"}]});
        let role = RbacObject::cluster_role(from_value(role).unwrap());
        [role, RbacObject::role_binding(from_value(binding).unwrap())].into_iter().collect()
    }

    #[test]
    fn lists_and_roles_grant_sccs() {
        let (mut sccs, mut subjects) = (SccSet::default(), NamedSubjects::default());
        for scc in [
            json!({"metadata": {"name": "a"}, "users": ["joe"]}),
            json!({"metadata": {"name": "b"}, "groups": ["team"], "priority": 5}),
            json!({"metadata": {"name": "c"}}),
        ] {
            let entry = entry(scc);
            subjects.insert(&entry);
            sccs.insert(entry);
        }
        for (user, groups, namespace, names, expected) in [
            ("joe", &[][..], "dev", json!(["c"]), &["a"][..]),
            ("joe", &["team"], "dev", json!(["c", "a"]), &["b", "a", "c"]),
            ("joe", &["team"], "ops", json!(["c"]), &["b", "a"]),
            ("ann", &["team"], "dev", json!([]), &["b", "a", "c"]),
            ("ann", &["team"], "dev", json!(["x", "y", "z", "c", "w"]), &["b", "c"]),
            ("ann", &[], "dev", json!([]), &[]),
        ] {
            let rbac = rbac(&names);
            let usable = subjects.usable(
                (&sccs, &rbac),
                &Identity { name: user, groups, scopes: Scopes::default() },
                namespace,
            );
            let found: Vec<&str> = usable.iter(&sccs).map(Entry::name).collect();
            assert_eq!(found, expected, "{user} {groups:?} {namespace} {names}");
            assert!(sccs.entries().all(|entry| usable.contains(entry) == expected.contains(&entry.name())));
        }
        let b = sccs.remove("b").unwrap();
        subjects.remove(&b);
        assert!(subjects.groups.is_empty());
    }
}
