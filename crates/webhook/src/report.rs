//! Reports of `openreports.io/v1alpha1`: one object for each namespace, of at most [`RESULTS`] results, the newest.
//!
//! Fields: `docs/api-docs.md` of openreports/reports-api. All replicas write into one object, each its own findings; a
//! change of timestamps alone is not written.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::finding::Finding;
use crate::mode::Mode;

/// The name of the report of a namespace.
pub(crate) const NAME: &str = "palisade-scc";
/// Maximum number of results in a report.
const RESULTS: usize = 100;
/// Maximum number of namespaces that wait for their report; further ones wait for their next finding.
const NAMESPACES: usize = 200;
/// Number of retries of a write that conflicts with another replica's.
const TRIES: usize = 3;

/// Findings that are in no report yet, by namespace; the newest of each subject and reason.
#[derive(Debug, Default)]
pub(crate) struct Reports(BTreeMap<String, BTreeMap<String, Value>>);

impl Reports {
    pub(crate) fn add(&mut self, finding: Finding) {
        if self.0.len() >= NAMESPACES && !self.0.contains_key(&finding.namespace) {
            return;
        }
        let result = result(&finding, Timestamp::now());
        let results = self.0.entry(finding.namespace).or_default();
        let key = key(&result);
        if results.len() < RESULTS || results.contains_key(&key) {
            results.insert(key, result);
        }
    }

    /// Takes all waiting findings.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (String, Vec<Value>)> + use<> {
        let waiting = std::mem::take(&mut self.0);
        waiting.into_iter().map(|(namespace, results)| (namespace, results.into_values().collect()))
    }
}

fn result(finding: &Finding, now: Timestamp) -> Value {
    let subject = &finding.subject;
    let mut resource = json!({"apiVersion": subject.api_version, "kind": subject.kind, "name": subject.name,
        "namespace": finding.namespace});
    if let (false, Some(resource)) = (subject.uid.is_empty(), resource.as_object_mut()) {
        resource.insert("uid".to_owned(), subject.uid.clone().into());
    }
    let (result, severity) = if finding.mode == Mode::Enforce { ("fail", "medium") } else { ("warn", "low") };
    json!({
        "policy": "securitycontextconstraints", "rule": finding.reason(), "category": "Pod security",
        "severity": severity, "result": result, "scored": finding.mode == Mode::Enforce, "message": finding.message,
        "timestamp": {"seconds": now.as_second(), "nanos": 0}, "resources": [resource],
    })
}

/// The parts that two results for the same pods share.
fn key(result: &Value) -> String {
    let at = |pointer: &str| result.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!(
        "{} {} {} {}",
        at("/resources/0/apiVersion"),
        at("/resources/0/kind"),
        at("/resources/0/name"),
        at("/rule")
    )
}

/// The results of a report with new ones, newest first; `None` if they would be the same.
fn merged(known: &[Value], new: &[Value]) -> Option<Vec<Value>> {
    let by_key = |results: &[Value]| -> BTreeMap<String, Value> {
        results.iter().map(|result| (key(result), result.clone())).collect()
    };
    let without_time = |result: &Value| {
        let mut result = result.clone();
        result.as_object_mut().map(|result| result.remove("timestamp"));
        result
    };
    let mut all = by_key(known);
    let is_new = |(key, result): (&String, &Value)| {
        all.get(key).is_none_or(|known| without_time(known) != without_time(result))
    };
    let new = by_key(new);
    if !new.iter().any(is_new) {
        return None;
    }
    all.extend(new);
    let mut results: Vec<Value> = all.into_values().collect();
    let time =
        |result: &Value| result.pointer("/timestamp/seconds").and_then(Value::as_i64).unwrap_or_default();
    results.sort_by_key(|result| std::cmp::Reverse(time(result)));
    results.truncate(RESULTS);
    Some(results)
}

/// Writes new results into the report of a namespace.
pub(crate) async fn write(client: &Client, namespace: &str, new: Vec<Value>) -> Result<(), kube::Error> {
    let resource = ApiResource {
        group: "openreports.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "openreports.io/v1alpha1".to_owned(),
        kind: "Report".to_owned(),
        plural: "reports".to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    for left in (0..TRIES).rev() {
        let known = api.get_opt(NAME).await?;
        let results = known.as_ref().and_then(|known| known.data.get("results")?.as_array().cloned());
        let Some(results) = merged(&results.unwrap_or_default(), &new) else { return Ok(()) };
        let written = match known {
            Some(mut report) => {
                report.data = content(&results);
                api.replace(NAME, &PostParams::default(), &report).await
            }
            None => {
                let report = DynamicObject::new(NAME, &resource).within(namespace).data(content(&results));
                api.create(&PostParams::default(), &report).await
            }
        };
        match written {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 && left > 0 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn content(results: &[Value]) -> Value {
    let count =
        |of: &str| results.iter().filter(|result| result.get("result").is_some_and(|is| is == of)).count();
    json!({
        "source": "palisade",
        "configuration": {"limits": {"maxResults": RESULTS}},
        "summary": {"pass": 0, "fail": count("fail"), "warn": count("warn"), "error": 0, "skip": 0},
        "results": results,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Subject;

    fn finding(namespace: &str, name: &str, message: &str) -> Finding {
        let subject = Subject { kind: "ReplicaSet".to_owned(), name: name.to_owned(), ..Subject::default() };
        Finding { namespace: namespace.to_owned(), mode: Mode::Warn, subject, message: message.to_owned() }
    }

    #[test]
    fn a_report_has_the_newest_results_and_no_more_than_its_limit() {
        let at = |name: &str, second: i64| {
            result(&finding("shop", name, "no"), Timestamp::from_second(second).unwrap())
        };
        let known: Vec<Value> = (0..RESULTS).map(|index| at(&format!("w{index}"), 1)).collect();
        assert_eq!(merged(&known, &[at("w0", 2)]), None, "only the time has changed");
        let results = merged(&known, &[at("new", 2)]).unwrap();
        assert_eq!((results.len(), &results[0]["resources"][0]["name"]), (RESULTS, &json!("new")));
        assert_eq!(content(&results)["summary"]["warn"], RESULTS);
        let mut other = at("w1", 3);
        other["message"] = json!("other");
        assert_eq!(merged(&known, &[other.clone()]).unwrap()[0], other);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut reports = Reports::default();
        for index in 0..2 * RESULTS {
            reports.add(finding("shop", &format!("w{index}"), "no"));
        }
        for index in 0..2 * NAMESPACES {
            reports.add(finding(&format!("n{index}"), "w", "no"));
        }
        let waiting: Vec<_> = reports.take().collect();
        assert_eq!(waiting.len(), NAMESPACES);
        assert!(waiting.iter().all(|(_, results)| results.len() <= RESULTS));
        assert_eq!(reports.take().count(), 0);
    }
}
