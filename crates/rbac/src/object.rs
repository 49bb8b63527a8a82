//! One role or binding, checked before it is added.

use std::sync::Arc;

use palisade_k8s::rbac::{Role, RoleBinding};

use crate::binding::Binding;
use crate::role::CheckedRole;

/// The four kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RbacKind {
    /// `ClusterRole`.
    ClusterRole,
    /// `Role`.
    Role,
    /// `ClusterRoleBinding`.
    ClusterRoleBinding,
    /// `RoleBinding`.
    RoleBinding,
}

impl RbacKind {
    /// The kind of this name.
    #[must_use]
    pub fn parse(kind: &str) -> Option<Self> {
        Some(match kind {
            "ClusterRole" => Self::ClusterRole,
            "Role" => Self::Role,
            "ClusterRoleBinding" => Self::ClusterRoleBinding,
            "RoleBinding" => Self::RoleBinding,
            _ => return None,
        })
    }

    /// Whether its objects are in namespaces.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        matches!(self, Self::Role | Self::RoleBinding)
    }
}

/// A role or a binding. To make one costs time in proportion to its size; to add it does not.
#[derive(Clone, Debug)]
pub enum RbacObject {
    /// A `ClusterRole`.
    ClusterRole(Arc<CheckedRole>),
    /// A `Role`.
    Role(Arc<CheckedRole>),
    /// A `ClusterRoleBinding`.
    ClusterRoleBinding(Arc<Binding>),
    /// A `RoleBinding`.
    RoleBinding(Arc<Binding>),
}

impl RbacObject {
    /// A `ClusterRole`.
    #[must_use]
    pub fn cluster_role(role: Role) -> Self {
        Self::ClusterRole(Arc::new(CheckedRole::new(role)))
    }

    /// A `Role`. It has no aggregation.
    #[must_use]
    pub fn role(role: Role) -> Self {
        let mut role = Role { aggregation_rule: None, ..role };
        // Only cluster roles are selected by their labels.
        role.metadata.labels.clear();
        Self::Role(Arc::new(CheckedRole::new(role)))
    }

    /// The memory that it takes, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::ClusterRole(role) | Self::Role(role) => role.weight(),
            Self::ClusterRoleBinding(binding) | Self::RoleBinding(binding) => binding.weight(),
        }
    }

    /// A `ClusterRoleBinding`.
    #[must_use]
    pub fn cluster_role_binding(binding: RoleBinding) -> Self {
        Self::ClusterRoleBinding(Arc::new(Binding::new(&binding, false)))
    }

    /// A `RoleBinding`.
    #[must_use]
    pub fn role_binding(binding: RoleBinding) -> Self {
        Self::RoleBinding(Arc::new(Binding::new(&binding, true)))
    }
}
