//! The writes that wait for the disk: whoever gets to it first takes along what the others brought meanwhile.
//!
//! Most of a write's time is the disk's to keep it. So many writers at once pay it once, not each in turn.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::mpsc::Sender;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;
use crate::hold::hold;
use crate::observe::Effect;
use crate::write::{Done, Write};

/// How many writes go to the disk together, so that none waits for an endless row of others.
const TOGETHER: usize = 128;

pub(crate) type Answer = Result<Done, StoreError>;

/// Writes in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<VecDeque<Ticket>>);

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

impl Queue {
    pub(crate) fn push(&self, ticket: Ticket) {
        hold(&self.0).push_back(ticket);
    }

    /// Takes out the first writes, as many as go to the disk together.
    pub(crate) fn take(&self) -> Vec<Ticket> {
        let mut queue = hold(&self.0);
        let count = queue.len().min(TOGETHER);
        queue.drain(..count).collect()
    }
}

/// Makes writes, together if the disk can. A disk that refuses one of many, as too large for what is left of it, may
/// take the others.
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
