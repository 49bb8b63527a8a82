//! The claim of a process on a node's folder: two agents on one folder would end each other's engine and pods.

use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::layout::Layout;
use crate::private::private;
use crate::range::{Network, PodRange, RangeError};

/// The name of the file that a node's agent holds.
pub(crate) const LOCK: &str = "lock";

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
            .open(layout.root().join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { layout, _lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(ClaimError::Held(layout.root().to_owned())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Claims a range of addresses for the node's pods.
    ///
    /// # Errors
    ///
    /// See [`RangeError`].
    pub fn network(&self, range: PodRange) -> Result<Network, RangeError> {
        Network::new(&self.layout, range)
    }

    /// The folders of the node.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
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
}
