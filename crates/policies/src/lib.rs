//! SCCs compiled into the admission policies of Kubernetes itself, so that OpenShift's decision is made inside of the
//! API server: no webhook, no running component.
//!
//! ```
//! use palisade_policies::{NAME, Settings, compile};
//! use palisade_scc::SccSet;
//!
//! let scc = serde_json::from_str(r#"{
//!     "metadata": {"name": "own"}, "volumes": ["secret"], "allowHostNetwork": false,
//!     "runAsUser": {"type": "MustRunAsRange"}, "seLinuxContext": {"type": "RunAsAny"}
//! }"#)?;
//! let compiled = compile(&SccSet::new([scc]), &Settings::default())?;
//!
//! let policy = compiled.get("ValidatingAdmissionPolicy", NAME).expect("it is compiled");
//! let variables = policy["spec"]["variables"].as_array().expect("a policy has variables");
//! let fits = variables.iter().find(|variable| variable["name"] == "fits_own").expect("one an SCC");
//! assert!(fits["expression"].as_str().is_some_and(|text| text.contains("!variables.spec.?hostNetwork")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An SCC goes through three forms: the `Plan` that the engine runs too, its rules in CEL (`rule`: its demands on a pod
//! and its defaults), and its variables (`entry`: whether the pod fits, whether nothing of it would change, which
//! subject has the right). All SCCs share the `facts` about a pod, its namespace and its user. `mutating` chooses the
//! first SCC and `patch` writes its defaults; `validating` checks the pod against it. `limits` counts the API server's
//! limits.
//!
//! Tests run the expressions without a cluster, and compare each decision with the engine's.

mod cel;
mod compile;
mod connect;
mod entry;
mod facts;
mod grant;
mod limits;
mod mutating;
mod patch;
mod rule;
mod trial;
mod update;
mod validating;
mod workload;

pub use compile::{
    CONNECT, CompileError, Compiled, EVERYBODY, GUARD, HASH, IDENTITIES, Mode, NAME, Settings, WORKLOADS,
    compile,
};
pub use limits::Breach;
