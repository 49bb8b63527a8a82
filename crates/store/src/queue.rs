//! The writes that wait for the disk: whoever gets to it first takes along what the others brought meanwhile.
//!
//! Most of a write's time is the disk's to keep it. So many writers at once pay it once, not each in turn.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, TryRecvError, channel};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::object::Revision;
use crate::observe::Effect;
use crate::open::{Store, hold};
use crate::write::{Done, Write};

/// How many writes go to the disk together, so that none waits for an endless row of others.
const TOGETHER: usize = 128;

type Answer = Result<Done, StoreError>;

/// Writes in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<VecDeque<Ticket>>);

struct Ticket {
    write: Write,
    /// What the observer does when it is made.
    effects: Vec<Effect>,
    answer: Sender<Answer>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("write", &self.write).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a write, with others that wait; it is on disk when this returns.
    pub(crate) fn queue(&self, write: Write) -> Answer {
        let (answer, mine) = channel();
        let outcomes = write.outcomes();
        let effects = outcomes.into_iter().filter_map(|(key, value)| self.prepare(key, value)).collect();
        hold(&self.inner.queue.0).push_back(Ticket { write, effects, answer });
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
        let tickets: Vec<Ticket> = {
            let mut queue = hold(&self.inner.queue.0);
            let count = queue.len().min(TOGETHER);
            queue.drain(..count).collect()
        };
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
        for (ticket, answer) in tickets {
            // Whoever brought it waits for the lock that this holds.
            drop(ticket.answer.send(answer));
        }
    }
}

/// Makes writes, together if the disk can. A disk that refuses one of many, as too large for what is left of it, may
/// take the others.
fn make(writer: &mut Connection, writes: &[&Write]) -> Vec<Answer> {
    match together(writer, writes) {
        Ok(answers) => answers,
        Err(error) if writes.len() == 1 => vec![Err(error)],
        Err(_) => writes.iter().flat_map(|write| make(writer, std::slice::from_ref(write))).collect(),
    }
}

/// Makes writes in one transaction. Each is refused by what its object is, or all of them by the disk.
fn together(writer: &mut Connection, writes: &[&Write]) -> Result<Vec<Answer>, StoreError> {
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut answers = Vec::with_capacity(writes.len());
    for write in writes {
        match write.apply(&transaction) {
            Err(error @ (StoreError::Full | StoreError::Engine(_))) => return Err(error),
            answer => answers.push(answer),
        }
    }
    transaction.commit()?;
    Ok(answers)
}
