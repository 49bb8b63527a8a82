//! Budgets for disruption: how many pods of a kind may be missing at once, which an eviction keeps to.

use palisade_k8s::put;
use serde_json::{Value, json};

use crate::api::Api;
use crate::error::{ApiError, ApiResult};
use crate::objects;
use crate::resource::{self, text};
use crate::selector::Labels;

/// Refuses an eviction that a budget forbids, as `pkg/registry/core/pod/storage/eviction.go` does.
pub(super) fn check(api: &Api, namespace: &str, pod: &Value) -> ApiResult<()> {
    let is_over = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed" | "Pending");
    if is_over || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(());
    }
    let Some(budgets) = resource::find("policy", "poddisruptionbudgets") else { return Ok(()) };
    let mut of_pod = Vec::new();
    objects::each(&api.store, budgets, Some(namespace), |budget| {
        if selector(&budget).is_some_and(|selector| selector.matches(pod)) {
            of_pod.push(budget);
        }
        Ok(())
    })?;
    if of_pod.len() > 1 {
        return Err(ApiError::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let Some(budget) = of_pod.first() else { return Ok(()) };
    let (healthy, expected) = count(api, namespace, budget)?;
    let desired = desired(budget, expected);
    if !is_healthy(pod) && healthy >= desired {
        return Ok(());
    }
    if healthy > desired {
        return Ok(());
    }
    let name = text(budget, "/metadata/name");
    let mut error = ApiError::busy("Cannot evict pod as it would violate the pod's disruption budget.");
    let why =
        format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
    let mut details = json!({});
    put(&mut details, &["causes"], json!([{"reason": "DisruptionBudget", "message": why}]));
    error.details = Some(details);
    Err(error)
}

/// The pods that a budget counts; a budget without a selector counts nothing, one with an empty selector all pods.
fn selector(budget: &Value) -> Option<Labels> {
    budget.pointer("/spec/selector").map(Labels::of_object)
}

fn is_healthy(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
    let mut ready = conditions.filter(|one| text(one, "/type") == "Ready" && text(one, "/status") == "True");
    ready.next().is_some() && pod.pointer("/metadata/deletionTimestamp").is_none()
}

/// How many pods of a budget are healthy, and how many there are.
fn count(api: &Api, namespace: &str, budget: &Value) -> ApiResult<(i64, i64)> {
    let (mut healthy, mut all) = (0, 0);
    let Some(selector) = selector(budget) else { return Ok((0, 0)) };
    objects::each(&api.store, &resource::PODS, Some(namespace), |pod| {
        let is_over = matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed");
        if !is_over && selector.matches(&pod) {
            all += 1;
            healthy += i64::from(is_healthy(&pod));
        }
        Ok(())
    })?;
    Ok((healthy, all))
}

/// How many pods have to be healthy.
fn desired(budget: &Value, expected: i64) -> i64 {
    let share = |value: &Value| match value {
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or(100);
            (percent.saturating_mul(expected) + 99).div_euclid(100)
        }
        number => number.as_i64().unwrap_or(expected),
    };
    match (budget.pointer("/spec/minAvailable"), budget.pointer("/spec/maxUnavailable")) {
        (Some(least), _) => share(least),
        (None, Some(most)) => (expected - share(most)).max(0),
        (None, None) => expected - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_numbers_or_percentages_of_the_pods() {
        let cases = [
            (json!({"minAvailable": 2}), 2),
            (json!({"minAvailable": "50%"}), 3),
            (json!({"maxUnavailable": 1}), 4),
            (json!({"maxUnavailable": "40%"}), 3),
            (json!({"maxUnavailable": 10}), 0),
        ];
        for (spec, wanted) in cases {
            assert_eq!(desired(&json!({ "spec": spec }), 5), wanted, "{spec}");
        }
    }
}
