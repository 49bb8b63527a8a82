//! The policy for decisions: SCCs, roles and bindings, and namespaces with their ranges.

use std::sync::Arc;

use palisade_k8s::KernelVersion;
use palisade_persistent::Map;
use palisade_rbac::{Rbac, Scopes, Weights, service_account_user};
use palisade_scc::{Entry, SccSet};

use crate::grants::{Identity, NamedSubjects, Usable, service_account_groups};
use crate::namespace::Namespace;
use crate::ranges::Blocks;
use crate::source::{Content, ObjectKey, PolicyKind, PolicyObject};

/// Everything that a decision depends on beside the request. It changes object by object; a copy is cheap and shares
/// all unchanged objects.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    sccs: SccSet,
    subjects: NamedSubjects,
    rbac: Rbac,
    namespaces: Map<Arc<str>, Arc<Namespace>>,
    /// The blocks of IDs of the namespaces.
    blocks: Blocks,
    /// Running pods, as JSON, by namespace and name.
    pods: Map<Arc<str>, Arc<str>>,
    kernel: Option<KernelVersion>,
    /// The memory of roles and bindings, by the requester of their namespace.
    requested: Weights,
}

impl Policy {
    /// The SCCs, in the order of their evaluation.
    #[must_use]
    pub fn sccs(&self) -> &SccSet {
        &self.sccs
    }

    /// Roles and bindings.
    #[must_use]
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
    }

    /// A namespace of the policy.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name).map(|namespace| &**namespace)
    }

    /// Adds an object, or replaces the one of its key.
    pub fn apply(&mut self, object: PolicyObject) {
        let PolicyObject { key, content } = object;
        match content {
            Content::Scc(entry) => {
                let old = self.sccs.insert(Arc::clone(&entry));
                old.iter().for_each(|old| self.subjects.remove(old));
                self.subjects.insert(&entry);
            }
            Content::Namespace(namespace) => {
                self.blocks.hold(namespace.blocks());
                self.charge(&key.name, false);
                let old = self.namespaces.insert(Arc::from(&*key.name), namespace);
                old.iter().for_each(|old| self.blocks.release(old.blocks()));
                self.charge(&key.name, true);
            }
            Content::Rbac(object) => {
                self.charge(&key.namespace, false);
                self.rbac.apply(object);
                self.charge(&key.namespace, true);
            }
            Content::Pod(text) => drop(self.pods.insert(pod_key(&key.namespace, &key.name), text)),
        }
    }

    /// Removes an object, if it exists.
    pub fn remove(&mut self, key: &ObjectKey) {
        match key.kind {
            PolicyKind::Scc => {
                let old = self.sccs.remove(&key.name);
                old.iter().for_each(|old| self.subjects.remove(old));
            }
            PolicyKind::Namespace => {
                self.charge(&key.name, false);
                let old = self.namespaces.remove(&*key.name);
                old.iter().for_each(|old| self.blocks.release(old.blocks()));
            }
            PolicyKind::Rbac(kind) => {
                self.charge(&key.namespace, false);
                self.rbac.remove(kind, &key.namespace, &key.name);
                self.charge(&key.namespace, true);
            }
            PolicyKind::Pod => drop(self.pods.remove(&pod_key(&key.namespace, &key.name))),
        }
    }

    /// Adds the memory of a namespace's roles and bindings to that of its requester, or takes it from there.
    fn charge(&mut self, namespace: &str, is_more: bool) {
        let requester = self.namespace(namespace).and_then(Namespace::requester).cloned();
        let weight = self.rbac.weight(namespace);
        let (more, less) = if is_more { (weight, 0) } else { (0, weight) };
        requester.iter().for_each(|requester| self.requested.change(requester, more, less));
    }

    /// The memory that roles and bindings of a namespace take, and of all namespaces of its requester if it is somebody's
    /// project, in bytes.
    #[must_use]
    pub fn grants_weight(&self, namespace: &str) -> usize {
        let requester = self.namespace(namespace).and_then(Namespace::requester);
        requester.map_or_else(|| self.rbac.weight(namespace), |requester| self.requested.get(requester))
    }

    /// The memory that roles and bindings of all namespaces take that a user has requested, in bytes.
    #[must_use]
    pub fn requested_weight(&self, requester: &str) -> usize {
        self.requested.get(requester)
    }

    /// The blocks of IDs of the namespaces.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Sets the kernel of the nodes; the default is one in which all safe sysctls are safe.
    pub fn set_kernel(&mut self, kernel: KernelVersion) {
        self.kernel = Some(kernel);
    }

    /// Gives a namespace without ranges the assumed ones.
    pub fn assume_namespace(&mut self, name: &str) {
        let known = self.namespace(name);
        if known.is_some_and(|namespace| namespace.ranges().is_ok()) {
            return;
        }
        let namespace = Namespace::assumed(known.and_then(Namespace::opt_out));
        self.charge(name, false);
        self.namespaces.insert(Arc::from(name), Arc::new(namespace));
    }

    /// Copies the kernel of another policy.
    pub(crate) fn keep_kernel(&mut self, other: &Self) {
        self.kernel = other.kernel;
    }

    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<&str> {
        self.pods.get(&pod_key(namespace, name)).map(|text| &**text)
    }

    /// The kernel that determines the safe sysctls.
    #[must_use]
    pub fn kernel(&self) -> KernelVersion {
        self.kernel.unwrap_or(KernelVersion::LATEST)
    }

    /// The SCCs that a service account of `namespace` may use by their names: a right to all of them counts for none.
    #[must_use]
    pub fn named_for(&self, namespace: &str, account: &str) -> Vec<&Entry> {
        let name = service_account_user(namespace, account);
        let groups = service_account_groups(namespace);
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let identity = Identity { name: &name, groups: &groups, scopes: Scopes::default() };
        self.usable(&identity, namespace).named()
    }

    /// The SCCs that an identity may use for a pod in `namespace`.
    pub(crate) fn usable(&self, identity: &Identity<'_>, namespace: &str) -> Usable<'_> {
        self.subjects.usable((&self.sccs, &self.rbac), identity, namespace)
    }
}

/// Neither a namespace nor a name contains a slash.
fn pod_key(namespace: &str, name: &str) -> Arc<str> {
    Arc::from(format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::REQUESTER;
    use palisade_k8s::scc::annotation;
    use serde_json::json;

    #[test]
    fn roles_and_bindings_weigh_on_the_requester_of_their_namespace() {
        let mut policy = Policy::default();
        let mut apply = |object: serde_json::Value| {
            policy.apply(PolicyObject::read(&object).unwrap().unwrap());
            ["joe", "ann"].map(|user| policy.requested_weight(user))
        };
        let namespace = |name: &str, user: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": {REQUESTER: user}}});
        let binding = |namespace: &str, count: usize| {
            let subjects = vec![json!({"kind": "User", "name": "somebody"}); count];
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "b", "namespace": namespace}, "subjects": subjects})
        };
        assert_eq!(apply(binding("a", 10)), [0, 0]);
        let [one, _] = apply(namespace("a", "joe"));
        assert!(one > 10 * "somebody".len());
        apply(namespace("b", "joe"));
        assert_eq!(apply(binding("b", 10)), [2 * one, 0]);
        assert_eq!(apply(namespace("b", "ann")), [one, one]);
        assert_eq!(apply(binding("b", 10)), [one, one]);
        let [_, less] = apply(binding("b", 5));
        assert!((one / 3..one).contains(&less), "{less} of {one}");
        assert_eq!((policy.grants_weight("a"), policy.grants_weight("b")), (one, less));
        for (kind, namespace, name) in [
            (PolicyKind::Rbac(palisade_rbac::RbacKind::RoleBinding), "b", "b"),
            (PolicyKind::Namespace, "", "a"),
        ] {
            policy.remove(&ObjectKey { kind, namespace: namespace.into(), name: name.into() });
        }
        assert_eq!(["joe", "ann"].map(|user| policy.requested_weight(user)), [0, 0]);
        assert_eq!(policy.grants_weight("a"), one, "a namespace of nobody weighs by itself");
    }

    #[test]
    fn ranges_are_assumed_only_where_there_are_none() {
        let mut policy = Policy::default();
        let object = serde_json::json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "own",
            "annotations": {annotation::UID_RANGE: "5000/10", annotation::MCS: "s0:c9,c8"}}});
        policy.apply(PolicyObject::read(&object).unwrap().unwrap());
        policy.assume_namespace("own");
        policy.assume_namespace("new");
        assert!(!policy.namespace("own").unwrap().is_assumed());
        let assumed = policy.namespace("new").unwrap();
        assert_eq!((assumed.is_assumed(), assumed.ranges().unwrap().level()), (true, Ok("s0:c1,c0")));
    }
}
