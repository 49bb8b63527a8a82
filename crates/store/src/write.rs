//! Changes of the store, each made in a transaction as a whole or not at all.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::StoreError;
use crate::object::{Key, Object, Revision};

/// A change of the store.
#[derive(Clone, Debug)]
pub enum Write {
    /// Makes an object that is not there.
    Create {
        /// The object.
        key: Key,
        /// The value.
        value: Vec<u8>,
    },
    /// Changes an object that was seen at a revision.
    Update {
        /// The object.
        key: Key,
        /// The revision at which it was seen.
        expected: Revision,
        /// The value.
        value: Vec<u8>,
    },
    /// Makes an object hold something, whatever was there.
    Put {
        /// The object.
        key: Key,
        /// The value.
        value: Vec<u8>,
    },
    /// Deletes an object, if a revision is given only as it was seen then.
    Delete {
        /// The object.
        key: Key,
        /// The revision at which it was seen.
        expected: Option<Revision>,
    },
    /// Deletes all objects of a resource in a namespace, of which there may be none. What they held is not kept for
    /// watches, as it is of others that are deleted.
    Clear {
        /// The resource.
        resource: String,
        /// The namespace.
        namespace: String,
    },
    /// Several changes in this order: all of them, or none.
    Group(Vec<Write>),
}

/// The result of a write.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) revision: Revision,
    /// The object as it was.
    pub(crate) before: Option<Object>,
    /// The objects that were deleted without being named.
    pub(crate) cleared: Vec<Key>,
}

impl Done {
    fn new(revision: Revision, before: Option<Object>) -> Self {
        Self { revision, before, cleared: Vec::new() }
    }
}

impl Write {
    /// The objects that it changes and what each will hold, none if it is deleted; those that it clears are not known yet.
    pub(crate) fn outcomes(&self) -> Vec<(&Key, Option<&[u8]>)> {
        match self {
            Self::Create { key, value } | Self::Update { key, value, .. } | Self::Put { key, value } => {
                vec![(key, Some(value))]
            }
            Self::Delete { key, .. } => vec![(key, None)],
            Self::Clear { .. } => Vec::new(),
            Self::Group(writes) => writes.iter().flat_map(Self::outcomes).collect(),
        }
    }

    /// Makes the change in a transaction. What an object's state forbids leaves everything as it is.
    pub(crate) fn apply(&self, transaction: &Connection) -> Result<Done, StoreError> {
        match self {
            Self::Create { key, value } => match current(transaction, key)? {
                Some(_) => Err(StoreError::Exists(key.clone())),
                None => Ok(Done::new(insert(transaction, key, None, false, value)?, None)),
            },
            Self::Update { key, expected, value } => {
                let before = expect(transaction, key, Some(*expected))?;
                let revision = insert(transaction, key, Some(before.created), false, value)?;
                Ok(Done::new(revision, Some(before)))
            }
            Self::Put { key, value } => {
                let before = current(transaction, key)?;
                let created = before.as_ref().map(|before| before.created);
                Ok(Done::new(insert(transaction, key, created, false, value)?, before))
            }
            Self::Delete { key, expected } => {
                let before = expect(transaction, key, *expected)?;
                let revision = insert(transaction, key, Some(before.created), true, &[])?;
                Ok(Done::new(revision, Some(before)))
            }
            Self::Clear { resource, namespace } => clear(transaction, resource, namespace),
            Self::Group(writes) => group(transaction, writes),
        }
    }
}

fn group(transaction: &Connection, writes: &[Write]) -> Result<Done, StoreError> {
    transaction.execute_batch("SAVEPOINT part")?;
    let made = writes.iter().try_fold(Done::new(Revision::default(), None), |mut all, write| {
        let done = write.apply(transaction)?;
        all.revision = all.revision.max(done.revision);
        all.cleared.extend(done.cleared);
        Ok(all)
    });
    let end = if made.is_ok() { "RELEASE part" } else { "ROLLBACK TO part; RELEASE part" };
    transaction.execute_batch(end)?;
    made
}

fn clear(transaction: &Connection, resource: &str, namespace: &str) -> Result<Done, StoreError> {
    let names = {
        let mut statement = transaction.prepare_cached(
            "SELECT name, max(revision), deleted FROM versions WHERE resource = ?1 AND namespace = ?2
             GROUP BY name HAVING NOT deleted",
        )?;
        let rows = statement.query_map(params![resource, namespace], |row| row.get::<_, String>(0))?;
        rows.collect::<Result<Vec<_>, _>>()?
    };
    let mut done = Done::new(Revision::default(), None);
    for name in names {
        let key = Key::new(resource, namespace, name);
        let before = expect(transaction, &key, None)?;
        done.revision = insert(transaction, &key, Some(before.created), true, &[])?;
        done.cleared.push(key);
    }
    Ok(done)
}

fn expect(connection: &Connection, key: &Key, expected: Option<Revision>) -> Result<Object, StoreError> {
    let object = current(connection, key)?.ok_or_else(|| StoreError::Missing(key.clone()))?;
    match expected {
        Some(expected) if expected != object.revision => {
            Err(StoreError::Conflict { key: key.clone(), expected, actual: object.revision })
        }
        _ => Ok(object),
    }
}

/// The object as the newest write made it.
pub(crate) fn current(connection: &Connection, key: &Key) -> Result<Option<Object>, StoreError> {
    at(connection, key, Revision(i64::MAX))
}

/// The object as it was at a revision.
pub(crate) fn at(
    connection: &Connection,
    key: &Key,
    revision: Revision,
) -> Result<Option<Object>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, created, deleted, value FROM versions
         WHERE resource = ?1 AND namespace = ?2 AND name = ?3 AND revision <= ?4 ORDER BY revision DESC LIMIT 1",
    )?;
    let row = statement.query_row(params![key.resource, key.namespace, key.name, revision.0], |row| {
        let deleted: bool = row.get(2)?;
        let object = Object {
            key: key.clone(),
            revision: Revision(row.get(0)?),
            created: Revision(row.get(1)?),
            value: row.get(3)?,
        };
        Ok((!deleted).then_some(object))
    });
    Ok(row.optional()?.flatten())
}

/// Prefix of the resources whose old versions are not kept: the server's own secrets, such as passwords and tokens.
const SECRET: &str = "palisade/";

fn has_history(resource: &str) -> bool {
    !resource.starts_with(SECRET)
}

/// A new version; one without a creation is created by it. That of a deletion is empty: the version before it, which is kept as
/// long, says what was deleted, and a full disk has room for it.
pub(crate) fn insert(
    transaction: &Connection,
    key: &Key,
    created: Option<Revision>,
    deleted: bool,
    value: &[u8],
) -> Result<Revision, StoreError> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO versions (resource, namespace, name, created, deleted, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let created = created.unwrap_or_default().0;
    statement.execute(params![key.resource, key.namespace, key.name, created, deleted, value])?;
    let revision = transaction.last_insert_rowid();
    if !has_history(&key.resource) {
        transaction
            .prepare_cached(
                "DELETE FROM versions WHERE resource = ?1 AND namespace = ?2 AND name = ?3 AND revision < ?4",
            )?
            .execute(params![key.resource, key.namespace, key.name, revision])?;
    }
    if created == 0 {
        transaction
            .prepare_cached("UPDATE versions SET created = revision WHERE revision = ?1")?
            .execute(params![revision])?;
    }
    Ok(Revision(revision))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::SCHEMA;

    /// A store with `pods a/one` at revision 1, changed at 2, and `pods a/two` at 3.
    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        for write in [create("one", "1"), update("one", 1, "2"), create("two", "3")] {
            write.apply(&connection).unwrap();
        }
        connection
    }

    fn key(name: &str) -> Key {
        Key::new("pods", "a", name)
    }

    fn create(name: &str, value: &str) -> Write {
        Write::Create { key: key(name), value: value.into() }
    }

    fn update(name: &str, expected: i64, value: &str) -> Write {
        Write::Update { key: key(name), expected: Revision(expected), value: value.into() }
    }

    fn delete(name: &str, expected: Option<i64>) -> Write {
        Write::Delete { key: key(name), expected: expected.map(Revision) }
    }

    /// The objects that there are: name, revision, the revision of their creation, value.
    fn objects(connection: &Connection) -> String {
        let there = ["one", "two", "new"].map(|name| current(connection, &key(name)).unwrap());
        let line = |object: Object| {
            let value = String::from_utf8(object.value).unwrap();
            format!("{}@{}/{}={value}", object.key.name, object.revision, object.created)
        };
        there.into_iter().flatten().map(line).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_write_holds_or_changes_nothing() {
        let put = |name: &str| Write::Put { key: key(name), value: "p".into() };
        let clear = |namespace: &str| Write::Clear { resource: "pods".into(), namespace: namespace.into() };
        let before = "one@2/1=2 two@3/3=3";
        let rows = [
            (create("new", "n"), Ok("one@2/1=2 two@3/3=3 new@4/4=n")),
            (create("one", "n"), Err("pods a/one already exists")),
            (update("one", 2, "n"), Ok("one@4/1=n two@3/3=3")),
            (update("one", 1, "n"), Err("pods a/one is at revision 2, not 1")),
            (update("new", 1, "n"), Err("pods a/new does not exist")),
            (put("one"), Ok("one@4/1=p two@3/3=3")),
            (put("new"), Ok("one@2/1=2 two@3/3=3 new@4/4=p")),
            (delete("one", None), Ok("two@3/3=3")),
            (delete("one", Some(2)), Ok("two@3/3=3")),
            (delete("one", Some(1)), Err("pods a/one is at revision 2, not 1")),
            (delete("new", None), Err("pods a/new does not exist")),
            (clear("a"), Ok("")),
            (clear("b"), Ok(before)),
            (Write::Group(vec![delete("one", None), create("one", "n")]), Ok("one@5/5=n two@3/3=3")),
            (
                Write::Group(vec![put("new"), delete("two", None), create("one", "n")]),
                Err("pods a/one already exists"),
            ),
        ];
        for (write, expected) in rows {
            let connection = connection();
            let done = write.apply(&connection).map(drop).map_err(|error| error.to_string());
            let now = objects(&connection);
            match expected {
                Ok(expected) => assert_eq!((done, now.as_str()), (Ok(()), expected), "{write:?}"),
                Err(why) => assert_eq!((done, now.as_str()), (Err(why.to_owned()), before), "{write:?}"),
            }
        }
    }

    #[test]
    fn an_object_is_read_as_it_was() {
        let connection = connection();
        delete("one", None).apply(&connection).unwrap();
        let value = |revision| at(&connection, &key("one"), Revision(revision)).unwrap().map(|o| o.value);
        assert_eq!([0, 1, 3, 4].map(value), [None, Some(b"1".to_vec()), Some(b"2".to_vec()), None]);
    }
}
