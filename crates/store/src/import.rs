//! Import of a backup, which is an untrusted file: its rows are read as data, and nothing else of it is used.
//!
//! SQLite's own format can hold programs (triggers, views, expressions) and cyclic trees. So the
//! schema must be exactly ours, rows must come in the order of their revisions, and all of them together cannot be
//! longer than the file.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::error::StoreError;
use crate::object::Key;
use crate::open::{SCHEMA, connect, io, prepare, tables};
use crate::private;

/// Says of an object in a backup why it does not fit, if it does not.
pub type Check<'c> = &'c dyn Fn(&Key, &[u8]) -> Result<(), String>;

/// The largest value that is taken, in bytes.
const MAX_VALUE: u64 = 16 << 20;
/// The last revision that is taken: there must be room for those to come, also in clients that count in doubles.
const MAX_REVISION: i64 = 1 << 53;

/// A flaw of a backup, before its file is named.
enum Unfit {
    Rule(String),
    Store(StoreError),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Rule(error.to_string())
    }
}

impl From<StoreError> for Unfit {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn rule<T>(why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit::Rule(why.into()))
}

/// Writes the rows of a backup into a new store file at `target`.
pub(crate) fn import(file: &Path, target: &Path, check: Check<'_>) -> Result<(), StoreError> {
    let size = std::fs::metadata(file).map_err(io(file))?.len();
    let backup = open(file, size)?;
    drop(private::file(target, std::fs::File::options().write(true))?);
    let ours = connect(target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare(&ours, target, true)?;
    match copy(&backup, &ours, size, check) {
        Ok(()) => {}
        Err(Unfit::Store(error)) => return Err(error),
        Err(Unfit::Rule(why)) => return Err(StoreError::Unfit { path: file.display().to_string(), why }),
    }
    // One file again, and on the disk, before it can be taken for a store.
    ours.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    drop(ours);
    std::fs::File::open(target).and_then(|file| file.sync_all()).map_err(io(target))
}

/// Opens a file that nothing in it can make us write, or run.
fn open(file: &Path, size: u64) -> Result<Connection, StoreError> {
    let foreign = |_| StoreError::Foreign(file.display().to_string());
    // Neither a log nor a journal beside the file is looked at.
    let name: String = file.display().to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let backup = connect(Path::new(&format!("file:{name}?immutable=1")), flags)?;
    backup.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    backup.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    backup.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(size.min(MAX_VALUE)).unwrap_or(i32::MAX))?;
    backup.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0").map_err(foreign)?;
    match tables(&backup, file)? {
        0 => Err(StoreError::Foreign(file.display().to_string())),
        _ => Ok(backup),
    }
}

fn copy(backup: &Connection, ours: &Connection, size: u64, check: Check<'_>) -> Result<(), Unfit> {
    let own = Connection::open_in_memory()?;
    own.execute_batch(SCHEMA)?;
    if schema(backup)? != schema(&own)? {
        return rule("its tables, indexes, views and triggers are not exactly those of a store");
    }
    let (seq, compacted) =
        (single(backup, "sqlite_sequence", "seq")?, single(backup, "compacted", "revision")?);
    let (seq, compacted) = (seq.unwrap_or_default(), compacted.unwrap_or_default());
    ours.execute_batch("BEGIN")?;
    let last = rows(backup, ours, size, check)?;
    if !(0..=MAX_REVISION).contains(&seq) || last > seq || !(0..=seq).contains(&compacted) {
        return rule(format!("its counters contradict its objects: {last}, {seq}, {compacted}"));
    }
    ours.execute("UPDATE compacted SET revision = ?1", params![compacted])?;
    ours.execute("DELETE FROM sqlite_sequence", [])?;
    ours.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('versions', ?1)", params![seq])?;
    ours.execute_batch("COMMIT")?;
    Ok(())
}

/// The tables and indexes of a database, by kind and name, at most a few more than ours has.
fn schema(connection: &Connection) -> Result<Vec<[Option<String>; 4]>, Unfit> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema LIMIT 16")?;
    let found = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    let mut found: Vec<[Option<String>; 4]> = found.collect::<Result<_, _>>()?;
    found.sort();
    Ok(found)
}

/// The number in a table of one row; none in a table without rows.
fn single(backup: &Connection, table: &str, column: &str) -> Result<Option<i64>, Unfit> {
    let mut statement = backup.prepare(&format!("SELECT {column} FROM {table} LIMIT 2"))?;
    let found: Vec<i64> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    match found.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => rule(format!("{table} has more than one row")),
    }
}

/// A row of a backup.
struct Version {
    revision: i64,
    key: Key,
    created: i64,
    deleted: bool,
    value: Vec<u8>,
}

impl Version {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            revision: row.get(0)?,
            key: Key::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?),
            created: row.get(4)?,
            deleted: row.get(5)?,
            value: row.get(6)?,
        })
    }

    fn length(&self) -> u64 {
        let key = &self.key;
        (key.resource.len() + key.namespace.len() + key.name.len() + self.value.len()) as u64
    }
}

/// Copies the versions; gives the last revision.
fn rows(backup: &Connection, ours: &Connection, size: u64, check: Check<'_>) -> Result<i64, Unfit> {
    // Without the index, which need not tell the truth about the table.
    let mut read = backup.prepare(
        "SELECT revision, resource, namespace, name, created, deleted, value FROM versions NOT INDEXED ORDER BY revision",
    )?;
    let mut write = ours.prepare("INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let (mut last, mut total) = (0, 0_u64);
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let version = Version::read(row)?;
        let revision = version.revision;
        total = total.saturating_add(version.length());
        if revision <= last || total > size {
            return rule(format!("its tree of versions leads back to itself at revision {revision}"));
        }
        if !(1..=revision).contains(&version.created) {
            return rule(format!("revision {revision}: created at revision {}", version.created));
        }
        // A deletion is empty.
        if !(version.deleted && version.value.is_empty()) {
            check(&version.key, &version.value).or_else(|why| rule(format!("{}: {why}", version.key)))?;
        }
        let key = &version.key;
        write.execute(params![
            revision,
            key.resource,
            key.namespace,
            key.name,
            version.created,
            version.deleted,
            version.value
        ])?;
        last = revision;
    }
    Ok(last)
}
