//! Two SCCs side by side.

use palisade_k8s::SecurityContextConstraints;
use palisade_scc::{Difference, defaults, diff};

use crate::page::{Page, changes};

/// A default of two SCCs: field and value of either.
type Changed = ((&'static str, String), (&'static str, String));

/// The permissions that only one of two SCCs has, and the defaults that differ.
#[derive(Debug)]
pub struct Comparison {
    /// The fields in which one permits more than the other.
    pub differences: Vec<Difference>,
    /// The defaults of a pod without settings that differ: field and value of either.
    pub changed: Vec<Changed>,
}

impl Comparison {
    /// Compares two SCCs.
    #[must_use]
    pub fn new(a: &SecurityContextConstraints, b: &SecurityContextConstraints) -> Self {
        let both = defaults(a).into_iter().zip(defaults(b));
        Self { differences: diff(a, b), changed: both.filter(|((_, a), (_, b))| a != b).collect() }
    }

    /// Whether they permit and set the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.changed.is_empty()
    }

    /// The page of both, by their names.
    #[must_use]
    pub fn page(self, a: &str, b: &str) -> Page {
        let permits = |words: Option<String>| words.unwrap_or_default();
        let permitted = self
            .differences
            .into_iter()
            .map(|found| [found.field.to_owned(), permits(found.only_a), permits(found.only_b)]);
        let given = self.changed.into_iter().map(|((field, a), (_, b))| [format!("default: {field}"), a, b]);
        let rows: Vec<[String; 3]> = permitted.chain(given).collect();
        let summary = match rows.is_empty() {
            true => format!("{a} and {b} permit and set the same."),
            false => "Permissions that only one of the two has, and the defaults of a pod without settings."
                .to_owned(),
        };
        let (a, b) = (format!("Only {a}"), format!("Only {b}"));
        changes("SCC difference", &summary, ["Field", &a, &b], rows)
    }
}
