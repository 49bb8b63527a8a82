//! The state that all pods of a node share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;

use crate::cri::Cri;
use crate::env::Facts;
use crate::event::Recorder;
use crate::layout::Layout;
use crate::sandbox::{Place, Resolver};
use crate::seccomp::{DefaultSeccomp, Profiles};

/// A node with an engine.
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) cri: Cri,
    pub(crate) layout: Layout,
    pub(crate) facts: Facts,
    pub(crate) resolver: Resolver,
    pub(crate) profiles: Profiles,
    pub(crate) default_seccomp: DefaultSeccomp,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) has_selinux: bool,
    /// The engine's socket.
    pub(crate) socket: PathBuf,
    /// The state folder of Palisade's OCI runtime, if the engine starts containers by it.
    pub(crate) handler_state: Option<PathBuf>,
    /// The engine's name for how it runs containers; its default where empty.
    pub(crate) handler: String,
}

impl Node {
    pub(crate) fn place(&self) -> Place<'_> {
        Place { layout: &self.layout, resolver: &self.resolver, has_selinux: self.has_selinux }
    }
}

/// Whether the kernel labels processes.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
