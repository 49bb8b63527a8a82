//! Backup of a store that is in use, and restoring one.

use std::path::Path;

use rusqlite::params;

use crate::error::StoreError;
use crate::open::{FILE, Store, io};

impl Store {
    /// Writes all of the store, as of one moment, to a new file. Writes wait meanwhile; reads do not.
    ///
    /// # Errors
    ///
    /// The file exists, or the disk says no.
    pub fn backup(&self, file: &Path) -> Result<(), StoreError> {
        if file.exists() {
            return Err(StoreError::Occupied(file.display().to_string()));
        }
        self.inner.writer().execute("VACUUM INTO ?1", params![file.display().to_string()])?;
        std::fs::File::open(file).and_then(|file| file.sync_all()).map_err(io(file))
    }

    /// Opens a folder that holds nothing yet with what a backup holds. The counter goes on from the backup's.
    ///
    /// # Errors
    ///
    /// The folder holds a store, the file is none, or the disk says no.
    pub fn restore(file: &Path, folder: &Path) -> Result<Self, StoreError> {
        let target = folder.join(FILE);
        if target.exists() {
            return Err(StoreError::Occupied(target.display().to_string()));
        }
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        // Under another name first: half a copy is never taken for a store.
        let partial = folder.join("restoring");
        std::fs::copy(file, &partial).map_err(io(file))?;
        std::fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(io(&partial))?;
        std::fs::rename(&partial, &target).map_err(io(&target))?;
        let opened = Self::open(folder);
        if opened.is_err() {
            // What is no store is not left to be found as one.
            drop(std::fs::remove_file(&target));
        }
        opened
    }
}
