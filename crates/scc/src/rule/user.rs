//! `runAsUser`.

use palisade_k8s::scc::{IdRange, RunAsUserStrategy};
use palisade_k8s::{ContainerPath, FieldError};

use crate::findings::Findings;
use crate::namespace::{NamespaceRanges, RangeError};
use crate::unusable::Unusable;

/// The permitted user IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRule {
    /// Any.
    Any,
    /// Any but root's.
    NonRoot,
    /// This one.
    Exactly(i64),
    /// One of this range; the lowest is the default.
    Range(IdRange),
    /// The namespace's range.
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

    /// The rule with the namespace's range filled in.
    pub(crate) fn resolve(self, ranges: &NamespaceRanges) -> Result<Self, &RangeError> {
        match self {
            Self::NamespaceRange => ranges.uids().map(Self::Range),
            other => Ok(other),
        }
    }

    /// The default user ID of a container.
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

/// `runAsNonRoot` is set, or a user other than root, and neither contradicts the other.
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

#[cfg(test)]
mod tests {
    use super::*;
    use palisade_k8s::pod::ContainerList;
    use serde_json::{Value, json};

    fn strategy(value: Value) -> RunAsUserStrategy {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn strategies_are_checked() {
        for (value, expected) in [
            (json!({"type": "RunAsAny"}), Ok(UserRule::Any)),
            (json!({"type": "MustRunAs", "uid": 7}), Ok(UserRule::Exactly(7))),
            (json!({"type": "MustRunAs"}), Err(Unusable::NoUid)),
            (json!({"type": "MustRunAsRange"}), Ok(UserRule::NamespaceRange)),
            (json!({"type": "MustRunAsRange", "uidRangeMin": 1}), Err(Unusable::HalfRange)),
            (
                json!({"type": "MustRunAsRange", "uidRangeMin": 1, "uidRangeMax": 2}),
                Ok(UserRule::Range(IdRange { min: 1, max: 2 })),
            ),
            (json!({"type": "mustRunAs"}), Err(Unusable::strategy("runAsUser.type", "mustRunAs"))),
        ] {
            assert_eq!(UserRule::new(&strategy(value.clone())), expected, "{value}");
        }
    }

    type Case = (UserRule, Option<i64>, Option<i64>, Option<bool>, &'static [&'static str]);

    #[test]
    fn users_are_given_and_checked() {
        let at = ContainerPath { list: ContainerList::Main, index: 0 };
        let range = UserRule::Range(IdRange { min: 10, max: 20 });
        // The rule, its default, the user and runAsNonRoot that the container then has, and the findings.
        let cases: [Case; 13] = [
            (UserRule::Any, None, Some(0), Some(false), &[]),
            (UserRule::NonRoot, None, Some(1), None, &[]),
            (UserRule::NonRoot, None, None, Some(true), &[]),
            (UserRule::NonRoot, None, None, None, &["runAsNonRoot"]),
            (UserRule::NonRoot, None, Some(1), Some(false), &["runAsNonRoot"]),
            (UserRule::NonRoot, None, Some(0), Some(true), &["runAsUser"]),
            (UserRule::NonRoot, None, Some(0), Some(false), &["runAsNonRoot", "runAsUser"]),
            (UserRule::Exactly(7), Some(7), Some(7), None, &[]),
            (UserRule::Exactly(7), Some(7), Some(8), None, &["runAsUser"]),
            (UserRule::Exactly(7), Some(7), None, None, &["runAsUser"]),
            (range, Some(10), Some(20), None, &[]),
            (range, Some(10), Some(9), None, &["runAsUser"]),
            (range, Some(10), Some(21), None, &["runAsUser"]),
        ];
        for (rule, given, user, non_root, expected) in cases {
            let mut findings: Vec<FieldError> = Vec::new();
            rule.check(at, user, non_root, &mut findings);
            let fields: Vec<String> = findings.iter().map(|error| error.path.to_string()).collect();
            let expected: Vec<String> =
                expected.iter().map(|field| format!("spec.containers[0].securityContext.{field}")).collect();
            assert_eq!((rule.generate(), fields), (given, expected), "{rule:?} {user:?} {non_root:?}");
        }
    }
}
