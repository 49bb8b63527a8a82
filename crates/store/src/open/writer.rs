//! The thread that takes writes to the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender};

use super::Inner;
use crate::object::Revision;
use crate::queue::{Answer, Ticket, make, next};
use crate::write::Write;

/// The space that a version takes besides its value, in bytes: its key, and its places in the table and the index.
const ROW: usize = 256;

/// Takes writes to the disk until the store is gone.
pub(crate) fn run(store: &Weak<Inner>, tickets: &Receiver<Ticket>) {
    while let Some(tickets) = next(tickets) {
        // The writers of the queue hold the store until they are answered: so it is never dropped here, and is closed
        // when the last of them has dropped it.
        let Some(inner) = store.upgrade() else { return };
        // The thread outlives a fault of the observer; those who wait hear that their writes were given up.
        let told = catch_unwind(AssertUnwindSafe(|| inner.take_along(tickets))).unwrap_or_default();
        drop(inner);
        for (answer, told) in told {
            drop(answer.send(told));
        }
    }
}

impl Inner {
    /// Commits writes; gives the result of each, with the channel to its caller.
    fn take_along(&self, tickets: Vec<Ticket>) -> Vec<(Sender<Answer>, Answer)> {
        let mut writer = self.writer();
        let writes: Vec<&Write> = tickets.iter().map(|ticket| &ticket.write).collect();
        let answers = make(&mut writer, &writes);
        let outcomes = writes.iter().flat_map(|write| write.outcomes());
        let written: usize = outcomes.map(|(_, value)| ROW + value.map_or(0, <[u8]>::len)).sum();
        // What a deletion leaves behind is as large as what was deleted.
        let is_deletion = |write: &Write| matches!(write, Write::Delete { .. });
        let deleted = writes.iter().zip(&answers).filter(|(write, _)| is_deletion(write));
        let before = deleted.filter_map(|(_, answer)| answer.as_ref().ok()?.before.as_ref());
        self.written.add(written + before.map(|before| before.value.len()).sum::<usize>());
        let mut told = Vec::with_capacity(tickets.len());
        for (ticket, answer) in tickets.into_iter().zip(answers) {
            if let Ok(done) = &answer {
                let cleared = done.cleared.iter().filter_map(|key| self.prepare(key, None));
                ticket.effects.into_iter().chain(cleared).for_each(|effect| effect(done.revision));
            }
            told.push((ticket.answer, answer));
        }
        // Still under the writer's lock, so that revisions are announced in order.
        let newest =
            told.iter().filter_map(|(_, answer)| answer.as_ref().ok()).map(|done| done.revision).max();
        // A group may have had nothing to change.
        if let Some(newest) = newest.filter(|newest| *newest > Revision::default()) {
            self.announce(newest);
        }
        told
    }
}
