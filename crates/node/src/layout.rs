//! The paths of a node: everything below one folder, and sockets and mounts below another in `/run`.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The folders of one node.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
    /// Six characters that distinguish this node's bridge, cgroups and networks from another's on the same machine.
    id: String,
}

impl Layout {
    /// The node whose data is in `root`, an absolute path.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let digest = Sha256::digest(root.as_os_str().as_encoded_bytes());
        let id = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
        Self { root: root.to_owned(), id }
    }

    /// The folder of data that survives a reboot.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of data that does not.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        PathBuf::from(format!("/run/palisade-{}", self.id))
    }

    /// The socket of the engine that this node starts.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.run().join("containerd.sock")
    }

    /// The folders of containers that run in the engine that this node starts.
    pub(crate) fn bundles(&self) -> PathBuf {
        self.run().join("containerd/io.containerd.runtime.v2.task/k8s.io")
    }

    /// The folders that have one for each container: bundles, their data that survives a reboot, and the runtime's.
    pub(crate) fn container_folders(&self) -> [PathBuf; 3] {
        let work = self.root.join("containerd/io.containerd.runtime.v2.task/k8s.io");
        [self.bundles(), work, self.run().join("runtime/k8s.io")]
    }

    /// The record of the range of its pods.
    pub(crate) fn range(&self) -> PathBuf {
        self.run().join("pod-cidr")
    }

    /// The names of containers that may have chains of iptables.
    pub(crate) fn noted(&self) -> PathBuf {
        self.run().join("chains")
    }

    pub(crate) fn engine_config(&self) -> PathBuf {
        self.root.join("containerd.toml")
    }

    pub(crate) fn engine_log(&self) -> PathBuf {
        self.root.join("containerd.log")
    }

    pub(crate) fn network_config(&self) -> PathBuf {
        self.root.join("net.d")
    }

    pub(crate) fn network(&self) -> String {
        format!("palisade-{}", self.id)
    }

    pub(crate) fn bridge(&self) -> String {
        format!("pal{}", self.id)
    }

    pub(crate) fn cgroup(&self) -> String {
        format!("palisade-{}", self.id)
    }

    /// Profiles that pods name as `localhost/NAME`.
    #[must_use]
    pub fn profiles(&self) -> PathBuf {
        self.root.join("seccomp")
    }

    /// Resolved profiles for containers, named by their content.
    pub(crate) fn resolved_profiles(&self) -> PathBuf {
        self.root.join("resolved-seccomp")
    }

    pub(crate) fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The names of images that were imported here.
    pub(crate) fn imported(&self) -> PathBuf {
        self.root.join("imported")
    }
}
