//! The folder of a node, and the claim on it.

use std::path::Path;

use palisade_node::{Claim, EngineChoice, Layout};

use crate::args::NodeOptions;

const FOLDER: &str = "/var/lib/palisade";

/// The folders of the node in `folder`, or in the usual one.
pub(crate) fn layout(folder: Option<&Path>) -> Result<Layout, std::io::Error> {
    std::path::absolute(folder.unwrap_or(Path::new(FOLDER))).map(|folder| Layout::new(&folder))
}

/// The engine that is asked for, with a network that no other node of the machine has.
pub(crate) fn engine(options: &NodeOptions, claim: &Claim) -> Result<EngineChoice, crate::Failure> {
    Ok(match &options.cri_socket {
        Some(socket) => EngineChoice::Use(socket.clone()),
        None => EngineChoice::Start(claim.network(options.pod_cidr)?),
    })
}

/// The folder of the node beside a server, and its engine. They are claimed before the server starts, so that a second node leaves no trace.
pub(crate) struct Place {
    pub(crate) claim: Claim,
    pub(crate) engine: EngineChoice,
    /// Whether the node ends with the server.
    pub(crate) is_ephemeral: bool,
    /// Removed last.
    pub(crate) temporary: Option<tempfile::TempDir>,
}

impl Place {
    /// Claims the folder; `None` for a user who cannot run containers. If the server's data is temporary, the node's is
    /// too.
    pub(crate) fn new(options: &NodeOptions, is_ephemeral: bool) -> Result<Option<Self>, crate::Failure> {
        if !palisade_node::is_root() {
            return Ok(None);
        }
        let temporary = match (&options.node_dir, is_ephemeral) {
            (None, true) => Some(tempfile::tempdir()?),
            _ => None,
        };
        let own = temporary.as_ref().map(tempfile::TempDir::path);
        let claim = Claim::new(layout(options.node_dir.as_deref().or(own))?)?;
        let engine = engine(options, &claim)?;
        Ok(Some(Self { claim, engine, is_ephemeral, temporary }))
    }

    /// The temporary folder of the node, which commands for its images have to name.
    pub(crate) fn temporary(&self) -> Option<&Path> {
        self.temporary.as_ref().map(tempfile::TempDir::path)
    }
}
