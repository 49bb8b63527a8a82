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
