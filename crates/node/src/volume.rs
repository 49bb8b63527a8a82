//! A pod's volumes: created before its containers, updated while they run, removed after them.

mod atomic;
mod host;
mod image;
mod mount;
mod owner;
mod payload;
mod subpath;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, Pod,
    PodSecurityContext, Volume,
};
use kube::{Api, Client};
use palisade_k8s::quantity;

use crate::cri::Cri;
use crate::env::Facts;
use crate::layout::Layout;
use crate::slot::names;

pub(crate) use image::unmount_images;
pub(crate) use mount::{unmount_below, unmount_inside};
pub(crate) use payload::{Tokens, config_map, secret};
pub(crate) use subpath::bind as bind_subpath;

/// An error of preparing a volume.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
    #[error("{0}")]
    Missing(String),
    #[error("volumes of type {0} are not known to this node")]
    Unknown(&'static str),
    #[error("hostPath {path}: {why}")]
    HostPath { path: String, why: String },
    #[error("the API server: {0}")]
    Api(String),
}

impl VolumeError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |error| Self::Io(format!("{}: {error}", path.display()), error)
    }

    fn api(error: &kube::Error) -> Self {
        Self::Api(error.to_string())
    }
}

/// A volume that can be mounted into containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    /// Its path on the node.
    pub(crate) path: PathBuf,
    /// Whether the node writes its content.
    pub(crate) is_read_only: bool,
    /// Whether it is a path of the node, whose mounts propagate.
    pub(crate) is_host: bool,
}

/// Inputs of volumes.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'n> {
    pub(crate) client: &'n Client,
    pub(crate) cri: &'n Cri,
    /// The engine's socket.
    pub(crate) socket: &'n Path,
    pub(crate) layout: &'n Layout,
    pub(crate) facts: &'n Facts,
}

/// The type of an unsupported volume.
fn unknown(volume: &Volume) -> &'static str {
    let types = [
        ("ephemeral", volume.ephemeral.is_some()),
        ("csi", volume.csi.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("fc", volume.fc.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
    ];
    types.into_iter().find_map(|(name, is_set)| is_set.then_some(name)).unwrap_or("of another plugin")
}

impl Maker<'_> {
    /// Creates, or updates, every volume of a pod.
    pub(crate) async fn all(
        &self,
        pod: &Pod,
        tokens: &mut Tokens,
    ) -> Result<BTreeMap<String, Ready>, VolumeError> {
        let mut all = BTreeMap::new();
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
        for volume in volumes.into_iter().flatten() {
            all.insert(volume.name.clone(), self.one(pod, volume, tokens).await?);
        }
        Ok(all)
    }

    async fn one(&self, pod: &Pod, volume: &Volume, tokens: &mut Tokens) -> Result<Ready, VolumeError> {
        let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let group = security.and_then(|security| security.fs_group);
        if let Some(source) = &volume.host_path {
            return host::check(source);
        }
        if let Some(source) = &volume.persistent_volume_claim {
            let read_only = source.read_only == Some(true);
            let mut ready = self.claim(pod, &source.claim_name, security).await?;
            ready.is_read_only |= read_only;
            return Ok(ready);
        }
        let path = self.layout.pod(names(pod).uid).join("volumes").join(&volume.name);
        std::fs::create_dir_all(&path).map_err(VolumeError::io(&path))?;
        if let Some(source) = &volume.image {
            return self.image(pod, source, path).await;
        }
        if let Some(source) = &volume.empty_dir {
            return empty(source, path, security);
        }
        let Some(payload) = payload::of(self, pod, volume, tokens).await? else {
            let _ = std::fs::remove_dir(&path);
            return Err(VolumeError::Unknown(unknown(volume)));
        };
        if payload.is_secret {
            mount::tmpfs(&path, "mode=0755,size=16m").map_err(VolumeError::io(&path))?;
        }
        atomic::write(&path, &payload.files, group).map_err(VolumeError::io(&path))?;
        Ok(Ready { path, is_read_only: true, is_host: false })
    }

    async fn claim(
        &self,
        pod: &Pod,
        name: &str,
        security: Option<&PodSecurityContext>,
    ) -> Result<Ready, VolumeError> {
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), names(pod).namespace);
        let claim = claims.get_opt(name).await.map_err(|error| VolumeError::api(&error))?;
        let claim =
            claim.ok_or_else(|| VolumeError::Missing(format!("persistentvolumeclaim {name:?} not found")))?;
        let bound = claim.spec.and_then(|spec| spec.volume_name).filter(|volume| !volume.is_empty());
        let bound = bound.ok_or_else(|| {
            VolumeError::Missing(format!("persistentvolumeclaim {name:?} is not bound to a volume"))
        })?;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let volume = volumes.get_opt(&bound).await.map_err(|error| VolumeError::api(&error))?;
        let spec = volume.and_then(|volume| volume.spec).unwrap_or_default();
        if let Some(source) = &spec.host_path {
            return host::check(source);
        }
        let Some(local) = spec.local else {
            return Err(VolumeError::Missing(format!(
                "persistentvolume {bound:?} is neither local nor hostPath, and this node supports no other type"
            )));
        };
        let source = HostPathVolumeSource { path: local.path, type_: Some("Directory".to_owned()) };
        let ready = host::check(&source)?;
        owner::give(&ready.path, security).map_err(VolumeError::io(&ready.path))?;
        Ok(ready)
    }
}

/// An empty folder, on disk or in memory.
fn empty(
    source: &EmptyDirVolumeSource,
    path: PathBuf,
    security: Option<&PodSecurityContext>,
) -> Result<Ready, VolumeError> {
    if source.medium.as_deref() == Some("Memory") {
        let size = source.size_limit.as_ref().and_then(|size| bytes(&size.0));
        let options = size.map_or("mode=0777".to_owned(), |size| format!("mode=0777,size={size}"));
        mount::tmpfs(&path, &options).map_err(VolumeError::io(&path))?;
    }
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&path, mode).map_err(VolumeError::io(&path))?;
    owner::give_top(&path, security).map_err(VolumeError::io(&path))?;
    Ok(Ready { path, is_read_only: false, is_host: false })
}

pub(crate) fn bytes(text: &str) -> Option<u64> {
    quantity::billionths(text).and_then(|amount| u64::try_from(amount / 1_000_000_000).ok())
}

/// The first emptyDir on disk that exceeds its limit, if any.
pub(crate) fn outgrown(layout: &Layout, pod: &Pod) -> Option<String> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    volumes.iter().find_map(|volume| {
        let source = volume.empty_dir.as_ref()?;
        let limit = bytes(&source.size_limit.as_ref()?.0)?;
        let path = layout.pod(names(pod).uid).join("volumes").join(&volume.name);
        (source.medium.as_deref() != Some("Memory") && owner::size(&path) > limit)
            .then(|| format!("Usage of EmptyDir volume {:?} exceeds the limit {limit}.", volume.name))
    })
}
