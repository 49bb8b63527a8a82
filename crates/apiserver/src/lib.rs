//! The Kubernetes API over the embedded store: admission, verbs, watches.
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
//!     set: Some(BuiltinSet::V4),
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
//! A request goes through these in this order: [`palisade_https`] (TLS, limits of connections), `serve` (routing),
//! [`palisade_access`] (authentication, authorization), `verb`, `admit` (service accounts, SCC, escalation),
//! [`palisade_registry`] (the store), `respond`. Bodies, patches, schema and kinds are those of [`palisade_api`]. Writes come
//! back through the registry's hub to `watch`, and to [`palisade_controllers`]. Limits and durations are in `limits`, the reported version is in `version`.

mod admit;
mod api;
mod bootstrap;
mod call;
mod controllers;
mod convert;
mod decider;
mod documents;
mod endpoint;
mod ephemeral;
mod gate;
mod limits;
mod locks;
mod metrics;
mod names;
mod pki;
mod quota;
mod remove;
mod respond;
mod review;
mod serve;
mod server;
mod verb;
mod version;
mod watch;
mod webhook;

use palisade_access::{authenticate, authorize, login, node, password, policy, share, shares, token};
use palisade_api::{
    body, discovery, error, identity, kind as resource, notes, openapi, patch, protobuf, request, schema,
    selector, table, weight,
};

use palisade_registry::{alone, definitions, failure, hub, objects, raw, time};

pub use decider::Decider;
pub use ephemeral::Ephemeral;
pub use palisade_audit::PolicyError;
pub use server::{Config, NodeCredentials, Server, ServerError, node_credentials};
