//! The room that a store takes: old versions are forgotten by their size too, space goes back to the disk, and the last of
//! the disk is left free.

use rustix::fs::statvfs;

use crate::error::StoreError;
use crate::open::Store;
use crate::write::Write;

/// The space left free on the disk, in bytes, or a part of it where it is small: so that objects can be deleted, old versions
/// be forgotten, and the server be stopped and started.
const FREE: u64 = 64 << 20;
const PART: u64 = 20;

impl Store {
    /// Forgets old versions if many bytes were written since it last did; to be called often.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn tidy(&self) -> Result<(), StoreError> {
        match self.inner.written.turn(self.revision()) {
            Some(until) => self.compact(until),
            None => Ok(()),
        }
    }

    /// Refuses what needs room where little is left. What takes something away is always done.
    pub(crate) fn check_room(&self, write: &Write) -> Result<(), StoreError> {
        let adds = write.outcomes().iter().any(|(_, value)| value.is_some());
        let Some(disk) = adds.then(|| statvfs(self.inner.folder()).ok()).flatten() else { return Ok(()) };
        let least = FREE.min((disk.f_blocks * disk.f_frsize) / PART);
        if disk.f_bavail * disk.f_frsize < least { Err(StoreError::Full) } else { Ok(()) }
    }
}
