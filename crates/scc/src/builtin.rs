//! The built-in sets of SCCs of a cluster.

use std::str::FromStr;

/// A built-in set: SCCs, the roles that grant them, and the bindings of the default ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuiltinSet {
    /// The seven of OpenShift 3, as the workshop shows them.
    V3,
    /// The thirteen of OpenShift 4.
    #[default]
    V4,
}

impl BuiltinSet {
    /// The set as YAML, one document an object.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::V3 => include_str!("../sets/3.yaml"),
            Self::V4 => include_str!("../sets/4.yaml"),
        }
    }

    /// The names of its SCCs.
    #[must_use]
    pub fn sccs(self) -> &'static [&'static str] {
        match self {
            Self::V3 => &OLD,
            Self::V4 => &NAMES,
        }
    }

    /// Its name: `3` or `4`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4 => "4",
        }
    }
}

/// Names of the SCCs of OpenShift 3.
const OLD: [&str; 7] =
    ["anyuid", "hostaccess", "hostmount-anyuid", "hostnetwork", "nonroot", "privileged", "restricted"];
/// Names of the built-in SCCs.
const NAMES: [&str; 13] = [
    "anyuid",
    "hostaccess",
    "hostmount-anyuid",
    "hostmount-anyuid-v2",
    "hostnetwork",
    "hostnetwork-v2",
    "nested-container",
    "nonroot",
    "nonroot-v2",
    "privileged",
    "restricted",
    "restricted-v2",
    "restricted-v3",
];

/// Whether a built-in SCC has this name.
pub(crate) fn is_builtin(name: &str) -> bool {
    NAMES.contains(&name)
}

/// An unknown name of a built-in set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the built-in sets are 3 and 4")]
pub struct UnknownSet;

impl FromStr for BuiltinSet {
    type Err = UnknownSet;
    fn from_str(name: &str) -> Result<Self, UnknownSet> {
        match name {
            "3" => Ok(Self::V3),
            "4" => Ok(Self::V4),
            _ => Err(UnknownSet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SccSet, validate};
    use palisade_k8s::{SecurityContextConstraints, manifest};
    use serde::Deserialize;

    fn set(set: BuiltinSet) -> SccSet {
        let documents = manifest::read(set.manifest()).unwrap();
        let sccs = documents.iter().map(manifest::Node::to_json);
        SccSet::new(
            sccs.filter(|json| json["kind"] == "SecurityContextConstraints")
                .map(|json| SecurityContextConstraints::deserialize(json).unwrap()),
        )
    }

    /// The order and the scores of reference/scc.md 1f.
    #[test]
    fn set_4_has_the_published_order_and_scores() {
        let set = set(BuiltinSet::V4);
        let ranks: Vec<(&str, u32)> = set.entries().map(|e| (e.name(), e.rank().score)).collect();
        let expected = [
            ("anyuid", 154_950),
            ("restricted-v2", 132_010),
            ("restricted-v3", 132_010),
            ("restricted", 134_800),
            ("nested-container", 135_020),
            ("nonroot-v2", 142_010),
            ("nonroot", 144_800),
            ("hostmount-anyuid", 254_950),
            ("hostmount-anyuid-v2", 284_950),
            ("hostnetwork-v2", 1_332_010),
            ("hostnetwork", 1_334_800),
            ("hostaccess", 1_434_800),
            ("privileged", 3_089_000),
        ];
        assert_eq!(ranks, expected);
    }

    #[test]
    fn the_names_are_those_of_the_sets() {
        for kind in [BuiltinSet::V3, BuiltinSet::V4] {
            let set = set(kind);
            let names: std::collections::BTreeSet<&str> = set.entries().map(|entry| entry.name()).collect();
            assert_eq!(names.into_iter().collect::<Vec<_>>(), kind.sccs());
            assert!(kind.sccs().iter().all(|name| is_builtin(name)));
        }
    }

    #[test]
    fn every_built_in_is_valid_and_usable() {
        for version in [BuiltinSet::V3, BuiltinSet::V4] {
            for entry in set(version).entries() {
                assert_eq!(validate(entry.scc()), []);
                assert!(entry.plan().is_ok());
            }
        }
    }
}
