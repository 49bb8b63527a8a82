//! Settings of a replica.

use std::net::SocketAddr;
use std::time::Duration;

use crate::mode::Mode;

/// Settings of a replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen at.
    pub listen: SocketAddr,
    /// The namespace of the installation.
    pub namespace: String,
    /// A name that no other replica has: the pod's.
    pub identity: String,
    /// The names that API servers use for it, beside those of its Service.
    pub names: Vec<String>,
    /// The mode of SCC in namespaces without a label.
    pub mode: Mode,
    /// How often reports of `openreports.io` are written; never, where it is nothing.
    pub reports: Option<Duration>,
}
