//! Conflicts of the ranges of all namespaces, by which the processes of one are equal to another's.

use std::collections::HashMap;

use palisade_k8s::scc::IdRange;

use crate::namespace::{NamespaceRanges, RangeError};

/// A problem of a namespace's ranges.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Drift {
    /// The ranges are invalid.
    #[error(transparent)]
    Unusable(#[from] RangeError),
    /// Another namespace has some of its user IDs.
    #[error("its user IDs from {from} on are {with}'s too, so that either may read the other's files")]
    SharedIds {
        /// The first of them.
        from: i64,
        /// The other namespace.
        with: String,
    },
    /// Another namespace has its SELinux level.
    #[error("its SELinux level {level} is {with}'s too, so that SELinux does not part them")]
    SharedLevel {
        /// The level.
        level: String,
        /// The other namespace.
        with: String,
    },
}

/// A namespace and what it allocates.
pub type Allocated<'a> = (&'a str, Result<NamespaceRanges, RangeError>);

/// The problems, by namespace in the given order. A namespace that shares with several names one of them.
#[must_use]
pub fn drift<'a>(namespaces: &[Allocated<'a>]) -> Vec<(&'a str, Drift)> {
    let ids = shared_ids(namespaces);
    let mut levels: HashMap<&str, &str> = HashMap::new();
    let mut found = Vec::new();
    for (at, (name, ranges)) in namespaces.iter().enumerate() {
        let ranges = match ranges {
            Ok(ranges) => ranges,
            Err(error) => {
                found.push((*name, error.clone().into()));
                continue;
            }
        };
        let errors = [ranges.uids().err(), ranges.supplemental_groups().err(), ranges.level().err()];
        found.extend(errors.into_iter().flatten().map(|error| (*name, error.clone().into())));
        if let Some(&(from, with)) = ids.get(&at) {
            found.push((*name, Drift::SharedIds { from, with: with.to_owned() }));
        }
        let Ok(level) = ranges.level() else { continue };
        match levels.get(level) {
            Some(&with) => {
                let drift = Drift::SharedLevel { level: level.to_owned(), with: with.to_owned() };
                found.push((*name, drift));
            }
            None => drop(levels.insert(level, name)),
        }
    }
    found
}

/// By the index of a namespace: the first shared ID, and the other namespace. Each range is compared with the one that
/// reaches furthest of those that begin before it.
fn shared_ids<'a>(namespaces: &[Allocated<'a>]) -> HashMap<usize, (i64, &'a str)> {
    let mut ranges: Vec<(IdRange, usize, &'a str)> = Vec::new();
    for (at, (name, read)) in namespaces.iter().enumerate() {
        let uids = read.as_ref().ok().and_then(|ranges| ranges.uids().ok());
        ranges.extend(uids.map(|uids| (uids, at, *name)));
    }
    ranges.sort_by_key(|(range, at, _)| (range.min, *at));
    let mut shared = HashMap::new();
    let mut furthest: Option<(i64, &str)> = None;
    for (range, at, name) in ranges {
        if let Some((last, with)) = furthest
            && range.min <= last
        {
            shared.insert(at, (range.min, with));
        }
        if furthest.is_none_or(|(last, _)| range.max > last) {
            furthest = Some((range.max, name));
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use palisade_k8s::scc::annotation::{MCS, UID_RANGE};

    use super::*;

    fn found(namespaces: &[(&'static str, &'static str, &'static str)]) -> Vec<String> {
        let read = |uids: &'static str, level: &'static str| {
            NamespaceRanges::read(|key| match key {
                UID_RANGE => (uids != "-").then_some(uids),
                MCS => Some(level),
                _ => None,
            })
        };
        let all: Vec<_> = namespaces.iter().map(|(name, uids, level)| (*name, read(uids, level))).collect();
        drift(&all).into_iter().map(|(name, drift)| format!("{name}: {drift}")).collect()
    }

    #[test]
    fn what_is_allocated_once_is_fine() {
        assert_eq!(found(&[]), [""; 0]);
        assert_eq!(found(&[("a", "1000/10", "s0:c1,c0"), ("b", "1010/10", "s0:c3,c2")]), [""; 0]);
    }

    #[test]
    fn what_is_shared_or_unusable_is_told() {
        let said = found(&[
            ("wide", "1000-1999", "s0:c1,c0"),
            ("inside", "1100/10", "s0:c3,c2"),
            ("after-inside", "1500/10", "s0:c5,c4"),
            ("same-level", "3000/10", "s0:c1,c0"),
            ("none", "-", "s0:c7,c6"),
            ("broken", "x", "s0:c9,c8"),
        ]);
        for (said, starts) in said.iter().zip([
            "inside: its user IDs from 1100 on are wide's",
            "after-inside: its user IDs from 1500 on are wide's",
            "same-level: its SELinux level s0:c1,c0 is wide's",
            "none: the namespace has no annotation",
            "broken: the namespace's annotation openshift.io/sa.scc.uid-range is \"x\"",
            "broken: the namespace's annotation openshift.io/sa.scc.uid-range is \"x\"",
        ]) {
            assert!(said.starts_with(starts), "{said}");
        }
        assert_eq!(said.len(), 6, "{said:?}");
    }
}
