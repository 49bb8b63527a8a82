//! The claim of a process on a node's folder: two agents on one folder would end each other's engine and pods.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layout::Layout;

/// An error of claiming a node's folder.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process has it.
    #[error(
        "{0}: the node's agent runs: stop its `palisade up` or `palisade node` first; for a second node, give --node-dir"
    )]
    Held(PathBuf),
    /// The folder cannot be made private, or its lock cannot be opened.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// A node's folder that no other process has. It is given up when the last copy is dropped, and when the process ends.
#[derive(Clone, Debug)]
pub struct Claim {
    layout: Layout,
    _lock: Arc<File>,
}

impl Claim {
    /// Makes the folder, private to its owner, and claims it.
    ///
    /// # Errors
    ///
    /// See [`ClaimError`].
    pub fn new(layout: Layout) -> Result<Self, ClaimError> {
        private(layout.root())?;
        // The descriptor is closed in programs that this process starts, so an engine that goes on keeps no claim.
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(layout.root().join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { layout, _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(ClaimError::Held(layout.root().to_owned())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// The folders of the node.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// Makes a folder private to its owner, whatever the umask and its old mode were: below it are the tokens and Secrets
/// of pods.
pub(crate) fn private(folder: &Path) -> std::io::Result<()> {
    let refused = |why: String| std::io::Error::new(std::io::ErrorKind::PermissionDenied, why);
    let own = rustix::process::geteuid().as_raw();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = std::fs::symlink_metadata(folder)?;
    if !found.is_dir() || found.uid() != own {
        let (path, owner) = (folder.display(), found.uid());
        return Err(refused(format!(
            "{path}: not a folder of user {own}, but of user {owner}: choose another"
        )));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused(format!(
            "{}: other users may write it (mode {:04o}): take that from them with chmod go-w",
            folder.display(),
            found.mode() & 0o7777
        )));
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::down;

    #[tokio::test]
    async fn a_folder_has_one_agent_and_is_not_taken_down_under_it() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        std::fs::write(layout.engine_config(), "").unwrap();
        let claim = Claim::new(layout.clone()).unwrap();
        let copy = claim.clone();
        drop(claim);
        let second = Claim::new(layout.clone()).unwrap_err().to_string();
        assert!(second.contains("the node's agent runs: stop its `palisade up`"), "{second}");
        assert_eq!(down(&layout).await.unwrap_err().to_string(), second);
        drop(copy);
        Claim::new(layout).unwrap();
    }

    #[test]
    fn a_folder_is_its_owners_alone() {
        let top = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let folder = top.path().join("a/b");
        private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        set(&folder, 0o755);
        private(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700, "one that others could read is closed");
        set(&folder, 0o777);
        assert!(private(&folder).unwrap_err().to_string().contains("other users may write it"));
        let link = top.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(private(&link).is_err());
    }
}
