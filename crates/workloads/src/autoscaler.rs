//! Autoscalers: they keep what they scale within its bounds, and say that there are no metrics to scale it by, as a cluster
//! without a metrics server does.

use std::time::Duration;

use palisade_api::error::{ApiResult, Reason};
use palisade_api::kind::{Resource, text};
use serde_json::{Value, json};

use crate::Next;
use crate::pods::{self, set_condition};
use crate::work::Work;

/// Time between two looks at what is scaled.
const PERIOD: Duration = Duration::from_secs(15);
const NO_METRICS: &str = "the HPA was unable to compute the replica count: unable to get metrics: unable to fetch metrics \
     from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";

pub(crate) fn sync(work: &Work<'_>) -> ApiResult<Next> {
    let mut status =
        work.object.get("status").filter(|status| status.is_object()).cloned().unwrap_or_else(|| json!({}));
    let now = match current(work)? {
        Ok(found) => found,
        Err(why) => {
            let message = format!("the HPA controller was unable to get the target's current scale: {why}");
            if condition(work, &mut status, "AbleToScale", ("False", "FailedGetScale", &message)) {
                pods::tell(work, "Warning", "FailedGetScale", &why);
            }
            work.say(&status)?;
            return Ok(Next::After(PERIOD));
        }
    };
    let (resource, current) = now;
    let (least, most) = (work.number("/spec/minReplicas").max(1), work.number("/spec/maxReplicas"));
    let bound = if current > most {
        Some((most, "Current number of replicas above Spec.MaxReplicas"))
    } else if current < least {
        Some((least, "Current number of replicas below Spec.MinReplicas"))
    } else {
        None
    };
    let got = "the HPA controller was able to get the target's current scale";
    let mut able = ("True", "SucceededGetScale", got.to_owned());
    match bound {
        _ if current == 0 => {
            let why = "scaling is disabled since the replica count of the target is zero";
            condition(work, &mut status, "ScalingActive", ("False", "ScalingDisabled", why));
        }
        Some((wanted, why)) => {
            work.change(&resource, work.text("/spec/scaleTargetRef/name"), "", |old| {
                let mut new = old.clone();
                resource.set_replicas(&mut new, wanted);
                new
            })?;
            pods::tell(work, "Normal", "SuccessfulRescale", &format!("New size: {wanted}; reason: {why}"));
            let done = format!("the HPA controller was able to update the target scale to {wanted}");
            able = ("True", "SucceededRescale", done);
            palisade_k8s::put(&mut status, &["desiredReplicas"], wanted.into());
            palisade_k8s::put(&mut status, &["lastScaleTime"], work.now().into());
        }
        None => {
            let said = ("False", "FailedGetResourceMetric", NO_METRICS);
            if condition(work, &mut status, "ScalingActive", said) {
                pods::tell(work, "Warning", "FailedGetResourceMetric", NO_METRICS);
            }
        }
    }
    let (holds, reason, message) = &able;
    condition(work, &mut status, "AbleToScale", (holds, reason, message));
    palisade_k8s::put(&mut status, &["currentReplicas"], current.into());
    work.say(&status)?;
    Ok(Next::After(PERIOD))
}

/// Sets a condition; whether it says something new, which is worth an event.
fn condition(work: &Work<'_>, status: &mut Value, kind: &str, set: (&str, &str, &str)) -> bool {
    let before = status.get("conditions").cloned();
    set_condition(work, status, kind, Some(set));
    status.get("conditions") != before.as_ref()
}

/// The scaled object, and its desired replicas; or the reason why they are unknown.
fn current(work: &Work<'_>) -> ApiResult<Result<(Resource, i64), String>> {
    let [version, kind, name] =
        ["apiVersion", "kind", "name"].map(|field| work.text(&format!("/spec/scaleTargetRef/{field}")));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let Some(resource) = work.cluster.resource(group, kind).filter(|resource| resource.namespaced) else {
        return Ok(Err(format!("no matches for kind {kind:?} in group {group:?}")));
    };
    if resource.subresource("scale").is_none() {
        return Ok(Err("the server could not find the requested resource".to_owned()));
    }
    match work.cluster.get(&resource, work.namespace(), name) {
        Ok(found) => {
            let scale = resource.scale_of(&resource.show(found));
            let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or_default();
            Ok(Ok((resource, replicas)))
        }
        Err(error) if error.reason == Reason::NotFound => {
            let what = resource.qualified();
            Ok(Err(format!("{what} {:?} not found", text(&work.object, "/spec/scaleTargetRef/name"))))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, workload};

    #[test]
    fn replicas_are_kept_within_their_bounds() {
        let spec = json!({"minReplicas": 2, "maxReplicas": 4,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}});
        for (has, wanted) in [(1, Some(2)), (2, None), (4, None), (9, Some(4)), (0, None)] {
            let mut target = workload("Deployment", &json!({"replicas": has}));
            target["apiVersion"] = "apps/v1".into();
            let cluster = Fake { scaled: Some(target), ..Fake::with(&[]) };
            let work = workload("HorizontalPodAutoscaler", &spec);
            assert_eq!(cluster.sync(&work).0.unwrap(), Next::After(PERIOD));
            let desired = cluster.changed.borrow()["status"]["desiredReplicas"].as_i64();
            assert_eq!(desired, wanted, "{has}");
        }
    }
}
