//! Objects of the Kubernetes API in the embedded store.
//!
//! [`objects`] reads and writes them as JSON, [`raw`] shows many of them with as little parsing as possible,
//! [`hub`] parses the events of writes once for all watches and controllers ([`follower`]), [`definitions`] are the resources that are served now,
//! [`services`] what services hold.
//!
//! ```
//! use palisade_api::kind::PODS;
//! use palisade_registry::objects;
//! use palisade_store::Store;
//! use serde_json::json;
//!
//! let store = Store::ephemeral()?;
//! let made = objects::create(&store, &PODS, "shop", json!({"metadata": {"name": "web", "namespace": "shop"}}))?;
//! let found = objects::get(&store, &PODS, "shop", "web").expect("it was made");
//! assert_eq!(found.object, made);
//! assert_eq!(made["metadata"]["resourceVersion"], found.revision.to_string());
//! # Ok::<(), palisade_store::StoreError>(())
//! ```

pub mod alone;
pub mod definitions;
mod event;
pub mod failure;
pub mod follower;
pub mod hub;
mod limits;
pub mod objects;
pub mod raw;
mod recent;
pub mod services;
pub mod time;

pub use limits::{OBJECT, PART};
use palisade_api::{error, kind as resource, weight};
