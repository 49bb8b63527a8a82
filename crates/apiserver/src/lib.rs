//! The Kubernetes API over the embedded store: who asks, may they, is the object right, what becomes of it.
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
//! A request goes through these modules in this order: `server` (TLS), `serve` (limits, routing), `authenticate`,
//! `authorize`, `body` and `fields` (the object as its type has it), `verb` and `patch` (what is to become of it),
//! `admit` (service accounts, SCC, limits on roles), `objects` (the store), `respond` (JSON, protobuf, tables).
//! What happens in the store comes back through `hub` to `watch`, and to the `controller`. What the API knows of each
//! kind is in `resource` (one small file a kind) and in `schema`.

mod admit;
mod aggregate;
mod api;
mod audit;
mod authenticate;
mod authorize;
mod binder;
mod bootstrap;
mod call;
mod controller;
mod failure;
#[doc(hidden)]
pub mod fuzz;
mod hub;
mod identity;
mod limits;
mod live;
mod metrics;
mod node;
mod objects;
mod password;
mod pki;
mod ranges;
mod raw;
mod respond;
mod review;
mod serve;
mod server;
mod time;
mod token;
mod verb;
mod version;
mod watch;

use palisade_api::{
    body, discovery, error, fields, kind as resource, openapi, patch, protobuf, request, schema, selector,
    table,
};

pub use audit::PolicyError;
pub use server::{Config, Server, ServerError};
