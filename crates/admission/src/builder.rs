//! A policy from files: each object once in a layer, and invalid objects are errors.

use std::collections::HashSet;

use palisade_k8s::{FieldPath, KernelVersion, Misfit, manifest};
use palisade_scc::BuiltinSet;
use serde_json::Value;

use crate::policy::Policy;
use crate::source::{ObjectKey, PolicyError, PolicyObject};

/// Collects objects into a [`Policy`].
///
/// Objects come in layers: within one, an object may occur once; a later layer replaces objects of the same name.
#[derive(Clone, Debug, Default)]
pub struct PolicyBuilder {
    policy: Policy,
    layer: HashSet<ObjectKey>,
}

impl PolicyBuilder {
    /// Starts another layer.
    pub fn next_layer(&mut self) {
        self.layer.clear();
    }

    /// Adds a built-in set as a layer of its own.
    ///
    /// # Errors
    ///
    /// None in practice, as a test shows: the sets are part of the program.
    pub fn add_set(&mut self, set: BuiltinSet) -> Result<(), PolicyError> {
        let malformed = |why: manifest::ReadError| PolicyError::Malformed {
            kind: "built-in set".to_owned(),
            misfit: Box::new(Misfit { path: FieldPath::root(), why: why.to_string() }),
        };
        for document in manifest::read(set.manifest()).map_err(malformed)? {
            self.add(&document.to_json())?;
        }
        self.next_layer();
        Ok(())
    }

    /// Sets the kernel of the nodes; the default is one in which all safe sysctls are safe.
    pub fn set_kernel(&mut self, kernel: KernelVersion) {
        self.policy.set_kernel(kernel);
    }

    /// Adds an object, and returns whether it is part of policy: an SCC, a namespace, a role or binding, a pod (which
    /// exec and attach look up), or a `List` of such.
    ///
    /// # Errors
    ///
    /// The object is of such a kind but not valid.
    pub fn add(&mut self, object: &Value) -> Result<bool, PolicyError> {
        if object.get("kind").is_some_and(|kind| kind == "List")
            && object.get("apiVersion").is_some_and(|version| version == "v1")
        {
            let items = object.get("items").and_then(Value::as_array);
            items.into_iter().flatten().try_for_each(|item| self.add(item).map(drop))?;
            return Ok(true);
        }
        let Some(object) = PolicyObject::read(object)? else { return Ok(false) };
        let ObjectKey { kind, namespace, name } = object.key();
        if !self.layer.insert(object.key().clone()) {
            let name = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
            return Err(PolicyError::Repeated { kind: kind.to_string(), name });
        }
        self.policy.apply(object);
        Ok(true)
    }

    /// Gives a namespace without ranges the assumed ones.
    pub fn assume_namespace(&mut self, name: &str) {
        self.policy.assume_namespace(name);
    }

    /// Whether the policy has any SCC yet.
    #[must_use]
    pub fn has_sccs(&self) -> bool {
        !self.policy.sccs().is_empty()
    }

    /// The policy of all objects.
    #[must_use]
    pub fn build(self) -> Policy {
        self.policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_once_in_a_layer() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace]});
        let mut builder = PolicyBuilder::default();
        assert_eq!(builder.add(&list), Ok(true));
        let repeated = PolicyError::Repeated { kind: "Namespace".to_owned(), name: "a".to_owned() };
        assert_eq!(builder.add(&namespace), Err(repeated));
        builder.next_layer();
        assert_eq!(builder.add(&namespace), Ok(true));
        assert_eq!(builder.add(&json!({"apiVersion": "v1", "kind": "Secret"})), Ok(false));
        assert!(!builder.has_sccs() && builder.build().namespace("a").is_some());
    }
}
