//! Seccomp profiles, named by annotation or by field, and the translation between the two.

use std::borrow::Cow;

use palisade_k8s::pod::{SeccompProfile, SeccompType};
use palisade_k8s::{FieldError, FieldPath, Text};

use crate::findings::Findings;

const UNCONFINED: &str = "unconfined";
const RUNTIME_DEFAULT: &str = "runtime/default";
const DOCKER_DEFAULT: &str = "docker/default";
const LOCALHOST_PREFIX: &str = "localhost/";

/// Which profiles may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeccompRule {
    allowed: Vec<String>,
    allow_any: bool,
}

impl SeccompRule {
    pub(crate) fn new(profiles: &[String]) -> Self {
        Self { allowed: profiles.to_vec(), allow_any: profiles.iter().any(|profile| profile == "*") }
    }

    /// The profile of a pod that names none.
    pub(crate) fn default_profile(&self) -> Option<&str> {
        self.allowed.iter().map(String::as_str).find(|profile| *profile != "*")
    }

    /// Reports `profile`, in the form of annotations, if it is not allowed; empty is none at all.
    pub(crate) fn check(
        &self,
        profile: &str,
        path: impl FnOnce() -> FieldPath,
        findings: &mut impl Findings,
    ) {
        if self.allow_any || (self.allowed.is_empty() && profile.is_empty()) {
            return;
        }
        if self.allowed.is_empty() {
            return findings.add(|| FieldError::forbidden(path(), "seccomp may not be set"));
        }
        if !self.allowed.iter().any(|allowed| same(allowed, profile)) {
            findings.add(|| {
                let valid = self.allowed.join(",");
                let detail = match profile {
                    "" => format!("a seccomp profile is required. Valid values are {valid}"),
                    _ => format!("{profile} is not an allowed seccomp profile. Valid values are {valid}"),
                };
                FieldError::forbidden(path(), detail)
            });
        }
    }
}

/// `docker/default` is the older name of `runtime/default`.
fn same(a: &str, b: &str) -> bool {
    let modern = |name| if name == DOCKER_DEFAULT { RUNTIME_DEFAULT } else { name };
    modern(a) == modern(b)
}

/// The annotation that says what the field says; empty for what no annotation can say.
pub(crate) fn annotation_of<'x>(field: &'x SeccompProfile<'_>) -> Cow<'x, str> {
    match (field.type_, &field.localhost_profile) {
        (SeccompType::Unconfined, _) => Cow::Borrowed(UNCONFINED),
        (SeccompType::RuntimeDefault, _) => Cow::Borrowed(RUNTIME_DEFAULT),
        (SeccompType::Localhost, Some(file)) => Cow::Owned(format!("{LOCALHOST_PREFIX}{file}")),
        (SeccompType::Localhost, None) | (SeccompType::Unknown, _) => Cow::Borrowed(""),
    }
}

/// The field that says what the annotation says; none for an annotation that is not known.
pub(crate) fn field_of(annotation: &str) -> Option<SeccompProfile<'_>> {
    let (type_, localhost_profile) = match annotation {
        UNCONFINED => (SeccompType::Unconfined, None),
        RUNTIME_DEFAULT | DOCKER_DEFAULT => (SeccompType::RuntimeDefault, None),
        other => match other.strip_prefix(LOCALHOST_PREFIX) {
            Some(file) if !file.is_empty() => (SeccompType::Localhost, Some(Text::from(file))),
            _ => return None,
        },
    };
    Some(SeccompProfile { type_, localhost_profile })
}
