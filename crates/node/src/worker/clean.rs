//! Removal of a pod's leftovers.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::{Failure, Observed, Worker, attempt, is_named, observe};
use crate::cri::message::{ContainerId, ContainerStatus};
use crate::node::Node;
use crate::plan;
use crate::sandbox;
use crate::slot::Slot;
use crate::volume::{unmount_below, unmount_images};

/// Maximum size of a termination message, in bytes.
const LAST_WORDS: u64 = 4096;

/// The termination message that a container wrote.
pub(super) fn last_words(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    // The file is the container's to write, and stays a file: only its content changes.
    std::fs::File::open(path).ok()?.take(LAST_WORDS).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of a failed container's log, if its termination message policy is FallbackToLogsOnError: at most 2 KiB or 80
/// lines, as in a kubelet.
pub(super) fn last_lines(logs: &Path, slot: &Slot, found: &ContainerStatus) -> Option<String> {
    let policy = slot.container.termination_message_policy.as_deref();
    if policy != Some("FallbackToLogsOnError") || found.exit_code == 0 {
        return None;
    }
    let log = crate::log::Log::new(logs, &found.log_path)?;
    crate::log::last_lines(&log, 80, 2048).filter(|text| !text.is_empty())
}

impl Worker {
    /// Removes all but the two latest containers of each name.
    pub(super) async fn remove_old(&self, observed: &Observed) -> Result<(), Failure> {
        let mut all: Vec<_> = observed.containers.iter().filter(|found| plan::has_ended(found)).collect();
        all.sort_by_key(|found| std::cmp::Reverse(attempt(found)));
        for found in all {
            let name = found.metadata.as_ref().map(|metadata| metadata.name.as_str()).unwrap_or_default();
            let newest = observed.containers.iter().filter(|other| is_named(other, name)).map(attempt).max();
            if attempt(found) + 1 < newest.unwrap_or(0) {
                self.node.cri.remove_container(ContainerId { container_id: found.id.clone() }).await?;
                let log = Path::new(&found.log_path);
                let _ = std::fs::remove_file(log);
                let _ = std::fs::remove_file(crate::log::moved(log));
            }
        }
        Ok(())
    }

    /// Removes the sandboxes beside the one that works: an agent or engine that was killed may have made another.
    pub(super) async fn remove_fallen(&self, observed: &Observed) {
        let Some(ready) = observed.ready() else { return };
        for other in observed.sandboxes.iter().filter(|other| other.id != ready.id) {
            if let Err(error) = self.node.remove_sandbox(&other.id).await {
                tracing::warn!("the sandbox {} that fell stays for now: {error}", other.id);
            }
        }
    }
}

/// Removes a pod's sandboxes, volumes, logs and cgroups.
pub(crate) async fn clean(node: &Node, uid: &str, pod: Option<&Pod>) -> Result<(), Failure> {
    let observed = observe(node, uid).await?;
    for sandbox in &observed.sandboxes {
        node.remove_sandbox(&sandbox.id).await?;
        if let (None, Some(metadata)) = (pod, &sandbox.metadata) {
            let logs = format!("{}_{}_{}", metadata.namespace, metadata.name, metadata.uid);
            remove_folder(&node.layout.logs().join(logs))?;
        }
    }
    unmount_images(&node.socket, &node.layout.pod(uid)).await;
    clean_files(&node.layout.pod(uid))?;
    if let Some(pod) = pod {
        remove_folder(&sandbox::log_folder(&node.layout, pod))?;
    }
    remove_cgroup(&sandbox::cgroup(&node.layout, uid));
    Ok(())
}

/// Unmounts everything in a pod's folder, then removes the folder.
pub(crate) fn clean_files(folder: &Path) -> std::io::Result<()> {
    unmount_below(folder)?;
    remove_folder(folder)
}

fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a cgroup with those below it, in every hierarchy.
pub(crate) fn remove_cgroup(path: &Path) {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        remove_tree(&hierarchy.join(relative));
    }
}

fn remove_tree(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}
