//! The bindings that name one user or group.

use std::sync::Arc;

use palisade_persistent::{Iter, Map};

use crate::binding::Binding;

/// Bindings of one scope by name: of the cluster, or of a namespace.
pub(crate) type Scope = Map<Arc<str>, Arc<Binding>>;

/// The bindings that name one user or group. Most names are in one binding only, and take less than half the memory
/// then.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    One(Arc<Binding>),
    Many(Arc<Scopes>),
}

/// Bindings of several scopes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scopes {
    everywhere: Scope,
    namespaces: Map<Arc<str>, Scope>,
}

impl Scopes {
    fn insert(&mut self, binding: &Arc<Binding>) {
        let scope = match binding.shared_namespace() {
            None => &mut self.everywhere,
            Some(namespace) => {
                self.namespaces.get_or_insert_with(&**namespace, || Arc::clone(namespace), Map::default)
            }
        };
        scope.insert(Arc::clone(binding.shared_name()), Arc::clone(binding));
    }

    fn remove(&mut self, binding: &Binding) {
        let Some(namespace) = binding.namespace() else {
            self.everywhere.remove(binding.name());
            return;
        };
        let Some(scope) = self.namespaces.get_mut(namespace) else { return };
        scope.remove(binding.name());
        if scope.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    fn scope(&self, namespace: Option<&str>) -> Option<&Scope> {
        namespace.map_or(Some(&self.everywhere), |namespace| self.namespaces.get(namespace))
    }

    /// Its binding, if it has one only.
    fn only(&self) -> Option<&Arc<Binding>> {
        let mut scopes = self.namespaces.values().chain([&self.everywhere]).filter(|scope| !scope.is_empty());
        let first = scopes.next().filter(|first| first.len() == 1);
        first.filter(|_| scopes.next().is_none())?.values().next()
    }
}

impl Held {
    /// Adds a binding. One that names the subject twice is added once.
    pub(crate) fn enter(&mut self, binding: &Arc<Binding>) {
        match self {
            Self::One(one) if Arc::ptr_eq(one, binding) => {}
            Self::One(one) => {
                let mut scopes = Scopes::default();
                scopes.insert(one);
                scopes.insert(binding);
                *self = Self::Many(Arc::new(scopes));
            }
            Self::Many(scopes) => Arc::make_mut(scopes).insert(binding),
        }
    }

    /// Takes a binding away; whether none is left.
    pub(crate) fn leave(&mut self, binding: &Binding) -> bool {
        let scopes = match self {
            Self::One(one) => {
                return one.name() == binding.name() && one.namespace() == binding.namespace();
            }
            Self::Many(scopes) => Arc::make_mut(scopes),
        };
        scopes.remove(binding);
        if let Some(only) = scopes.only().cloned() {
            *self = Self::One(only);
        }
        false
    }

    fn one(&self, namespace: Option<&str>) -> Option<&Arc<Binding>> {
        match self {
            Self::One(one) => Some(one).filter(|one| one.namespace() == namespace),
            Self::Many(_) => None,
        }
    }

    /// The bindings of a scope in the order of their names: of a namespace, or of the cluster without one. `None` if the scope
    /// has no binding.
    pub(crate) fn bindings(&self, namespace: Option<&str>) -> Option<Bindings<'_>> {
        match self {
            Self::One(_) => self.one(namespace).map(|one| Bindings::One(Some(one))),
            Self::Many(scopes) => {
                let scope = scopes.scope(namespace).filter(|scope| !scope.is_empty())?;
                Some(Bindings::Many(scope.iter()))
            }
        }
    }

    /// Gives each binding of a namespace, or of the cluster, to a function; unlike an iterator, this allocates nothing.
    pub(crate) fn for_each<'a>(&'a self, namespace: Option<&str>, mut with: impl FnMut(&'a Arc<Binding>)) {
        match self {
            Self::One(_) => self.one(namespace).into_iter().for_each(with),
            Self::Many(scopes) => {
                scopes.scope(namespace).into_iter().for_each(|scope| scope.for_each(&mut with))
            }
        }
    }
}

/// Bindings of one scope, by name.
pub(crate) enum Bindings<'a> {
    One(Option<&'a Arc<Binding>>),
    Many(Iter<'a, Arc<str>, Arc<Binding>>),
}

impl<'a> Iterator for Bindings<'a> {
    type Item = &'a Arc<Binding>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(one) => one.take(),
            Self::Many(iter) => iter.next().map(|(_, binding)| binding),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use palisade_k8s::rbac::RoleBinding;
    use serde_json::json;

    use super::*;

    fn binding(namespace: Option<&str>, name: &str) -> Arc<Binding> {
        let object = json!({"metadata": {"name": name, "namespace": namespace.unwrap_or_default()},
            "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "joe"}]});
        let object: RoleBinding = serde_json::from_value(object).unwrap();
        Arc::new(Binding::new(&object, namespace.is_some()))
    }

    /// The names of the bindings of each scope, by the iterator and by the function, which must agree.
    fn shown(held: &Held) -> BTreeSet<(Option<&'static str>, String)> {
        let mut all = BTreeSet::new();
        for scope in [None, Some("a"), Some("b")] {
            let listed: Vec<String> =
                held.bindings(scope).into_iter().flatten().map(|one| one.name().to_owned()).collect();
            let mut given = Vec::new();
            held.for_each(scope, |one| given.push(one.name().to_owned()));
            assert_eq!(listed, given, "{scope:?}");
            assert!(listed.is_sorted() && held.bindings(scope).is_none() == listed.is_empty(), "{scope:?}");
            all.extend(listed.into_iter().map(|name| (scope, name)));
        }
        all
    }

    #[test]
    fn what_was_entered_is_held_until_it_leaves() {
        let places = [(None, "x"), (Some("a"), "x"), (Some("a"), "y"), (Some("b"), "x")];
        let all = places.map(|(namespace, name)| binding(namespace, name));
        // Each step enters or takes away one of four bindings: all sequences of five steps.
        for sequence in 0..8_usize.pow(5) {
            let (mut held, mut model): (Option<Held>, BTreeSet<(Option<&'static str>, String)>) =
                Default::default();
            for step in 0..5 {
                let step = sequence / 8_usize.pow(step) % 8;
                let (one, (scope, name)) = (&all[step % 4], places[step % 4]);
                match held.as_mut() {
                    None if step < 4 => held = Some(Held::One(Arc::clone(one))),
                    Some(held) if step < 4 => held.enter(one),
                    Some(held_before) => {
                        let is_empty = held_before.leave(one);
                        held = held.filter(|_| !is_empty);
                    }
                    None => {}
                }
                match step < 4 {
                    true => drop(model.insert((scope, name.to_owned()))),
                    false => drop(model.remove(&(scope, name.to_owned()))),
                }
                assert_eq!(held.as_ref().map(shown).unwrap_or_default(), model, "{sequence}");
                let is_one = matches!(held, Some(Held::One(_)));
                assert_eq!(is_one, model.len() == 1, "one binding takes the memory of one: {sequence}");
            }
        }
    }
}
