//! One admission request in, one answer out, over a policy that changes object by object.
//!
//! The command line and the API server decide through this crate, each request in one of two forms: as the text of an
//! `AdmissionReview` ([`respond`]), or in memory ([`admit_pod`], [`connect`], [`SccWrite`]). Both have the same
//! decision. It is total: a request that cannot be decided is refused, with the reason.
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
//! A server keeps its policy in a [`PolicyCache`], which is updated object by object as they are written; each decision
//! takes a snapshot, which later writes do not change.
//!
//! | module | holds |
//! |---|---|
//! | `source` | objects that are part of a policy, read and checked |
//! | `policy` | the policy: SCCs in order, roles and bindings, namespaces |
//! | `namespace` | a namespace's ranges, and whether SCC leaves it alone |
//! | `builder` | a policy from files |
//! | `cache` | the policy of a running cluster |
//! | `grants` | which SCCs a user may use, and by what |
//! | `ranges` | the blocks of user IDs, group IDs and SELinux categories of namespaces |
//! | `reserve` | a block between its choice and the write of its namespace |
//! | `decide` | the decision on a pod: fast ([`evaluate`]) and in full ([`explain`]) |
//! | `pod` | a write of a pod: the verdict, the changes, the audit annotations ([`admit_pod`]) |
//! | `connect` | `exec` and `attach` |
//! | `missing` | the facts by which a fresher view of the cluster might reverse a refusal |
//! | `scc` | writes of SCC objects |
//! | `update` | which changes of a pod need no decision |
//! | `equality` | Kubernetes' semantic equality |
//! | `audit` | the refusal's message and the audit annotations |
//! | `lint` | checks of the objects beside SCCs |
//! | `respond` | `AdmissionReview` as text |

mod audit;
mod builder;
mod cache;
mod connect;
mod decide;
mod equality;
mod grants;
mod lint;
mod missing;
mod namespace;
mod pod;
mod policy;
mod ranges;
mod reserve;
mod respond;
mod scc;
mod source;
mod update;

pub use audit::refusal_message;
pub use builder::PolicyBuilder;
pub use cache::PolicyCache;
pub use connect::connect;
pub use decide::{
    Admission, Decision, Exemption, MAX_CONTAINERS, PodRequest, Refusal, Step, SubjectType, Trace, evaluate,
    explain,
};
pub use grants::{GrantPath, Identity};
pub use lint::{MALFORMED, NamedInGrants, dead_annotation, lint, lint_all};
pub use missing::{Missing, Subject, missing};
pub use namespace::{Namespace, REQUESTER};
pub use palisade_rbac::Scopes;
pub use pod::{PodAnswer, Verdict, admit_pod};
pub use policy::Policy;
pub use ranges::{Block, Blocks};
pub use reserve::{Reservation, Reservations};
pub use respond::{Review, Unreadable, respond, validate};
pub use scc::SccWrite;
pub use source::{ObjectKey, PolicyError, PolicyKind, PolicyObject};
pub use update::Update;
