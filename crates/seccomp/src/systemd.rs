//! systemd's units: `SystemCallFilter=` and the other directives that are seccomp filters, as in systemd 262
//! (src/core/load-fragment.c parses them, src/core/exec-invoke.c applies them, src/shared/seccomp-util.c builds them).

mod area;
mod guard;
mod list;
mod read;
mod sets;
mod unit;
mod write;

pub use area::areas;
pub use read::read;
pub use sets::members;
pub use write::{SystemdError, write};
