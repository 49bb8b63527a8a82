//! Server-side apply, and waiting for readiness.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Client, Error};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::object::{api, name};

/// The field manager of an installation.
const MANAGER: &str = "palisade-install";
/// Interval between two checks of readiness.
const PERIOD: Duration = Duration::from_millis(500);

/// The result for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is as specified.
    Done,
    /// Another manager has changed fields of it, which are left as they are.
    Kept,
}

/// Applies an object. If `force` is not set, an object that others have changed stays as it is.
pub(super) async fn object(client: &Client, object: &Value, force: bool) -> Result<Applied, Error> {
    let params = PatchParams { force, ..PatchParams::apply(MANAGER) };
    match api(client, object).patch(name(object), &params, &Patch::Apply(object)).await {
        Ok(_) => Ok(Applied::Done),
        Err(Error::Api(status)) if !force && status.is_conflict() => Ok(Applied::Kept),
        Err(error) => Err(error),
    }
}

/// Waits until `is_ready` holds for an object; `false` on timeout.
pub(super) async fn until(
    client: &Client,
    object: &Value,
    deadline: Instant,
    is_ready: fn(&Value) -> bool,
) -> Result<bool, Error> {
    let api = api(client, object);
    loop {
        if let Some(found) = api.get_opt(name(object)).await?
            && serde_json::to_value(&found).is_ok_and(|found| is_ready(&found))
        {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(PERIOD).await;
    }
}

/// Whether a CustomResourceDefinition is served.
pub(super) fn is_established(definition: &Value) -> bool {
    let conditions = definition.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        condition.get("type").is_some_and(|name| name == "Established")
            && condition.get("status").is_some_and(|status| status == "True")
    })
}

/// Whether all replicas of a Deployment are updated and available.
pub(super) fn is_rolled_out(deployment: &Value) -> bool {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let wanted = number("/spec/replicas");
    number("/status/observedGeneration") >= number("/metadata/generation")
        && number("/status/updatedReplicas") >= wanted
        && number("/status/availableReplicas") >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_rolled_out_when_its_controller_says_so() {
        let deployment = |observed: u64, updated: u64, available: u64| {
            json!({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {
                "observedGeneration": observed, "updatedReplicas": updated, "availableReplicas": available}})
        };
        for (deployment, expected) in [
            (deployment(2, 3, 3), true),
            (deployment(1, 3, 3), false),
            (deployment(2, 2, 3), false),
            (deployment(2, 3, 2), false),
            (json!({"metadata": {"generation": 1}, "spec": {"replicas": 3}}), false),
        ] {
            assert_eq!(is_rolled_out(&deployment), expected, "{deployment}");
        }
    }

    #[test]
    fn a_definition_is_established_by_its_condition() {
        let definition =
            |status: &str| json!({"status": {"conditions": [{"type": "Established", "status": status}]}});
        assert!(is_established(&definition("True")));
        assert!(!is_established(&definition("False")) && !is_established(&json!({})));
    }
}
