//! What a replica is told.

use std::net::SocketAddr;

use crate::mode::Mode;

/// What a replica is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The namespace of the installation.
    pub namespace: String,
    /// A name that no other replica has: the pod's.
    pub identity: String,
    /// The names that API servers use for it, beside those of its Service.
    pub names: Vec<String>,
    /// What SCC does in namespaces that do not say.
    pub mode: Mode,
}
