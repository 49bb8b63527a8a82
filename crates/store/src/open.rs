//! Opening a store, and the connections to it.

mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;
use crate::hold::hold;
use crate::object::{Key, Revision};
use crate::observe::{Effect, Registered};
use crate::private;
use crate::queue::Ticket;
use crate::written::Written;

/// The format of the data, in SQLite's `user_version`. A change that older programs cannot read raises it.
const FORMAT: i64 = 1;

/// Connections for reads that are kept for later ones. What each keeps of the file in memory is [`CACHE`], in KiB: the
/// system has it in its own cache too.
const IDLE: usize = 16;
const CACHE: i64 = 512;

/// Says in the file whose it is: "PLSD".
const APPLICATION: i64 = 0x504c_5344;

pub(crate) const SCHEMA: &str = "
    CREATE TABLE versions (
        revision INTEGER PRIMARY KEY AUTOINCREMENT,
        resource TEXT NOT NULL,
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        created INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX by_key ON versions (resource, namespace, name, revision);
    CREATE TABLE compacted (revision INTEGER NOT NULL) STRICT;
    INSERT INTO compacted VALUES (0);
";

/// The file in a data directory.
pub(crate) const FILE: &str = "store.sqlite";

/// Prefixes of the store's own files in a data directory: the store with its logs, the lock, keys, the administrator's
/// kubeconfig, and temporary files.
pub(crate) const OWN: [&str; 6] = [FILE, "lock", TRANSFER, "pki", "admin.kubeconfig", ".palisade-"];

/// Prefix of the temporary files of backups.
pub(crate) const TRANSFER: &str = "transfer-";

/// A store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    /// To the thread that takes writes to the disk.
    pub(crate) queue: Sender<Ticket>,
    pub(crate) observer: OnceLock<Registered>,
    readers: Mutex<Vec<Connection>>,
    newest: Mutex<Revision>,
    changed: Condvar,
    pub(crate) written: Written,
    /// Held as long as the store is open.
    _lock: File,
    /// A folder that goes with the store.
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError + '_ {
    move |error| StoreError::Io(path.display().to_string(), error)
}

impl Store {
    /// Opens the store in a folder, which is made if it is missing. Only one process may.
    ///
    /// # Errors
    ///
    /// Another process has it, a newer program wrote it, it is something else, or the disk says no.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_in(folder, None)
    }

    /// A store that is gone when it is dropped. It is kept on disk meanwhile, in the folder for temporary files.
    ///
    /// # Errors
    ///
    /// The disk is full.
    pub fn ephemeral() -> Result<Self, StoreError> {
        let folder = private::temporary()?;
        let path = folder.path().to_owned();
        Self::open_in(&path, Some(folder))
    }

    fn open_in(folder: &Path, temporary: Option<tempfile::TempDir>) -> Result<Self, StoreError> {
        private::folder(folder, &OWN)?;
        let lock = lock(folder)?;
        forget_transfers(folder);
        let path = folder.join(FILE);
        // SQLite gives the write-ahead log the mode of the file that it belongs to.
        drop(private::file(&path, File::options().write(true))?);
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        prepare(&connection, &path, temporary.is_some())?;
        let newest = newest(&connection)?;
        let (queue, tickets) = channel();
        let inner = Arc::new(Inner {
            path,
            writer: Mutex::new(connection),
            queue,
            observer: OnceLock::new(),
            readers: Mutex::default(),
            newest: Mutex::new(newest),
            changed: Condvar::new(),
            written: Written::default(),
            _lock: lock,
            _folder: temporary,
        });
        let weak = Arc::downgrade(&inner);
        let thread = std::thread::Builder::new().name("store".to_owned());
        thread.spawn(move || writer::run(&weak, &tickets)).map_err(io(folder))?;
        Ok(Self { inner })
    }

    /// The newest write.
    #[must_use]
    pub fn revision(&self) -> Revision {
        *hold(&self.inner.newest)
    }
}

impl Inner {
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        hold(&self.writer)
    }

    /// The observer's action once a write is made, if it has one.
    pub(crate) fn prepare(&self, key: &Key, value: Option<&[u8]>) -> Option<Effect> {
        self.observer.get()?.0.prepare(key, value)
    }

    /// Runs a read on a connection of its own, so that reads do not wait for each other.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = hold(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
                connection.pragma_update(None, "cache_size", -CACHE)?;
                connection
            }
        };
        let result = read(&connection);
        let mut idle = hold(&self.readers);
        if idle.len() < IDLE {
            idle.push(connection);
        }
        drop(idle);
        result
    }

    /// Tells those who wait that a write was made.
    pub(crate) fn announce(&self, revision: Revision) {
        *hold(&self.newest) = revision;
        self.changed.notify_all();
    }

    /// Waits until there is something newer, or the time is over.
    pub(crate) fn wait(&self, seen: Revision, time: std::time::Duration) {
        let newest = hold(&self.newest);
        let waited = self.changed.wait_timeout_while(newest, time, |newest| *newest <= seen);
        drop(waited);
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = private::file(&path, File::options().write(true))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(folder.display().to_string())),
        Err(TryLockError::Error(error)) => Err(io(&path)(error)),
    }
}

/// Removes what a crash left of backups on their way.
fn forget_transfers(folder: &Path) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TRANSFER) {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}

pub(crate) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // Otherwise every new value that is bound to a statement has it compiled again: a sixth of a busy server's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Refuses a file that is not ours; gives the number of tables, of which a new file has none.
pub(crate) fn tables(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let foreign = |_| StoreError::Foreign(path.display().to_string());
    let (application, format) =
        (number("application_id").map_err(foreign)?, number("user_version").map_err(foreign)?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(foreign)?;
    if tables > 0 && application != APPLICATION {
        return Err(StoreError::Foreign(path.display().to_string()));
    }
    if format > FORMAT {
        return Err(StoreError::Newer { path: path.display().to_string(), found: format, known: FORMAT });
    }
    Ok(tables)
}

/// Makes the tables of a new file, and refuses one that is not ours.
pub(crate) fn prepare(connection: &Connection, path: &Path, ephemeral: bool) -> Result<(), StoreError> {
    let tables = tables(connection, path)?;
    if tables == 0 {
        // Pages that are free go back to the disk; a file that was made without this keeps them for later writes.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    // Deleted data is overwritten; the log is truncated once it is in the file.
    connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 16777216")?;
    // FULL writes the log through to the disk before a write is acknowledged.
    connection.execute_batch(if ephemeral {
        "PRAGMA synchronous = OFF"
    } else {
        "PRAGMA synchronous = FULL"
    })?;
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
    }
    Ok(())
}

/// The counter itself, which knows of revisions whose rows are compacted away.
fn newest(connection: &Connection) -> Result<Revision, StoreError> {
    let mut statement = connection.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'versions'")?;
    let mut rows = statement.query([])?;
    Ok(Revision(rows.next()?.map_or(Ok(0), |row| row.get(0))?))
}
