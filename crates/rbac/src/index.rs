//! Bindings by subject and namespace, changed object by object.
//!
//! A role's rules are looked up when they are asked for: a write of a role that 50,000 bindings grant changes one
//! entry. A binding is kept under each of its subjects, in its namespace, so that a request meets the bindings of its
//! user and its namespace only, whatever is written elsewhere.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use palisade_k8s::rbac::PolicyRule;
use palisade_persistent::Map;
use smallvec::{SmallVec, smallvec};

use crate::aggregate::{ClusterRoles, Effective};
use crate::binding::{Binding, Grant, Holder, RoleKey};
use crate::held::{Bindings, Held, Scope};
use crate::object::{RbacKind, RbacObject};
use crate::role::{CheckedRole, Names, SccNames, covers_path};
use crate::weights::Weights;
use crate::{Action, User};

/// All roles and bindings. A copy is cheap and shares what does not change.
#[derive(Clone, Debug, Default)]
pub struct Rbac {
    cluster_roles: ClusterRoles,
    roles: Map<Arc<str>, Map<Arc<str>, Arc<CheckedRole>>>,
    cluster_bindings: Scope,
    bindings: Map<Arc<str>, Scope>,
    users: Map<Arc<str>, Held>,
    groups: Map<Arc<str>, Held>,
    /// The memory that the roles and bindings of each namespace take, in bytes.
    weights: Weights,
}

impl FromIterator<RbacObject> for Rbac {
    fn from_iter<T: IntoIterator<Item = RbacObject>>(objects: T) -> Self {
        let mut rbac = Self::default();
        objects.into_iter().for_each(|object| rbac.apply(object));
        rbac
    }
}

impl Rbac {
    /// Whether there are no bindings, so that nobody holds a right.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cluster_bindings.is_empty() && self.bindings.is_empty()
    }

    /// Adds an object in place of the one of its kind, namespace and name.
    pub fn apply(&mut self, object: RbacObject) {
        match object {
            RbacObject::ClusterRole(role) => self.cluster_roles.insert(role),
            RbacObject::Role(role) => {
                let namespace: Arc<str> = Arc::from(&*role.role().metadata.namespace);
                self.remove(RbacKind::Role, &namespace, role.name());
                self.weights.change(&namespace, role.weight(), 0);
                scope(&mut self.roles, &namespace).insert(Arc::from(role.name()), role);
            }
            RbacObject::ClusterRoleBinding(binding) => {
                self.remove(RbacKind::ClusterRoleBinding, "", binding.name());
                self.cluster_bindings.insert(Arc::clone(binding.shared_name()), Arc::clone(&binding));
                self.enter(&binding);
            }
            RbacObject::RoleBinding(binding) => {
                let Some(namespace) = binding.shared_namespace() else { return };
                self.remove(RbacKind::RoleBinding, namespace, binding.name());
                self.weights.change(namespace, binding.weight(), 0);
                scope(&mut self.bindings, namespace)
                    .insert(Arc::clone(binding.shared_name()), Arc::clone(&binding));
                self.enter(&binding);
            }
        }
    }

    /// Removes an object, if it is there.
    pub fn remove(&mut self, kind: RbacKind, namespace: &str, name: &str) {
        match kind {
            RbacKind::ClusterRole => self.cluster_roles.remove(name),
            RbacKind::Role => {
                if let Some(role) = remove_from(&mut self.roles, namespace, name) {
                    self.weights.change(&Arc::from(namespace), 0, role.weight());
                }
            }
            RbacKind::ClusterRoleBinding => {
                if let Some(binding) = self.cluster_bindings.remove(name) {
                    self.leave(&binding);
                }
            }
            RbacKind::RoleBinding => {
                if let Some(binding) = remove_from(&mut self.bindings, namespace, name) {
                    self.weights.change(&Arc::from(namespace), 0, binding.weight());
                    self.leave(&binding);
                }
            }
        }
    }

    /// The memory that the roles and bindings of a namespace take, in bytes.
    #[must_use]
    pub fn weight(&self, namespace: &str) -> usize {
        self.weights.get(namespace)
    }

    /// Puts a binding under its subjects.
    fn enter(&mut self, binding: &Arc<Binding>) {
        for subject in binding.subjects() {
            let of = match subject.holder() {
                Holder::User(_) => &mut self.users,
                Holder::Group(_) => &mut self.groups,
            };
            let name = subject.shared_name();
            match of.get_mut(&**name) {
                Some(held) => held.enter(binding),
                None => drop(of.insert(Arc::clone(name), Held::One(Arc::clone(binding)))),
            }
        }
    }

    /// Takes a binding from its subjects.
    fn leave(&mut self, binding: &Binding) {
        for holder in binding.holders() {
            let (of, name) = match holder {
                Holder::User(name) => (&mut self.users, name),
                Holder::Group(name) => (&mut self.groups, name),
            };
            if of.get_mut(name).is_some_and(|held| held.leave(binding)) {
                of.remove(name);
            }
        }
    }

    /// The first binding that lets `user` do `action`: those of the cluster before those of the namespace, each in the
    /// order of their names.
    #[must_use]
    pub fn authorize(&self, user: &User<'_>, action: &Action<'_>) -> Option<Grant<'_>> {
        self.roles(user, action.namespace).find_map(|(binding, role)| {
            let mut allowed = role.names(action.verb, action.group, action.resource);
            binding.grant_to(user, allowed.find(|names| names.contains(action.name))?)
        })
    }

    /// Whether `user` may use `verb` on a path that is not a resource.
    #[must_use]
    pub fn authorize_path(&self, user: &User<'_>, verb: &str, path: &str) -> bool {
        self.rules(user, "").any(|rule| covers_path(rule, verb, path))
    }

    /// The rules that `user` has in a namespace, those of the cluster included; those of a role come once, however often it is
    /// bound.
    pub fn rules<'a>(
        &'a self,
        user: &User<'_>,
        namespace: &str,
    ) -> impl Iterator<Item = &'a PolicyRule> + use<'a> {
        self.roles(user, namespace).flat_map(|(_, role)| role.rules())
    }

    /// Gives the SCCs that `user` may use in a namespace to a function, role by role; a role may come more than once.
    pub fn each_sccs<'a>(&'a self, user: &User<'_>, namespace: &str, mut with: impl FnMut(&'a SccNames)) {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(*group));
        for held in self.users.get(user.name).into_iter().chain(groups) {
            for scope in [None, Some(namespace)] {
                held.for_each(scope, |binding| {
                    let sccs = self.effective(binding).into_iter().map(CheckedRole::sccs);
                    sccs.filter(|sccs| sccs.all || !sccs.names.is_empty()).for_each(&mut with);
                });
            }
        }
    }

    /// The rules of a role as they count, aggregation included, each once; `None` if the role does not exist.
    #[must_use]
    pub fn role_rules(&self, kind: RbacKind, namespace: &str, name: &str) -> Option<Vec<&PolicyRule>> {
        let effective = match kind {
            RbacKind::ClusterRole if self.cluster_roles.contains(name) => self.cluster_roles.effective(name),
            RbacKind::Role => smallvec![self.roles.get(namespace)?.get(name)?.as_ref()],
            _ => return None,
        };
        let mut seen = HashSet::new();
        Some(effective.iter().flat_map(|role| role.rules()).filter(|rule| seen.insert(*rule)).collect())
    }

    /// The names of the cluster roles that take their rules from others.
    pub fn aggregated(&self) -> impl Iterator<Item = &str> {
        self.cluster_roles.aggregated()
    }

    /// Every subject's grants of `verb` on a resource. Looks at all bindings.
    pub fn grants<'a, 'q>(
        &'a self,
        verb: &'q str,
        group: &'q str,
        resource: &'q str,
    ) -> impl Iterator<Item = Grant<'a>> + use<'a, 'q> {
        let all = self.cluster_bindings.values().chain(self.bindings.values().flat_map(Map::values));
        all.flat_map(move |binding| {
            let effective = self.effective(binding);
            let names: Vec<Names<'a>> =
                effective.into_iter().flat_map(|role| role.names(verb, group, resource)).collect();
            names.into_iter().flat_map(move |names| binding.grants(names))
        })
    }

    /// The roles whose rules a binding grants.
    fn effective(&self, binding: &Binding) -> Effective<'_> {
        match binding.role() {
            Some(RoleKey::Cluster(name)) => self.cluster_roles.effective(name),
            Some(RoleKey::Namespaced { namespace, name }) => {
                let role = self.roles.get(namespace).and_then(|roles| roles.get(name));
                role.map(|role| role.as_ref()).into_iter().collect()
            }
            None => Effective::new(),
        }
    }

    /// The roles of a user that count in a namespace, each once, with the first binding of each.
    fn roles<'a>(
        &'a self,
        user: &User<'_>,
        namespace: &str,
    ) -> impl Iterator<Item = (&'a Arc<Binding>, &'a CheckedRole)> + use<'a> {
        // A role that is bound thousands of times is looked at once, and so is a member of several aggregated roles.
        let (mut bound, mut seen) = (HashSet::new(), HashSet::new());
        self.held(user, namespace)
            .filter(move |binding| binding.role().is_some_and(|role| bound.insert(role)))
            .flat_map(|binding| self.effective(binding).into_iter().map(move |role| (binding, role)))
            .filter(move |(_, role)| seen.insert(std::ptr::from_ref::<CheckedRole>(role)))
    }

    /// The bindings of a user that count in a namespace, each once, those of the cluster first.
    fn held<'a>(
        &'a self,
        user: &User<'_>,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Arc<Binding>> + use<'a> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(*group));
        let held: SmallVec<[&Held; 8]> = self.users.get(user.name).into_iter().chain(groups).collect();
        let here = Merged::new(held.iter().map(|held| held.bindings(Some(namespace))));
        Merged::new(held.iter().map(|held| held.bindings(None))).chain(here)
    }
}

/// The map of a namespace, made if it is missing.
fn scope<'m, V: Clone>(
    of: &'m mut Map<Arc<str>, Map<Arc<str>, V>>,
    namespace: &Arc<str>,
) -> &'m mut Map<Arc<str>, V> {
    of.get_or_insert_with(&**namespace, || Arc::clone(namespace), Map::default)
}

fn remove_from<V: Clone>(of: &mut Map<Arc<str>, Map<Arc<str>, V>>, namespace: &str, name: &str) -> Option<V> {
    of.get(namespace)?.get(name)?;
    let inner = of.get_mut(namespace)?;
    let removed = inner.remove(name);
    if inner.is_empty() {
        of.remove(namespace);
    }
    removed
}

/// Bindings of several subjects in one scope, by name, each once.
struct Merged<'a> {
    sources: SmallVec<[Bindings<'a>; 8]>,
    /// The next binding of each source, by its name and the index of the source; empty if there is one source only.
    fronts: BTreeMap<(&'a str, usize), &'a Arc<Binding>>,
}

impl<'a> Merged<'a> {
    fn new(sources: impl Iterator<Item = Option<Bindings<'a>>>) -> Self {
        let sources: SmallVec<[Bindings<'a>; 8]> = sources.flatten().collect();
        let count = sources.len();
        let mut merged = Self { sources, fronts: BTreeMap::new() };
        (0..count).filter(|_| count > 1).for_each(|source| merged.advance(source));
        merged
    }

    fn advance(&mut self, source: usize) {
        if let Some(binding) = self.sources.get_mut(source).and_then(Iterator::next) {
            self.fronts.insert((binding.name(), source), binding);
        }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Arc<Binding>;

    fn next(&mut self) -> Option<Self::Item> {
        if let [only] = self.sources.as_mut_slice() {
            return only.next();
        }
        let ((name, source), first) = self.fronts.pop_first()?;
        self.advance(source);
        while let Some(same) = self.fronts.first_entry().filter(|front| front.key().0 == name) {
            let ((_, source), _) = same.remove_entry();
            self.advance(source);
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests;
