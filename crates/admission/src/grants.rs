//! Which SCCs an identity may use: those that name it, and those that RBAC lets it `use`.
//!
//! Computed once per change of policy, so that a decision looks at the few SCCs that its identities
//! may use, however many there are.

use std::collections::HashMap;
use std::fmt;

use palisade_k8s::scc::{GROUP, RESOURCE};
use palisade_rbac::{Action, Holder, Names, Rbac, User};
use palisade_scc::{Entry, SccSet};
use smallvec::SmallVec;

/// The verb that grants an SCC.
const USE: &str = "use";

/// A user with its groups.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The groups that the user is in.
    pub groups: &'a [&'a str],
}

/// Places in the [`SccSet`], rising, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    all: Option<usize>,
    list: SmallVec<[usize; 16]>,
}

impl Places {
    fn extend(&mut self, right: &Right) {
        self.all = self.all.or(right.all);
        self.list.extend_from_slice(&right.places);
    }

    fn settle(mut self) -> Self {
        if let Some(count) = self.all {
            self.list = (0..count).collect();
        }
        self.list.sort_unstable();
        self.list.dedup();
        self
    }

    pub(crate) fn contains(&self, place: usize) -> bool {
        self.list.binary_search(&place).is_ok()
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        let all = self.all.or(other.all);
        Self { all, list: self.list.iter().chain(&other.list).copied().collect() }.settle()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.list.iter().copied()
    }
}

/// What one name holds, in one scope.
#[derive(Clone, Debug, Default)]
struct Right {
    /// All SCCs: how many there are.
    all: Option<usize>,
    places: Vec<usize>,
}

/// What one name holds, in all scopes.
#[derive(Clone, Debug, Default)]
struct Rights {
    everywhere: Right,
    namespaced: HashMap<String, Right>,
}

/// Who may use which SCC.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrantIndex {
    users: HashMap<String, Rights>,
    groups: HashMap<String, Rights>,
}

impl GrantIndex {
    pub(crate) fn new(sccs: &SccSet, rbac: &Rbac) -> Self {
        let mut index = Self::default();
        for (place, entry) in sccs.entries().iter().enumerate() {
            for user in entry.scc().users.iter().flatten() {
                index.rights(Holder::User(user)).everywhere.places.push(place);
            }
            for group in entry.scc().groups.iter().flatten() {
                index.rights(Holder::Group(group)).everywhere.places.push(place);
            }
        }
        for grant in rbac.grants(USE, GROUP, RESOURCE) {
            let rights = index.rights(grant.holder);
            let right = match grant.namespace {
                None => &mut rights.everywhere,
                Some(namespace) => rights.namespaced.entry(namespace.to_owned()).or_default(),
            };
            match grant.names {
                Names::All => right.all = Some(sccs.entries().len()),
                Names::Only(names) => right.places.extend(names.iter().filter_map(|name| sccs.place(name))),
            }
        }
        index
    }

    fn rights(&mut self, holder: Holder<'_>) -> &mut Rights {
        match holder {
            Holder::User(name) => self.users.entry(name.to_owned()).or_default(),
            Holder::Group(name) => self.groups.entry(name.to_owned()).or_default(),
        }
    }

    /// The SCCs that an identity may use for a pod in `namespace`.
    pub(crate) fn places<'n>(
        &self,
        user: &str,
        groups: impl Iterator<Item = &'n str>,
        namespace: &str,
    ) -> Places {
        let mut places = Places::default();
        let held = groups.filter_map(|group| self.groups.get(group)).chain(self.users.get(user));
        for rights in held {
            places.extend(&rights.everywhere);
            if let Some(right) = rights.namespaced.get(namespace) {
                places.extend(right);
            }
        }
        places.settle()
    }
}

/// How an identity comes to be allowed an SCC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantPath {
    /// The SCC's `users` name it.
    User(String),
    /// The SCC's `groups` name a group that it is in.
    Group(String),
    /// RBAC lets it `use` the SCC: which binding, subject and role.
    Rbac(String),
}

impl GrantPath {
    /// The first grant of an SCC to an identity, looked for in the reference's order.
    pub(crate) fn find(entry: &Entry, rbac: &Rbac, identity: &Identity<'_>, namespace: &str) -> Option<Self> {
        let named =
            |list: Option<&Vec<String>>, name: &str| list.is_some_and(|list| list.iter().any(|n| n == name));
        if named(entry.scc().users.as_ref(), identity.name) {
            return Some(Self::User(identity.name.to_owned()));
        }
        if let Some(group) = identity.groups.iter().find(|group| named(entry.scc().groups.as_ref(), group)) {
            return Some(Self::Group((*group).to_owned()));
        }
        let user = User { name: identity.name, groups: identity.groups };
        let action = Action { verb: USE, group: GROUP, resource: RESOURCE, name: entry.name(), namespace };
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
