//! ControllerRevisions: the forms that the template of a StatefulSet or a DaemonSet has had, by which it is rolled back
//! (`pkg/controller/history`).

use std::collections::HashSet;

use palisade_api::error::{ApiError, ApiResult, Reason};
use palisade_api::kind::{CONTROLLER_REVISIONS, text};
use palisade_k8s::put;
use serde_json::{Map, Value, json};

use crate::past::{self, PAST, PRESENT, Weights};
use crate::pods::{self, LETTERS, owned_by};
use crate::work::{Work, brief};

/// Names that are tried where others have the first ones.
const TRIES: i64 = 8;

/// How a kind of workloads names its revisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Naming {
    /// Label of a revision that has its hash.
    pub(crate) label: &'static str,
    /// The hash of what a revision holds, and of how many names were taken.
    pub(crate) hash: fn(&Value, i64) -> String,
}

/// The revisions of a workload, without their data.
#[derive(Debug)]
pub(crate) struct History {
    /// Revisions other than the newest, the oldest first.
    all: Vec<Value>,
    /// The revision of the present template, or the last one that there was room for.
    pub(crate) newest: Value,
    /// The template of the newest.
    pub(crate) template: Value,
    /// How many names were taken by others.
    pub(crate) collisions: i64,
    weights: Weights,
    /// Why the present template has no revision.
    pub(crate) refused: Option<Box<ApiError>>,
}

/// What a revision holds: a strategic merge patch that gives a workload its template.
fn data_of(work: &Work<'_>) -> Value {
    let mut template = work.object.pointer("/spec/template").cloned().unwrap_or_else(|| json!({}));
    put(&mut template, &["$patch"], "replace".into());
    json!({"spec": {"template": template}})
}

/// The template that a revision holds.
pub(crate) fn template_of(work: &Work<'_>, revision: &Value) -> ApiResult<Value> {
    let revision = work.cluster.get(&CONTROLLER_REVISIONS, work.namespace(), name(revision))?;
    let mut template = revision.pointer("/data/spec/template").cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = template.as_object_mut() {
        fields.shift_remove("$patch");
    }
    Ok(template)
}

/// What is looked at of a revision.
fn outline(revision: Value) -> Value {
    let number = number(&revision);
    let mut revision = brief(revision);
    put(&mut revision, &["revision"], number.into());
    revision
}

pub(crate) fn name(revision: &Value) -> &str {
    text(revision, "/metadata/name")
}

fn number(revision: &Value) -> i64 {
    revision.get("revision").and_then(Value::as_i64).unwrap_or_default()
}

impl History {
    /// Makes sure that the present template has the revision of the highest number: its own, if it had one before, or a
    /// new one.
    pub(crate) fn record(work: &Work<'_>, naming: Naming) -> ApiResult<Self> {
        let data = data_of(work);
        let (mut weights, mut same) = (Weights::default(), HashSet::new());
        let mut all = work.owned(CONTROLLER_REVISIONS.storage(), |revision| {
            weights.note(&revision);
            if revision.get("data") == Some(&data) {
                same.insert(name(&revision).to_owned());
            }
            outline(revision)
        })?;
        all.sort_by_cached_key(|revision| {
            let created = text(revision, "/metadata/creationTimestamp").to_owned();
            (number(revision), created, name(revision).to_owned())
        });
        let latest = all.last().map(number).unwrap_or_default();
        let same = all.iter().rposition(|revision| same.contains(name(revision)));
        let mut history = Self {
            all,
            newest: Value::Null,
            template: work.object.pointer("/spec/template").cloned().unwrap_or_else(|| json!({})),
            collisions: work.number("/status/collisionCount"),
            weights,
            refused: None,
        };
        match same {
            Some(at) => {
                let revision = history.all.remove(at);
                history.newest = renumbered(work, revision, latest, at == history.all.len())?;
            }
            None => match history.refusal(work) {
                None => history.begin(work, naming, &data, latest.saturating_add(1))?,
                full => history.go_back(work, full)?,
            },
        }
        Ok(history)
    }

    /// Why no further revision is made, if pods of too many are there.
    fn refusal(&self, work: &Work<'_>) -> Option<Box<ApiError>> {
        let held: usize = self.all.iter().map(|revision| self.weights.of(revision)).sum();
        (held > PAST + PRESENT).then(|| {
            let why = format!("the revisions whose pods are not gone yet hold {} MiB already", held >> 20);
            pods::tell(work, "Warning", "FailedCreate", &format!("Error creating: {why}"));
            ApiError::forbidden(&CONTROLLER_REVISIONS, work.name(), why)
        })
    }

    fn begin(&mut self, work: &Work<'_>, naming: Naming, data: &Value, number: i64) -> ApiResult<()> {
        let (made, collisions) = created(work, naming, data, (number, self.collisions))?;
        self.weights.note(&made);
        (self.newest, self.collisions) = (outline(made), collisions);
        Ok(())
    }

    /// Goes on with the last revision that there was room for.
    fn go_back(&mut self, work: &Work<'_>, refused: Option<Box<ApiError>>) -> ApiResult<()> {
        self.newest = self.all.pop().unwrap_or_default();
        self.template = template_of(work, &self.newest)?;
        self.refused = refused;
        Ok(())
    }

    /// A revision by its name.
    pub(crate) fn find(&self, wanted: &str) -> Option<&Value> {
        self.all.iter().chain([&self.newest]).find(|revision| name(revision) == wanted)
    }

    /// Deletes the oldest of the past revisions that nothing is of; some kinds count the others against the limit.
    pub(crate) fn trim(
        &self,
        work: &Work<'_>,
        is_idle: impl Fn(&Value) -> bool,
        counts_all: bool,
    ) -> ApiResult<()> {
        let idle: Vec<&Value> = self.all.iter().filter(|revision| is_idle(revision)).collect();
        let others = if counts_all { self.all.len() - idle.len() } else { 0 };
        let surplus = past::surplus(&idle, past::limit(work).saturating_sub(others), &self.weights);
        surplus.into_iter().try_for_each(|revision| work.delete(&CONTROLLER_REVISIONS, revision))
    }
}

/// A revision as the last of all, of which the highest number is given.
fn renumbered(work: &Work<'_>, revision: Value, latest: i64, is_last: bool) -> ApiResult<Value> {
    if is_last {
        return Ok(revision);
    }
    let write = |old: &Value| {
        let mut new = old.clone();
        put(&mut new, &["revision"], (latest.saturating_add(1)).into());
        new
    };
    work.change(&CONTROLLER_REVISIONS, name(&revision), "", write).map(outline)
}

/// A new revision, and how many names were taken by then.
fn created(
    work: &Work<'_>,
    naming: Naming,
    data: &Value,
    (number, collisions): (i64, i64),
) -> ApiResult<(Value, i64)> {
    let mut labels = match work.object.pointer("/spec/template/metadata/labels") {
        Some(Value::Object(labels)) => labels.clone(),
        _ => Map::new(),
    };
    let base = work.text("/metadata/name");
    let base = base.get(..base.floor_char_boundary(223)).unwrap_or_default();
    for collisions in collisions..collisions.saturating_add(TRIES) {
        let hash = (naming.hash)(data, collisions);
        let name = format!("{base}-{hash}");
        labels.insert(naming.label.to_owned(), hash.into());
        let revision = json!({"kind": "ControllerRevision", "apiVersion": "apps/v1", "data": data, "revision": number,
            "metadata": {"name": name, "namespace": work.namespace(), "labels": labels,
                "annotations": work.object.pointer("/metadata/annotations"), "ownerReferences": owned_by(work)}});
        match work.create(&CONTROLLER_REVISIONS, revision) {
            Err(error) if error.reason == Reason::AlreadyExists => {
                let there = work.cluster.get(&CONTROLLER_REVISIONS, work.namespace(), &name)?;
                if there.get("data") == Some(data) {
                    return Ok((there, collisions));
                }
            }
            result => return result.map(|made| (made, collisions)),
        }
    }
    Err(ApiError::exists(&CONTROLLER_REVISIONS, base))
}

/// The hash of a StatefulSet's revision, as `HashControllerRevision` makes it: 32 bits of FNV of the JSON that Go writes, in
/// letters that make no words.
pub(crate) fn fnv(data: &Value, collisions: i64) -> String {
    let mut text = String::new();
    write_sorted(data, &mut text);
    let bytes = text.bytes().chain(collisions.to_string().into_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| hash.wrapping_mul(0x0100_0193) ^ u32::from(byte));
    hash.to_string()
        .bytes()
        .filter_map(|digit| LETTERS.get(usize::from(digit) % LETTERS.len()))
        .map(|letter| char::from(*letter))
        .collect()
}

/// JSON with sorted names and without what could be HTML, as Go writes maps.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            let mut open = '{';
            for (name, value) in fields {
                text.push(open);
                write_sorted(&Value::String(name.clone()), text);
                text.push(':');
                write_sorted(value, text);
                open = ',';
            }
            text.push_str(if open == '{' { "{}" } else { "}" });
        }
        Value::Array(items) => {
            let mut open = '[';
            for item in items {
                text.push(open);
                write_sorted(item, text);
                open = ',';
            }
            text.push_str(if open == '[' { "[]" } else { "]" });
        }
        Value::String(_) => {
            for letter in value.to_string().chars() {
                match letter {
                    '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                        text.push_str(&format!("\\u{:04x}", u32::from(letter)));
                    }
                    other => text.push(other),
                }
            }
        }
        other => text.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, workload};

    /// A set with a template that is another for each number.
    fn set(kind: &str, at: usize, limit: &Value) -> Value {
        let (template, strategy) = (json!({"x": at}), json!({"type": "OnDelete"}));
        let spec = json!({"replicas": 0, "revisionHistoryLimit": limit, "template": template, "updateStrategy": strategy});
        workload(kind, &spec)
    }

    /// Revisions with so many bytes each, numbered from one.
    fn revisions(count: usize, size: usize) -> Vec<Value> {
        let revision = |at: usize| {
            json!({"metadata": {"name": format!("r{at}"), "labels": {"controller-revision-hash": at.to_string()}},
                "revision": at, "data": {"spec": {"template": {"y": "y".repeat(size)}}}})
        };
        (1..=count).map(revision).collect()
    }

    #[test]
    fn changes_in_a_loop_leave_as_many_revisions_as_are_wanted() {
        for (kind, more) in [("DaemonSet", 0), ("StatefulSet", 1)] {
            for (limit, left) in [(Value::Null, 11), (json!(2), 3), (json!(0), 1), (json!(i32::MAX), 40)] {
                let cluster = Fake::with(&[]);
                let mut current = Value::Null;
                for at in 0..40 {
                    let mut set = set(kind, at, &limit);
                    put(&mut set, &["status", "currentRevision"], current);
                    let (done, _, _, status) = cluster.sync(&set);
                    done.unwrap();
                    current = status.get("updateRevision").cloned().unwrap_or_default();
                }
                let numbers: Vec<i64> = cluster.revisions.borrow().iter().map(number).collect();
                // The one that a StatefulSet comes from is not of its past yet.
                let oldest = (41 - left - more).max(1);
                assert_eq!(numbers, (oldest..=40).collect::<Vec<_>>(), "{kind} {limit}");
            }
        }
    }

    #[test]
    fn the_past_is_bounded_by_weight() {
        // The number of revisions of a size, and how many of them are deleted.
        for (count, size, deleted) in [(3, 10, 0), (14, 8 << 20, 11), (3, 40 << 20, 2)] {
            for kind in ["DaemonSet", "StatefulSet"] {
                let cluster = Fake::with(&[]);
                *cluster.revisions.borrow_mut() = revisions(count, size);
                // Where there are too many for a new one, some of them go first.
                let done = cluster.sync(&set(kind, 0, &json!(i32::MAX))).0;
                assert_eq!(done.is_ok(), count * size <= PAST + PRESENT, "{kind} {count}");
                let (done, _, gone, _) = cluster.sync(&set(kind, 0, &json!(i32::MAX)));
                assert_eq!((done.is_ok(), gone), (true, deleted), "{kind} {count}");
                assert_eq!(cluster.revisions.borrow().last().map(number), Some(count as i64 + 1));
            }
        }
    }

    #[test]
    fn a_further_revision_waits_while_those_with_pods_hold_much() {
        for (with_pods, is_made) in [(8, true), (11, false)] {
            let mut pods = Vec::new();
            for at in 1..=with_pods {
                let mut pod = crate::fake::pod(&format!("p{at}"), "Running", 9);
                put(&mut pod, &["metadata", "labels", "controller-revision-hash"], at.to_string().into());
                put(&mut pod, &["spec", "nodeName"], format!("n{at}").into());
                pods.push(pod);
            }
            let nodes = (1..=with_pods + 1).map(|at| json!({"metadata": {"name": format!("n{at}")}}));
            let cluster = Fake { nodes: nodes.collect(), ..Fake::with(&pods) };
            *cluster.revisions.borrow_mut() = revisions(with_pods, 10 << 20);
            let (done, made, gone, status) = cluster.sync(&set("DaemonSet", 0, &json!(10)));
            assert_eq!((done.is_ok(), made, gone), (is_made, 1, 0), "{done:?}");
            assert_eq!(cluster.revisions.borrow().len(), with_pods + usize::from(is_made));
            assert_eq!(status["currentNumberScheduled"], with_pods + 1);
            let last = with_pods.to_string();
            // Without a revision of its own the pod is of the last one that there is.
            let created = cluster.created.borrow();
            let pod = created.iter().find(|object| object["kind"] == "Pod").unwrap();
            let is_last =
                pod["metadata"]["labels"]["controller-revision-hash"].as_str() == Some(last.as_str());
            assert_eq!(is_last, !is_made);
        }
    }

    #[test]
    fn json_is_as_go_writes_it() {
        let mut text = String::new();
        write_sorted(&json!({"b": ["<a>", {}, []], "a": {"d": null, "c": 1.5}}), &mut text);
        assert_eq!(text, r#"{"a":{"c":1.5,"d":null},"b":["\u003ca\u003e",{},[]]}"#);
    }

    #[test]
    fn hashes_are_fnv_in_letters() {
        // FNV-1 of `""0` is 3707469583.
        assert_eq!(fnv(&json!(""), 0), "7c4c8bf9d7");
        assert_ne!(fnv(&json!(""), 1), "7c4c8bf9d7");
    }
}
