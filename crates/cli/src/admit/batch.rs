//! Inputs that have been read, answered in parallel on all processors, in their order.

use std::io::{self, BufRead};
use std::num::NonZeroUsize;
use std::ops::Range;

use super::stream::{Input, Stream};

/// The bytes after which a batch is full; a single input may be larger.
const BYTES: usize = 1024 * 1024;
/// The number of inputs after which a batch is full.
const INPUTS: usize = 1024;
/// The number of inputs below which a thread costs more than it saves.
const SHARE: usize = 8;
/// Maximum number of threads for one batch.
const THREADS: usize = 8;

/// Inputs, with their bytes in one buffer.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    inputs: Vec<(Range<usize>, Input<'static>)>,
}

impl Batch {
    /// Takes the inputs that have been read already, and at least one, for which it may wait. Empty at the end of the
    /// stream.
    pub(crate) fn fill<R: BufRead>(&mut self, stream: &mut Stream<R>) -> io::Result<bool> {
        self.bytes.clear();
        self.inputs.clear();
        while let Some(input) = stream.next()? {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(input.bytes());
            self.inputs.push((start..self.bytes.len(), input.without_bytes()));
            let is_full = self.bytes.len() >= BYTES || self.inputs.len() >= INPUTS;
            if is_full || stream.is_about_to_wait() {
                break;
            }
        }
        Ok(!self.inputs.is_empty())
    }

    /// The answers to all inputs, each written by `answer`, in pieces that are to be written in order.
    pub(crate) fn answer<A: Send>(
        &self,
        start: impl Fn() -> A + Sync,
        answer: impl Fn(&Input<'_>, &mut A) + Sync,
    ) -> Vec<A> {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(THREADS);
        let share = self.inputs.len().div_ceil(processors).max(SHARE);
        let work = |inputs: &[(Range<usize>, Input<'static>)]| {
            let mut answers = start();
            for (range, input) in inputs {
                let bytes = self.bytes.get(range.clone()).unwrap_or_default();
                answer(&input.with_bytes(bytes), &mut answers);
            }
            answers
        };
        let mut shares = self.inputs.chunks(share);
        let first = shares.next().unwrap_or_default();
        std::thread::scope(|scope| {
            let others: Vec<_> = shares.map(|share| (share, scope.spawn(|| work(share)))).collect();
            let mut answers = vec![work(first)];
            // The inputs of a thread that panicked are answered by this one, where the panic shows again.
            answers.extend(
                others.into_iter().map(|(share, other)| other.join().unwrap_or_else(|_| work(share))),
            );
            answers
        })
    }
}
