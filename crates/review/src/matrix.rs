//! The page of a review: a table of SCCs by workload, and the reasons.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::after::By;
use crate::page::Page;
use crate::report::{Report, StepReport, Verdict};
use crate::subject::Subject;

/// The page of reports, each of the subject at its index.
#[must_use]
pub fn matrix(reports: &[Report], subjects: &[Subject]) -> Page {
    let mut sccs: Vec<&str> = Vec::new();
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    for step in reports.iter().flat_map(|report| &report.trace) {
        place.entry(&step.scc).or_insert_with(|| {
            sccs.push(&step.scc);
            sccs.len() - 1
        });
    }
    let count = |verdict| reports.iter().filter(|report| report.verdict == verdict).count();
    let items: Vec<Value> = (1..)
        .zip(reports.iter().zip(subjects))
        .map(|(number, (report, subject))| item(number, report, subject, &sccs))
        .collect();
    let content = json!({
        "sccs": sccs, "items": items, "admitted": count(Verdict::Admitted), "refused": count(Verdict::Refused),
        "notes": notes(reports, subjects),
    });
    Page::new("review.html", "SCC review", content)
}

fn item(number: usize, report: &Report, subject: &Subject, sccs: &[&str]) -> Value {
    let reasons = reasons(report, subject.kind.template);
    let steps: BTreeMap<&str, &StepReport> =
        report.trace.iter().map(|step| (step.scc.as_str(), step)).collect();
    let cells: Vec<Value> =
        sccs.iter().map(|scc| cell(number, report, steps.get(scc).copied(), &reasons)).collect();
    let (class, verdict) = match (report.verdict, &report.scc) {
        (Verdict::Refused, _) => ("n", "✗ refused".to_owned()),
        (Verdict::Exempt, _) => ("s", "not subject to SCC".to_owned()),
        (Verdict::Admitted, scc) => ("y", format!("✓ {}", scc.as_deref().unwrap_or_default())),
    };
    let chosen = report.scc.as_deref().and_then(|scc| steps.get(scc));
    let sets = chosen.map(|step| {
        let short = step.changes.iter().map(|path| of_pod(path, subject.kind.template));
        short.collect::<Vec<_>>().join(", ")
    });
    // The missing SCC is what the whole page shows.
    let message = report.refusal.as_ref().filter(|refusal| refusal.by != By::Scc || reasons.is_empty());
    let listed = reasons.iter().map(|(text, sccs)| json!({"text": text, "sccs": sccs.join(", ")}));
    json!({
        "title": subject.title(), "namespace": report.namespace, "cells": cells, "class": class, "verdict": verdict,
        "is_refused": report.verdict == Verdict::Refused, "place": format!("{}:{}", report.file, report.line),
        "account": report.service_account, "level": report.pod_security, "sets": sets,
        "message": message.map(|refusal| &refusal.message), "advice": advice(report),
        "reasons": listed.collect::<Vec<_>>(),
    })
}

/// A path of the workload as one of its pod.
fn of_pod<'p>(path: &'p str, template: &str) -> &'p str {
    path.strip_prefix(template).map_or(path, |rest| rest.trim_start_matches('.'))
}

fn cell(number: usize, report: &Report, step: Option<&StepReport>, reasons: &[Why<'_>]) -> Value {
    let Some(step) = step else { return json!({"class": "", "text": "", "to": ""}) };
    let usable = step.user.is_some() || step.service_account.is_some();
    let own = (1..).zip(reasons).filter(|(_, (_, sccs))| sccs.contains(&step.scc.as_str()));
    let own: Vec<String> = own.map(|(number, _)| format!(" {number}")).collect();
    let (class, text) = match step.outcome {
        "admits" => ("y", "✓".to_owned()),
        "refuses" => ("n", format!("✗{}", own.concat())),
        _ => ("s", format!("–{}", own.concat())),
    };
    let chosen = report.scc.as_deref() == Some(step.scc.as_str());
    let class = if chosen { "c" } else { class };
    let to = if own.is_empty() { String::new() } else { format!("w{number}") };
    json!({"class": class, "text": if usable { text } else { format!("({text})") }, "to": to})
}

/// The violations, each with its SCCs.
type Why<'r> = (String, Vec<&'r str>);

fn reasons<'r>(report: &'r Report, template: &str) -> Vec<Why<'r>> {
    let mut found: Vec<Why<'r>> = Vec::new();
    for step in &report.trace {
        for error in &step.errors {
            let separator = if error.field.is_empty() { "" } else { ": " };
            let text = format!("{}{separator}{}", of_pod(&error.field, template), error.message);
            match found.iter_mut().find(|(other, _)| *other == text) {
                Some((_, sccs)) => sccs.push(&step.scc),
                None => found.push((text, vec![&step.scc])),
            }
        }
    }
    found
}

/// Each note once, with the workloads if there are few.
fn notes(reports: &[Report], subjects: &[Subject]) -> Vec<String> {
    let mut by_note: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (report, subject) in reports.iter().zip(subjects) {
        report.notes.iter().for_each(|note| by_note.entry(note).or_default().push(subject.title()));
    }
    let words = by_note.into_iter().map(|(note, titles)| match titles.len() {
        1..=3 => format!("{}: {note}", titles.join(", ")),
        count => format!("{count} workloads: {note}"),
    });
    words.collect()
}

fn advice(report: &Report) -> Vec<String> {
    let Some(refusal) = &report.refusal else { return Vec::new() };
    let advice = &refusal.advice;
    let edits = match (&advice.edits_for, advice.edits.is_empty()) {
        (Some(scc), false) => Some(format!("for {scc}: {}", advice.edits.join("; "))),
        _ => None,
    };
    let own = advice.own.as_ref().map(|_| "an SCC of its own: palisade scc generate".to_owned());
    let account = advice
        .accounts
        .first()
        .map(|account| format!("run it as {}: {} admits it", account.name, account.scc));
    [advice.label.clone(), edits, advice.grant.clone(), account, own].into_iter().flatten().collect()
}
