//! An administrator's operations on a cluster: install, remove, check.

mod apply;
mod image;
mod install;
mod object;
mod policies;
mod probe;
mod remove;
mod running;
mod status;

pub use image::image;
pub use install::{InstallError, Installation, apply};
pub use policies::{Identity, Policies, policies};
pub use remove::{Extent, remove};
pub use running::{Change, Running, running};
pub use status::{Line, State, status};
