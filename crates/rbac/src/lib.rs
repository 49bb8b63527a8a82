//! Role-based access control: the rules of `rbac.authorization.k8s.io/v1`, over roles and bindings that change one by
//! one.
//!
//! ```
//! use palisade_k8s::rbac::{Role, RoleBinding};
//! use palisade_rbac::{Action, Rbac, RbacObject, User};
//!
//! let role: Role = serde_json::from_str(r#"{"metadata": {"name": "use-anyuid"}, "rules": [{
//!     "verbs": ["use"], "apiGroups": ["security.openshift.io"],
//!     "resources": ["securitycontextconstraints"], "resourceNames": ["anyuid"]}]}"#)?;
//! let binding: RoleBinding = serde_json::from_str(r#"{"metadata": {"name": "b", "namespace": "sso"},
//!     "roleRef": {"kind": "ClusterRole", "name": "use-anyuid"},
//!     "subjects": [{"kind": "ServiceAccount", "name": "section9"}]}"#)?;
//! let mut rbac: Rbac =
//!     [RbacObject::cluster_role(role), RbacObject::role_binding(binding)].into_iter().collect();
//!
//! let action = Action {
//!     verb: "use", group: "security.openshift.io", resource: "securitycontextconstraints",
//!     name: "anyuid", namespace: "sso",
//! };
//! let user = User { name: "system:serviceaccount:sso:section9", groups: &[] };
//! let grant = rbac.authorize(&user, &action).expect("granted in its own namespace");
//! assert_eq!(grant.to_string(), "RoleBinding sso/b to ServiceAccount section9, of ClusterRole use-anyuid");
//! assert!(rbac.authorize(&user, &Action { namespace: "dev", ..action }).is_none());
//!
//! // A copy shares all that does not change.
//! let before = rbac.clone();
//! rbac.remove(palisade_rbac::RbacKind::RoleBinding, "sso", "b");
//! assert!(rbac.authorize(&user, &action).is_none() && before.authorize(&user, &action).is_some());
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `object` | one role or binding as it is added |
//! | `role` | what a role allows; the SCCs that it lets its subjects use |
//! | `aggregate` | cluster roles that take their rules from others |
//! | `binding` | a binding and its subjects; the grant that a decision reports |
//! | `held` | the bindings of one user or group |
//! | `index` | bindings by subject and namespace, changed object by object; authorization |
//! | `scope` | the scopes of a token, which bound what roles give |
//! | `weights` | the memory that the roles and bindings of each namespace take |
//! | `escalate` | whether held rules cover the rules that a user wants to grant |

mod aggregate;
mod binding;
mod escalate;
mod held;
mod index;
mod object;
mod role;
mod scope;
mod weights;

pub use binding::{Binding, Grant, Holder, service_account_user};
pub use escalate::not_held;
pub use index::Rbac;
pub use object::{RbacKind, RbacObject};
pub use role::{CheckedRole, Names, SccNames};
pub use scope::{SCOPES, Scopes};
pub use weights::Weights;

/// A user with their groups.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The groups that the user is in.
    pub groups: &'a [&'a str],
}

/// One action on a resource.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The resource's API group.
    pub group: &'a str,
    /// The resource, with `/subresource` where meant.
    pub resource: &'a str,
    /// The object's name; empty for none in particular.
    pub name: &'a str,
    /// The namespace; empty for the whole cluster.
    pub namespace: &'a str,
}
