//! The disk space of a store: old versions are deleted by age and by size, free space is returned to the disk, and a part of
//! the disk is kept free.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};
use rustix::fs::statvfs;

use crate::error::StoreError;
use crate::object::Revision;
use crate::open::Store;
use crate::write::Write;

/// The space left free on the disk, in bytes, or a part of it where it is small: so that objects can be deleted, old versions
/// be forgotten, and the server be stopped and started.
const FREE: u64 = 64 << 20;
const PART: u64 = 20;
/// The part of it that is left free by deletions, so that old versions can be forgotten.
const LAST: u64 = 4;

/// Old versions that are deleted at once, their bytes after which no further one is, and pages of the
/// file that are released at once: writes wait for no longer than that.
const VERSIONS: usize = 500;
const BYTES: i64 = 1 << 20;
const PAGES: usize = 256;
/// Maximum number of pages that are released in all; the rest is released the next time.
const ALL_PAGES: usize = 20_000;

/// A version to be forgotten: its revision, and how many bytes it holds.
type Old = (i64, i64);

impl Store {
    /// Forgets what was before a revision: older versions of objects, and objects deleted by then. Watches and
    /// lists from before it end with [`StoreError::Compacted`]. Writes go on in between.
    ///
    /// # Errors
    ///
    /// The revision has not happened yet, or the disk says no.
    pub fn compact(&self, until: Revision) -> Result<(), StoreError> {
        let newest = self.revision();
        if until > newest {
            return Err(StoreError::Future { asked: until, newest });
        }
        // Before anything is gone: nobody sees a moment of which a part is missing.
        self.in_turn(|writer| {
            writer.execute("UPDATE compacted SET revision = max(revision, ?1)", params![until.0])?;
            Ok(())
        })?;
        // Old versions stay old, so they are searched for without blocking writes.
        let old = self.inner.read(|connection| old(connection, until))?;
        for part in parts(&old) {
            self.in_turn(|writer| forget(writer, part))?;
        }
        self.give_back()
    }

    /// Returns free space to the disk.
    fn give_back(&self) -> Result<(), StoreError> {
        for _ in 0..ALL_PAGES / PAGES {
            // As far as readers permit it.
            if self.in_turn(give_back)? == 0 {
                break;
            }
        }
        self.in_turn(|writer| run(writer, "PRAGMA wal_checkpoint(PASSIVE)"))
    }

    /// Does a part of something long as one of the writers, then leaves as much time to the others as it took.
    fn in_turn<T>(
        &self,
        act: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (done, took) = {
            let mut writer = self.inner.writer();
            let begin = Instant::now();
            (act(&mut writer)?, begin.elapsed())
        };
        std::thread::sleep(took.clamp(Duration::from_micros(100), Duration::from_millis(100)));
        Ok(done)
    }

    /// Forgets old versions if many bytes were written since it last did, or few where the disk is nearly full; to be called
    /// often.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn tidy(&self) -> Result<(), StoreError> {
        let is_nearly_full = self.room().is_some_and(|(free, least)| free < 2 * least);
        match self.inner.written.turn(self.revision(), is_nearly_full) {
            Some(until) => self.compact(until),
            None if is_nearly_full => self.give_back(),
            None => Ok(()),
        }
    }

    /// The space that is free on the disk, and the space that writes leave free, in bytes; `None` if the disk does not tell.
    fn room(&self) -> Option<(u64, u64)> {
        let disk = statvfs(self.inner.folder()).ok()?;
        Some((disk.f_bavail * disk.f_frsize, FREE.min((disk.f_blocks * disk.f_frsize) / PART)))
    }

    /// Refuses what needs room where little is left, or more than there is: it would fill the disk before it fails, and
    /// others' writes would be refused meanwhile. What takes something away needs little room itself.
    pub(crate) fn check_room(&self, write: &Write) -> Result<(), StoreError> {
        let Some((free, least)) = self.room() else { return Ok(()) };
        let sizes: Vec<u64> =
            write.outcomes().iter().filter_map(|(_, value)| Some(value.as_ref()?.len() as u64)).collect();
        let least = if sizes.is_empty() { least / LAST } else { least };
        let needed = sizes.iter().fold(least, |all, size| all.saturating_add(*size));
        if free < needed { Err(StoreError::Full) } else { Ok(()) }
    }
}

/// All that a revision makes old: versions with a later one by then, and deletions.
fn old(connection: &Connection, until: Revision) -> Result<Vec<Old>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, length(value) FROM versions AS old WHERE revision <= ?1 AND (deleted OR EXISTS (
            SELECT 1 FROM versions AS new WHERE new.resource = old.resource AND new.namespace = old.namespace
            AND new.name = old.name AND new.revision > old.revision AND new.revision <= ?1)) ORDER BY revision",
    )?;
    let rows = statement.query_map(params![until.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Limits of one batch of compaction.
fn parts(old: &[Old]) -> impl Iterator<Item = &[Old]> {
    let mut rest = old;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(_, size): &&Old| {
            let is_room = bytes < BYTES;
            bytes += size;
            is_room
        };
        let count = rest.iter().take(VERSIONS).take_while(fits).count();
        let (part, after) = rest.split_at_checked(count)?;
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

fn forget(writer: &mut Connection, part: &[Old]) -> Result<(), StoreError> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let mut statement = transaction.prepare_cached("DELETE FROM versions WHERE revision = ?1")?;
        for (revision, _) in part {
            statement.execute(params![revision])?;
        }
    }
    Ok(transaction.commit()?)
}

/// Gives some free pages back to the disk; gives how many.
fn give_back(writer: &mut Connection) -> Result<i64, StoreError> {
    let free =
        |writer: &Connection| writer.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    let before = free(writer)?;
    if before == 0 {
        return Ok(0);
    }
    run(writer, &format!("PRAGMA incremental_vacuum({PAGES})"))?;
    Ok(before - free(writer)?)
}

/// Runs a statement to its end, whatever it says.
fn run(writer: &mut Connection, statement: &str) -> Result<(), StoreError> {
    let mut statement = writer.prepare(statement)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
