//! Backup of a store in use, and restoration of a backup: into a new store, or into a store in use.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use crate::error::StoreError;
use crate::import::{Check, import};
use crate::object::{Key, Object, Revision};
use crate::open::{FILE, OWN, Store, TRANSFER, connect, io};
use crate::private;
use crate::write::{current, insert};

impl Store {
    /// Writes all of the store, as of one moment, to a new file. Neither reads nor writes wait meanwhile.
    ///
    /// # Errors
    ///
    /// The file exists, or the disk says no.
    pub fn backup(&self, file: &Path) -> Result<(), StoreError> {
        match std::fs::symlink_metadata(file) {
            Ok(_) => return Err(StoreError::Occupied(file.display().to_string())),
            Err(_) => drop(private::file(file, std::fs::File::options().write(true))?),
        }
        let to = file.display().to_string();
        self.inner.read(|connection| Ok(connection.execute("VACUUM INTO ?1", params![to])?))?;
        std::fs::File::open(file).and_then(|file| file.sync_all()).map_err(io(file))
    }

    /// Opens a folder that holds nothing yet with what a backup holds: its objects and their history, as data; `check`
    /// says which fit. The counter goes on from the backup's.
    ///
    /// # Errors
    ///
    /// The folder holds a store, the file is none, or the disk says no.
    pub fn from_backup(file: &Path, folder: &Path, check: Check<'_>) -> Result<Self, StoreError> {
        let target = folder.join(FILE);
        if target.exists() {
            return Err(StoreError::Occupied(target.display().to_string()));
        }
        // A named pipe would be waited for.
        if !std::fs::metadata(file).map_err(io(file))?.is_file() {
            return Err(StoreError::Foreign(file.display().to_string()));
        }
        private::folder(folder, &OWN)?;
        // Under another name first: half a copy is never taken for a store.
        let partial = Scratch::new(folder)?;
        import(file, &partial.0, check)?;
        std::fs::rename(&partial.0, &target).map_err(io(&target))?;
        Self::open(folder)
    }

    /// Restores a backup into a store in use: objects that the backup lacks are deleted, others written as they
    /// were. This is one transaction for readers, and one event for each changed object for watches; the counter
    /// goes on, so no revision is used twice. `check` refuses invalid objects; if there is one, nothing is changed.
    ///
    /// # Errors
    ///
    /// The file is not a store or is a newer program's, or the disk fails; then nothing is changed.
    pub fn restore(&self, file: &Path, check: Check<'_>) -> Result<Revision, StoreError> {
        let scratch = Scratch::new(self.inner.folder())?;
        import(file, &scratch.0, check)?;
        let backup = connect(&scratch.0, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let newest = self.revision();
        self.write(|ours| {
            let (mut revision, mut effects) = (newest, Vec::new());
            for object in live(ours)? {
                if current(&backup, &object.key)?.is_none() {
                    revision = insert(ours, &object.key, Some(object.created), true, &[])?;
                    effects.extend(self.prepare(&object.key, None));
                }
            }
            for object in live(&backup)? {
                let Some((made, value)) = put_back(ours, &backup, &object.key)? else { continue };
                revision = made;
                effects.extend(self.prepare(&object.key, Some(&value)));
            }
            Ok((revision, effects))
        })
    }

    /// An unguessable name beside the data, for a backup that is read or written; what a crash leaves of such is
    /// removed at the next start.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn transfer_file(&self) -> Result<PathBuf, StoreError> {
        transfer_in(self.inner.folder())
    }
}

fn transfer_in(folder: &Path) -> Result<PathBuf, StoreError> {
    let made = tempfile::Builder::new().prefix(TRANSFER).rand_bytes(16).make_in(folder, |_| Ok(()));
    let (_, path) = made.map_err(io(folder))?.into_parts();
    // Only the name is needed: its user creates the file.
    path.keep().map_err(|error| io(folder)(error.error))
}

/// A file on its way to be part of a store, and gone if it does not get there.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Self, StoreError> {
        transfer_in(folder).map(Self)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for tail in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.0.clone().into_os_string();
            name.push(tail);
            drop(std::fs::remove_file(name));
        }
    }
}

/// Writes an object as it is in a backup, unless it is equal. An object that was created again since then is first deleted, so
/// that watches do not take two objects for one. Gives the write that was made, and the object's value.
fn put_back(
    ours: &Connection,
    backup: &Connection,
    key: &Key,
) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
    let Some(wanted) = current(backup, key)? else { return Ok(None) };
    let created = match current(ours, key)? {
        Some(found) if found.value == wanted.value => return Ok(None),
        Some(found) if found.created == wanted.created => Some(found.created),
        Some(found) => {
            insert(ours, key, Some(found.created), true, &[])?;
            None
        }
        None => None,
    };
    let made = insert(ours, key, created, false, &wanted.value)?;
    Ok(Some((made, wanted.value)))
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
