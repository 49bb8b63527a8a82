//! The Kubernetes API over the embedded store: authentication, authorization, admission, verbs, watches, controllers.
//!
//! ```
//! use palisade_apiserver::{Config, Server};
//! use palisade_scc::BuiltinSet;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let config = Config {
//!     data: None,
//!     listen: "127.0.0.1:0".parse()?,
//!     names: Vec::new(),
//!     set: BuiltinSet::V4,
//!     audit: None,
//!     audit_policy: None,
//!     backup: None,
//!     ..Config::default()
//! };
//! let server = Server::start(config).await?;
//! let kubeconfig = server.admin_kubeconfig(&format!("https://{}", server.address()?));
//! assert!(kubeconfig.contains("user: system:admin"));
//! server.run(async { /* until it is told to stop */ }).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A request goes through these modules in this order: [`palisade_https`] (TLS, limits of connections), `serve`
//! (routing), `authenticate`, `authorize` with `node`, `verb`, `admit` (service accounts, SCC, escalation), `objects` (the
//! store), `respond`. Bodies, patches, schema and kinds are those of [`palisade_api`]. Writes come back through `hub` to
//! `watch`, and to the `controller`. Limits and durations are in `limits`, the reported version is in `version`.

mod admit;
mod aggregate;
mod api;
mod authenticate;
mod authorize;
mod binder;
mod bootstrap;
mod budget;
mod call;
mod controller;
mod decider;
mod definitions;
mod ephemeral;
mod failure;
#[doc(hidden)]
pub mod fuzz;
mod hub;
mod lane;
mod limits;
mod login;
mod lost;
mod members;
mod metrics;
mod names;
mod node;
mod objects;
mod paced;
mod password;
mod pki;
mod policy;
mod quota;
mod raw;
mod remove;
mod respond;
mod review;
mod serve;
mod server;
mod share;
mod shares;
mod stripes;
mod time;
mod token;
mod turns;
mod verb;
mod version;
mod watch;
mod webhook;
mod workload;

use palisade_api::{
    body, discovery, error, identity, kind as resource, notes, openapi, patch, protobuf, request, schema,
    selector, table, weight,
};

pub use decider::Decider;
pub use ephemeral::Ephemeral;
pub use palisade_audit::PolicyError;
pub use server::{Config, NodeCredentials, Server, ServerError, node_credentials};
