//! Writes: each is one transaction, and is on disk when it returns.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::StoreError;
use crate::object::{Key, Object, Revision};
use crate::open::Store;

impl Store {
    /// Creates an object.
    ///
    /// # Errors
    ///
    /// It is there, or the disk says no.
    pub fn create(&self, key: &Key, value: &[u8]) -> Result<Revision, StoreError> {
        self.write(|transaction| match current(transaction, key)? {
            Some(_) => Err(StoreError::Exists(key.clone())),
            None => insert(transaction, key, None, false, value),
        })
    }

    /// Changes an object that the caller saw at a revision.
    ///
    /// # Errors
    ///
    /// It is not there, it changed meanwhile, or the disk says no.
    pub fn update(&self, key: &Key, expected: Revision, value: &[u8]) -> Result<Revision, StoreError> {
        self.write(|transaction| {
            let object = expect(transaction, key, Some(expected))?;
            insert(transaction, key, Some(object.created), false, value)
        })
    }

    /// Deletes an object, if a revision is given only as the caller saw it; gives what it held last.
    ///
    /// # Errors
    ///
    /// It is not there, it changed meanwhile, or the disk says no.
    pub fn delete(&self, key: &Key, expected: Option<Revision>) -> Result<Object, StoreError> {
        let mut last = None;
        let revision = self.write(|transaction| {
            let object = expect(transaction, key, expected)?;
            let revision = insert(transaction, key, Some(object.created), true, &object.value)?;
            last = Some(object);
            Ok(revision)
        })?;
        last.map(|object| Object { revision, ..object }).ok_or_else(|| StoreError::Missing(key.clone()))
    }

    /// An object as it is.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        self.inner.read(|connection| current(connection, key))
    }

    /// Forgets what was before a revision: older versions of objects, and objects deleted by then. Watches and
    /// lists from before it end with [`StoreError::Compacted`].
    ///
    /// # Errors
    ///
    /// The revision has not happened yet, or the disk says no.
    pub fn compact(&self, until: Revision) -> Result<(), StoreError> {
        let newest = self.revision();
        if until > newest {
            return Err(StoreError::Future { asked: until, newest });
        }
        let mut writer = self.inner.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "DELETE FROM versions AS old WHERE revision <= ?1 AND (deleted OR EXISTS (
                SELECT 1 FROM versions AS new WHERE new.resource = old.resource AND new.namespace = old.namespace
                AND new.name = old.name AND new.revision > old.revision AND new.revision <= ?1))",
            params![until.0],
        )?;
        transaction.execute("UPDATE compacted SET revision = max(revision, ?1)", params![until.0])?;
        transaction.commit()?;
        Ok(())
    }

    pub(crate) fn write(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<Revision, StoreError>,
    ) -> Result<Revision, StoreError> {
        let mut writer = self.inner.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let revision = change(&transaction)?;
        transaction.commit()?;
        // Still under the writer's lock, so that revisions are announced in order.
        self.inner.announce(revision);
        Ok(revision)
    }
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

pub(crate) fn current(connection: &Connection, key: &Key) -> Result<Option<Object>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, created, deleted, value FROM versions
         WHERE resource = ?1 AND namespace = ?2 AND name = ?3 ORDER BY revision DESC LIMIT 1",
    )?;
    let row = statement.query_row(params![key.resource, key.namespace, key.name], |row| {
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

/// A new version; one without a creation is created by it.
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
    if created == 0 {
        transaction
            .execute("UPDATE versions SET created = revision WHERE revision = ?1", params![revision])?;
    }
    Ok(Revision(revision))
}
