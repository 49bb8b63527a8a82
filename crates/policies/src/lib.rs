//! SCCs compiled into the admission policies of Kubernetes itself.

mod cel;
mod compile;
mod entry;
mod facts;
mod grant;
mod limits;
mod mutating;
mod patch;
mod rule;
mod update;
mod validating;

pub use compile::{CompileError, Compiled, GUARD, HASH, IDENTITIES, Mode, NAME, Settings, compile};
pub use limits::Breach;
