//! The impact of a change of the policy: workloads by the SCC that admits them before and after.

use palisade_admission::Policy;
use palisade_k8s::scc::annotation::{SUBJECT_TYPE, VALIDATED_SCC};
use serde_json::{Map, Value};

use crate::page::{Page, changes};
use crate::report::{Report, Verdict};
use crate::subject::Subject;
use crate::surroundings::Surroundings;

/// The annotations in which an admission records its result.
const RESULT: [&str; 2] = [VALIDATED_SCC, SUBJECT_TYPE];

/// Policy, and the other objects of the inputs.
pub type Whole<'a> = (&'a Policy, &'a Surroundings);

/// A workload for which the change makes a difference.
#[derive(Debug)]
pub struct Move {
    /// Kind and name.
    pub title: String,
    /// Its namespace.
    pub namespace: String,
    /// The SCC that admits it before, or the absence of one.
    pub before: String,
    /// The same after.
    pub after: String,
    /// The reason of a refusal, the differences in the pod, and its Pod Security levels.
    pub lines: Vec<String>,
}

/// The workloads for which a change of the policy makes a difference.
#[must_use]
pub fn impact(subjects: &[Subject], old: Whole<'_>, new: Whole<'_>) -> Vec<Move> {
    subjects.iter().filter_map(|subject| one(subject, old, new)).collect()
}

fn one(subject: &Subject, old: Whole<'_>, new: Whole<'_>) -> Option<Move> {
    let (before, after) = (Report::new(old.0, old.1, subject), Report::new(new.0, new.1, subject));
    let changes = pod_changes(before.pod.as_ref(), after.pod.as_ref());
    if (before.verdict, &before.scc) == (after.verdict, &after.scc) && changes.is_empty() {
        return None;
    }
    let errors = after.refusal.iter().flat_map(|refusal| &refusal.errors);
    let mut lines: Vec<String> = errors
        .map(|error| {
            format!("{}:{}:{}: {}: {}", error.file, error.line, error.column, error.field, error.message)
        })
        .collect();
    lines.extend(changes);
    if let (Some(from), Some(to)) = (before.pod_security, after.pod_security)
        && from != to
    {
        lines.push(format!("Pod Security: {from} -> {to}"));
    }
    Some(Move {
        title: subject.title(),
        namespace: subject.namespace.clone(),
        before: verdict(&before),
        after: verdict(&after),
        lines,
    })
}

/// The page of an impact on this number of workloads.
#[must_use]
pub fn impact_page(moves: &[Move], of: usize) -> Page {
    let summary = format!("{} of {of} workloads move or change.", moves.len());
    let row = |found: &Move| {
        let Move { title, namespace, before, after, lines } = found;
        [format!("{title} in {namespace}"), format!("{before} → {after}"), lines.join("\n")]
    };
    let columns = ["Workload", "Before → after", "What changes"];
    changes("SCC impact", &summary, columns, moves.iter().map(row).collect())
}

/// The differences between the two resulting pods, one line for each field; empty if one of them is refused.
#[must_use]
pub fn pod_changes(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        compare("", before, after, &mut found);
    }
    found
}

/// Annotations with the SCC's name differ whenever the SCC does.
fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added).filter(|key| !RESULT.contains(&key.as_str())) {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                compare(&inner, &value(a), &value(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let show = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
            found.push(format!("{path}: {} -> {}", show(a), show(b)));
        }
    }
}

fn verdict(report: &Report) -> String {
    match (report.verdict, &report.scc) {
        (Verdict::Refused, _) => "refused".to_owned(),
        (_, Some(scc)) => scc.clone(),
        (_, None) => "not subject to SCC".to_owned(),
    }
}
