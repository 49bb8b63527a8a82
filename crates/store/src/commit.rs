//! Writes on their way to the disk, and what the observer makes of them. Each is on disk when it returns.

use std::sync::Arc;
use std::sync::mpsc::{TryRecvError, channel};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::error::StoreError;
use crate::object::{Key, Object, Revision};
use crate::observe::{Effect, Observer, Registered};
use crate::open::Store;
use crate::queue::{Answer, Ticket, make};
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
        // What is not yet announced has not happened yet.
        let newest = self.revision();
        self.inner.read(|connection| at(connection, key, newest))
    }

    /// How many bytes an object holds, if it is there; they are not read.
    ///
    /// # Errors
    ///
    /// The disk says no.
    pub fn length(&self, key: &Key) -> Result<Option<usize>, StoreError> {
        let newest = self.revision();
        self.inner.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT deleted, length(value) FROM versions
                 WHERE resource = ?1 AND namespace = ?2 AND name = ?3 AND revision <= ?4 ORDER BY revision DESC LIMIT 1",
            )?;
            let row = statement.query_row(params![key.resource, key.namespace, key.name, newest.0], |row| {
                Ok((!row.get::<_, bool>(0)?).then_some(row.get::<_, i64>(1)?))
            });
            Ok(row.optional()?.flatten().and_then(|length| usize::try_from(length).ok()))
        })
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
        // As far as readers let it: the rest is done by the next.
        for give_back in ["PRAGMA incremental_vacuum(20000)", "PRAGMA wal_checkpoint(PASSIVE)"] {
            let mut statement = writer.prepare(give_back)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
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
        self.inner.queue.push(Ticket { write, effects, answer });
        let mut writer = self.inner.writer();
        loop {
            match mine.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Disconnected) => return Err(StoreError::Abandoned),
                Err(TryRecvError::Empty) => self.take_along(&mut writer),
            }
        }
    }

    /// Takes the first of the queue to the disk, and tells those who brought them.
    fn take_along(&self, writer: &mut Connection) {
        let tickets = self.inner.queue.take();
        let writes: Vec<&Write> = tickets.iter().map(|ticket| &ticket.write).collect();
        let answers = make(writer, &writes);
        let mut tickets: Vec<(Ticket, Answer)> = tickets.into_iter().zip(answers).collect();
        for (ticket, answer) in &mut tickets {
            let Ok(done) = answer else { continue };
            let cleared = done.cleared.iter().filter_map(|key| self.prepare(key, None));
            ticket.effects.drain(..).chain(cleared).for_each(|effect| effect(done.revision));
        }
        // Still under the writer's lock, so that revisions are announced in order.
        let newest =
            tickets.iter().filter_map(|(_, answer)| answer.as_ref().ok()).map(|done| done.revision).max();
        // A group may have had nothing to change.
        if let Some(newest) = newest.filter(|newest| *newest > Revision::default()) {
            self.inner.announce(newest);
        }
        let outcomes = tickets.iter().flat_map(|(ticket, _)| ticket.write.outcomes());
        self.inner.written.add(outcomes.map(|(_, value)| value.map_or(0, <[u8]>::len)).sum());
        for (ticket, answer) in tickets {
            // Whoever brought it waits for the lock that this holds.
            drop(ticket.answer.send(answer));
        }
    }

    pub(crate) fn prepare(&self, key: &Key, value: Option<&[u8]>) -> Option<Effect> {
        self.inner.observer.get()?.0.prepare(key, value)
    }
}
