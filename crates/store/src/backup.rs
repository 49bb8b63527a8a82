//! Backup of a store that is in use, and what becomes of one: a new store, or what a store in use holds again.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::error::StoreError;
use crate::object::{Key, Object, Revision};
use crate::open::{FILE, Store, TRANSFER, connect, io, recognise};
use crate::write::{current, insert};

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
    pub fn from_backup(file: &Path, folder: &Path) -> Result<Self, StoreError> {
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

    /// Makes a store in use hold what a backup holds: objects that the backup lacks are deleted, others written as they
    /// were. All of it is one write to whoever reads, and each object's change an event to whoever watches; the counter
    /// goes on, so no revision is used twice.
    ///
    /// # Errors
    ///
    /// The file is no store or a newer program's, or the disk says no; then nothing is changed.
    pub fn restore(&self, file: &Path) -> Result<Revision, StoreError> {
        let backup = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        recognise(&backup, file)?;
        let newest = self.revision();
        self.write(|ours| {
            let mut revision = newest;
            for object in live(ours)? {
                if current(&backup, &object.key)?.is_none() {
                    let value = current(ours, &object.key)?.map(|object| object.value).unwrap_or_default();
                    revision = insert(ours, &object.key, Some(object.created), true, &value)?;
                }
            }
            for object in live(&backup)? {
                revision = put_back(ours, &backup, &object.key)?.unwrap_or(revision);
            }
            Ok(revision)
        })
    }

    /// A file beside the data for a backup that comes or goes; what a crash leaves of such is removed at the next start.
    #[must_use]
    pub fn transfer_file(&self) -> PathBuf {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.inner.folder().join(format!("{TRANSFER}{count}"))
    }
}

/// Writes an object as a backup has it, unless it is so. One that was made anew since then is first deleted, so that
/// whoever watches never takes two objects for one.
fn put_back(ours: &Connection, backup: &Connection, key: &Key) -> Result<Option<Revision>, StoreError> {
    let Some(wanted) = current(backup, key)? else { return Ok(None) };
    let created = match current(ours, key)? {
        Some(found) if found.value == wanted.value => return Ok(None),
        Some(found) if found.created == wanted.created => Some(found.created),
        Some(found) => {
            insert(ours, key, Some(found.created), true, &found.value)?;
            None
        }
        None => None,
    };
    insert(ours, key, created, false, &wanted.value).map(Some)
}

/// All objects that are there, in the order in which they were written; without their values.
fn live(connection: &Connection) -> Result<Vec<Object>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT resource, namespace, name, max(revision), created, deleted FROM versions
         GROUP BY resource, namespace, name HAVING NOT deleted ORDER BY 4",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Object {
            key: Key::new(row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?),
            revision: Revision(row.get(3)?),
            created: Revision(row.get(4)?),
            value: Vec::new(),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
