//! An OCI runtime command line that hands everything to crun and changes one thing: the seccomp filter.
//!
//! Engines (containerd, CRI-O, podman) start [`run`] as their runtime. At `create` it reads the bundle's
//! `config.json`, finds the profile, compiles it, proves the program, and gives that to crun; `linux.seccomp`
//! stays beside it, flattened, for runtimes that do not know crun's annotation. At `start` it looks whether the
//! kernel holds the container, and ends one that it does not.
//!
//! ```no_run
//! # #[cfg(target_os = "linux")] {
//! let words = ["--root", "/run/crun", "create", "--bundle", "/b", "my-container"].map(Into::into);
//! let handler = std::path::Path::new("/usr/local/lib/palisade/containerd/palisade-oci");
//! let exit_code = palisade_oci::run(handler, words.to_vec());
//! # }
//! ```
//!
//! [`denials`] reads from the kernel what filters deny, container by container.
#![cfg(target_os = "linux")]

pub mod annotation;
mod arguments;
mod cache;
pub mod container;
pub mod denials;
mod document;
mod error;
mod filter;
mod handler;
mod held;
pub mod install;
pub mod recorder;
pub mod recording;
mod rewrite;
pub mod settings;

pub use error::Error;
pub use handler::run;
