//! Settings of a replica.

use std::net::SocketAddr;
use std::time::Duration;

use crate::missing::MissingProfile;
use crate::mode::Mode;

/// Settings of a replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The namespace of the installation.
    pub namespace: String,
    /// The unique name of the replica: the pod's.
    pub identity: String,
    /// The certificates of the authorities, in PEM, that sign the client certificates required for reviews; without them no
    /// client certificate is required.
    pub clients: Option<String>,
    /// The names that API servers use for it, beside those of its Service.
    pub names: Vec<String>,
    /// The mode of SCC in namespaces without a label.
    pub mode: Mode,
    /// The treatment of pods whose seccomp profiles nodes lack.
    pub missing_profile: MissingProfile,
    /// The interval between reports of `openreports.io`; `None` for no reports.
    pub reports: Option<Duration>,
}
