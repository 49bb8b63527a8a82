//! DaemonSets: one pod on each node that its template selects.

use std::collections::HashSet;

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{create, hash_of, is_available, is_leaving, is_over, is_ready, named_after, of_template};
use crate::work::Work;
use palisade_api::error::ApiResult;
use palisade_api::kind::{PODS, text};

const REVISION: &str = "controller-revision-hash";

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let all = work.pods()?;
    let nodes = nodes(work)?;
    let known: HashSet<&str> = nodes.iter().map(String::as_str).collect();
    let revision = hash_of(work.object.pointer("/spec/template").unwrap_or(&Value::Null), 0);
    let node_of = |pod: &Value| text(pod, "/spec/nodeName").to_owned();
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for pod in &all {
        let is_wanted = known.contains(text(pod, "/spec/nodeName"))
            && !is_over(pod)
            && (is_leaving(pod) || seen.insert(node_of(pod)));
        match is_wanted {
            true => kept.push(pod),
            false if !is_leaving(pod) => work.delete(&PODS, pod)?,
            false => {}
        }
    }
    let mut refused = Ok(());
    let mut created = 0;
    let held: HashSet<&str> = kept.iter().map(|pod| text(pod, "/spec/nodeName")).collect();
    for node in nodes.iter().filter(|node| !held.contains(node.as_str())) {
        let mut pod = named_after(work, of_template(work));
        put(&mut pod, &["metadata", "labels", REVISION], revision.clone().into());
        put(&mut pod, &["spec", "nodeName"], node.clone().into());
        refused = create(work, pod).map(drop);
        if refused.is_err() {
            break;
        }
        created += 1;
    }
    let is_old = |pod: &&&Value| {
        pod.pointer("/metadata/labels").and_then(|labels| labels.get(REVISION)?.as_str())
            != Some(revision.as_str())
    };
    let is_whole = kept.iter().all(|pod| is_ready(pod)) && created == 0;
    if is_whole
        && work.text("/spec/updateStrategy/type") != "OnDelete"
        && let Some(pod) = kept.iter().find(is_old)
    {
        work.delete(&PODS, pod)?;
    }
    let updated = kept.iter().filter(|pod| !is_old(pod)).count() as i64 + created;
    say(work, &nodes, &kept, created, updated)?;
    refused?;
    Ok(Next::Nothing)
}

/// The nodes that the template selects.
fn nodes(work: &Work<'_>) -> ApiResult<Vec<String>> {
    let wanted = work.object.pointer("/spec/template/spec/nodeSelector").and_then(Value::as_object);
    let is_selected = |node: &Value| {
        let labels = node.pointer("/metadata/labels");
        let mut wanted = wanted.into_iter().flatten();
        wanted.all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let nodes = work.cluster.nodes()?;
    let found = nodes.iter().filter(|node| is_selected(node) && !is_leaving(node));
    Ok(found.map(|node| text(node, "/metadata/name").to_owned()).collect())
}

fn say(work: &Work<'_>, nodes: &[String], kept: &[&Value], created: i64, updated: i64) -> ApiResult<()> {
    let least = work.number("/spec/minReadySeconds");
    let count = |is: &dyn Fn(&Value) -> bool| kept.iter().filter(|pod| is(pod)).count() as i64;
    let (desired, available) = (nodes.len() as i64, count(&|pod| is_available(work, pod, least)));
    let mut status = json!({
        "currentNumberScheduled": count(&|pod| !is_leaving(pod)) + created, "numberMisscheduled": 0,
        "desiredNumberScheduled": desired, "numberReady": count(&is_ready),
    });
    let numbers = [
        ("observedGeneration", work.number("/metadata/generation")),
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", desired - available),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number > 0) {
        put(&mut status, &[field], number.into());
    }
    work.say(&status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, workload};

    #[test]
    fn each_node_that_is_selected_has_a_pod() {
        let node = |name: &str, labels: Value| json!({"metadata": {"name": name, "labels": labels}});
        let nodes = vec![
            node("a", json!({"disk": "ssd"})),
            node("b", json!({"disk": "hdd"})),
            node("c", json!(null)),
        ];
        for (selector, made) in [(json!(null), 3), (json!({"disk": "ssd"}), 1), (json!({"disk": "none"}), 0)]
        {
            let cluster = Fake { nodes: nodes.clone(), ..Fake::with(&[]) };
            let set = workload("DaemonSet", &json!({"template": {"spec": {"nodeSelector": selector}}}));
            let (next, created, _, status) = cluster.sync(&set);
            assert!(next.is_ok());
            assert_eq!((created, &status["desiredNumberScheduled"]), (made, &made.into()), "{selector}");
        }
    }
}
