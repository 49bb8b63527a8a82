//! Pod Security levels: the one that a pod has, and the one that an SCC guarantees.
//!
//! The rules are Kubernetes' Pod Security Standards at `latest` (v1.37), the reasons those of its own
//! evaluator.

use std::fmt;

use palisade_k8s::Pod;

mod baseline;
mod guarantee;
mod restricted;

pub use guarantee::guaranteed_level;

/// A Pod Security level; a later one allows less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Anything.
    Privileged,
    /// Nothing that is known to escape a container.
    Baseline,
    /// Hardened by current best practice.
    Restricted,
}

impl Level {
    /// Its name in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule of the standards.
#[derive(Clone, Copy)]
pub(crate) struct Check {
    /// The property of a pod that breaks it, in words.
    pub(crate) reason: &'static str,
    /// Whether the pod breaks it.
    pub(crate) is_broken: fn(&Pod<'_>) -> bool,
}

/// A pod's level, and why it has not the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The level.
    pub level: Level,
    /// The rules of the next level that the pod breaks; none at the last.
    pub reasons: Vec<&'static str>,
}

/// The highest level that the pod has.
#[must_use]
pub fn assess(pod: &Pod<'_>) -> Assessment {
    let broken = |checks: &[Check]| -> Vec<&'static str> {
        checks.iter().filter(|check| (check.is_broken)(pod)).map(|check| check.reason).collect()
    };
    let reasons = broken(baseline::CHECKS);
    if !reasons.is_empty() {
        return Assessment { level: Level::Privileged, reasons };
    }
    let reasons = broken(restricted::CHECKS);
    let level = if reasons.is_empty() { Level::Restricted } else { Level::Baseline };
    Assessment { level, reasons }
}
