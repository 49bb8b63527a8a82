//! The blocks of user IDs, group IDs and SELinux categories that namespaces get (reference/scc.md).

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use palisade_k8s::scc::annotation::UID_RANGE;
use serde_json::Value;

/// The first ID, how many a block has, and how many blocks there are.
const FIRST: u64 = 1_000_000_000;
const SIZE: u64 = 10_000;
const BLOCKS: u64 = 100_000;

/// How many pairs of categories belong to a namespace; its own is the first.
const PAIRS: u64 = 5;

/// Which blocks are taken.
#[derive(Debug, Default)]
pub(crate) struct Ranges(Mutex<BTreeSet<u64>>);

impl Ranges {
    /// Takes a block that a namespace already has.
    pub(crate) fn take(&self, block: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(block);
    }

    /// Takes the first block that nobody has.
    pub(crate) fn allocate(&self) -> Option<u64> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = taken.iter().zip(0..).find(|(taken, index)| **taken != *index).map(|(_, index)| index);
        let block = free.unwrap_or(taken.len() as u64);
        (block < BLOCKS && taken.insert(block)).then_some(block)
    }

    /// Forgets what is taken.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Gives a block back.
    pub(crate) fn release(&self, block: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&block);
    }
}

/// The block of IDs of a namespace.
pub(crate) fn of_namespace(namespace: &Value) -> Option<u64> {
    let annotations = namespace.pointer("/metadata/annotations")?;
    let range = annotations.get(UID_RANGE)?.as_str()?;
    block_of(range)
}

/// Which block a range is, if it is one of ours: `1000680000/10000`.
pub(crate) fn block_of(range: &str) -> Option<u64> {
    let (start, size) = range.split_once('/')?;
    let offset = start.parse::<u64>().ok()?.checked_sub(FIRST)?;
    (size.parse() == Ok(SIZE) && offset % SIZE == 0 && offset / SIZE < BLOCKS).then_some(offset / SIZE)
}

/// A block's range of user IDs.
pub(crate) fn uids(block: u64) -> String {
    format!("{}/{SIZE}", FIRST + block * SIZE)
}

/// A block's SELinux level: the pairs of categories, counted up with the larger one first.
pub(crate) fn mcs(block: u64) -> String {
    let offset = block * PAIRS;
    let mut high = 1;
    while (high + 1) * high / 2 <= offset {
        high += 1;
    }
    format!("s0:c{high},c{}", offset - high * (high - 1) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_the_ranges_that_openshift_gives() {
        for (block, range, level) in [
            (0, "1000000000/10000", "s0:c1,c0"),
            (1, "1000010000/10000", "s0:c3,c2"),
            (68, "1000680000/10000", "s0:c26,c15"),
        ] {
            assert_eq!((uids(block), mcs(block)), (range.to_owned(), level.to_owned()));
            assert_eq!(block_of(range), Some(block));
        }
        for other in ["1000000001/10000", "1000000000/1", "5/10000", "x", "1000000000/10000/2"] {
            assert_eq!(block_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_first_free_block_is_taken() {
        let ranges = Ranges::default();
        ranges.take(1);
        assert_eq!([ranges.allocate(), ranges.allocate()], [Some(0), Some(2)]);
        ranges.release(0);
        assert_eq!([ranges.allocate(), ranges.allocate()], [Some(0), Some(3)]);
    }
}
