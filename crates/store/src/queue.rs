//! Group commit: writes that arrive while the disk is busy are written together, by a thread of their own.
//!
//! Most of a write's time is the synchronisation with the disk, which concurrent writers then share. The thread is separate
//! because its callers have different priorities: a caller of low priority would otherwise delay all others.

use std::sync::mpsc::{Receiver, Sender};

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::observe::Effect;
use crate::write::{Done, Write};

/// Maximum number of writes that are synced together, and the bytes after which no further one is added, so that none
/// waits for an endless row of others.
const TOGETHER: usize = 128;
const TOGETHER_BYTES: usize = 4 << 20;

pub(crate) type Answer = Result<Done, StoreError>;

/// A write that waits.
pub(crate) struct Ticket {
    pub(crate) write: Write,
    /// The observer's actions once it is made.
    pub(crate) effects: Vec<Effect>,
    pub(crate) answer: Sender<Answer>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("write", &self.write).finish_non_exhaustive()
    }
}

impl Ticket {
    /// Number of bytes that it writes.
    fn size(&self) -> usize {
        self.write.outcomes().iter().map(|(_, value)| value.map_or(0, <[u8]>::len)).sum()
    }
}

/// Waits for writes, and gives those that go to the disk together; none when no more can come.
pub(crate) fn next(tickets: &Receiver<Ticket>) -> Option<Vec<Ticket>> {
    let first = tickets.recv().ok()?;
    let mut bytes = first.size();
    let mut all = vec![first];
    while all.len() < TOGETHER && bytes < TOGETHER_BYTES {
        let Ok(ticket) = tickets.try_recv() else { break };
        bytes += ticket.size();
        all.push(ticket);
    }
    Some(all)
}

/// Makes writes in one transaction. If the disk is too full for all of them, each is tried in one of its own.
pub(crate) fn make(writer: &mut Connection, writes: &[&Write]) -> Vec<Answer> {
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
