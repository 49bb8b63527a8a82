//! `seLinuxContext`.

use palisade_k8s::pod::SeLinuxOptions;
use palisade_k8s::scc::{SeLinuxContextStrategy, SeLinuxLabels};
use palisade_k8s::{FieldError, FieldPath};

use crate::findings::Findings;
use crate::namespace::{NamespaceRanges, RangeError};
use crate::unusable::Unusable;

/// The permitted SELinux labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeLinuxRule {
    /// Any.
    Any,
    /// These; an empty level is the namespace's.
    MustBe(SeLinuxLabels),
}

/// The labels that a pod must have, and gets if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels<'x> {
    /// User.
    pub user: &'x str,
    /// Role.
    pub role: &'x str,
    /// Type.
    pub type_: &'x str,
    /// Level.
    pub level: &'x str,
}

impl SeLinuxRule {
    pub(crate) fn new(strategy: &SeLinuxContextStrategy) -> Result<Self, Unusable> {
        match strategy.type_.as_str() {
            "RunAsAny" => Ok(Self::Any),
            "MustRunAs" => Ok(Self::MustBe(strategy.se_linux_options.clone().unwrap_or_default())),
            other => Err(Unusable::strategy("seLinuxContext.type", other)),
        }
    }

    /// The labels with the namespace's level filled in; `None` if any are permitted.
    pub(crate) fn resolve<'x>(
        &'x self,
        ranges: &'x NamespaceRanges,
    ) -> Result<Option<Labels<'x>>, &'x RangeError> {
        let Self::MustBe(labels) = self else { return Ok(None) };
        let level = if labels.level.is_empty() { ranges.level()? } else { &labels.level };
        Ok(Some(Labels { user: &labels.user, role: &labels.role, type_: &labels.type_, level }))
    }
}

impl Labels<'_> {
    /// Reports each part of `actual`, found at `path`, that differs; an empty part counts too.
    pub(crate) fn check(
        &self,
        actual: &SeLinuxOptions<'_>,
        path: impl Fn() -> FieldPath,
        findings: &mut impl Findings,
    ) {
        if !same_level(self.level, &actual.level) {
            let detail = || format!("must be {}", self.level);
            findings.add(|| FieldError::invalid(path().field("level"), actual.level.as_str(), detail()));
        }
        let parts = [
            ("role", self.role, actual.role.as_str()),
            ("type", self.type_, actual.type_.as_str()),
            ("user", self.user, actual.user.as_str()),
        ];
        for (field, expected, actual) in parts.into_iter().filter(|(_, a, b)| a != b) {
            findings.add(|| {
                let detail = match expected {
                    "" => "must not be set".to_owned(),
                    expected => format!("must be {expected}"),
                };
                FieldError::invalid(path().field(field), actual, detail)
            });
        }
    }
}

/// The same sensitivity and the same categories in any order; a range `c0.c3` is one category
/// (reference/scc.md 2.9).
fn same_level(expected: &str, actual: &str) -> bool {
    if expected == actual {
        return true;
    }
    let (Some((sensitivity_a, a)), Some((sensitivity_b, b))) =
        (expected.split_once(':'), actual.split_once(':'))
    else {
        return false;
    };
    sensitivity_a == sensitivity_b && a.len() == b.len() && sorted(a) == sorted(b)
}

fn sorted(categories: &str) -> Vec<&str> {
    let mut list: Vec<&str> = categories.split(',').collect();
    list.sort_unstable();
    list
}

#[cfg(test)]
mod tests {
    use super::same_level;

    #[test]
    fn levels_compare_by_category() {
        for (a, b, same) in [
            ("s0:c1,c0", "s0:c0,c1", true),
            ("s0:c1,c0", "s1:c0,c1", false),
            ("s0:c0.c3", "s0:c0,c1,c2,c3", false),
            ("s0:c1,c1", "s0:c1", false),
            ("s0", "s0", true),
            ("s0", "s0:", false),
            ("s0:c1:c2", "s0:c1:c2", true),
        ] {
            assert_eq!(same_level(a, b), same, "{a} {b}");
        }
    }
}
