//! A binding, its subjects, and the grant that a decision reports.

use std::collections::HashSet;
use std::fmt;

use palisade_k8s::rbac::{RoleBinding, Subject};

use crate::User;
use crate::role::Names;

/// The number of groups up to which a list is gone through.
const FEW: usize = 16;

/// A user or a group that a binding names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder<'a> {
    /// A user, or a service account by its user name.
    User(&'a str),
    /// A group.
    Group(&'a str),
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

/// A binding whose subjects are users and groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    binding: RoleBinding,
    /// Parallel to the binding's subjects; `None` for one that nobody can be.
    holders: Vec<Option<OwnedHolder>>,
    is_namespaced: bool,
}

/// The role that a binding grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoleKey<'a> {
    Cluster(&'a str),
    Namespaced { namespace: &'a str, name: &'a str },
}

impl Binding {
    pub(crate) fn new(mut binding: RoleBinding, is_namespaced: bool) -> Self {
        if !is_namespaced {
            binding.metadata.namespace.clear();
        }
        // Clusters have tens of thousands of them: what no decision reads is not kept, nor room for more subjects.
        binding.metadata.labels.clear();
        binding.metadata.annotations.clear();
        binding.subjects.shrink_to_fit();
        let namespace = &binding.metadata.namespace;
        let holders = binding.subjects.iter().map(|subject| holder(subject, namespace)).collect();
        Self { binding, holders, is_namespaced }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.binding.metadata.name
    }

    /// Its namespace; `None` if it holds in the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.is_namespaced.then_some(self.binding.metadata.namespace.as_str())
    }

    /// The users and groups that it names.
    pub fn holders(&self) -> impl Iterator<Item = Holder<'_>> {
        self.holders.iter().flatten().map(OwnedHolder::as_ref)
    }

    /// `None` where there can be no such role: a cluster binding grants cluster roles only.
    pub(crate) fn role(&self) -> Option<RoleKey<'_>> {
        let name = self.binding.role_ref.name.as_str();
        match (self.binding.role_ref.kind.as_str(), self.namespace()) {
            ("ClusterRole", _) => Some(RoleKey::Cluster(name)),
            ("Role", Some(namespace)) => Some(RoleKey::Namespaced { namespace, name }),
            _ => None,
        }
    }

    /// The first subject that is the user or one of their groups, as a grant.
    pub(crate) fn grant_to<'a>(&'a self, user: &User<'_>, names: Names<'a>) -> Option<Grant<'a>> {
        // Of few groups no set is made, as this is asked with every request.
        let many: Option<HashSet<&str>> =
            (user.groups.len() > FEW).then(|| user.groups.iter().copied().collect());
        let is_in = |name: &str| {
            many.as_ref().map_or_else(|| user.groups.contains(&name), |many| many.contains(name))
        };
        let is_subject = |holder: &Holder<'_>| match *holder {
            Holder::User(name) => name == user.name,
            Holder::Group(name) => is_in(name),
        };
        self.grants(names).find(|grant| is_subject(&grant.holder))
    }

    /// A grant for each subject.
    pub(crate) fn grants<'a>(&'a self, names: Names<'a>) -> impl Iterator<Item = Grant<'a>> + use<'a> {
        self.binding.subjects.iter().zip(&self.holders).filter_map(move |(subject, holder)| {
            let holder = holder.as_ref()?.as_ref();
            Some(Grant { binding: self, subject, holder, namespace: self.namespace(), names })
        })
    }
}

/// One holder's right to some objects, and where it comes from.
#[derive(Clone, Debug)]
pub struct Grant<'a> {
    binding: &'a Binding,
    subject: &'a Subject,
    /// The user or group.
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
        self.binding.name()
    }

    /// The name of the role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.binding.binding.role_ref.name
    }
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace {
            Some(namespace) => write!(f, "RoleBinding {namespace}/{}", self.binding())?,
            None => write!(f, "ClusterRoleBinding {}", self.binding())?,
        }
        let Subject { kind, name, .. } = self.subject;
        write!(f, " to {kind} {name}, of {} {}", self.binding.binding.role_ref.kind, self.role())
    }
}

/// The user or group of a subject; a service account's namespace defaults to that of a `RoleBinding`.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_users_and_groups() {
        for (kind, own, binding, expected) in [
            ("User", "", "a", Some(Holder::User("x"))),
            ("Group", "", "", Some(Holder::Group("x"))),
            ("ServiceAccount", "b", "a", Some(Holder::User("system:serviceaccount:b:x"))),
            ("ServiceAccount", "", "a", Some(Holder::User("system:serviceaccount:a:x"))),
            ("ServiceAccount", "", "", None),
            ("Robot", "", "a", None),
        ] {
            let subject =
                Subject { kind: kind.into(), name: "x".into(), namespace: own.into(), ..Subject::default() };
            assert_eq!(
                holder(&subject, binding).as_ref().map(OwnedHolder::as_ref),
                expected,
                "{kind} {own:?} {binding:?}"
            );
        }
    }
}
