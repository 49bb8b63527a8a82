//! Lint of several SCCs together.

use palisade_k8s::{FieldPath, SecurityContextConstraints};

use super::{Finding, Severity};
use crate::{Rank, diff};

/// Maximum number of SCCs that are compared with one another.
const MAX_COMPARED: usize = 100;

/// SCCs that equal another, or that no pod ever gets because another is evaluated first and permits as much to the same
/// users; each finding with the index of its SCC in the list. All are defaulted.
#[must_use]
pub fn lint_set(sccs: &[SecurityContextConstraints]) -> Vec<(usize, Finding)> {
    let mut found = Vec::new();
    for (place, scc) in sccs.iter().enumerate().take(MAX_COMPARED) {
        let others = sccs.iter().take(MAX_COMPARED).enumerate().filter(|(other, _)| *other != place);
        let first = others.filter_map(|(_, other)| shadow(scc, other)).next();
        found.extend(first.map(|finding| (place, finding)));
    }
    found
}

fn shadow(scc: &SecurityContextConstraints, other: &SecurityContextConstraints) -> Option<Finding> {
    if scc.metadata.name == other.metadata.name || Rank::of(other) > Rank::of(scc) {
        return None;
    }
    let differences = diff(scc, other);
    let is_grant = |field: &str| matches!(field, "users" | "groups" | "priority");
    let permits_more = differences.iter().any(|d| !is_grant(d.field) && d.only_a.is_some());
    let used_by_more =
        differences.iter().any(|d| matches!(d.field, "users" | "groups") && d.only_a.is_some());
    if permits_more || used_by_more {
        return None;
    }
    let equals = !differences.iter().any(|d| !is_grant(d.field) && d.only_b.is_some());
    let name = &other.metadata.name;
    let (rule, message) = match equals {
        true => ("equals-another", format!("it permits the same as {name}, which is tried first")),
        false => (
            "shadowed",
            format!("{name} is tried first and permits all that it does: whoever may use both never gets it"),
        ),
    };
    let help = "remove one, or grant them to different accounts";
    Some(Finding::new(rule, Severity::Warning, FieldPath::of("metadata.name"), message, help))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equals_and_shadows_are_told() {
        let scc = |name: &str, more: serde_json::Value| {
            let mut object = json!({"metadata": {"name": name}, "runAsUser": {"type": "RunAsAny"},
                "seLinuxContext": {"type": "RunAsAny"}, "volumes": ["secret"]});
            for (key, value) in more.as_object().unwrap() {
                object[key] = value.clone();
            }
            let mut scc: SecurityContextConstraints = serde_json::from_value(object).unwrap();
            crate::default(&mut scc);
            scc
        };
        let rules = |sccs: &[SecurityContextConstraints]| -> Vec<(usize, &'static str)> {
            lint_set(sccs).into_iter().map(|(place, finding)| (place, finding.rule)).collect()
        };
        assert_eq!(rules(&[scc("a", json!({})), scc("b", json!({}))]), [(1, "equals-another")]);
        let wide = scc("wide", json!({"priority": 5, "allowHostPID": true}));
        assert_eq!(rules(&[wide.clone(), scc("b", json!({}))]), [(1, "shadowed")]);
        assert_eq!(rules(&[wide, scc("b", json!({"users": ["ann"]}))]), []);
        assert_eq!(
            rules(&[scc("a", json!({"allowHostPID": true})), scc("b", json!({"allowHostIPC": true}))]),
            []
        );
    }
}
