//! The content of an image as a volume: mounted by containerd's own client, read-only.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use k8s_openapi::api::core::v1::{ImageVolumeSource, Pod, Secret};

use super::{Maker, Ready, VolumeError, mount, payload};
use crate::engine::{NAMESPACE, find_program};
use crate::image::{is_imported, present, pull, whole_name};
use crate::slot::names;

async fn ctr(socket: &Path, words: &[&str], path: &Path) -> Result<(), String> {
    let program = find_program("ctr").ok_or("ctr, a part of containerd, is missing")?;
    let mut command = tokio::process::Command::new(program);
    command.arg("--address").arg(socket).args(["--namespace", NAMESPACE, "images"]).args(words).arg(path);
    let output = command.stdin(Stdio::null()).output().await.map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

impl Maker<'_> {
    /// Mounts an image, after pulling it if necessary.
    pub(super) async fn image(
        &self,
        pod: &Pod,
        source: &ImageVolumeSource,
        path: PathBuf,
    ) -> Result<Ready, VolumeError> {
        let ready = || Ready { path: path.clone(), is_read_only: true, is_host: false };
        if mount::is_mount_point(&path).map_err(VolumeError::io(&path))? {
            return Ok(ready());
        }
        let name = source.reference.clone().unwrap_or_default();
        let wrong = |why: &dyn std::fmt::Display| VolumeError::Missing(format!("image {name:?}: {why}"));
        let is_latest = whole_name(&name).ends_with(":latest");
        let default = if is_latest { "Always" } else { "IfNotPresent" };
        let policy = source.pull_policy.as_deref().unwrap_or(default);
        let found = present(self.cri, &name).await.map_err(|error| wrong(&error))?;
        match found.filter(|_| policy != "Always" || is_imported(self.layout, &name)) {
            Some(_) => {}
            None if policy == "Never" => return Err(wrong(&"is not here, and pullPolicy is Never")),
            None => {
                let secrets = self.pull_secrets(pod).await?;
                pull(self.cri, &name, &secrets).await.map_err(|error| wrong(&error))?;
            }
        }
        // A mount from before a reboot has left its snapshot.
        let _ = ctr(self.socket, &["unmount", "--rm"], &path).await;
        std::fs::create_dir_all(&path).map_err(VolumeError::io(&path))?;
        ctr(self.socket, &["mount", &whole_name(&name)], &path).await.map_err(|error| wrong(&error))?;
        Ok(ready())
    }

    async fn pull_secrets(&self, pod: &Pod) -> Result<Vec<Secret>, VolumeError> {
        let listed = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        let mut secrets = Vec::new();
        for reference in listed.into_iter().flatten() {
            let found = payload::secret(self.client, names(pod).namespace, &reference.name).await;
            secrets.extend(found.map_err(|error| VolumeError::api(&error))?);
        }
        Ok(secrets)
    }
}

/// Unmounts the images of a pod, and releases the engine's snapshots of them.
pub(crate) async fn unmount_images(socket: &Path, folder: &Path) {
    let volumes = std::fs::read_dir(folder.join("volumes")).into_iter().flatten().flatten();
    for path in volumes.map(|entry| entry.path()) {
        // A tmpfs is a mount point too, and the engine does not have it: that is not an error.
        if mount::is_mount_point(&path).unwrap_or(false)
            && let Err(error) = ctr(socket, &["unmount", "--rm"], &path).await
        {
            tracing::debug!("{}: {error}", path.display());
        }
    }
}
