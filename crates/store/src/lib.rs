//! Versioned objects: one revision counter, consistent pages, watch from a revision, compaction, and writes
//! that are acknowledged only when they would survive `kill -9` and power loss.
//!
//! The store knows nothing of Kubernetes: an object is bytes under a resource, a namespace and a name. It is
//! kept by SQLite in WAL mode with full synchronisation, every version a row, so that a list or a watch sees
//! one moment however long it takes. Writes that come while the disk is busy go to it together.
//!
//! ```
//! use palisade_store::{Change, Key, Store};
//!
//! let store = Store::ephemeral()?;
//! let key = Key::new("configmaps", "shop", "colours");
//! let first = store.create(&key, b"red")?;
//! let second = store.update(&key, first, b"green")?;
//! assert!(store.update(&key, first, b"blue").is_err(), "somebody else wrote meanwhile");
//! assert_eq!(store.get(&key)?.unwrap().value, b"green");
//!
//! // What happened since the first write.
//! let mut watch = store.watch("configmaps", Some("shop"), first)?;
//! let events = watch.next(std::time::Duration::ZERO)?;
//! assert_eq!((events[0].revision, events[0].change), (second, Change::Updated));
//! # Ok::<(), palisade_store::StoreError>(())
//! ```

mod backup;
mod commit;
mod error;
mod history;
mod hold;
mod import;
mod list;
mod object;
mod observe;
mod open;
pub mod private;
mod queue;
mod watch;
mod write;
mod written;

pub use error::StoreError;
pub use import::Check;
pub use list::{Cursor, PAGE_BYTES, Page};
pub use object::{Change, Event, Key, Object, Revision};
pub use observe::{Effect, Observer};
pub use open::Store;
pub use watch::Watch;
pub use write::Write;
