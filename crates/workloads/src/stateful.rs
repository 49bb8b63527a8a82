//! StatefulSets: pods with names of their own, one after another, each with its claims.

use std::collections::HashMap;

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{
    self, create_as, hash_of, is_active, is_available, is_leaving, is_over, is_ready, of_template,
};
use crate::work::Work;
use palisade_api::error::{ApiResult, Reason};
use palisade_api::kind::{CLAIMS, PODS, text};

const REVISION: &str = "controller-revision-hash";

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let all = work.pods()?;
    let first = work.number("/spec/ordinals/start");
    let wanted = work.number("/spec/replicas");
    let is_parallel = work.text("/spec/podManagementPolicy") == "Parallel";
    let revision = format!(
        "{}-{}",
        work.name(),
        hash_of(work.object.pointer("/spec/template").unwrap_or(&Value::Null), 0)
    );
    let named: HashMap<&str, &Value> = all.iter().map(|pod| (text(pod, "/metadata/name"), pod)).collect();
    let find = |at: i64| named.get(format!("{}-{at}", work.name()).as_str()).copied();
    let mut refused = Ok(());
    let mut is_settled = true;
    let mut created = 0;
    for at in first..first + wanted {
        match find(at) {
            Some(pod) if is_over(pod) && !is_leaving(pod) => {
                work.delete(&PODS, pod)?;
                is_settled = false;
            }
            Some(pod) if !is_ready(pod) => is_settled = false,
            Some(_) => {}
            None => {
                is_settled = false;
                refused = make(work, at, &revision);
                created += i64::from(refused.is_ok());
            }
        }
        if refused.is_err() || created == pods::BURST || (!is_settled && !is_parallel) {
            break;
        }
    }
    let ordinal = |pod: &Value| {
        text(pod, "/metadata/name").rsplit('-').next().and_then(|at| at.parse::<i64>().ok()).unwrap_or(-1)
    };
    let mut surplus: Vec<&Value> =
        all.iter().filter(|pod| !(first..first + wanted).contains(&ordinal(pod))).collect();
    surplus.sort_by_key(|pod| std::cmp::Reverse(ordinal(pod)));
    if is_settled || is_parallel {
        // The last goes first, and the others wait for it.
        let ends = surplus.iter().take(if is_parallel { usize::MAX } else { 1 });
        for pod in ends.filter(|pod| !is_leaving(pod)) {
            end(work, pod)?;
        }
    }
    if is_settled && surplus.is_empty() {
        renew(
            work,
            &all,
            &revision,
            first + work.number("/spec/updateStrategy/rollingUpdate/partition"),
            ordinal,
        )?;
    }
    say(work, &all, created, &revision)?;
    refused?;
    Ok(Next::Nothing)
}

/// Deletes the last pod of an older form, to be made anew.
fn renew(
    work: &Work<'_>,
    all: &[Value],
    revision: &str,
    least: i64,
    ordinal: impl Fn(&Value) -> i64,
) -> ApiResult<()> {
    if work.text("/spec/updateStrategy/type") == "OnDelete" {
        return Ok(());
    }
    let old = all.iter().filter(|pod| label(pod) != revision && ordinal(pod) >= least);
    match old.max_by_key(|pod| ordinal(pod)) {
        Some(pod) if !is_leaving(pod) => end(work, pod),
        _ => Ok(()),
    }
}

fn end(work: &Work<'_>, pod: &Value) -> ApiResult<()> {
    work.delete(&PODS, pod)?;
    let name = text(pod, "/metadata/name");
    let message = format!("Delete Pod {name} in StatefulSet {} successful", work.name());
    pods::tell(work, "Normal", "SuccessfulDelete", &message);
    Ok(())
}

fn label(pod: &Value) -> &str {
    pod.pointer("/metadata/labels").and_then(|labels| labels.get(REVISION)?.as_str()).unwrap_or_default()
}

/// Makes the claims of a pod, and the pod.
fn make(work: &Work<'_>, at: i64, revision: &str) -> ApiResult<()> {
    let name = format!("{}-{at}", work.name());
    let mut pod = of_template(work);
    put(&mut pod, &["metadata", "name"], name.clone().into());
    let labels = [
        ("statefulset.kubernetes.io/pod-name", name.clone()),
        ("apps.kubernetes.io/pod-index", at.to_string()),
        (REVISION, revision.to_owned()),
    ];
    for (key, value) in labels {
        put(&mut pod, &["metadata", "labels", key], value.into());
    }
    put(&mut pod, &["spec", "hostname"], name.clone().into());
    if !work.text("/spec/serviceName").is_empty() {
        put(&mut pod, &["spec", "subdomain"], work.text("/spec/serviceName").into());
    }
    let templates = work.object.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    for template in templates.into_iter().flatten() {
        let volume = text(template, "/metadata/name");
        let claim = format!("{volume}-{name}");
        claim_for(work, template, &claim)?;
        let source = json!({"name": volume, "persistentVolumeClaim": {"claimName": claim}});
        if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
            let volumes = spec.entry("volumes").or_insert_with(|| json!([]));
            if let Some(volumes) = volumes.as_array_mut() {
                volumes.retain(|other| text(other, "/name") != volume);
                volumes.push(source);
            }
        }
    }
    create_as(work, pod, &format!("Create Pod {name} in StatefulSet {} successful", work.name())).map(drop)
}

fn claim_for(work: &Work<'_>, template: &Value, name: &str) -> ApiResult<()> {
    let mut claim = json!({"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": name, "namespace": work.namespace()},
        "spec": template.get("spec").cloned().unwrap_or_else(|| json!({}))});
    let labels =
        template.pointer("/metadata/labels").or_else(|| work.object.pointer("/spec/selector/matchLabels"));
    if let Some(labels) = labels {
        put(&mut claim, &["metadata", "labels"], labels.clone());
    }
    match work.create(&CLAIMS, claim) {
        Err(error) if error.reason != Reason::AlreadyExists => {
            pods::tell(work, "Warning", "FailedCreate", &format!("Error creating: {}", error.message));
            Err(error)
        }
        _ => Ok(()),
    }
}

fn say(work: &Work<'_>, all: &[Value], created: i64, revision: &str) -> ApiResult<()> {
    let least = work.number("/spec/minReadySeconds");
    let count = |is: &dyn Fn(&Value) -> bool| all.iter().filter(|pod| is(pod)).count() as i64;
    let is_new = |pod: &Value| is_active(pod) && label(pod) == revision;
    let (total, updated) = (count(&is_active) + created, count(&is_new) + created);
    let old = work.text("/status/currentRevision");
    let current = if updated == total || old.is_empty() { revision } else { old };
    let mut status = json!({
        "observedGeneration": work.number("/metadata/generation"), "replicas": total,
        "availableReplicas": count(&|pod| is_available(work, pod, least)), "updateRevision": revision, "currentRevision": current, "collisionCount": 0,
    });
    let numbers = [
        ("readyReplicas", count(&is_ready)),
        ("currentReplicas", if current == revision { updated } else { total - updated }),
        ("updatedReplicas", updated),
    ];
    for (field, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        put(&mut status, &[field], number.into());
    }
    work.say(&status)
}
