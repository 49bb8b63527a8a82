//! Errors of the store.

use crate::object::{Key, Revision};
use crate::private::Exposed;

/// An error of the store. Nothing is changed then, but for [`StoreError::Abandoned`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The object to be created is there.
    #[error("{0} already exists")]
    Exists(Key),
    /// The object to be changed is not there.
    #[error("{0} does not exist")]
    Missing(Key),
    /// The object changed since the caller saw it.
    #[error("{key} is at revision {actual}, not {expected}")]
    Conflict {
        /// The object.
        key: Key,
        /// The revision that the caller saw.
        expected: Revision,
        /// Its present revision.
        actual: Revision,
    },
    /// The revision is no longer kept: list anew. HTTP's 410.
    #[error("revision {asked} is gone; the oldest kept is {oldest}")]
    Compacted {
        /// The revision that was asked for.
        asked: Revision,
        /// The oldest that is kept.
        oldest: Revision,
    },
    /// The revision has not happened yet.
    #[error("revision {asked} is in the future; the newest is {newest}")]
    Future {
        /// The revision that was asked for.
        asked: Revision,
        /// The newest.
        newest: Revision,
    },
    /// Another process uses the data.
    #[error("{0}: in use by another process")]
    Locked(String),
    /// A newer program wrote the data.
    #[error("{path}: written in format {found}; this program knows formats up to {known}")]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A file is not a store.
    #[error("{0}: holds something else than a Palisade store")]
    Foreign(String),
    /// A backup has something in it that no store writes.
    #[error("{path}: not a backup that can be restored: {why}")]
    Unfit {
        /// The file.
        path: String,
        /// The problem with it.
        why: String,
    },
    /// Another user owns the data, or may write them.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// There is something where a backup is to be written or restored to.
    #[error("{0}: already exists")]
    Occupied(String),
    /// The disk or the file system says no: full, read-only, broken.
    #[error("{0}")]
    Io(String, #[source] std::io::Error),
    /// The disk is full; nothing of the write is kept. What is kept can be read.
    #[error("the disk is full")]
    Full,
    /// The thread that took the write to the disk ended before it could say what became of it.
    #[error("the write was given up half-way; whether it was made is not known")]
    Abandoned,
    /// SQLite says no.
    #[error("the store cannot be read or written")]
    Engine(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Engine(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        for (code, is_full) in [(rusqlite::ffi::SQLITE_FULL, true), (rusqlite::ffi::SQLITE_IOERR, false)] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            assert_eq!(matches!(StoreError::from(error), StoreError::Full), is_full, "{code}");
        }
    }
}
