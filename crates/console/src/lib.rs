//! Parts that all commands of `palisade` share: reading input files, writing text for people, and exit codes.
//!
//! A command reads its manifests with [`files::read`], writes what people read through [`terminal::out`], and ends
//! with an [`Exit`]:
//!
//! ```no_run
//! use std::io::Write;
//!
//! use palisade_console::{Exit, files, terminal};
//!
//! fn run() -> Result<Exit, Box<dyn std::error::Error>> {
//!     for document in files::read(&["pod.yaml".into()])? {
//!         writeln!(terminal::out(), "{}", document.metadata("name"))?;
//!     }
//!     Ok(Exit::Fine)
//! }
//! ```
//!
//! Names and messages in a manifest are written by others. [`terminal`] shows the control characters in them as
//! escapes, so that no object and no server can move the cursor, write to the clipboard or hide text.

mod exit;
pub mod files;
pub mod input;
mod kustomize;
pub mod paint;
pub mod private_file;
pub mod terminal;

pub use exit::Exit;
