//! Kubernetes wire types, as far as Security Context Constraints look at them.
//!
//! Everything here builds and parses; nothing sends, stores or decides. The types borrow from the
//! text that they are read from, so that reading an admission request copies no strings:
//!
//! ```
//! use palisade_k8s::Pod;
//!
//! let json = r#"{"metadata": {"name": "web"},
//!                "spec": {"containers": [{"name": "app", "securityContext": {"runAsUser": 0}}]}}"#;
//! let pod: Pod<'_> = serde_json::from_str(json)?;
//!
//! let (at, container) = pod.spec.all_containers().next().expect("one container");
//! assert_eq!(at.to_string(), "spec.containers[0]");
//! assert_eq!(container.security().and_then(|security| security.run_as_user), Some(0));
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`pod`] | the security view of a pod |
//! | [`scc`] | the `SecurityContextConstraints` type, all fields of `security.openshift.io/v1` |
//! | [`rbac`] | roles and bindings |
//! | [`review`] | `AdmissionReview`: the request that is read, the response that is written |
//! | [`patch`] | JSON Patch, written operation by operation |
//! | [`field`] | field paths and the errors of Kubernetes' validation |
//! | [`manifest`] | YAML and JSON files as documents whose every value knows its line and column |
//! | [`metadata`] | the rules for names, labels and annotations |
//! | [`quantity`] | amounts, as `500m` or `2Gi` |
//! | [`capability`] | Linux' capabilities by name |
//! | [`seccomp`] | seccomp profiles by annotation and by field, and the one that a container gets |
//! | [`workload`] | where each kind of workload keeps its pod template |

mod age;
pub mod annotations;
pub mod capability;
mod chain;
pub mod field;
mod fit;
mod kernel;
pub mod manifest;
pub mod metadata;
pub mod patch;
pub mod pod;
pub mod quantity;
pub mod rbac;
pub mod review;
pub mod scc;
pub mod seccomp;
pub mod text;
mod value;
pub mod workload;
pub mod yaml;

pub use age::age;
pub use annotations::Annotations;
pub use chain::error_chain;
pub use field::{FieldError, FieldErrorKind, FieldPath};
pub use fit::{Misfit, fit};
pub use kernel::{KernelVersion, KernelVersionError};
pub use pod::{Container, ContainerPath, Pod};
pub use scc::SecurityContextConstraints;
pub use text::Text;
pub use value::put;

use serde::{Deserialize, Deserializer};

/// Reads `null` as the type's default, as Go's decoder does for lists, maps and plain values.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
