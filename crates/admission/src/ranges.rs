//! The blocks of user IDs, group IDs and SELinux categories of namespaces, as OpenShift's cluster policy controller
//! allocates them (openshift/cluster-policy-controller: `pkg/security/controller`, `pkg/security/mcs/label.go`;
//! reference/scc.md 1c).
//!
//! The held blocks are derived from the existing namespaces, so that none has to be returned: a deleted namespace, or
//! one with another range, holds its block no longer. A block is only reserved between its choice and the write of its
//! namespace; a write that fails, or a dry run, uses none.
//!
//! ```
//! use palisade_admission::{Block, Blocks};
//!
//! let mut blocks = Blocks::default();
//! blocks.hold(&[Block::FIRST]);
//! let block = blocks.lowest_free(|_| false).expect("99,999 are left");
//! assert_eq!((block.ids().as_str(), block.level().as_str()), ("1000010000/10000", "s0:c3,c2"));
//! blocks.release(&[Block::FIRST]);
//! assert_eq!(blocks.lowest_free(|_| false), Some(Block::FIRST));
//! ```

use palisade_k8s::scc::annotation::{MCS, SUPPLEMENTAL_GROUPS, UID_RANGE};
use palisade_persistent::Map;

/// The first ID, the number of IDs in a block, and the number of blocks: `1000000000-1999999999/10000`.
const FIRST: u64 = 1_000_000_000;
const SIZE: u64 = 10_000;
const COUNT: u32 = 100_000;

/// The number of pairs of categories in a block; the block's own is the first.
const PAIRS: u64 = 5;

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block(u32);

impl Block {
    /// The first block of an empty cluster.
    pub const FIRST: Self = Self(0);

    /// The block with exactly this range.
    #[must_use]
    pub fn of_range(range: &str) -> Option<Self> {
        blocks_of(range).map(Self).next().filter(|block| block.ids() == range)
    }

    /// Its range of IDs, in the format of a namespace's annotations.
    #[must_use]
    pub fn ids(self) -> String {
        format!("{}/{SIZE}", FIRST + u64::from(self.0) * SIZE)
    }

    /// Its SELinux level: pairs of categories in ascending order, the larger category first.
    #[must_use]
    pub fn level(self) -> String {
        let offset = u64::from(self.0) * PAIRS;
        let mut high = 1;
        while (high + 1) * high / 2 <= offset {
            high += 1;
        }
        format!("s0:c{high},c{}", offset - high * (high - 1) / 2)
    }

    /// The block with this level: `s0:cX,cY`, either category first.
    fn of_level(level: &str) -> Option<Self> {
        let (one, other) = level.strip_prefix("s0:")?.split_once(',')?;
        let category =
            |text: &str| text.strip_prefix('c')?.parse::<u64>().ok().filter(|number| *number < 1024);
        let (one, other) = (category(one)?, category(other)?);
        let (high, low) = (one.max(other), one.min(other));
        let offset = (high * high.saturating_sub(1) / 2) + low;
        let index = u32::try_from(offset / PAIRS).ok()?;
        (high != low && offset % PAIRS == 0 && index < COUNT).then_some(Self(index))
    }

    /// The blocks that a namespace holds by its annotations, each once: those of its user IDs and that of its level, so
    /// that neither is given to another.
    pub(crate) fn held_by<'a>(annotation: impl Fn(&str) -> Option<&'a str>) -> Vec<Self> {
        let ids = annotation(UID_RANGE).into_iter().flat_map(blocks_of).map(Self);
        let mut blocks: Vec<Self> = ids.chain(annotation(MCS).and_then(Self::of_level)).collect();
        blocks.sort_unstable();
        blocks.dedup();
        blocks
    }

    /// The annotations of a namespace that gets this block: existing ones are kept, so that a namespace that comes from
    /// elsewhere keeps the owners of its files.
    pub fn annotations(
        self,
        present: impl Fn(&str) -> Option<String>,
    ) -> impl Iterator<Item = (&'static str, String)> {
        let missing = |key: &str| present(key).is_none_or(|value| value.is_empty());
        let ids = present(UID_RANGE).filter(|range| !range.is_empty()).unwrap_or_else(|| self.ids());
        let groups = missing(SUPPLEMENTAL_GROUPS).then(|| (SUPPLEMENTAL_GROUPS, ids.clone()));
        let level = missing(MCS).then(|| (MCS, self.level()));
        let ids = missing(UID_RANGE).then_some((UID_RANGE, ids));
        level.into_iter().chain(groups).chain(ids)
    }
}

/// The blocks that a range of IDs overlaps: its own, or the two that one of another start reaches into. A range that is
/// larger than a block holds none: one annotation cannot take all blocks.
fn blocks_of(range: &str) -> impl Iterator<Item = u32> {
    let bounds = || {
        let (start, size) = match (range.split_once('/'), range.split_once('-')) {
            (Some((start, size)), _) => (start.parse::<u64>().ok()?, size.parse::<u64>().ok()?),
            (_, Some((start, end))) => {
                let (start, end) = (start.parse::<u64>().ok()?, end.parse::<u64>().ok()?);
                (start, end.checked_sub(start)?.checked_add(1)?)
            }
            _ => return None,
        };
        let last = start.checked_add(size.checked_sub(1)?)?.checked_sub(FIRST)?;
        (size <= SIZE).then(|| (start.saturating_sub(FIRST) / SIZE, last / SIZE))
    };
    let (first, last) = bounds().unwrap_or((1, 0));
    (first..=last).filter_map(|index| u32::try_from(index).ok().filter(|index| *index < COUNT))
}

/// The blocks of namespaces. A copy is cheap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    /// One bit for each block, in words.
    held: Map<u32, u64>,
    /// A bit a word all of whose blocks are held, so that the lowest free one is found without a look at each word.
    full: Map<u32, u64>,
    /// The number of namespaces that hold a block that more than one holds, as may be where ranges are written by hand.
    shared: Map<u32, u32>,
}

/// The number of words of a bitmap of all blocks, and of one of these words.
const WORDS: u32 = COUNT.div_ceil(64);
const SUMMARIES: u32 = WORDS.div_ceil(64);

/// The bits of one word that stand for something where there are so many in all.
fn valid(word: u32, count: u32) -> u64 {
    match count.saturating_sub(word * 64) {
        0 => 0,
        left @ 1..64 => (1 << left) - 1,
        _ => u64::MAX,
    }
}

/// The places of the bits of a word that are 1.
fn ones(mut bits: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let at = (bits != 0).then(|| bits.trailing_zeros());
        bits &= bits.wrapping_sub(1);
        at
    })
}

impl Blocks {
    /// Records that a namespace holds blocks.
    pub fn hold(&mut self, blocks: &[Block]) {
        for &Block(index) in blocks {
            let (word, bit) = (index / 64, 1 << (index % 64));
            let bits = self.held.get_or_insert_with(&word, || word, || 0);
            if *bits & bit == 0 {
                *bits |= bit;
                if *bits == valid(word, COUNT) {
                    *self.full.get_or_insert_with(&(word / 64), || word / 64, || 0) |= 1 << (word % 64);
                }
            } else {
                *self.shared.get_or_insert_with(&index, || index, || 1) += 1;
            }
        }
    }

    /// Records that a namespace holds blocks no longer.
    pub fn release(&mut self, blocks: &[Block]) {
        for &Block(index) in blocks {
            match self.shared.get(&index).copied() {
                Some(2) => drop(self.shared.remove(&index)),
                Some(count) => drop(self.shared.insert(index, count - 1)),
                None => self.clear(index),
            }
        }
    }

    fn clear(&mut self, index: u32) {
        let (word, bit) = (index / 64, 1u64 << (index % 64));
        let Some(bits) = self.held.get(&word).map(|bits| bits & !bit) else { return };
        set(&mut self.held, word, bits);
        let (summary, of_word) = (word / 64, 1u64 << (word % 64));
        if let Some(bits) = self.full.get(&summary).filter(|bits| *bits & of_word != 0).copied() {
            set(&mut self.full, summary, bits & !of_word);
        }
    }

    /// The lowest block that is neither held nor reserved.
    #[must_use]
    pub fn lowest_free(&self, is_reserved: impl Fn(Block) -> bool) -> Option<Block> {
        let mut blocks = self.open_words().flat_map(|word| free(&self.held, word, COUNT)).map(Block);
        blocks.find(|block| !is_reserved(*block))
    }

    /// The words that have a free block. A full one costs no look at it.
    fn open_words(&self) -> impl Iterator<Item = u32> {
        (0..SUMMARIES).flat_map(|summary| free(&self.full, summary, WORDS))
    }
}

/// The places of the bits that are 0 in a word of a map, which has so many bits in all.
fn free(map: &Map<u32, u64>, word: u32, count: u32) -> impl Iterator<Item = u32> + use<> {
    let bits = map.get(&word).copied().unwrap_or(0);
    ones(!bits & valid(word, count)).map(move |bit| word * 64 + bit)
}

/// Keeps a word, unless nothing is in it.
fn set(map: &mut Map<u32, u64>, word: u32, bits: u64) {
    if bits == 0 {
        map.remove(&word);
    } else {
        map.insert(word, bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn blocks_have_the_ranges_that_openshift_gives() {
        for (block, range, level) in [
            (0, "1000000000/10000", "s0:c1,c0"),
            (1, "1000010000/10000", "s0:c3,c2"),
            (68, "1000680000/10000", "s0:c26,c15"),
            (99_999, "1999990000/10000", "s0:c1000,c495"),
        ] {
            assert_eq!((Block(block).ids().as_str(), Block(block).level().as_str()), (range, level));
            assert_eq!(blocks_of(range).collect::<Vec<_>>(), [block]);
            assert_eq!(Block::of_level(level), Some(Block(block)));
        }
    }

    #[test]
    fn ranges_take_the_blocks_that_they_reach_into() {
        for (range, expected) in [
            ("1000000001/10000", &[0, 1][..]),
            ("1000000000-1000009999", &[0]),
            ("1000009999/1", &[0]),
            ("999999999/2", &[0]),
            ("1000000000/10001", &[]),
            ("1000000000/1000000000", &[]),
            ("1999995000/10000", &[99_999]),
            ("5/10000", &[]),
            ("1000000000/0", &[]),
            ("18446744073709551615/2", &[]),
            ("x", &[]),
            ("", &[]),
            ("1000000000/10000/2", &[]),
        ] {
            assert_eq!(blocks_of(range).collect::<Vec<_>>(), expected, "{range}");
        }
    }

    #[test]
    fn levels_of_no_block_hold_none() {
        for level in
            ["s0", "s0:c0", "s0:c2,c0", "s0:c1,c1", "s0:c0.c3", "s0:c1023,c1022", "s1:c1,c0", "s0:c1,c0,c2"]
        {
            assert_eq!(Block::of_level(level), None, "{level}");
        }
        assert_eq!(Block::of_level("s0:c0,c1"), Some(Block::FIRST));
        let both = |key: &str| Some(if key == MCS { "s0:c3,c2" } else { "1000000001/10000" });
        assert_eq!(Block::held_by(both), [Block(0), Block(1)]);
    }

    #[test]
    fn what_a_namespace_has_is_kept() {
        let with = |present: &[(&str, &str)]| {
            let get = |key: &str| {
                present.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned())
            };
            Block(1).annotations(get).collect::<BTreeMap<_, _>>()
        };
        let (ids, level) = ("1000010000/10000".to_owned(), "s0:c3,c2".to_owned());
        let all = [(MCS, level.clone()), (SUPPLEMENTAL_GROUPS, ids.clone()), (UID_RANGE, ids.clone())];
        assert_eq!(with(&[]), all.clone().into());
        assert_eq!(with(&[(UID_RANGE, "")]), all.into(), "an empty one is ignored");
        let own = [(MCS, level), (SUPPLEMENTAL_GROUPS, "5/7".to_owned())];
        assert_eq!(with(&[(UID_RANGE, "5/7")]), own.into());
        assert_eq!(with(&[(UID_RANGE, "5/7"), (MCS, "s0"), (SUPPLEMENTAL_GROUPS, "1/1")]), [].into());
    }

    #[test]
    fn released_blocks_up_to_the_last_are_allocated_again() {
        let mut full = Blocks::default();
        (0..COUNT).for_each(|index| full.hold(&[Block(index)]));
        assert_eq!(full.lowest_free(|_| false), None);
        full.release(&[Block(77_777)]);
        assert_eq!(full.lowest_free(|_| false), Some(Block(77_777)));
        full.release(&[Block(COUNT - 1)]);
        assert_eq!(full.lowest_free(|block| block == Block(77_777)), Some(Block(COUNT - 1)));
        (0..COUNT).for_each(|index| full.release(&[Block(index)]));
        assert_eq!((full.lowest_free(|_| false), full), (Some(Block::FIRST), Blocks::default()));
    }

    #[test]
    fn full_words_cost_no_look() {
        let mut blocks = Blocks::default();
        for index in 0..COUNT {
            let open: Vec<u32> = blocks.open_words().take(2).collect();
            let word = index / 64;
            assert_eq!(open, (word..WORDS).take(2).collect::<Vec<_>>());
            assert_eq!(blocks.lowest_free(|_| false), Some(Block(index)));
            blocks.hold(&[Block(index)]);
        }
        assert_eq!(blocks.open_words().next(), None);
    }
}
