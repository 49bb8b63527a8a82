//! Pods of a workload: created from its template and grouped by state, and the reports of refused pods.

use jiff::Timestamp;
use palisade_k8s::put;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::work::Work;
use palisade_api::error::{ApiError, ApiResult, Reason};
use palisade_api::kind::{self, text};

/// Whether a pod has a condition.
pub(crate) fn has_condition(pod: &Value, kind: &str) -> bool {
    condition(pod, kind).is_some_and(|condition| text(condition, "/status") == "True")
}

/// A condition of a status.
pub(crate) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| text(condition, "/type") == kind)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    has_condition(pod, "Ready") && !is_leaving(pod)
}

pub(crate) fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod counts: it is neither over nor on its way out.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_over(pod) && !is_leaving(pod)
}

/// Whether a pod has been ready for as long as its workload asks for.
pub(crate) fn is_available(work: &Work<'_>, pod: &Value, seconds: i64) -> bool {
    if !is_ready(pod) {
        return false;
    }
    let since = condition(pod, "Ready").map(|ready| text(ready, "/lastTransitionTime")).unwrap_or_default();
    let since: Option<Timestamp> = since.parse().ok();
    seconds == 0 || since.is_some_and(|since| work.clock().as_second() - since.as_second() >= seconds)
}

/// Letters that make no words (`k8s.io/apimachinery/pkg/util/rand`).
pub(crate) const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Letters by which the forms of a template are told apart.
pub(crate) fn hash_of(template: &Value, collisions: i64) -> String {
    let digest = Sha256::digest(format!("{template}{collisions}"));
    let letters = digest.iter().take(10).filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()));
    letters.map(|letter| char::from(*letter)).collect()
}

/// A reference to what controls an object.
pub(crate) fn owned_by(work: &Work<'_>) -> Value {
    json!([{"apiVersion": work.resource.api_version(), "kind": work.resource.kind(), "name": work.name(),
            "uid": work.text("/metadata/uid"), "controller": true, "blockOwnerDeletion": true}])
}

/// The pod that a workload's template makes; it has no name yet.
pub(crate) fn of_template(work: &Work<'_>) -> Value {
    made_of(work, work.object.pointer("/spec/template").unwrap_or(&Value::Null))
}

/// The pod that a template makes for a workload.
pub(crate) fn made_of(work: &Work<'_>, template: &Value) -> Value {
    let mut metadata = Map::new();
    for name in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{name}")) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    metadata.insert("ownerReferences".to_owned(), owned_by(work));
    let spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec})
}

/// Gives a pod the beginning of a name.
pub(crate) fn named_after(work: &Work<'_>, mut pod: Value) -> Value {
    put(&mut pod, &["metadata", "generateName"], format!("{}-", work.name()).into());
    pod
}

/// Pods that are created of one workload before others are looked at.
pub(crate) const BURST: i64 = 100;

/// Creates pods until one is refused: first one, then twice as many each time, so that what is refused is refused once.
pub(crate) fn create_many(
    work: &Work<'_>,
    count: i64,
    pod: impl Fn() -> Value,
) -> (i64, Option<Box<ApiError>>) {
    let mut created = 0;
    for _ in 0..count.min(BURST) {
        match create(work, pod()) {
            Ok(_) => created += 1,
            Err(error) => return (created, Some(error)),
        }
    }
    (created, None)
}

/// Creates a pod; what stands in its way is said in an event of the workload.
pub(crate) fn create(work: &Work<'_>, pod: Value) -> ApiResult<Value> {
    create_as(work, pod, "")
}

/// The same, with words for its success.
pub(crate) fn create_as(work: &Work<'_>, pod: Value, words: &str) -> ApiResult<Value> {
    let created = work.create(&kind::PODS, pod);
    match &created {
        Ok(_) if !words.is_empty() => tell(work, "Normal", "SuccessfulCreate", words),
        Ok(pod) => {
            tell(work, "Normal", "SuccessfulCreate", &format!("Created pod: {}", text(pod, "/metadata/name")))
        }
        // A namespace that goes away takes its workloads with it.
        Err(error) if error.reason == Reason::NotFound => {}
        Err(error) => tell(work, "Warning", "FailedCreate", &format!("Error creating: {}", error.message)),
    }
    created
}

/// Length of an event's message, in bytes.
const MESSAGE: usize = 1024;

/// Says something in an event of a workload; the same again counts in the same event.
pub(crate) fn tell(work: &Work<'_>, kind: &str, reason: &str, message: &str) {
    let message = message.get(..message.floor_char_boundary(MESSAGE)).unwrap_or_default();
    let Some(events) = kind::find("", "events") else { return };
    let digest = Sha256::digest(format!("{}{reason}{message}", work.text("/metadata/uid")));
    let suffix: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let base: String = work.name().chars().take(200).collect();
    let (name, now) = (format!("{base}.{suffix}"), work.now());
    let source = work.account.trim_start_matches("kube-");
    let event = json!({
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": name, "namespace": work.namespace()},
        "involvedObject": {"kind": work.resource.kind(), "apiVersion": work.resource.api_version(), "name": work.name(),
            "namespace": work.namespace(), "uid": work.text("/metadata/uid")},
        "type": kind, "reason": reason, "message": message, "count": 1, "firstTimestamp": now, "lastTimestamp": now,
        "source": {"component": source}, "reportingComponent": source, "reportingInstance": "",
    });
    let again = |old: &Value| {
        let count = old.get("count").and_then(Value::as_i64).unwrap_or_default();
        let mut new = old.clone();
        put(&mut new, &["count"], (count + 1).into());
        put(&mut new, &["lastTimestamp"], now.clone().into());
        new
    };
    let told = match work.create(events, event) {
        Err(error) if error.reason == Reason::AlreadyExists => work.change(events, &name, "", again),
        told => told,
    };
    if let Err(error) = told {
        tracing::debug!("event {name}: {}", error.message);
    }
}

/// Sets a condition, or takes it away. One that is as it was keeps its place, so that the status is as it was; another comes
/// last.
pub(crate) fn set_condition(
    work: &Work<'_>,
    status: &mut Value,
    kind: &str,
    set: Option<(&str, &str, &str)>,
) {
    let mut all = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let new = set.map(|set| new_condition(work, kind, set));
    if new.as_ref().is_none_or(|new| !all.contains(new)) {
        all.retain(|one| text(one, "/type") != kind);
        all.extend(new);
    }
    match all.is_empty() {
        true => drop(status.as_object_mut().and_then(|status| status.shift_remove("conditions"))),
        false => put(status, &["conditions"], all.into()),
    }
}

/// A condition with the times of the last changes of its status and of its words.
fn new_condition(work: &Work<'_>, kind: &str, (holds, reason, message): (&str, &str, &str)) -> Value {
    let old = condition(&work.object, kind);
    let is_same = old.is_some_and(|old| text(old, "/status") == holds);
    let says_same =
        old.is_some_and(|old| is_same && text(old, "/reason") == reason && text(old, "/message") == message);
    let kept = |field: &str, is_kept: bool| match old {
        Some(old) if is_kept => text(old, field).to_owned(),
        _ => work.now(),
    };
    let mut condition = json!({"type": kind, "status": holds});
    if text(&work.object, "/kind") == "Deployment" {
        put(&mut condition, &["lastUpdateTime"], kept("/lastUpdateTime", says_same).into());
    }
    put(&mut condition, &["lastTransitionTime"], kept("/lastTransitionTime", is_same).into());
    put(&mut condition, &["reason"], reason.into());
    put(&mut condition, &["message"], message.into());
    condition
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, workload};

    #[test]
    fn a_condition_that_is_as_it_was_keeps_its_place() {
        let then = "2026-01-01T00:00:00Z";
        let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "lastTransitionTime": then, "reason": reason, "message": "m"});
        let (a, b) = (condition("A", "r"), condition("B", "r"));
        let cases = [
            (Some(("True", "r", "m")), json!([a, b])),
            (Some(("True", "new", "m")), json!([b, condition("A", "new")])),
            (None, json!([b])),
        ];
        let cluster = Fake::default();
        for (set, expected) in cases {
            let mut object = workload("ReplicaSet", &json!({}));
            object["status"]["conditions"] = json!([a, b]);
            let mut status = object["status"].clone();
            let resource = kind::of_storage("apps/replicasets").unwrap();
            let work = Work { cluster: &cluster, resource, account: "replicaset-controller", object };
            set_condition(&work, &mut status, "A", set);
            assert_eq!(status["conditions"], expected, "{set:?}");
        }
    }
}
