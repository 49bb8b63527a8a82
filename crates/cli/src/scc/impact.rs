//! `palisade scc impact`.

use std::io::Write;

use palisade_admission::Policy;
use palisade_k8s::scc::annotation::{SUBJECT_TYPE, VALIDATED_SCC};
use serde_json::{Map, Value};

use crate::args::ImpactArgs;
use crate::exit::Exit;
use crate::review::{Options, Report, Subject, Surroundings, Verdict, assume_namespaces, subjects};
use crate::{files, paint, policy};

/// The annotations in which an admission records its result.
const RESULT: [&str; 2] = [VALIDATED_SCC, SUBJECT_TYPE];

pub(crate) fn run(args: &ImpactArgs) -> crate::Outcome {
    let documents = files::read(&args.files)?;
    let options = Options { namespace: args.namespace.as_deref(), ..Options::default() };
    let subjects = subjects(&documents, &options)?;
    let (mut old, mut around) = policy::load_with_documents(&args.policy)?;
    policy::add_surroundings(&mut old, &documents)?;
    around.extend(documents.iter().cloned());
    assume_namespaces(&mut old, &subjects);
    let mut new = old.clone();
    let with = files::read(&args.with)?;
    policy::add_layer(&mut new, &with)?;
    let before = Surroundings::new(&around);
    around.extend(with);
    report(&subjects, (&old.build(), &before), (&new.build(), &Surroundings::new(&around)))
}

/// Policy, and what stands beside it.
type Whole<'a> = (&'a Policy, &'a Surroundings);

fn report(subjects: &[Subject], old: Whole<'_>, new: Whole<'_>) -> crate::Outcome {
    let mut out = palisade_console::terminal::out();
    let mut moved = 0;
    for subject in subjects {
        let (before, after) = (Report::new(old.0, old.1, subject), Report::new(new.0, new.1, subject));
        let changes = pod_changes(before.pod.as_ref(), after.pod.as_ref());
        if (before.verdict, &before.scc) == (after.verdict, &after.scc) && changes.is_empty() {
            continue;
        }
        moved += 1;
        let title = paint::strong(subject.title());
        writeln!(out, "{title} in {}: {} -> {}", subject.namespace, verdict(&before), verdict(&after))?;
        for error in after.refusal.iter().flat_map(|refusal| &refusal.errors) {
            writeln!(
                out,
                "  {}:{}:{}: {}: {}",
                error.file, error.line, error.column, error.field, error.message
            )?;
        }
        for change in &changes {
            writeln!(out, "  {change}")?;
        }
        if let (Some(from), Some(to)) = (before.pod_security, after.pod_security)
            && from != to
        {
            writeln!(out, "  Pod Security: {from} -> {to}")?;
        }
    }
    writeln!(out, "{moved} of {} workloads move or change", subjects.len())?;
    Ok(if moved > 0 { Exit::Findings } else { Exit::Fine })
}

/// The differences between the two resulting pods, one line a field; none where one of them is refused.
fn pod_changes(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        compare("", before, after, &mut found);
    }
    found
}

/// Annotations that say which SCC it was differ wherever the SCC does.
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
