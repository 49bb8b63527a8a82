//! The clock of the server.

use jiff::Timestamp;
pub use palisade_api::time::format;

/// The time as objects have it, to the second.
pub fn now() -> String {
    format(Timestamp::now().as_second(), 0, false).unwrap_or_default()
}
