//! Lists: consistent pages, as of one revision.

use rusqlite::{Connection, params};

use crate::error::StoreError;
use crate::object::{Key, Object, Revision};
use crate::open::Store;

/// The start of the next page, and its revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The moment.
    pub revision: Revision,
    /// The namespace of the last object that was given.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Cursor {
    /// Before the first object of a moment.
    #[must_use]
    pub fn start(revision: Revision) -> Self {
        Self { revision, namespace: String::new(), name: String::new() }
    }
}

/// Objects, by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Object>,
    /// The moment that they are of: a watch goes on from there.
    pub revision: Revision,
    /// The place to continue, if there is more.
    pub next: Option<Cursor>,
}

/// The limit on the values of a page, in bytes; a single value may be larger.
pub const PAGE_BYTES: usize = 1 << 20;

impl Store {
    /// The objects of a resource, of one namespace or all, at most `limit`, and fewer where they are large: a page with a
    /// limit ends after [`PAGE_BYTES`]. Later pages show the same moment as the first.
    ///
    /// # Errors
    ///
    /// The moment of `after` is compacted away or was never, or the disk says no.
    pub fn list(
        &self,
        resource: &str,
        namespace: Option<&str>,
        limit: Option<usize>,
        after: Option<&Cursor>,
    ) -> Result<Page, StoreError> {
        let revision = after.map_or_else(|| self.revision(), |cursor| cursor.revision);
        self.check(revision)?;
        let wanted = limit.unwrap_or(usize::MAX - 1);
        let most = limit.map_or(usize::MAX, |_| PAGE_BYTES);
        let (objects, is_more) = self.inner.read(|connection| {
            let objects = page(connection, resource, namespace, revision, (wanted, most), after)?;
            // Had it been compacted meanwhile, something might be missing.
            is_kept(connection, revision)?;
            Ok(objects)
        })?;
        let next = objects.last().filter(|_| is_more).map(|last| Cursor {
            revision,
            namespace: last.key.namespace.clone(),
            name: last.key.name.clone(),
        });
        Ok(Page { objects, revision, next })
    }

    /// Checks that a revision exists and has not been compacted.
    pub(crate) fn check(&self, asked: Revision) -> Result<(), StoreError> {
        let newest = self.revision();
        if asked > newest {
            return Err(StoreError::Future { asked, newest });
        }
        self.inner.read(|connection| is_kept(connection, asked))
    }
}

pub(crate) fn is_kept(connection: &Connection, asked: Revision) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("SELECT revision FROM compacted")?;
    let oldest = Revision(statement.query_row([], |row| row.get(0))?);
    if asked < oldest { Err(StoreError::Compacted { asked, oldest }) } else { Ok(()) }
}

/// The latest version of each object at a moment: of a group SQLite gives the other columns of the row that
/// has the maximum. Second, whether there is more than is wanted, in number or in bytes.
fn page(
    connection: &Connection,
    resource: &str,
    namespace: Option<&str>,
    revision: Revision,
    (wanted, most): (usize, usize),
    after: Option<&Cursor>,
) -> Result<(Vec<Object>, bool), StoreError> {
    // Each a statement of its own, so that the index leads straight to where a page begins.
    let (within, beyond) = match (namespace, after) {
        (Some(_), None) => ("AND namespace = ?2", ""),
        (Some(_), Some(_)) => ("AND namespace = ?2", "AND name > ?5"),
        (None, None) => ("", ""),
        (None, Some(_)) => ("", "AND (namespace, name) > (?4, ?5)"),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT namespace, name, max(revision), created, deleted, value FROM versions
         WHERE resource = ?1 {within} AND revision <= ?3 {beyond}
         GROUP BY namespace, name HAVING NOT deleted ORDER BY namespace, name LIMIT ?6",
    ))?;
    let limit = i64::try_from(wanted.saturating_add(1)).unwrap_or(i64::MAX);
    let (last_namespace, last_name) = after.map(|cursor| (&cursor.namespace, &cursor.name)).unzip();
    let rows = statement.query_map(
        params![resource, namespace, revision.0, last_namespace, last_name, limit],
        |row| {
            Ok(Object {
                key: Key::new(resource, row.get::<_, String>(0)?, row.get::<_, String>(1)?),
                revision: Revision(row.get(2)?),
                created: Revision(row.get(3)?),
                value: row.get(5)?,
            })
        },
    )?;
    let (mut objects, mut bytes): (Vec<Object>, usize) = (Vec::new(), 0);
    for object in rows {
        let object = object?;
        bytes = bytes.saturating_add(object.value.len());
        if objects.len() == wanted || bytes > most && !objects.is_empty() {
            return Ok((objects, true));
        }
        objects.push(object);
    }
    Ok((objects, false))
}
