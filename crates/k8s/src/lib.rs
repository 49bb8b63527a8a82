//! Kubernetes wire types, as far as Security Context Constraints need them.
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
pub use chain::{error_chain, root_cause};
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

/// The length of a pod's lists of objects, from which on the pod is refused before it fills the memory: an empty object of
/// two bytes takes hundreds.
pub const MAX_LISTED: usize = 20_000;

/// Reads a list of at most [`MAX_LISTED`] elements; `null` is an empty one.
pub(crate) fn listed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_option(Listed(std::marker::PhantomData))
}

struct Listed<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Listed<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_none<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_unit<E>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = elements.next_element()? {
            if all.len() == MAX_LISTED {
                return Err(serde::de::Error::custom(format_args!("more than {MAX_LISTED} elements")));
            }
            all.push(element);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_a_pod_are_refused_in_text_and_in_memory() {
        for list in ["containers", "initContainers", "ephemeralContainers", "volumes"] {
            let pod = |count: usize| {
                let items = vec!["{}"; count].join(",");
                format!(r#"{{"metadata": {{"name": "p"}}, "spec": {{"{list}": [{items}]}}}}"#)
            };
            let (fits, not) = (pod(MAX_LISTED), pod(MAX_LISTED + 1));
            assert!(serde_json::from_str::<Pod<'_>>(&fits).is_ok(), "{list}");
            let told = |error: serde_json::Error| error.to_string().contains("more than 20000 elements");
            assert!(serde_json::from_str::<Pod<'_>>(&not).is_err_and(told), "{list}");
            let value: serde_json::Value = serde_json::from_str(&not).unwrap_or_default();
            assert!(Pod::deserialize(&value).is_err_and(told), "{list}");
            let null = format!(r#"{{"spec": {{"{list}": null}}}}"#);
            assert!(serde_json::from_str::<Pod<'_>>(&null).is_ok(), "{list}");
        }
    }
}
