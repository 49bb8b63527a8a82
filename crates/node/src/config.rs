//! A node's configuration.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::claim::Claim;
use crate::layout::Layout;
use crate::range::Network;
use crate::seccomp::DefaultSeccomp;
use crate::server;

/// A node's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folders of the node, which no other agent uses.
    pub claim: Claim,
    /// Name of the node.
    pub name: String,
    /// Address of the node; pods on the host network have it too.
    pub ip: IpAddr,
    /// The address to listen on for the API server; port 0 takes a free one.
    pub listen: std::net::SocketAddr,
    /// URL of the API server.
    pub server: String,
    /// The endpoint's certificate, its key, and the authority of the API server's, in PEM.
    pub tls: Option<server::Certificates>,
    /// The container engine.
    pub engine: EngineChoice,
    /// The OCI runtime of the started engine.
    pub runtime: Option<PathBuf>,
    /// The state folder of the OCI runtime, if that is Palisade's handler: profiles are passed by name, and denials of
    /// its filters become events.
    pub handler_state: Option<PathBuf>,
    /// The seccomp profile of pods without one.
    pub default_seccomp: DefaultSeccomp,
    /// The text of the default seccomp profile.
    pub default_profile: &'static str,
}

/// The container engine of a node.
#[derive(Clone, Debug)]
pub enum EngineChoice {
    /// containerd is started, with pods in this network.
    Start(Network),
    /// The running engine on a socket, with a network of its own.
    Use(PathBuf),
}

impl Config {
    /// The folders of the node.
    pub(crate) fn layout(&self) -> &Layout {
        self.claim.layout()
    }
}
