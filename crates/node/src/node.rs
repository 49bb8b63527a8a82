//! The state that all pods of a node share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kube::Client;
use tokio::sync::Notify;

use crate::cri::message::{ContainerFilter, ContainerState, ListContainersRequest, SandboxId};
use crate::cri::{Cri, CriError, CriResult};
use crate::env::Facts;
use crate::event::Recorder;
use crate::layout::Layout;
use crate::log::Logs;
use crate::proxy::ApiServer;
use crate::sandbox::{Place, Resolver};
use crate::seccomp::{DefaultSeccomp, Profiles};

/// A node with an engine.
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) cri: Cri,
    pub(crate) layout: Layout,
    pub(crate) facts: Facts,
    pub(crate) resolver: Resolver,
    /// The logs of running containers.
    pub(crate) logs: Logs,
    pub(crate) server: ApiServer,
    pub(crate) profiles: Profiles,
    pub(crate) default_seccomp: DefaultSeccomp,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) has_selinux: bool,
    /// Notified when the engine lists containers that no longer exist, which only a restart of it repairs.
    pub(crate) doubts: Arc<Notify>,
    /// The engine's socket.
    pub(crate) socket: PathBuf,
    /// The state folder of Palisade's OCI runtime, if the engine starts containers by it.
    pub(crate) handler_state: Option<PathBuf>,
    /// The name of the engine's runtime handler; empty for its default.
    pub(crate) handler: String,
}

impl Node {
    /// Ends and removes a sandbox with its containers.
    pub(crate) async fn remove_sandbox(&self, id: &str) -> CriResult<()> {
        let named = || SandboxId { pod_sandbox_id: id.to_owned() };
        self.cri.stop_sandbox(named()).await.map(|_| ()).or_else(missing_is_fine)?;
        let removed = self.cri.remove_sandbox(named()).await.map(|_| ()).or_else(missing_is_fine);
        if removed.is_err() && self.is_mistaken(id).await {
            self.doubts.notify_one();
        }
        removed
    }

    /// Whether the engine lists running containers of a sandbox whose processes no longer exist. containerd 1.6 does if
    /// it is killed together with a shim, and then refuses to remove them.
    async fn is_mistaken(&self, sandbox: &str) -> bool {
        let filter = ContainerFilter { pod_sandbox_id: sandbox.to_owned(), ..Default::default() };
        let listed = self.cri.list_containers(ListContainersRequest { filter: Some(filter) }).await;
        let bundles = self.layout.bundles();
        listed.unwrap_or_default().containers.into_iter().any(|container| {
            container.state == ContainerState::Running as i32 && !bundles.join(&container.id).exists()
        })
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place { layout: &self.layout, resolver: &self.resolver, has_selinux: self.has_selinux }
    }
}

fn missing_is_fine(error: CriError) -> CriResult<()> {
    if error.is_missing() { Ok(()) } else { Err(error) }
}

/// The machine's architecture, as images and nodes name it.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };

/// Whether the kernel has SELinux.
pub(crate) fn has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}
