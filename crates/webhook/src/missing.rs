//! The treatment of a pod whose seccomp profiles no fitting node has, or not all of them have.

use std::str::FromStr;

/// The treatment of a pod whose seccomp profiles no fitting node has, or not all of them have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingProfile {
    /// The author of a pod whose profiles no fitting node has is warned.
    #[default]
    Warn,
    /// The same, and a pod whose profiles some of the fitting nodes lack gets a node affinity that avoids these.
    Affinity,
    /// A pod whose profiles no fitting node has is refused: its controller tries again until one has them.
    Refuse,
}

/// An unknown treatment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a treatment of missing profiles: warn, affinity or refuse")]
pub struct UnknownTreatment(String);

impl FromStr for MissingProfile {
    type Err = UnknownTreatment;

    fn from_str(text: &str) -> Result<Self, UnknownTreatment> {
        let all = [Self::Warn, Self::Affinity, Self::Refuse];
        all.into_iter().find(|one| one.as_str() == text).ok_or_else(|| UnknownTreatment(text.to_owned()))
    }
}

impl MissingProfile {
    /// Its name on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Affinity => "affinity",
            Self::Refuse => "refuse",
        }
    }
}
