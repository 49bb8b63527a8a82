//! Seccomp profiles, in the form of annotations.

use palisade_k8s::seccomp::{OCI, is_same};
use palisade_k8s::{FieldError, FieldPath};

use crate::findings::Findings;
use crate::lookup::shown;

/// The permitted profiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeccompRule {
    /// The profiles in the form of annotations, `*` among them; if there are none, none may be set.
    pub allowed: Vec<String>,
    /// Whether any profile may be used.
    pub allow_any: bool,
}

impl SeccompRule {
    pub(crate) fn new(profiles: &[String]) -> Self {
        Self { allowed: profiles.to_vec(), allow_any: profiles.iter().any(|profile| profile == "*") }
    }

    /// The profile of a pod without one.
    #[must_use]
    pub fn default_profile(&self) -> Option<&str> {
        // The name of an artifact stands for all of them: it cannot be a default.
        self.allowed.iter().map(String::as_str).find(|profile| !["*", OCI].contains(profile))
    }

    /// Reports `profile`, in the form of annotations, if it is not permitted; empty means no profile.
    pub(crate) fn check(
        &self,
        profile: &str,
        path: impl FnOnce() -> FieldPath,
        findings: &mut impl Findings,
    ) {
        if self.allow_any || (self.allowed.is_empty() && profile.is_empty()) {
            return;
        }
        let refused = |detail| FieldError { value: profile.into(), ..FieldError::forbidden(path(), detail) };
        if self.allowed.is_empty() {
            return findings.add(|| refused("seccomp may not be set".to_owned()));
        }
        if !self.allowed.iter().any(|allowed| is_same(allowed, profile)) {
            findings.add(|| {
                let valid = shown(&self.allowed, ",");
                let detail = match profile {
                    "" => format!("a seccomp profile is required. Valid values are {valid}"),
                    _ => format!("{profile} is not an allowed seccomp profile. Valid values are {valid}"),
                };
                refused(detail)
            });
        }
    }
}
