//! A node's configuration.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::layout::Layout;
use crate::seccomp::DefaultSeccomp;
use crate::server;

/// A node's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folders of the node.
    pub layout: Layout,
    /// Its name.
    pub name: String,
    /// Its address; pods on the node's network have it too.
    pub ip: IpAddr,
    /// The address to listen at for the API server; port 0 takes a free one.
    pub listen: std::net::SocketAddr,
    /// The certificate that it shows there, its key, and who signs the API server's, in PEM.
    pub tls: Option<server::Certificates>,
    /// The socket of an engine that runs already; none starts one.
    pub engine: Option<PathBuf>,
    /// The OCI runtime of the engine that is started.
    pub runtime: Option<PathBuf>,
    /// The state folder of the OCI runtime, where that is Palisade's handler: it is told profiles by name, and what its
    /// filters deny becomes events.
    pub handler_state: Option<PathBuf>,
    /// The addresses of pods.
    pub range: String,
    /// The seccomp profile of pods that name none.
    pub default_seccomp: DefaultSeccomp,
    /// The text of the default seccomp profile.
    pub default_profile: &'static str,
}
