//! `fsGroup` and `supplementalGroups`.

use palisade_k8s::scc::{GroupStrategy, IdRange};
use palisade_k8s::{FieldError, FieldPath};

use crate::findings::Findings;
use crate::lookup::{Ids, shown};
use crate::unusable::Unusable;

/// The permitted group IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRule {
    /// All groups.
    Any,
    /// The groups in these ranges, of which there is at least one; the lowest of the first is the default.
    Ranges(Vec<IdRange>),
    /// The namespace's ranges.
    Namespace,
}

impl GroupRule {
    pub(crate) fn new(strategy: &GroupStrategy, field: &'static str) -> Result<Self, Unusable> {
        match strategy.type_.as_str() {
            "RunAsAny" => Ok(Self::Any),
            "MustRunAs" => match strategy.ranges.as_deref() {
                None | Some([]) => Ok(Self::Namespace),
                Some(ranges) => Ok(Self::Ranges(ranges.to_vec())),
            },
            other => Err(Unusable::strategy(field, other)),
        }
    }
}

/// Reports violations by the `groups` of `field` in the pod's security context; `ranges` is `None` if any is permitted.
pub(crate) fn check(
    ranges: Option<&[IdRange]>,
    field: &'static str,
    groups: &[i64],
    findings: &mut impl Findings,
) {
    let Some(ranges) = ranges else { return };
    let path = || FieldPath::of("spec.securityContext").field(field);
    if groups.is_empty() {
        findings.add(|| {
            let detail = format!("at least one group of the ranges {} is required", show(ranges));
            FieldError::invalid(path(), Vec::<i64>::new(), detail)
        });
    }
    let ids = Ids::new(ranges);
    for &group in groups.iter().filter(|group| !ids.has(**group)) {
        findings.add(|| {
            let detail = format!("{group} is not an allowed group, must be in {}", show(ranges));
            FieldError::invalid(path(), group, detail)
        });
    }
}

fn show(ranges: &[IdRange]) -> String {
    struct Shown(IdRange);
    impl std::fmt::Display for Shown {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "[{}, {}]", self.0.min, self.0.max)
        }
    }
    let ranges: Vec<Shown> = ranges.iter().copied().map(Shown).collect();
    shown(&ranges, ", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strategies_are_checked() {
        let range = IdRange { min: 1, max: 5 };
        for (value, expected) in [
            (json!({"type": "RunAsAny", "ranges": [{"min": 1, "max": 5}]}), Ok(GroupRule::Any)),
            (json!({"type": "MustRunAs"}), Ok(GroupRule::Namespace)),
            (json!({"type": "MustRunAs", "ranges": []}), Ok(GroupRule::Namespace)),
            (
                json!({"type": "MustRunAs", "ranges": [{"min": 1, "max": 5}]}),
                Ok(GroupRule::Ranges(vec![range])),
            ),
            (json!({"type": "MayRunAs"}), Err(Unusable::strategy("fsGroup.type", "MayRunAs"))),
        ] {
            let strategy: GroupStrategy = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(GroupRule::new(&strategy, "fsGroup.type"), expected, "{value}");
        }
    }

    type Case<'c> = (Option<&'c [IdRange]>, &'c [i64], usize);

    #[test]
    fn groups_are_in_a_range() {
        let ranges = [IdRange { min: 1, max: 5 }, IdRange { min: 10, max: 10 }];
        let cases: [Case<'_>; 7] = [
            (None, &[], 0),
            (None, &[-1], 0),
            (Some(&ranges), &[], 1),
            (Some(&ranges), &[1, 5, 10], 0),
            (Some(&ranges), &[0], 1),
            (Some(&ranges), &[6, 9, 11, 3], 3),
            (Some(&ranges), &[i64::MIN, i64::MAX], 2),
        ];
        for (ranges, groups, count) in cases {
            let mut findings: Vec<FieldError> = Vec::new();
            check(ranges, "supplementalGroups", groups, &mut findings);
            assert_eq!(findings.len(), count, "{groups:?} {findings:?}");
            let field = "spec.securityContext.supplementalGroups";
            assert!(findings.iter().all(|error| error.path.to_string() == field), "{findings:?}");
        }
    }
}
