//! Commit of writes, and notification of the observer. A write is on disk when its function returns.

use std::sync::Arc;
use std::sync::mpsc::channel;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::StoreError;
use crate::object::{Key, Object, Revision};
use crate::observe::{Effect, Observer, Registered};
use crate::open::Store;
use crate::queue::{Answer, Ticket};
use crate::write::{Write, at};

impl Store {
    /// Sets the observer, before the first write through this store. Returns false, and changes nothing, if it has one.
    pub fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        self.inner.observer.set(Registered(observer)).is_ok()
    }

    /// Creates an object.
    ///
    /// # Errors
    ///
    /// It is there, or the disk says no.
    pub fn create(&self, key: &Key, value: &[u8]) -> Result<Revision, StoreError> {
        self.queue(Write::Create { key: key.clone(), value: value.to_vec() }).map(|done| done.revision)
    }

    /// Changes an object that the caller saw at a revision.
    ///
    /// # Errors
    ///
    /// It is not there, it changed meanwhile, or the disk says no.
    pub fn update(&self, key: &Key, expected: Revision, value: &[u8]) -> Result<Revision, StoreError> {
        self.queue(Write::Update { key: key.clone(), expected, value: value.to_vec() })
            .map(|done| done.revision)
    }

    /// Deletes an object, if a revision is given only as the caller saw it; gives what it held last.
    ///
    /// # Errors
    ///
    /// It is not there, it changed meanwhile, or the disk says no.
    pub fn delete(&self, key: &Key, expected: Option<Revision>) -> Result<Object, StoreError> {
        let done = self.queue(Write::Delete { key: key.clone(), expected })?;
        let before = done.before.ok_or_else(|| StoreError::Missing(key.clone()))?;
        Ok(Object { revision: done.revision, ..before })
    }

    /// Makes several changes at once: all of them are on disk when this returns, or none is made.
    ///
    /// # Errors
    ///
    /// One of them is refused, or the disk says no.
    pub fn transact(&self, writes: Vec<Write>) -> Result<Revision, StoreError> {
        self.queue(Write::Group(writes)).map(|done| done.revision.max(self.revision()))
    }

    /// An object as it is.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn get(&self, key: &Key) -> Result<Option<Object>, StoreError> {
        // An event that is not yet announced has not happened for watchers.
        let newest = self.revision();
        self.inner.read(|connection| at(connection, key, newest))
    }

    /// The revision of the write that made an object as it is, if it exists; its content is not read.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn revision_of(&self, key: &Key) -> Result<Option<Revision>, StoreError> {
        Ok(self.outline(key)?.map(|(revision, _)| revision))
    }

    /// The size of an object, in bytes, if it exists; its content is not read.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn length(&self, key: &Key) -> Result<Option<usize>, StoreError> {
        Ok(self.outline(key)?.map(|(_, length)| length))
    }

    /// The revision and the size of an object.
    fn outline(&self, key: &Key) -> Result<Option<(Revision, usize)>, StoreError> {
        let newest = self.revision();
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT deleted, revision, length(value) FROM versions
                 WHERE resource = ?1 AND namespace = ?2 AND name = ?3 AND revision <= ?4 ORDER BY revision DESC LIMIT 1",
            )?;
            let row = statement.query_row(params![key.resource, key.namespace, key.name, newest.0], |row| {
                let found = (Revision(row.get(1)?), row.get::<_, i64>(2)?);
                Ok((!row.get::<_, bool>(0)?).then_some(found))
            });
            let found = row.optional()?.flatten();
            Ok(found.map(|(revision, length)| (revision, usize::try_from(length).unwrap_or_default())))
        })
    }

    /// Makes a change of many objects, and then what the observer does about it.
    pub(crate) fn write(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(Revision, Vec<Effect>), StoreError>,
    ) -> Result<Revision, StoreError> {
        let mut writer = self.inner.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (revision, effects) = change(&transaction)?;
        transaction.commit()?;
        effects.into_iter().for_each(|effect| effect(revision));
        // Still under the writer's lock, so that revisions are announced in order.
        self.inner.announce(revision);
        Ok(revision)
    }

    /// Makes a write, with others that wait; it is on disk when this returns.
    pub(crate) fn queue(&self, write: Write) -> Answer {
        let (answer, mine) = channel();
        self.check_room(&write)?;
        let outcomes = write.outcomes();
        let effects = outcomes.into_iter().filter_map(|(key, value)| self.prepare(key, value)).collect();
        let ticket = Ticket { write, effects, answer };
        self.inner.queue.send(ticket).map_err(|_| StoreError::Abandoned)?;
        mine.recv().unwrap_or(Err(StoreError::Abandoned))
    }

    pub(crate) fn prepare(&self, key: &Key, value: Option<&[u8]>) -> Option<Effect> {
        self.inner.prepare(key, value)
    }
}
