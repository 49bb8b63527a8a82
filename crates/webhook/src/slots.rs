//! Sets of small numbers, one bit each.

/// A set of places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Vec<u64>);

/// The word of a place, and its bit there.
fn bit(place: usize) -> (usize, u64) {
    (place / 64, 1 << (place % 64))
}

impl Slots {
    pub(crate) fn of(place: usize) -> Self {
        let mut slots = Self::default();
        slots.insert(place);
        slots
    }

    pub(crate) fn insert(&mut self, place: usize) {
        let (word, bit) = bit(place);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0.get_mut(word).into_iter().for_each(|word| *word |= bit);
    }

    pub(crate) fn remove(&mut self, place: usize) {
        let (word, bit) = bit(place);
        self.0.get_mut(word).into_iter().for_each(|word| *word &= !bit);
    }

    pub(crate) fn contains(&self, place: usize) -> bool {
        let (word, bit) = bit(place);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        let bits = |(at, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(bits)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The places of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }

    /// The places that the other lacks.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        Self(self.0.iter().zip(others).map(|(one, other)| one & !other).collect())
    }
}

impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        self.without(other).is_empty() && other.without(self).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn it_is_a_set() {
        let (mut slots, mut set) = (Slots::default(), BTreeSet::new());
        let mut state = 7_usize;
        for _ in 0..2000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (state >> 33) % 300;
            if state >> 62 == 0 {
                slots.remove(place);
                set.remove(&place);
            } else {
                slots.insert(place);
                set.insert(place);
            }
        }
        assert!((0..400).all(|place| slots.contains(place) == set.contains(&place)));
        assert!(slots.iter().eq(set.iter().copied()));
        let mut even = Slots::default();
        (0..90).step_by(2).for_each(|place| even.insert(place));
        for place in 0..400 {
            assert_eq!(
                slots.and(&even).contains(place),
                set.contains(&place) && place < 90 && place % 2 == 0
            );
            assert_eq!(
                slots.without(&even).contains(place),
                set.contains(&place) && (place >= 90 || place % 2 == 1)
            );
        }
        assert!(Slots::default() == Slots(vec![0, 0]) && Slots::of(70) != Slots::of(6));
    }
}
