//! SCC on a Kubernetes that others operate: the objects to install, and the webhooks that answer.
//!
//! A replica ([`Server`]) follows the SCCs, namespaces, roles and bindings of the cluster (`feed`) into the policy of
//! `palisade-admission` (`policy`), and answers reviews by it (`review`). It stores nothing: certificates come from an authority
//! in a Secret (`authority`, `secret`), and the work of one replica for all is done by the holder of a Lease (`lease`,
//! `controllers`). [`install`] makes the objects that a cluster needs for it.
//!
//! ```
//! use palisade_webhook::install::{Part, Settings, objects};
//!
//! let webhooks = objects(Part::Webhooks, &Settings::default());
//! assert_eq!(webhooks[0]["kind"], "ValidatingWebhookConfiguration");
//! ```

mod affinity;
mod authority;
mod config;
mod connect;
mod controllers;
mod denials;
mod event;
mod feed;
mod finding;
mod fit;
mod health;
pub mod install;
mod leaf;
mod lease;
mod lookup;
mod memory;
mod missing;
mod mode;
mod namespaces;
mod nodes;
pub mod operate;
mod policy;
mod recorder;
mod report;
mod request;
mod review;
mod secret;
mod server;
mod slots;
mod unready;
mod warning;
mod words;
mod workloads;

pub use authority::AuthorityError;
pub use config::Config;
pub use connect::{ConnectError, connect, reach};
pub use kube::Client;
pub use leaf::LeafError;
pub use missing::{MissingProfile, UnknownTreatment};
pub use mode::{MODE_LABEL, Mode, UnknownMode};
pub use secret::SecretError;
pub use server::{Server, ServerError};
pub use words::error_text;
