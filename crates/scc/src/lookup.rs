//! Look-ups in untrusted lists: many names or IDs cost at most n log n, however long both lists are.

use std::collections::HashSet;

use palisade_k8s::scc::IdRange;

/// The length up to which a list is searched linearly, which is faster than building a set of it.
const SHORT: usize = 16;

/// Names.
pub(crate) enum Lookup<'n, I> {
    Short(I),
    Long(HashSet<&'n str>),
}

impl<'n, I: Iterator<Item = &'n str> + Clone> Lookup<'n, I> {
    pub(crate) fn new(names: I) -> Self {
        match names.clone().nth(SHORT) {
            None => Self::Short(names),
            Some(_) => Self::Long(names.collect()),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Short(names) => names.clone().any(|known| known == name),
            Self::Long(names) => names.contains(name),
        }
    }
}

/// Names, some with a `*` at their end for any suffix.
pub(crate) struct Patterns<'n> {
    names: HashSet<&'n str>,
    /// Sorted, and none is a prefix of another: so only the last that is not after a name can be its prefix.
    prefixes: Vec<&'n str>,
}

impl<'n> Patterns<'n> {
    pub(crate) fn new(patterns: &'n [String]) -> Self {
        let mut prefixes: Vec<&str> =
            patterns.iter().filter_map(|pattern| pattern.strip_suffix('*')).collect();
        prefixes.sort_unstable();
        prefixes.dedup_by(|longer, shorter| longer.starts_with(*shorter));
        let names = patterns.iter().map(String::as_str).filter(|name| !name.ends_with('*')).collect();
        Self { names, prefixes }
    }

    /// Whether one of them matches a name.
    pub(crate) fn cover(&self, name: &str) -> bool {
        let after = self.prefixes.partition_point(|prefix| *prefix <= name);
        let nearest = after.checked_sub(1).and_then(|last| self.prefixes.get(last));
        self.names.contains(name) || nearest.is_some_and(|prefix| name.starts_with(prefix))
    }
}

/// The IDs of ranges as few ranges, in order, with others between them. A reversed range is empty.
pub(crate) fn union(ranges: &[IdRange]) -> Vec<IdRange> {
    let mut sorted: Vec<IdRange> = ranges.iter().copied().filter(|range| range.min <= range.max).collect();
    sorted.sort_unstable_by_key(|range| range.min);
    sorted.dedup_by(|next, last| {
        let touches = next.min <= last.max.saturating_add(1);
        if touches {
            last.max = last.max.max(next.max);
        }
        touches
    });
    sorted
}

/// The IDs of ranges.
pub(crate) enum Ids<'r> {
    Short(&'r [IdRange]),
    Long(Vec<IdRange>),
}

impl<'r> Ids<'r> {
    pub(crate) fn new(ranges: &'r [IdRange]) -> Self {
        if ranges.len() <= SHORT { Self::Short(ranges) } else { Self::Long(union(ranges)) }
    }

    pub(crate) fn has(&self, id: i64) -> bool {
        match self {
            Self::Short(ranges) => ranges.iter().any(|range| range.contains(id)),
            Self::Long(union) => {
                let after = union.partition_point(|range| range.min <= id);
                after.checked_sub(1).and_then(|last| union.get(last)).is_some_and(|range| range.contains(id))
            }
        }
    }
}

/// The first of a list as a text, and the number of the others: a message about a broken rule shows what it allows, and
/// does not repeat a user's whole list for each violation.
pub(crate) fn shown<T: ToString>(list: &[T], comma: &str) -> String {
    const SHOWN: usize = 50;
    let mut text: Vec<String> = list.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = list.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push(format!("and {more} more"));
    }
    text.join(comma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Long lists have the same results as short ones, which are searched linearly.
        #[test]
        fn look_ups_agree_with_going_through(
            patterns in prop::collection::vec("[ab.]{0,4}[*]?", 0..40),
            name in "[ab.]{0,5}",
            ranges in prop::collection::vec((-5_i64..40, -5_i64..40), 0..40),
            id in -6_i64..42,
        ) {
            let covers = |pattern: &String| crate::rule::sysctl::matches(pattern, &name);
            prop_assert_eq!(Patterns::new(&patterns).cover(&name), patterns.iter().any(covers));
            let lookup = Lookup::new(patterns.iter().map(String::as_str));
            prop_assert_eq!(lookup.has(&name), patterns.contains(&name));
            let ranges: Vec<IdRange> = ranges.into_iter().map(|(min, max)| IdRange { min, max }).collect();
            let has = ranges.iter().any(|range| range.contains(id));
            prop_assert_eq!(Ids::new(&ranges).has(id), has);
            prop_assert_eq!(Ids::Long(union(&ranges)).has(id), has);
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let list: Vec<usize> = (0..60).collect();
        assert!(shown(&list, ", ").ends_with("48, 49, and 10 more"));
        assert_eq!(shown(&[1, 2], ","), "1,2");
    }
}
