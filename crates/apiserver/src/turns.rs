//! Turns: a fair order, so that no namespace's work keeps that of others waiting.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// The next name that has work and is free, after the one that had its turn last.
pub(crate) fn next<W>(
    due: &BTreeMap<String, W>,
    is_free: impl Fn(&str) -> bool,
    last: &str,
) -> Option<String> {
    let after = due.range::<str, _>((Excluded(last), Unbounded)).map(|(name, _)| name);
    after.chain(due.keys()).find(|name| is_free(name)).cloned()
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn namespaces_take_turns_and_busy_ones_are_skipped() {
        let due = ["a", "b", "c"].map(|name| (name.to_owned(), ())).into();
        for (busy, last, wanted) in [
            ("", "", Some("a")),
            ("", "a", Some("b")),
            ("b", "a", Some("c")),
            ("", "c", Some("a")),
            ("ab", "c", Some("c")),
            ("abc", "a", None),
        ] {
            assert_eq!(next(&due, |name| !busy.contains(name), last).as_deref(), wanted, "{busy} {last}");
        }
    }
}
