//! Security Context Constraints: which SCC admits a pod, what it sets on the pod, and why others do not.
//!
//! An SCC both *defaults* and *validates* a whole pod. This crate is independent of requests, users, files, clocks and
//! environments: its inputs are SCCs, a pod and a namespace's ranges.
//!
//! ```
//! use palisade_k8s::{Pod, SecurityContextConstraints};
//! use palisade_k8s::KernelVersion;
//! use palisade_scc::{Context, Mutation, NamespaceRanges, SccSet, evaluate};
//!
//! let scc: SecurityContextConstraints = serde_json::from_str(r#"{
//!     "metadata": {"name": "restricted"}, "volumes": ["secret"],
//!     "runAsUser": {"type": "MustRunAsRange"}, "seLinuxContext": {"type": "MustRunAs"}
//! }"#)?;
//! let set = SccSet::new([scc]);
//!
//! let namespace = [
//!     ("openshift.io/sa.scc.uid-range", "1000000000/10000"),
//!     ("openshift.io/sa.scc.mcs", "s0:c1,c0"),
//! ];
//! let ranges = NamespaceRanges::read(|key| namespace.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))?;
//! let context = Context { ranges: &ranges, kernel: KernelVersion::LATEST };
//!
//! let pod: Pod<'_> = serde_json::from_str(r#"{"spec": {"containers": [{"name": "app"}]}}"#)?;
//! let (entry, changes) = evaluate(set.entries(), context, &pod, Mutation::Allowed).expect("it fits");
//! assert_eq!(entry.name(), "restricted");
//! assert_eq!(changes.containers[0].run_as_user, Some(1_000_000_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An SCC goes through three forms: as written ([`SecurityContextConstraints`], which [`default()`] completes and
//! [`validate`] checks), checked and parsed ([`Plan`]), and with one namespace's ranges filled in, which lasts for one
//! evaluation.

pub mod advice;
mod attempt;
mod builtin;
mod changes;
mod default;
mod diff;
mod drift;
mod findings;
#[cfg(test)]
mod fixture;
pub mod least;
mod lint;
mod lookup;
mod namespace;
mod plan;
pub mod pod_security;
mod psp;
mod rule;
mod score;
mod set;
mod unusable;
mod validate;

pub use attempt::{Context, attempt};
pub use builtin::{BuiltinSet, UnknownSet};
pub use changes::{Changes, ContainerChanges, SeccompField};
pub use default::default;
pub use diff::{Difference, defaults, diff};
pub use drift::{Allocated, Drift, drift};
pub use findings::{Few, Findings, Verdict};
pub use lint::{Finding, Meant, Severity, absent, is_runtime_capability, lint, lint_set, meant, suggestion};
pub use namespace::{NamespaceRanges, RangeError, ignored as ignored_of_range};
pub use plan::Plan;
pub use psp::{Converted, ConvertedRole, Lost, from_psp, from_psp_role};
pub use rule::{
    CapabilityChange, CapabilityRule, GroupRule, Labels, SeLinuxRule, SeccompRule, SysctlRule, UserRule,
    VolumeRule, safe_sysctls,
};
pub use score::{Preference, Rank, score};
pub use set::{Entry, Mutation, Outcome, SccSet, evaluate};
pub use unusable::Unusable;
pub use validate::validate;

#[cfg(doc)]
use palisade_k8s::SecurityContextConstraints;
