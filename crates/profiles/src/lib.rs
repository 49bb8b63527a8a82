//! SeccompProfile objects of a cluster, kept as files of the kubelet on one node.
//!
//! A [`Catalog`] holds the objects: ours, and those of the security-profiles-operator. A profile and the bases that it
//! names are a [`Chain`]; its [`Digest`] is the same on every node and names the file that pods ask for. What the file
//! holds is the chain [resolved](Machine::resolve) for this machine, and the [`Folder`] has it whole or not at all.
//! [`run`] follows the objects, and says in an object of the node's own which profiles are there ([`report`]).
//!
//! ```
//! use palisade_profiles::{Catalog, Machine, Name, Origin};
//! use serde_json::json;
//!
//! let mut catalog = Catalog::default();
//! let name = Name::new(Origin::Palisade, "", "web");
//! catalog.put(name.clone(), json!({"defaultAction": "SCMP_ACT_ERRNO", "baseProfileName": "runc",
//!     "syscalls": [{"names": ["accept4", "write"], "action": "SCMP_ACT_ALLOW"}]}));
//! let chain = catalog.chain(&name)?;
//! let path = chain.digest().localhost_profile(); // for securityContext.seccompProfile.localhostProfile
//! assert!(path.starts_with("palisade/") && path.ends_with(".json"));
//! let text = Machine::here().resolve(&chain)?;
//! assert!(text.contains("accept4"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agent;
mod catalog;
mod digest;
mod feed;
mod folder;
mod keeper;
mod machine;
pub mod report;
mod source;
mod usage;

pub use agent::{Config, run};
pub use catalog::{Catalog, Chain, Name, ProfileError};
pub use digest::{Digest, FOLDER};
pub use folder::{Folder, FolderError};
pub use machine::{Machine, ResolveError};
pub use source::Origin;
pub use usage::{named, paths};

/// The API group of SeccompProfile and NodeSeccompProfiles.
pub const GROUP: &str = "palisade.openshift.io";
/// Its version.
pub const VERSION: &str = "v1";

/// The profile of the agent's own container: the syscalls that it was seen to make, and those that other machines and C
/// libraries have in their place.
const OWN: &str = include_str!("own.json");

/// The chain of the agent's own profile; its bases are both runtimes, since either may start it.
///
/// # Errors
///
/// It is part of the program, so there is none.
pub fn own() -> Result<Chain, ProfileError> {
    let spec = serde_json::from_str(OWN).map_err(|error| ProfileError::Unreadable(error.to_string()))?;
    Ok(Chain::with_runtimes(spec))
}
