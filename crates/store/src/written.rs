//! The number of bytes that were written recently.

use std::sync::Mutex;

use crate::hold::hold;
use crate::object::Revision;

/// The amount written before old versions are forgotten, in bytes. Between this and twice as much is kept for watches and
/// lists that go on.
const KEPT: usize = 32 << 20;
/// The same where the disk is nearly full: then nothing older than the newest write is kept.
const KEPT_OF_LITTLE: usize = 4 << 20;

/// Recent writes.
#[derive(Debug, Default)]
pub(crate) struct Written(Mutex<Marks>);

#[derive(Debug, Default)]
struct Marks {
    /// Bytes since the last mark.
    bytes: usize,
    /// The position of the last mark.
    last: Revision,
}

impl Written {
    pub(crate) fn add(&self, bytes: usize) {
        hold(&self.0).bytes += bytes;
    }

    /// Up to where to forget, if enough was written; `now` is the next such place.
    pub(crate) fn turn(&self, now: Revision, is_nearly_full: bool) -> Option<Revision> {
        let mut marks = hold(&self.0);
        if marks.bytes < if is_nearly_full { KEPT_OF_LITTLE } else { KEPT } {
            return None;
        }
        marks.bytes = 0;
        let until = std::mem::replace(&mut marks.last, now);
        let until = if is_nearly_full { now } else { until };
        (until > Revision::default()).then_some(until)
    }
}
