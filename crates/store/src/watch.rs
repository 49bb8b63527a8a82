//! Watches: the writes since a revision, in order, each once.

use std::time::Duration;

use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::list::is_kept;
use crate::object::{Change, Event, Key, Revision};
use crate::open::Store;

/// Maximum number of events in a batch, and the bytes after which no further one is added.
const BATCH: i64 = 500;
const BATCH_BYTES: usize = 1 << 20;

/// A place in the history of a resource. It holds no events: they are read when asked for, so a slow watcher
/// costs nothing, and ends with [`StoreError::Compacted`] when what it has not seen is forgotten.
#[derive(Clone, Debug)]
pub struct Watch {
    store: Store,
    resource: Option<String>,
    namespace: Option<String>,
    seen: Revision,
}

impl Store {
    /// Watches a resource, in one namespace or all, from after a revision.
    ///
    /// # Errors
    ///
    /// The revision is compacted away, or has not happened yet.
    pub fn watch(
        &self,
        resource: &str,
        namespace: Option<&str>,
        after: Revision,
    ) -> Result<Watch, StoreError> {
        self.check(after)?;
        let namespace = namespace.map(str::to_owned);
        Ok(Watch { store: self.clone(), resource: Some(resource.to_owned()), namespace, seen: after })
    }

    /// Watches all resources, from after a revision.
    ///
    /// # Errors
    ///
    /// The revision is compacted away, or has not happened yet.
    pub fn watch_all(&self, after: Revision) -> Result<Watch, StoreError> {
        self.check(after)?;
        Ok(Watch { store: self.clone(), resource: None, namespace: None, seen: after })
    }
}

/// Maximum number of writes whose places are read at once.
const TOUCHED: i64 = 5000;

impl Store {
    /// The namespaces that were written in after a revision, each once, and up to which revision: what was written is not
    /// read.
    ///
    /// # Errors
    ///
    /// The writes after the revision are compacted away, or the disk fails.
    pub fn touched(&self, after: Revision) -> Result<(Vec<String>, Revision), StoreError> {
        let newest = self.revision();
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT namespace, max(revision), count(*) FROM (
                    SELECT revision, namespace FROM versions
                    WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3)
                 GROUP BY namespace",
            )?;
            let rows = statement.query_map(params![after.0, newest.0, TOUCHED], |row| {
                Ok((row.get(0)?, Revision(row.get(1)?), row.get::<_, i64>(2)?))
            })?;
            let (mut namespaces, mut last, mut count) = (Vec::new(), after, 0);
            for row in rows {
                let (namespace, revision, writes) = row?;
                namespaces.push(namespace);
                last = last.max(revision);
                count += writes;
            }
            is_kept(connection, after)?;
            Ok((namespaces, if count < TOUCHED { newest.max(after) } else { last }))
        })
    }
}

impl Watch {
    /// The next events, at most 500, and fewer where they are large; waits for one for as long as `time`, then gives none.
    ///
    /// # Errors
    ///
    /// The next writes are compacted away, or the disk fails.
    pub fn next(&mut self, time: Duration) -> Result<Vec<Event>, StoreError> {
        let deadline = std::time::Instant::now() + time;
        loop {
            // Read before the events: whatever is not among them by then does not concern this watch.
            let newest = self.store.revision();
            let (events, is_all) = self.store.inner.read(|connection| {
                let events = self.read(connection, newest)?;
                is_kept(connection, self.seen)?;
                Ok(events)
            })?;
            self.seen = match events.last() {
                Some(last) if !is_all => last.revision,
                _ => newest,
            };
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if !events.is_empty() || left.is_zero() {
                return Ok(events);
            }
            self.store.inner.wait(self.seen, left);
        }
    }

    /// Up to where the watch has seen: a client's bookmark.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.seen
    }

    /// Some events, and whether they are all.
    fn read(&self, connection: &Connection, newest: Revision) -> Result<(Vec<Event>, bool), StoreError> {
        let mut statement = connection.prepare_cached(
            "SELECT revision, namespace, name, created, deleted, value, resource,
                (SELECT old.value FROM versions AS old WHERE old.resource = new.resource
                 AND old.namespace = new.namespace AND old.name = new.name AND old.revision < new.revision
                 ORDER BY old.revision DESC LIMIT 1)
             FROM versions AS new
             WHERE revision > ?1 AND revision <= ?2 AND (?3 IS NULL OR resource = ?3) AND (?4 IS NULL OR namespace = ?4)
             ORDER BY revision LIMIT ?5",
        )?;
        let rows = statement.query_map(
            params![self.seen.0, newest.0, self.resource, self.namespace, BATCH],
            |row| {
                let (revision, created, deleted): (i64, i64, bool) = (row.get(0)?, row.get(3)?, row.get(4)?);
                let change = match (deleted, created == revision) {
                    (true, _) => Change::Deleted,
                    (false, true) => Change::Created,
                    (false, false) => Change::Updated,
                };
                let previous: Option<Vec<u8>> = row.get(7)?;
                let mut value: Vec<u8> = row.get(5)?;
                if deleted && value.is_empty() {
                    value = previous.clone().unwrap_or_default();
                }
                Ok(Event {
                    revision: Revision(revision),
                    change,
                    key: Key::new(
                        row.get::<_, String>(6)?,
                        row.get::<_, String>(1)?,
                        row.get::<_, String>(2)?,
                    ),
                    value,
                    // The content of a deleted object of the same name does not affect the new one.
                    previous: previous.filter(|_| change != Change::Created),
                })
            },
        )?;
        let (mut events, mut bytes): (Vec<Event>, usize) = (Vec::new(), 0);
        for event in rows {
            let event: Event = event?;
            bytes += event.value.len() + event.previous.as_ref().map_or(0, Vec::len);
            events.push(event);
            if bytes > BATCH_BYTES {
                return Ok((events, false));
            }
        }
        let is_all = (events.len() as i64) < BATCH;
        Ok((events, is_all))
    }
}
