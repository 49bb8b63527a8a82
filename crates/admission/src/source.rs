//! Objects that are part of a policy, parsed and checked before the policy is changed.

use std::fmt;
use std::sync::Arc;

use palisade_k8s::rbac::{self, Role, RoleBinding};
use palisade_k8s::scc::{self, ObjectMeta};
use palisade_k8s::{FieldError, Misfit, SecurityContextConstraints, fit};
use palisade_rbac::{RbacKind, RbacObject};
use palisade_scc::Entry;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::namespace::Namespace;

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyKind {
    /// `SecurityContextConstraints`.
    Scc,
    /// `Namespace`.
    Namespace,
    /// A role or a binding.
    Rbac(RbacKind),
    /// `Pod`: a running one, for `exec` and `attach`.
    Pod,
}

impl PolicyKind {
    /// All kinds that a decision on a new pod depends on, by API group and resource.
    pub const RESOURCES: [(&'static str, &'static str, Self); 6] = [
        (rbac::GROUP, "clusterroles", Self::Rbac(RbacKind::ClusterRole)),
        (rbac::GROUP, "roles", Self::Rbac(RbacKind::Role)),
        (rbac::GROUP, "clusterrolebindings", Self::Rbac(RbacKind::ClusterRoleBinding)),
        (rbac::GROUP, "rolebindings", Self::Rbac(RbacKind::RoleBinding)),
        (scc::GROUP, scc::RESOURCE, Self::Scc),
        ("", "namespaces", Self::Namespace),
    ];

    /// The kind of an object by its group and kind; SCCs are also known without a group.
    #[must_use]
    pub fn parse(group: &str, kind: &str) -> Option<Self> {
        match (group, kind) {
            (scc::GROUP | "", scc::KIND) => Some(Self::Scc),
            ("", "Namespace") => Some(Self::Namespace),
            ("", "Pod") => Some(Self::Pod),
            (rbac::GROUP, kind) => RbacKind::parse(kind).map(Self::Rbac),
            _ => None,
        }
    }

    fn is_namespaced(self) -> bool {
        match self {
            Self::Scc | Self::Namespace => false,
            Self::Rbac(kind) => kind.is_namespaced(),
            Self::Pod => true,
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scc => scc::KIND,
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Rbac(RbacKind::ClusterRole) => "ClusterRole",
            Self::Rbac(RbacKind::Role) => "Role",
            Self::Rbac(RbacKind::ClusterRoleBinding) => "ClusterRoleBinding",
            Self::Rbac(RbacKind::RoleBinding) => "RoleBinding",
        })
    }
}

/// The object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: PolicyKind,
    /// Its namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// An object of a policy. Parsing takes time proportional to its size; applying does not.
#[derive(Clone, Debug)]
pub struct PolicyObject {
    pub(crate) key: ObjectKey,
    pub(crate) content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Scc(Arc<Entry>),
    Namespace(Arc<Namespace>),
    Rbac(RbacObject),
    Pod(Arc<str>),
}

/// The reason why an object cannot be part of a policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// It does not fit its type.
    #[error("{kind} does not fit its type: {misfit}")]
    Malformed {
        /// The object's kind.
        kind: String,
        /// The field that does not fit its type.
        misfit: Box<Misfit>,
    },
    /// It has no name.
    #[error("{0} has no metadata.name")]
    Nameless(String),
    /// It occurs twice.
    #[error("{kind} {name} is there twice")]
    Repeated {
        /// The object's kind.
        kind: String,
        /// Its name, after its namespace if it has one.
        name: String,
    },
    /// An SCC that the API server would not accept.
    #[error("SecurityContextConstraints {name} is invalid: {}", join(.errors))]
    Invalid {
        /// Its name.
        name: String,
        /// The problem.
        errors: Vec<FieldError>,
    },
}

fn join(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl PolicyObject {
    /// Parses an object; `None` if objects of its kind are not part of a policy.
    ///
    /// # Errors
    ///
    /// The object is of such a kind but not valid.
    pub fn read(object: &Value) -> Result<Option<Self>, PolicyError> {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        let group = text("apiVersion").split_once('/').map_or("", |(group, _)| group);
        PolicyKind::parse(group, text("kind")).map(|kind| Self::of(kind, object)).transpose()
    }

    /// Parses an object as one of a kind, whatever its own `kind`.
    ///
    /// # Errors
    ///
    /// It is not valid.
    pub fn of(kind: PolicyKind, object: &Value) -> Result<Self, PolicyError> {
        let head: Head = read(kind, object)?;
        let ObjectMeta { name, namespace, .. } = &head.metadata;
        if name.is_empty() {
            return Err(PolicyError::Nameless(kind.to_string()));
        }
        let namespace = if kind.is_namespaced() { namespace.clone() } else { String::new() };
        let key = ObjectKey { kind, namespace, name: name.clone() };
        let content = match kind {
            PolicyKind::Scc => Content::Scc(Arc::new(entry(read(kind, object)?)?)),
            PolicyKind::Namespace => {
                let deleted = object.pointer("/metadata/deletionTimestamp");
                let is_terminating = deleted.is_some_and(|time| !time.is_null());
                Content::Namespace(Arc::new(Namespace::new(&head.metadata, is_terminating)))
            }
            PolicyKind::Rbac(rbac) => Content::Rbac(rbac_object(rbac, object)?),
            PolicyKind::Pod => Content::Pod(Arc::from(object.to_string())),
        };
        Ok(Self { key, content })
    }

    /// The memory that a role or a binding takes in a policy, in bytes.
    #[must_use]
    pub fn grants_weight(&self) -> usize {
        match &self.content {
            Content::Rbac(object) => object.weight(),
            _ => 0,
        }
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }
}

fn read<T: DeserializeOwned>(kind: PolicyKind, object: &Value) -> Result<T, PolicyError> {
    fit(object).map_err(|misfit| PolicyError::Malformed { kind: kind.to_string(), misfit })
}

fn entry(mut scc: SecurityContextConstraints) -> Result<Entry, PolicyError> {
    palisade_scc::default(&mut scc);
    match palisade_scc::validate(&scc) {
        errors if errors.is_empty() => Ok(Entry::new(scc)),
        errors => Err(PolicyError::Invalid { name: scc.metadata.name, errors }),
    }
}

fn rbac_object(kind: RbacKind, object: &Value) -> Result<RbacObject, PolicyError> {
    let of = PolicyKind::Rbac(kind);
    Ok(match kind {
        RbacKind::ClusterRole => RbacObject::cluster_role(read::<Role>(of, object)?),
        RbacKind::Role => RbacObject::role(read::<Role>(of, object)?),
        RbacKind::ClusterRoleBinding => RbacObject::cluster_role_binding(read::<RoleBinding>(of, object)?),
        RbacKind::RoleBinding => RbacObject::role_binding(read::<RoleBinding>(of, object)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_of_a_policy_have_a_kind_and_a_key() {
        for (version, kind, metadata, expected) in [
            ("v1", "Namespace", json!({"name": "a", "namespace": "x"}), Some("Namespace a")),
            ("v1", "Pod", json!({"name": "p", "namespace": "a"}), Some("Pod a/p")),
            ("v1", scc::KIND, json!({"name": "s"}), Some("SecurityContextConstraints s")),
            (
                "security.openshift.io/v1",
                scc::KIND,
                json!({"name": "s"}),
                Some("SecurityContextConstraints s"),
            ),
            (
                "rbac.authorization.k8s.io/v1",
                "Role",
                json!({"name": "r", "namespace": "a"}),
                Some("Role a/r"),
            ),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", json!({"name": "r"}), Some("ClusterRole r")),
            ("v1", "ClusterRole", json!({"name": "r"}), None),
            ("apps/v1", "Namespace", json!({"name": "a"}), None),
            ("v1", "Secret", json!({"name": "a"}), None),
        ] {
            let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata,
                "runAsUser": {"type": "RunAsAny"}, "seLinuxContext": {"type": "RunAsAny"}});
            let key = PolicyObject::read(&object).unwrap().map(|object| object.key().to_string());
            assert_eq!(key.as_deref(), expected, "{version} {kind}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let rbac = "rbac.authorization.k8s.io/v1";
        for (object, expected) in [
            (json!({"apiVersion": "v1", "kind": "Namespace"}), "Namespace has no metadata.name"),
            (
                json!({"apiVersion": rbac, "kind": "Role", "metadata": {"name": "r"}, "rules": {}}),
                "Role does not fit its type: rules: ",
            ),
            (
                json!({"apiVersion": "v1", "kind": scc::KIND, "metadata": {"name": "s"}, "priority": -1}),
                "SecurityContextConstraints s is invalid: priority: ",
            ),
        ] {
            let error = PolicyObject::read(&object).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
