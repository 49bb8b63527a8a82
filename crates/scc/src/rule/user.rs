//! `runAsUser`.

use palisade_k8s::scc::{IdRange, RunAsUserStrategy};
use palisade_k8s::{ContainerPath, FieldError};

use crate::findings::Findings;
use crate::namespace::{NamespaceRanges, RangeError};
use crate::unusable::Unusable;

/// The user IDs that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserRule {
    Any,
    NonRoot,
    Exactly(i64),
    Range(IdRange),
    /// The range that the namespace has.
    NamespaceRange,
}

impl UserRule {
    pub(crate) fn new(strategy: &RunAsUserStrategy) -> Result<Self, Unusable> {
        match strategy.type_.as_str() {
            "RunAsAny" => Ok(Self::Any),
            "MustRunAsNonRoot" => Ok(Self::NonRoot),
            "MustRunAs" => strategy.uid.map(Self::Exactly).ok_or(Unusable::NoUid),
            "MustRunAsRange" => match (strategy.uid_range_min, strategy.uid_range_max) {
                (None, None) => Ok(Self::NamespaceRange),
                (Some(min), Some(max)) => Ok(Self::Range(IdRange { min, max })),
                _ => Err(Unusable::HalfRange),
            },
            other => Err(Unusable::strategy("runAsUser.type", other)),
        }
    }

    /// The rule with the namespace's range put in.
    pub(crate) fn resolve(self, ranges: &NamespaceRanges) -> Result<Self, &RangeError> {
        match self {
            Self::NamespaceRange => ranges.uids().map(Self::Range),
            other => Ok(other),
        }
    }

    /// The user ID of a container that asks for none.
    pub(crate) fn generate(self) -> Option<i64> {
        match self {
            Self::Exactly(uid) => Some(uid),
            Self::Range(range) => Some(range.min),
            Self::Any | Self::NonRoot | Self::NamespaceRange => None,
        }
    }

    pub(crate) fn check(
        self,
        at: ContainerPath,
        user: Option<i64>,
        non_root: Option<bool>,
        findings: &mut impl Findings,
    ) {
        let path = || at.security("runAsUser");
        match (self, user) {
            (Self::Any, _) => {}
            (Self::NonRoot, _) => check_non_root(at, user, non_root, findings),
            (_, None) => findings.add(|| FieldError::required(path(), "a user ID must be set")),
            (Self::Exactly(uid), Some(user)) if user != uid => {
                findings.add(|| FieldError::invalid(path(), user, format!("must be: {uid}")));
            }
            (Self::Range(range), Some(user)) if !range.contains(user) => findings.add(|| {
                let detail = format!("must be in the ranges: [{}, {}]", range.min, range.max);
                FieldError::invalid(path(), user, detail)
            }),
            (Self::Exactly(_) | Self::Range(_) | Self::NamespaceRange, Some(_)) => {}
        }
    }
}

/// Says that it is not root, or is a user other than root, and neither of the two says otherwise.
fn check_non_root(
    at: ContainerPath,
    user: Option<i64>,
    non_root: Option<bool>,
    findings: &mut impl Findings,
) {
    let path = || at.security("runAsNonRoot");
    match non_root {
        None if user.is_none() => findings.add(|| FieldError::required(path(), "must be true")),
        Some(false) => findings.add(|| FieldError::invalid(path(), false, "must be true")),
        None | Some(true) => {}
    }
    if user == Some(0) {
        findings.add(|| {
            FieldError::invalid(at.security("runAsUser"), 0, "running with the root UID is forbidden")
        });
    }
}
