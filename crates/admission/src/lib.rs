//! One `AdmissionReview` in, one response out, over an immutable snapshot of policy.
//!
//! The command line, the webhook and the API server all decide through this crate, so that all
//! three give one answer. It is total: whatever cannot be decided is refused, with the reason.
//!
//! ```
//! use palisade_admission::{PolicyBuilder, respond};
//!
//! let mut builder = PolicyBuilder::default();
//! builder.add_set(palisade_scc::BuiltinSet::V4)?;
//! builder.add(&serde_json::json!({
//!     "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sso", "annotations": {
//!         "openshift.io/sa.scc.uid-range": "1000000000/10000", "openshift.io/sa.scc.mcs": "s0:c1,c0"}}
//! }))?;
//! let policy = builder.build();
//!
//! let review = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
//!     "uid": "1", "resource": {"group": "", "version": "v1", "resource": "pods"},
//!     "namespace": "sso", "name": "web", "operation": "CREATE",
//!     "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
//!     "object": {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app"}]}}}}"#;
//! let response = respond(&policy, review)?;
//! assert!(response.allowed);
//! assert!(response.audit_annotations["reason"].starts_with("restricted-v2 admits the pod"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `policy` | the snapshot, and how it is built from objects |
//! | `grants` | which SCCs an identity may use, computed once per change of policy |
//! | `decide` | the decision on a pod: fast ([`evaluate`]) and in full ([`explain`]) |
//! | `update` | which changes of a pod need no decision |
//! | `equality` | Kubernetes' semantic equality |
//! | `respond` | the wire: requests for pods, exec and attach, and SCC objects |

mod audit;
mod builder;
mod cache;
mod connect;
mod decide;
mod equality;
mod grants;
mod lint;
mod object;
mod policy;
mod ranges;
mod respond;
mod source;
mod update;

pub use audit::refusal_message;
pub use builder::PolicyBuilder;
pub use cache::PolicyCache;
pub use decide::{
    Admission, Decision, Exemption, MAX_CONTAINERS, PodRequest, Refusal, Step, SubjectType, Trace, evaluate,
    explain,
};
pub use grants::{GrantPath, Identity};
pub use lint::{dead_annotation, lint, lint_all};
pub use policy::{Namespace, Policy};
pub use ranges::{Block, Blocks, Reservation, Reservations};
pub use respond::{Unreadable, respond};
pub use source::{ObjectKey, PolicyError, PolicyKind, PolicyObject};
