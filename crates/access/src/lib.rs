//! Access to an API server: who a request is from, what they may do, and how much they may hold at once.
//!
//! [`authenticate`] finds the user by certificate, [`token`] or impersonation; [`login`] checks a [`password`]. [`authorize`]
//! asks RBAC, from a policy that [`policy`] keeps in step with the store, and [`node`] for the agents of nodes. A [`share`] of
//! memory, threads and watches is given to each user fairly; [`shares`] are all of them, and [`lane`] holds the threads for
//! what takes long.
//!
//! ```
//! use palisade_access::{authorize, policy};
//! use palisade_api::identity::Identity;
//! use palisade_rbac::Action;
//! use palisade_store::Store;
//!
//! let store = Store::ephemeral()?;
//! let (policy, _) = policy::follow(&store, &policy::Others::default()).expect("an empty store can be read");
//! let alice = Identity::user("alice".to_owned(), Vec::new());
//! let action = Action { verb: "get", group: "", resource: "pods", namespace: "shop", name: "web" };
//! assert_eq!(authorize::allowed(&policy, &alice, &action), None, "nobody has granted it");
//! # Ok::<(), palisade_store::StoreError>(())
//! ```

pub mod authenticate;
pub mod authorize;
pub mod lane;
pub mod limits;
pub mod login;
pub mod members;
pub mod node;
pub mod password;
pub mod policy;
pub mod share;
pub mod shares;
pub mod token;
mod uids;

use palisade_api::{error, identity, kind as resource, request};
use palisade_registry::{definitions, failure, objects, time};
