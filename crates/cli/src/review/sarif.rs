//! A review as SARIF 2.1.0, which code scanners read.

use serde_json::{Value, json};

use palisade_review::{ErrorReport, RefusalReport, Report};

const RULE: &str = "scc-refused";

/// The log: one result for each offending field, or for the workload if there is none.
pub(crate) fn log(reports: &[Report]) -> Value {
    let results: Vec<Value> = reports
        .iter()
        .filter_map(|report| report.refusal.as_ref().map(|refusal| (report, refusal)))
        .flat_map(|(report, refusal)| results(report, refusal))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "palisade",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [{
                    "id": RULE,
                    "shortDescription": {"text": "No SCC that may be used admits the pod"},
                    "defaultConfiguration": {"level": "error"},
                }],
            }},
            "results": results,
        }],
    })
}

fn results(report: &Report, refusal: &RefusalReport) -> Vec<Value> {
    let subject = format!("{} {}/{}", report.kind, report.namespace, report.name);
    if refusal.errors.is_empty() {
        let text = format!("{subject}: {}", refusal.message);
        return vec![result(&text, &report.file, report.line, report.column)];
    }
    let text = |error: &ErrorReport| {
        let scc = refusal.nearest.as_deref().unwrap_or_default();
        format!("{subject}, nearest SCC {scc}: {}: {}", error.field, error.message)
    };
    refusal.errors.iter().map(|error| result(&text(error), &error.file, error.line, error.column)).collect()
}

fn result(text: &str, file: &str, line: usize, column: usize) -> Value {
    json!({
        "ruleId": RULE,
        "level": "error",
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": file},
            "region": {"startLine": line.max(1), "startColumn": column.max(1)},
        }}],
    })
}
