//! Lint: findings about SCCs that the API server accepts and that do not do what their authors likely intended.
//!
//! Sources: reference/scc.md 1a (what is not checked), and the complaints of operators, reference/scc.md 3.4, 3.5, 3.20 and
//! 3.21.

use std::collections::HashSet;
use std::fmt;

use palisade_k8s::pod::VolumeKind;
use palisade_k8s::{FieldPath, SecurityContextConstraints};
use serde_json::{Map, Value};

use crate::{Plan, Unusable};

mod fields;
mod name;
mod set;
mod value;
mod words;

pub use fields::absent;
pub use name::{Meant, meant};
pub use set::lint_set;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but likely not as its author intended.
    Warning,
    /// Cannot work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Identifier of the rule, for filters.
    pub rule: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The field of the object.
    pub path: FieldPath,
    /// The problem.
    pub message: String,
    /// The remedy.
    pub help: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}); {}", self.path, self.message, self.rule, self.help)
    }
}

impl Finding {
    /// A finding with the problem at `path` and the fix.
    pub fn new(
        rule: &'static str,
        severity: Severity,
        path: FieldPath,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { rule, severity, path, message: message.into(), help: help.into() }
    }
}

/// Lints an SCC; `raw`, the object as it was written, shows fields that its type does not have.
#[must_use]
pub fn lint(scc: &SecurityContextConstraints, raw: Option<&Map<String, Value>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    user(scc, &mut findings);
    names(scc, &mut findings);
    volumes(scc, raw, &mut findings);
    capabilities(scc, &mut findings);
    seccomp(scc, &mut findings);
    priority(scc, &mut findings);
    value::check(scc, raw, &mut findings);
    if let Some(raw) = raw {
        fields::unknown(raw, &mut findings);
    }
    findings
}

fn user(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    if let Err(why) = Plan::new(scc) {
        let (rule, field, help) = match &why {
            Unusable::NoUid => ("must-run-as-without-uid", "runAsUser", "set runAsUser.uid".to_owned()),
            Unusable::HalfRange => {
                let help = "set both uidRangeMin and uidRangeMax, or neither".to_owned();
                ("half-uid-range", "runAsUser", help)
            }
            Unusable::UnknownStrategy { field, value } => {
                ("unknown-strategy", *field, strategy_help(field, value))
            }
            Unusable::Namespace(_) => return,
        };
        let message =
            format!("{why}; it can admit no pod, and on OpenShift it stops every pod of the cluster");
        findings.push(Finding::new(rule, Severity::Error, FieldPath::of(field), message, help));
    }
    let strategy = &scc.run_as_user;
    if let (Some(min), Some(max)) = (strategy.uid_range_min, strategy.uid_range_max)
        && min > max
    {
        findings.push(Finding::new(
            "reversed-uid-range",
            Severity::Error,
            FieldPath::of("runAsUser.uidRangeMin"),
            format!("the range from {min} to {max} holds no user ID, so that no pod fits"),
            "exchange the two bounds",
        ));
    }
}

fn strategy_help(field: &str, value: &str) -> String {
    let known: &[&str] = match field {
        "userNamespaceLevel" => &["AllowHostLevel", "RequirePodLevel"],
        "runAsUser.type" => &["MustRunAs", "MustRunAsNonRoot", "MustRunAsRange", "RunAsAny"],
        _ => &["MustRunAs", "RunAsAny"],
    };
    let otherwise = format!("write one of {}", known.join(", "));
    match words::of_strategy(value) {
        Some(word) => word.to_owned(),
        None => suggestion(value, known.iter().copied(), &otherwise),
    }
}

fn names(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let lists = [("users", scc.users.as_deref()), ("groups", scc.groups.as_deref())];
    for (field, list) in lists {
        for (index, name) in list.unwrap_or_default().iter().enumerate() {
            let at = || FieldPath::of(field).index(index);
            if name.contains(['*', '?']) {
                findings.push(Finding::new(
                    "name-pattern",
                    Severity::Warning,
                    at(),
                    format!("{name:?} is compared as it stands; patterns match nobody"),
                    "name each one, or bind a role that may `use` the SCC to a group",
                ));
            } else if let Some(meant) = name::meant(name, field == "groups") {
                let message = format!("{name:?} in {field} matches nobody");
                findings.push(Finding::new(
                    "misplaced-name",
                    Severity::Warning,
                    at(),
                    message,
                    name::in_scc(meant),
                ));
            }
        }
    }
}

fn volumes(scc: &SecurityContextConstraints, raw: Option<&Map<String, Value>>, findings: &mut Vec<Finding>) {
    let written = raw.and_then(|raw| raw.get("volumes")).and_then(Value::as_array);
    let written: Vec<&str> = match written {
        Some(list) => list.iter().filter_map(Value::as_str).collect(),
        None => SecurityContextConstraints::list(scc.volumes.as_ref()).iter().map(String::as_str).collect(),
    };
    for (index, name) in written.iter().enumerate() {
        let at = || FieldPath::of("volumes").index(index);
        let known = VolumeKind::from_policy_name(name).is_some();
        if !known && !matches!(*name, "*" | "none" | "serviceAccountToken") {
            let candidates = VolumeKind::ALL.iter().map(|kind| kind.policy_name());
            findings.push(Finding::new(
                "unknown-volume",
                Severity::Warning,
                at(),
                format!("unknown volume type {name:?}, which allows no volume"),
                suggestion(name, candidates, "remove it"),
            ));
        }
        if *name == "hostPath" && !scc.allow_host_dir_volume_plugin {
            findings.push(Finding::new(
                "host-path-without-flag",
                Severity::Warning,
                at(),
                "allowHostDirVolumePlugin is false, so that hostPath is taken out again",
                "set allowHostDirVolumePlugin: true, or remove hostPath",
            ));
        }
    }
}

fn capabilities(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let lists = [
        ("defaultAddCapabilities", scc.default_add_capabilities.as_ref()),
        ("requiredDropCapabilities", scc.required_drop_capabilities.as_ref()),
        ("allowedCapabilities", scc.allowed_capabilities.as_ref()),
    ];
    for (field, list) in lists {
        let mut seen = HashSet::new();
        for (index, name) in SecurityContextConstraints::list(list).iter().enumerate() {
            let at = || FieldPath::of(field).index(index);
            if !seen.insert(name) {
                findings.push(Finding::new(
                    "repeated-capability",
                    Severity::Warning,
                    at(),
                    format!("{name} is listed twice"),
                    "remove one",
                ));
            } else if !is_capability(name) {
                findings.push(Finding::new(
                    "unknown-capability",
                    Severity::Warning,
                    at(),
                    format!("{name:?} is compared as it stands, and no capability in a pod has this name"),
                    capability_help(name),
                ));
            }
        }
    }
}

/// Whether runtimes know a capability by this name, in a pod: any case, and with or without `CAP_`.
#[must_use]
pub fn is_runtime_capability(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    upper == "ALL" || palisade_k8s::capability::is_known(bare)
}

fn is_capability(name: &str) -> bool {
    matches!(name, "*" | "ALL") || palisade_k8s::capability::is_known(name)
}

fn capability_help(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if bare == "ALL" {
        return "did you mean ALL?".to_owned();
    }
    suggestion(
        bare,
        palisade_k8s::capability::ALL.into_iter(),
        "use the kernel's name, in capitals and without CAP_",
    )
}

fn seccomp(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    let known = ["*", "unconfined", "runtime/default", "docker/default"];
    let profiles = SecurityContextConstraints::list(scc.seccomp_profiles.as_ref());
    for (index, profile) in profiles.iter().enumerate() {
        let at = FieldPath::of("seccompProfiles").index(index);
        let (message, help) = match profile.strip_prefix("localhost/") {
            Some(file) if file.contains('*') => (
                format!("{profile:?} is compared as it stands; only `*` alone is a pattern"),
                "name each profile".to_owned(),
            ),
            Some(file) if !file.is_empty() => continue,
            Some(_) => (format!("{profile:?} names no file"), "write localhost/FILE".to_owned()),
            None if known.contains(&profile.as_str()) => continue,
            None => (
                format!("unknown seccomp profile {profile:?}"),
                suggestion(profile, known.into_iter(), "use runtime/default, unconfined or localhost/FILE"),
            ),
        };
        findings.push(Finding::new("unknown-seccomp-profile", Severity::Warning, at, message, help));
    }
}

/// `anyuid`, with priority 10, is the only built-in one with a priority: any SCC beside or above it takes pods away
/// from the set.
fn priority(scc: &SecurityContextConstraints, findings: &mut Vec<Finding>) {
    if scc.metadata.name == "anyuid" {
        return;
    }
    if let Some(priority) = scc.priority.filter(|priority| *priority > 0) {
        findings.push(Finding::new(
            "priority",
            Severity::Warning,
            FieldPath::of("priority"),
            format!("priority {priority} puts it before every more restrictive SCC, for all who may use it"),
            "leave the priority out, or see with `palisade scc impact` which workloads it would take",
        ));
    }
}

/// `did you mean X?` if a candidate is similar, else `otherwise`.
pub fn suggestion<'n>(name: &str, candidates: impl Iterator<Item = &'n str>, otherwise: &str) -> String {
    let (most, wanted) = (1 + name.len() / 4, name.to_lowercase());
    // A candidate that is longer or shorter by more characters cannot be similar.
    let near = candidates.filter(|candidate| candidate.len().abs_diff(name.len()) <= most);
    let distance = |candidate: &str| edit_distance(&wanted, &candidate.to_lowercase());
    let nearest = near.map(|candidate| (distance(candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= most => format!("did you mean {candidate}?"),
        _ => otherwise.to_owned(),
    }
}

/// The Levenshtein distance: characters to insert, remove or replace. Long names are not compared.
fn edit_distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    if a.len() > LONGEST || b.len() > LONGEST {
        return LONGEST;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, letter_a) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, letter_b) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(letter_a != letter_b);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(object: Value) -> Vec<String> {
        let mut scc: SecurityContextConstraints = serde_json::from_value(object.clone()).unwrap();
        crate::default(&mut scc);
        lint(&scc, object.as_object()).iter().map(|f| format!("{} {}", f.path, f.rule)).collect()
    }

    #[test]
    fn finds_what_the_server_accepts() {
        let base = json!({"metadata": {"name": "x"}, "seLinuxContext": {"type": "RunAsAny"}, "volumes": ["secret"],
            "runAsUser": {"type": "RunAsAny"}});
        let with = |field: &str, value: Value| {
            let mut object = base.clone();
            object[field] = value;
            rules(object)
        };
        assert_eq!(rules(base.clone()), [""; 0]);
        assert_eq!(with("runAsUser", json!({"type": "MustRunAs"})), ["runAsUser must-run-as-without-uid"]);
        assert_eq!(
            with("runAsUser", json!({"type": "MustRunAsRange", "uidRangeMin": 1})),
            ["runAsUser half-uid-range"]
        );
        assert_eq!(
            with("runAsUser", json!({"type": "MustRunAsRange", "uidRangeMin": 2, "uidRangeMax": 1})),
            ["runAsUser.uidRangeMin reversed-uid-range"]
        );
        assert_eq!(
            with("runAsUser", json!({"type": "RunAsAny", "ranges": []})),
            ["runAsUser.ranges unknown-field"]
        );
        assert_eq!(with("users", json!(["system:serviceaccount:*:x"])), ["users[0] name-pattern"]);
        assert_eq!(with("users", json!(["system:authenticated"])), ["users[0] misplaced-name"]);
        assert_eq!(with("users", json!(["system:serviceaccount:x"])), ["users[0] misplaced-name"]);
        assert_eq!(with("groups", json!(["system:serviceaccount:a:b"])), ["groups[0] misplaced-name"]);
        assert_eq!(with("volumes", json!(["secret", "configmap"])), ["volumes[1] unknown-volume"]);
        assert_eq!(with("volumes", json!(["hostPath"])), ["volumes[0] host-path-without-flag"]);
        assert_eq!(
            with("requiredDropCapabilities", json!(["KILL", "KILL"])),
            ["requiredDropCapabilities[1] repeated-capability"]
        );
        for (name, help) in [
            ("All", "did you mean ALL?"),
            ("CAP_ALL", "did you mean ALL?"),
            ("net_raw", "did you mean NET_RAW?"),
        ] {
            assert_eq!(capability_help(name), help);
        }
        assert_eq!(
            with("allowedCapabilities", json!(["net_raw"])),
            ["allowedCapabilities[0] unknown-capability"]
        );
        for profile in ["localhost/*", "RuntimeDefault"] {
            let found = with("seccompProfiles", json!([profile]));
            assert!(found.contains(&"seccompProfiles[0] unknown-seccomp-profile".to_owned()), "{found:?}");
        }
        assert_eq!(with("groups", json!(["argo:scc"])), ["groups[0] misplaced-name"]);
        let found = with("userNamespaceLevel", json!("RequirePodlevel"));
        assert_eq!(found, ["userNamespaceLevel unknown-strategy"]);
        let found = with("seLinuxContext", json!({"type": "MayRunAs"}));
        assert_eq!(found, ["seLinuxContext.type unknown-strategy"]);
        let found = with("seLinux", json!({"rule": "RunAsAny"}));
        assert_eq!(found, ["seLinux unknown-field"]);
        assert_eq!(with("priority", json!(1)), ["priority priority"]);
        assert_eq!(with("allowHostPid", json!(true)), ["allowHostPid unknown-field"]);
    }

    #[test]
    fn suggests_the_nearest_name() {
        assert_eq!(
            suggestion("configmap", ["secret", "configMap"].into_iter(), "no"),
            "did you mean configMap?"
        );
        assert_eq!(suggestion("bogus", ["secret", "configMap"].into_iter(), "no"), "no");
        assert_eq!(capability_help("CAP_NET_RAWW"), "did you mean NET_RAW?");
        assert_eq!(edit_distance("kitten", "sitting"), 3);
    }
}
