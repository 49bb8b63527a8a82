//! The levels of a namespace, by its labels.

use std::fmt;

use palisade_k8s::{FieldError, FieldPath, Pod};

use super::{Level, Version, Violation, violations};

/// Prefix of the names of labels, and of annotations in the audit log.
pub const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";

/// A level by the rules of a version: prints as `baseline:latest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// The level.
    pub level: Level,
    /// The version of its rules.
    pub version: Version,
}

impl Standard {
    const NONE: Self = Self { level: Level::Privileged, version: Version::Latest };

    /// The violations of a pod, as one text; `None` if the pod conforms.
    #[must_use]
    pub fn broken_by(&self, pod: &Pod<'_>) -> Option<String> {
        let found = violations(pod, self.level, self.version);
        (!found.is_empty()).then(|| Violation::join(&found))
    }

    /// The rules that a pod violates, without details; `None` if the pod conforms.
    #[must_use]
    pub fn reasons(&self, pod: &Pod<'_>) -> Option<String> {
        let found = violations(pod, self.level, self.version);
        let reasons: Vec<&str> = found.iter().map(|violation| violation.reason).collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

/// The standards of a namespace, one for each of the three modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standards {
    /// Pods that violate it are refused.
    pub enforce: Standard,
    /// Pods that violate it are noted in the audit log.
    pub audit: Standard,
    /// Authors of pods or templates that violate it are warned.
    pub warn: Standard,
}

impl Default for Standards {
    /// Kubernetes' default: nothing is forbidden.
    fn default() -> Self {
        Self { enforce: Standard::NONE, audit: Standard::NONE, warn: Standard::NONE }
    }
}

impl Standards {
    /// Parses the labels of a namespace, and reports invalid values. An invalid label enforces `restricted`, and
    /// neither audits nor warns; a namespace that enforces a level warns of it too, unless it has another `warn` label
    /// (`k8s.io/pod-security-admission`, `api.PolicyToEvaluate`).
    pub fn of_labels<'l>(label: impl Fn(&str) -> Option<&'l str>) -> (Self, Vec<FieldError>) {
        let mut errors = Vec::new();
        let mut read = |mode: &str, default: Standard, wrong: Level| -> (Standard, bool) {
            let level = Label::new(&label, mode);
            let known = level.value.map(Level::parse);
            errors.extend(level.wrong(known == Some(None), LEVELS));
            let version = Label::new(&label, &format!("{mode}-version"));
            let release = version.value.map(Version::parse);
            errors.extend(version.wrong(release == Some(None), VERSIONS));
            let standard = Standard {
                level: known.map_or(default.level, |known| known.unwrap_or(wrong)),
                version: release.map_or(default.version, Option::unwrap_or_default),
            };
            (standard, known.flatten().is_some())
        };
        let none = Self::default();
        let (enforce, is_enforced) = read("enforce", none.enforce, Level::Restricted);
        let (audit, _) = read("audit", none.audit, Level::Privileged);
        let (mut warn, _) = read("warn", none.warn, Level::Privileged);
        let said = |mode: &str| Label::new(&label, mode).value.is_some();
        if is_enforced && !said("warn") && enforce.level > warn.level {
            warn.level = enforce.level;
            if !said("warn-version") {
                warn.version = enforce.version;
            }
        }
        (Self { enforce, audit, warn }, errors)
    }

    /// Whether no pod can violate anything.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|standard| standard.level == Level::Privileged)
    }
}

const LEVELS: &str = "must be one of privileged, baseline, restricted";
const VERSIONS: &str = "must be \"latest\" or \"v1.x\"";

/// A label of a namespace.
struct Label<'l> {
    key: String,
    value: Option<&'l str>,
}

impl<'l> Label<'l> {
    fn new(label: impl Fn(&str) -> Option<&'l str>, name: &str) -> Self {
        let key = format!("{LABEL_PREFIX}{name}");
        Self { value: label(&key), key }
    }

    fn wrong(&self, is_wrong: bool, why: &'static str) -> Option<FieldError> {
        let path = || FieldPath::of("metadata.labels").key(&self.key);
        is_wrong.then(|| FieldError::invalid(path(), self.value.unwrap_or_default(), why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels without their prefix, the standards of enforce, audit and warn, and the number of errors.
    type Case = (&'static [(&'static str, &'static str)], [&'static str; 3], usize);

    #[test]
    fn labels_are_read_as_kubernetes_reads_them() {
        let cases: &[Case] = &[
            (&[], ["privileged:latest"; 3], 0),
            (&[("enforce", "baseline")], ["baseline:latest", "privileged:latest", "baseline:latest"], 0),
            (
                &[("enforce", "restricted"), ("enforce-version", "v1.24")],
                ["restricted:v1.24", "privileged:latest", "restricted:v1.24"],
                0,
            ),
            (
                &[("enforce", "restricted"), ("warn", "privileged"), ("audit", "baseline")],
                ["restricted:latest", "baseline:latest", "privileged:latest"],
                0,
            ),
            (
                &[("enforce", "baseline"), ("enforce-version", "v1.24"), ("warn-version", "v1.30")],
                ["baseline:v1.24", "privileged:latest", "baseline:v1.30"],
                0,
            ),
            (
                &[("enforce", "Baseline"), ("warn", "x"), ("audit", ""), ("audit-version", "1.20")],
                ["restricted:latest", "privileged:latest", "privileged:latest"],
                4,
            ),
        ];
        for (labels, wanted, wrong) in cases {
            let find = |key: &str| {
                let name = key.strip_prefix(LABEL_PREFIX)?;
                labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value)
            };
            let (read, errors) = Standards::of_labels(find);
            let found = [read.enforce, read.audit, read.warn].map(|standard| standard.to_string());
            assert_eq!(found, *wanted, "{labels:?}");
            assert_eq!(errors.len(), *wrong, "{labels:?} {errors:?}");
        }
        let (_, errors) = Standards::of_labels(|key| key.ends_with("/enforce").then_some("x"));
        assert_eq!(
            errors.first().unwrap().to_string(),
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted"
        );
    }
}
