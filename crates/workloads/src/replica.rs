//! ReplicaSets and ReplicationControllers: the desired number of pods of one template.

use std::collections::HashSet;
use std::time::Duration;

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{
    self, create_many, is_active, is_available, is_leaving, is_over, is_ready, named_after, of_template,
    set_condition,
};
use crate::work::{Work, brief};
use palisade_api::error::ApiResult;
use palisade_api::kind::{PODS, text};

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let mut labelled = HashSet::new();
    let all = work.owned("pods", |pod| {
        if has_all_labels(work, &pod) {
            labelled.insert(text(&pod, "/metadata/name").to_owned());
        }
        brief(pod)
    })?;
    let mut active: Vec<&Value> = all.iter().filter(|pod| is_active(pod)).collect();
    let (wanted, have) = (work.number("/spec/replicas"), active.len() as i64);
    let (mut created, mut refused) = (0, None);
    if have < wanted {
        (created, refused) = create_many(work, wanted - have, || named_after(work, of_template(work)));
    }
    if have > wanted {
        active.sort_by_key(|pod| rank(pod));
        let surplus = usize::try_from(have - wanted).unwrap_or_default();
        for pod in active.drain(..surplus) {
            work.delete(&PODS, pod)?;
            pods::tell(
                work,
                "Normal",
                "SuccessfulDelete",
                &format!("Deleted pod: {}", text(pod, "/metadata/name")),
            );
        }
    }
    let least = work.number("/spec/minReadySeconds");
    let is_labelled = |pod: &Value| labelled.contains(text(pod, "/metadata/name"));
    let refusal = refused.as_ref().map(|error| error.message.as_str());
    let mut status = status(work, &active, (created, least), &is_labelled, refusal);
    if work.resource.kind() == "ReplicaSet" {
        let leaving = all.iter().filter(|pod| is_leaving(pod) && !is_over(pod)).count();
        put(&mut status, &["terminatingReplicas"], leaving.into());
    }
    work.say(&status)?;
    if let Some(error) = refused {
        return Err(error);
    }
    let waits = active.iter().any(|pod| is_ready(pod) && !is_available(work, pod, least));
    Ok(if waits { Next::After(Duration::from_secs(1)) } else { Next::Nothing })
}

/// The order in which pods go: those without a node, those that are not ready, the youngest.
fn rank(pod: &Value) -> (bool, bool, std::cmp::Reverse<String>) {
    let created = text(pod, "/metadata/creationTimestamp").to_owned();
    (!text(pod, "/spec/nodeName").is_empty(), is_ready(pod), std::cmp::Reverse(created))
}

/// Whether a pod has all labels of the template.
fn has_all_labels(work: &Work<'_>, pod: &Value) -> bool {
    let wanted = work.object.pointer("/spec/template/metadata/labels").and_then(Value::as_object);
    let labels = pod.pointer("/metadata/labels");
    let mut wanted = wanted.into_iter().flatten();
    wanted.all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

fn status(
    work: &Work<'_>,
    active: &[&Value],
    (created, least): (i64, i64),
    is_labelled: &dyn Fn(&Value) -> bool,
    refused: Option<&str>,
) -> Value {
    let count = |is: &dyn Fn(&Value) -> bool| active.iter().filter(|pod| is(pod)).count() as i64;
    let mut status = json!({"replicas": active.len() as i64 + created});
    let numbers = [
        ("fullyLabeledReplicas", count(is_labelled) + created),
        ("readyReplicas", count(&is_ready)),
        ("availableReplicas", count(&|pod| is_available(work, pod, least))),
        ("observedGeneration", work.number("/metadata/generation")),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        put(&mut status, &[field], number.into());
    }
    let failure = refused.map(|message| ("True", "FailedCreate", message));
    set_condition(work, &mut status, "ReplicaFailure", failure);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, pod, workload};

    #[test]
    fn there_are_as_many_pods_as_are_wanted() {
        let running = |count: usize| -> Vec<Value> {
            (0..count).map(|at| pod(&format!("p{at}"), "Running", 60)).collect()
        };
        let over = [running(1), vec![pod("a", "Succeeded", 1), pod("b", "Failed", 1)]].concat();
        // Wanted, what there is, the pods made and deleted.
        let cases = [
            (0, vec![], 0, 0),
            (3, vec![], 3, 0),
            (3, running(2), 1, 0),
            (2, running(2), 0, 0),
            (1, running(3), 0, 2),
            (2, over, 1, 0),
        ];
        for (wanted, pods, made, deleted) in cases {
            let cluster = Fake::with(&pods);
            let set = workload("ReplicaSet", &json!({"replicas": wanted, "template": {"spec": {}}}));
            let (next, created, gone, status) = cluster.sync(&set);
            assert_eq!((next.unwrap(), created, gone), (Next::Nothing, made, deleted), "{wanted} {pods:?}");
            assert_eq!(status["replicas"], wanted, "{status}");
        }
    }

    #[test]
    fn what_is_not_ready_goes_first_and_the_youngest_of_the_others() {
        let pods = [pod("old", "Running", 90), pod("young", "Running", 10), pod("pending", "Pending", 99)];
        let cluster = Fake::with(&pods);
        let set = workload("ReplicaSet", &json!({"replicas": 1}));
        cluster.sync(&set).0.unwrap();
        assert_eq!(*cluster.deleted.borrow(), ["pending", "young"]);
    }

    #[test]
    fn a_refusal_is_a_condition() {
        let cluster = Fake { room: 1, ..Fake::default() };
        let (next, made, _, status) = cluster.sync(&workload("ReplicaSet", &json!({"replicas": 3})));
        assert!(next.is_err() && made == 1);
        let failure = condition_of(&status);
        assert_eq!(text(failure, "/reason"), "FailedCreate");
        assert!(text(failure, "/message").contains("no SCC admits it"), "{failure}");
    }

    fn condition_of(status: &Value) -> &Value {
        &status["conditions"][0]
    }

    #[test]
    fn a_pod_is_available_after_its_time() {
        for (ago, available, next) in
            [(5, Value::Null, Next::After(Duration::from_secs(1))), (30, 1.into(), Next::Nothing)]
        {
            let cluster = Fake::with(&[pod("p", "Running", ago)]);
            let set = workload("ReplicaSet", &json!({"replicas": 1, "minReadySeconds": 10}));
            let (found, _, _, status) = cluster.sync(&set);
            assert_eq!((found.unwrap(), &status["availableReplicas"]), (next, &available), "{ago}");
        }
    }
}
