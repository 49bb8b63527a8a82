//! A binding, its subjects, and the grant that a decision reports.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use palisade_k8s::rbac::{self, RoleBinding};

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

/// The kind of a subject that a request can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubjectKind {
    User,
    Group,
    ServiceAccount,
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::ServiceAccount => "ServiceAccount",
        })
    }
}

/// A subject, by the user or group that it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subject {
    kind: SubjectKind,
    /// The name of the user or group; of a service account, its user name.
    holder: Arc<str>,
    /// The offset of the subject's own name in `holder`.
    name_at: u32,
}

/// The most memory that a subject takes besides its name: itself, its name's allocation, and its places in the index where
/// each of its bindings is in another namespace.
const SUBJECT: usize = 220;
/// The memory that a binding takes besides its names and subjects.
const BINDING: usize = 400;

impl Subject {
    /// The subject of an object; a service account's namespace defaults to that of a `RoleBinding`. `None` for one that
    /// nobody can be.
    fn new(subject: &rbac::Subject, binding_namespace: &str) -> Option<Self> {
        let (kind, holder): (_, Arc<str>) = match subject.kind.as_str() {
            "User" => (SubjectKind::User, Arc::from(&*subject.name)),
            "Group" => (SubjectKind::Group, Arc::from(&*subject.name)),
            "ServiceAccount" => {
                let own = subject.namespace.as_str();
                let namespace = if own.is_empty() { binding_namespace } else { own };
                if namespace.is_empty() {
                    return None;
                }
                (SubjectKind::ServiceAccount, Arc::from(service_account_user(namespace, &subject.name)))
            }
            _ => return None,
        };
        let name_at = u32::try_from(holder.len() - subject.name.len()).ok()?;
        Some(Self { kind, holder, name_at })
    }

    pub(crate) fn holder(&self) -> Holder<'_> {
        match self.kind {
            SubjectKind::Group => Holder::Group(&self.holder),
            SubjectKind::User | SubjectKind::ServiceAccount => Holder::User(&self.holder),
        }
    }

    /// The name of the user or group, to be shared.
    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.holder
    }
}

/// A binding whose subjects are users and groups.
///
/// Clusters have tens of thousands of them: what no decision reads is not kept, and names are shared with the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    name: Arc<str>,
    namespace: Option<Arc<str>>,
    role_kind: RoleKind,
    role: Arc<str>,
    subjects: Box<[Subject]>,
}

/// The kind of role that a binding names.
#[derive(Clone, Debug, PartialEq)]
enum RoleKind {
    ClusterRole,
    Role,
    /// A kind that grants nothing.
    Other(Box<str>),
}

impl RoleKind {
    fn as_str(&self) -> &str {
        match self {
            Self::ClusterRole => "ClusterRole",
            Self::Role => "Role",
            Self::Other(kind) => kind,
        }
    }
}

/// The role that a binding grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoleKey<'a> {
    Cluster(&'a str),
    Namespaced { namespace: &'a str, name: &'a str },
}

impl Binding {
    pub(crate) fn new(binding: &RoleBinding, is_namespaced: bool) -> Self {
        let namespace = if is_namespaced { &*binding.metadata.namespace } else { "" };
        Self {
            name: Arc::from(&*binding.metadata.name),
            namespace: is_namespaced.then(|| Arc::from(namespace)),
            role_kind: match &*binding.role_ref.kind {
                "ClusterRole" => RoleKind::ClusterRole,
                "Role" => RoleKind::Role,
                other => RoleKind::Other(other.into()),
            },
            role: Arc::from(&*binding.role_ref.name),
            subjects: binding
                .subjects
                .iter()
                .filter_map(|subject| Subject::new(subject, namespace))
                .collect(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name, to be shared.
    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its namespace; `None` if it holds in the whole cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Its namespace, to be shared.
    pub(crate) fn shared_namespace(&self) -> Option<&Arc<str>> {
        self.namespace.as_ref()
    }

    /// The memory that it takes, its places in the index included, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let names = self.name.len() + self.role.len() + self.namespace().map_or(0, str::len);
        let subjects = self.subjects.iter().map(|subject| SUBJECT + subject.holder.len());
        BINDING + names + subjects.sum::<usize>()
    }

    /// The subjects that a request can have.
    pub(crate) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// The users and groups that it names.
    pub fn holders(&self) -> impl Iterator<Item = Holder<'_>> {
        self.subjects.iter().map(Subject::holder)
    }

    /// `None` where there can be no such role: a cluster binding grants cluster roles only.
    pub(crate) fn role(&self) -> Option<RoleKey<'_>> {
        match (&self.role_kind, self.namespace()) {
            (RoleKind::ClusterRole, _) => Some(RoleKey::Cluster(&self.role)),
            (RoleKind::Role, Some(namespace)) => Some(RoleKey::Namespaced { namespace, name: &self.role }),
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
        self.subjects.iter().map(move |subject| Grant {
            binding: self,
            subject,
            holder: subject.holder(),
            namespace: self.namespace(),
            names,
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
    /// Its namespace; `None` for the whole cluster.
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
        &self.binding.role
    }
}

impl fmt::Display for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace {
            Some(namespace) => write!(f, "RoleBinding {namespace}/{}", self.binding())?,
            None => write!(f, "ClusterRoleBinding {}", self.binding())?,
        }
        let Subject { kind, holder, name_at } = self.subject;
        let name = holder.get(*name_at as usize..).unwrap_or_default();
        write!(f, " to {kind} {name}, of {} {}", self.binding.role_kind.as_str(), self.role())
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
            let subject = rbac::Subject {
                kind: kind.into(),
                name: "x".into(),
                namespace: own.into(),
                ..rbac::Subject::default()
            };
            let subject = Subject::new(&subject, binding);
            assert_eq!(subject.as_ref().map(Subject::holder), expected, "{kind} {own:?} {binding:?}");
        }
    }
}
