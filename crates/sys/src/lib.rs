//! The kernel's side of seccomp, in small safe functions: what this kernel can do, loading filters into a
//! new process, supervising it by user notification, reading what it logs; and what containers need of
//! processes, files and namespaces. The only crate with unsafe code.
//!
//! ```
//! # #[cfg(target_os = "linux")] {
//! use palisade_sys::seccomp::{self, Loading};
//! use std::process::Command;
//!
//! // A program that allows everything: `ret 0x7fff0000`.
//! let allow_all = vec![0x06, 0, 0, 0, 0x00, 0x00, 0xff, 0x7f];
//! let loading = Loading { programs: vec![allow_all], log: false, spec_allow: true };
//! let mut child = seccomp::spawn(Command::new("true"), &loading)?;
//! assert!(child.wait()?.success());
//! # }
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod address;
#[cfg(target_os = "linux")]
pub mod audit;
#[cfg(target_os = "linux")]
pub mod bridge;
#[cfg(target_os = "linux")]
pub mod files;
pub mod limits;
pub mod memory;
#[cfg(target_os = "linux")]
pub mod namespace;
#[cfg(target_os = "linux")]
pub mod notify;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod seccomp;
#[cfg(target_os = "linux")]
mod shared;
pub mod terminal;
