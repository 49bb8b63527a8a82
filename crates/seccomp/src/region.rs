//! Sets of syscalls: the constraints on each word of `seccomp_data` along a path of tests.

use std::collections::HashSet;

/// A word of `seccomp_data`: the number, the architecture, or half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(u8);

/// The number of words.
pub(crate) const WORDS: usize = 14;

impl Word {
    /// The syscall's number.
    pub const NUMBER: Self = Self(0);
    /// The architecture, as an `AUDIT_ARCH_*`.
    pub const ARCH: Self = Self(1);

    /// The lower half of an argument.
    #[must_use]
    pub(crate) fn low(arg: u8) -> Self {
        Self(2 + 2 * (arg % 6))
    }

    /// The upper half of an argument.
    #[must_use]
    pub(crate) fn high(arg: u8) -> Self {
        Self(3 + 2 * (arg % 6))
    }

    /// The argument, and whether the word is its upper half.
    #[must_use]
    pub fn argument(self) -> Option<(u8, bool)> {
        self.0.checked_sub(2).map(|at| (at / 2, at % 2 == 1))
    }

    /// Its offset in `seccomp_data`, in bytes.
    pub(crate) fn offset(self, big_endian: bool) -> u32 {
        match self.argument() {
            None => u32::from(self.0) * 4,
            Some((arg, high)) => 16 + u32::from(arg) * 8 + if high == big_endian { 0 } else { 4 },
        }
    }

    /// The word at an offset; `None` at the instruction pointer's, or between words.
    pub(crate) fn at_offset(offset: u32, big_endian: bool) -> Option<Self> {
        (0..14).map(Self).find(|word| word.offset(big_endian) == offset)
    }

    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.argument() {
            Some((arg, high)) => write!(f, "arg{arg}.{}", if high { "high" } else { "low" }),
            None if *self == Self::NUMBER => f.write_str("number"),
            None => f.write_str("arch"),
        }
    }
}

/// A test of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// `word & mask == value`
    Equal {
        /// The compared bits.
        mask: u32,
        /// Their value.
        value: u32,
    },
    /// `word >= value`, unsigned
    AtLeast(u32),
}

impl Check {
    /// The whole word equals a value.
    #[must_use]
    pub fn equals(value: u32) -> Self {
        Self::Equal { mask: u32::MAX, value }
    }

    /// Whether it holds for a word.
    #[must_use]
    pub fn holds(self, word: u32) -> bool {
        match self {
            Self::Equal { mask, value } => word & mask == value,
            Self::AtLeast(value) => word >= value,
        }
    }
}

/// The constraints on one word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    min: u32,
    max: u32,
    mask: u32,
    bits: u32,
    /// Pairs of mask and value that the word does not match.
    unequal: Vec<(u32, u32)>,
}

impl Known {
    const NOTHING: Self = Self { min: 0, max: u32::MAX, mask: 0, bits: 0, unequal: Vec::new() };

    fn decide(&self, check: Check) -> Option<bool> {
        if self.min == self.max {
            return Some(check.holds(self.min));
        }
        match check {
            Check::AtLeast(value) if self.min >= value => Some(true),
            Check::AtLeast(value) if self.max < value => Some(false),
            Check::AtLeast(_) => None,
            Check::Equal { mask, value } => self.decide_bits(mask, value),
        }
    }

    fn decide_bits(&self, mask: u32, value: u32) -> Option<bool> {
        let differs = (self.bits ^ value) & mask & self.mask != 0;
        let outside = value & !mask != 0 || (mask == u32::MAX && !(self.min..=self.max).contains(&value));
        if differs || outside || self.unequal.iter().any(|&(m, v)| m & mask == m && value & m == v) {
            return Some(false);
        }
        (mask & self.mask == mask).then_some(true)
    }

    /// Adds a constraint; false if no value remains, as far as that is found at once.
    fn assume(&mut self, check: Check, holds: bool) -> bool {
        if let Some(known) = self.decide(check) {
            return known == holds;
        }
        match (check, holds) {
            (Check::AtLeast(value), true) => self.min = self.min.max(value),
            (Check::AtLeast(value), false) => self.max = self.max.min(value.saturating_sub(1)),
            (Check::Equal { mask, value }, true) => {
                self.mask |= mask;
                self.bits |= value;
                if self.mask == u32::MAX {
                    (self.min, self.max) = (self.min.max(self.bits), self.max.min(self.bits));
                }
            }
            (Check::Equal { mask, value }, false) => self.exclude(mask, value),
        }
        self.min <= self.max
    }

    fn exclude(&mut self, mask: u32, value: u32) {
        if mask == u32::MAX && value == self.min && value < self.max {
            self.min += 1;
        } else if mask == u32::MAX && value == self.max && value > self.min {
            self.max -= 1;
        } else {
            self.unequal.push((mask, value));
        }
    }

    /// A value that meets all constraints; `None` if there is none.
    fn witness(&self) -> Result<Option<u32>, Unbounded> {
        let live = (0..self.unequal.len()).collect();
        Search { known: self, failed: HashSet::new() }.run(0, 32, live)
    }
}

/// A search for a value, from the highest bit. The continuation depends only on the number of open bits, on whether the
/// value so far is at one of the bounds, and on the pairs that it may still match; so no such state is tried twice.
struct Search<'k> {
    known: &'k Known,
    failed: HashSet<(u32, bool, bool, Vec<usize>)>,
}

impl Search<'_> {
    fn run(&mut self, prefix: u32, open: u32, live: Vec<usize>) -> Result<Option<u32>, Unbounded> {
        let known = self.known;
        let rest = u32::try_from((1_u64 << open) - 1).unwrap_or(u32::MAX);
        let decided = !rest;
        let outside = prefix > known.max || (prefix | rest) < known.min;
        if outside || (prefix ^ known.bits) & known.mask & decided != 0 {
            return Ok(None);
        }
        let may_match =
            |&at: &usize| known.unequal.get(at).is_some_and(|&(m, v)| (prefix ^ v) & m & decided == 0);
        let live: Vec<usize> = live.into_iter().filter(may_match).collect();
        let matches = |&at: &usize| known.unequal.get(at).is_some_and(|&(m, _)| m & decided == m);
        if live.iter().any(matches) {
            return Ok(None);
        }
        let Some(next) = open.checked_sub(1) else { return Ok(Some(prefix)) };
        let key = (open, prefix <= known.min, (prefix | rest) >= known.max, live.clone());
        if self.failed.contains(&key) {
            return Ok(None);
        }
        if self.failed.len() > 100_000 {
            return Err(Unbounded);
        }
        for prefix in [prefix, prefix | 1 << next] {
            if let Some(found) = self.run(prefix, next, live.clone())? {
                return Ok(Some(found));
            }
        }
        self.failed.insert(key);
        Ok(None)
    }
}

/// A query of a set of syscalls that would take too long to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filters have too many different paths to compare them all")]
pub struct Unbounded;

/// The syscalls that reach the end of a path of tests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Region([Known; WORDS]);

impl Region {
    /// All syscalls.
    pub(crate) fn all() -> Self {
        Self([const { Known::NOTHING }; WORDS])
    }

    fn known(&self, word: Word) -> &Known {
        static NOTHING: Known = Known::NOTHING;
        self.0.get(word.place()).unwrap_or(&NOTHING)
    }

    /// Whether a test has the same outcome for all of these syscalls.
    pub(crate) fn decide(&self, word: Word, check: Check) -> Option<bool> {
        self.known(word).decide(check)
    }

    /// The syscalls for which a test has this outcome; `None` if there is obviously none.
    pub(crate) fn assume(&self, word: Word, check: Check, holds: bool) -> Option<Self> {
        let mut narrowed = self.clone();
        let known = narrowed.0.get_mut(word.place())?;
        known.assume(check, holds).then_some(narrowed)
    }

    /// One of these syscalls: its words.
    pub(crate) fn witness(&self) -> Result<Option<[u32; WORDS]>, Unbounded> {
        let mut words = [0; WORDS];
        for (known, word) in self.0.iter().zip(words.iter_mut()) {
            match known.witness()? {
                Some(value) => *word = value,
                None => return Ok(None),
            }
        }
        Ok(Some(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// Checks of a word, and values about all that they compare.
    fn checks() -> Vec<Check> {
        let masked = [(1, 1), (6, 4), (0xff, 0x11), (0x8000_0000, 0), (3, 4)];
        let equal = masked.map(|(mask, value)| Check::Equal { mask, value });
        let bounds = [1, 5, 6, 7, 0x8000_0000, u32::MAX].map(Check::AtLeast);
        equal.into_iter().chain([0, 5, 6, u32::MAX].map(Check::equals)).chain(bounds).collect()
    }

    const VALUES: [u32; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0x11, 0x111, 0x7fff_ffff, 0x8000_0000, u32::MAX];

    /// Every order of up to three constraints: what a region implies for a check holds for every value that meets the
    /// constraints, and an empty region had none.
    #[test]
    fn facts_are_neither_lost_nor_made_up() {
        let facts: Vec<_> = checks().into_iter().flat_map(|check| [(check, true), (check, false)]).collect();
        let mut stack = vec![(Region::all(), Vec::new())];
        let mut seen = 0;
        while let Some((region, known)) = stack.pop() {
            let has_facts =
                |word: u32| known.iter().all(|&(check, holds): &(Check, bool)| check.holds(word) == holds);
            let left: Vec<_> = VALUES.into_iter().filter(|&word| has_facts(word)).collect();
            for check in checks() {
                if let Some(answer) = region.decide(Word::NUMBER, check) {
                    assert!(left.iter().all(|&word| check.holds(word) == answer), "{known:?} {check:?}");
                }
            }
            match region.witness().unwrap() {
                Some(words) => {
                    assert!(has_facts(words[0]), "{known:?}: {:#x}", words[0]);
                    for &(check, holds) in &known {
                        let answer = region.decide(Word::NUMBER, check);
                        assert_eq!(answer.unwrap_or(holds), holds, "{known:?}");
                    }
                }
                None => assert!(left.is_empty(), "{known:?} leaves {left:x?}"),
            }
            seen += 1;
            if known.len() == 3 {
                continue;
            }
            for &(check, holds) in facts.iter().step_by(if known.len() < 2 { 1 } else { 5 }) {
                let more = [&known[..], &[(check, holds)]].concat();
                match region.assume(Word::NUMBER, check, holds) {
                    Some(region) => stack.push((region, more)),
                    None => {
                        let fits = |&word: &u32| has_facts(word) && check.holds(word) == holds;
                        assert!(!VALUES.iter().any(fits), "{more:?} is not empty");
                    }
                }
            }
        }
        assert!(seen > 3000, "{seen}");
    }

    /// The certainty that one more constraint must bring.
    #[test]
    fn facts_narrow_a_word() {
        let cases = [
            (&[(Check::AtLeast(5), true)][..], Check::AtLeast(5), Some(true)),
            (&[(Check::AtLeast(5), false)], Check::AtLeast(5), Some(false)),
            (&[(Check::AtLeast(5), true), (Check::AtLeast(6), false)], Check::equals(5), Some(true)),
            (&[(Check::AtLeast(5), true), (Check::equals(5), false)], Check::AtLeast(6), Some(true)),
            (&[(Check::AtLeast(8), false), (Check::equals(7), false)], Check::AtLeast(7), Some(false)),
            (&[(Check::Equal { mask: 6, value: 4 }, true)], Check::Equal { mask: 2, value: 2 }, Some(false)),
            (&[(Check::Equal { mask: 6, value: 4 }, true)], Check::Equal { mask: 4, value: 4 }, Some(true)),
            (&[(Check::Equal { mask: 6, value: 4 }, false)], Check::Equal { mask: 7, value: 5 }, Some(false)),
            (&[(Check::Equal { mask: 6, value: 4 }, false)], Check::Equal { mask: 4, value: 4 }, None),
            (&[(Check::AtLeast(5), true)], Check::AtLeast(6), None),
            (&[], Check::Equal { mask: 1, value: 2 }, Some(false)),
        ];
        for (facts, check, expected) in cases {
            let region = facts
                .iter()
                .try_fold(Region::all(), |region, &(check, holds)| region.assume(Word::low(0), check, holds));
            assert_eq!(region.unwrap().decide(Word::low(0), check), expected, "{facts:?} {check:?}");
        }
    }

    #[test]
    fn words_have_their_offsets() {
        for (word, little, big) in [
            (Word::NUMBER, 0, 0),
            (Word::ARCH, 4, 4),
            (Word::low(0), 16, 20),
            (Word::high(0), 20, 16),
            (Word::low(5), 56, 60),
        ] {
            assert_eq!((word.offset(false), word.offset(true)), (little, big), "{word}");
            assert_eq!(Word::at_offset(little, false), Some(word));
        }
        assert_eq!((Word::at_offset(8, false), Word::at_offset(17, false)), (None, None));
    }
}
