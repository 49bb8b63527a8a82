//! PodDisruptionBudgets: how many pods may be unavailable at once. Evictions respect it, and the status shows it.

use palisade_k8s::put;
use palisade_store::Store;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, Reason};
use crate::hub::Event;
use crate::objects;
use crate::paced::Task;
use crate::resource::{POD_DISRUPTION_BUDGETS, PODS, text};
use crate::selector::Labels;

/// Refuses an eviction that a budget forbids, as `pkg/registry/core/pod/storage/eviction.go` does.
pub fn check(store: &Store, namespace: &str, pod: &Value) -> ApiResult<()> {
    let is_over = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed" | "Pending");
    if is_over || pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Ok(());
    }
    let mut of_pod = Vec::new();
    objects::each(store, &POD_DISRUPTION_BUDGETS, Some(namespace), |budget| {
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
    let (healthy, expected) = count(store, namespace, budget)?;
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

/// Writes the number of allowed disruptions into the status of budgets.
pub(crate) fn recounted(store: &Store) -> Task {
    let store = store.clone();
    let settle = move |namespace: &str| recount(&store, namespace);
    Task { resource: &POD_DISRUPTION_BUDGETS, moves: is_of_interest, settle: Box::new(settle) }
}

fn is_of_interest(event: &Event) -> bool {
    let is_budget = event.storage == POD_DISRUPTION_BUDGETS.storage();
    let spec = |object: &Value| object.get("spec").cloned();
    let has_changed = || event.previous.as_ref().is_none_or(|old| spec(old) != spec(&event.object));
    event.storage == PODS.storage() || is_budget && has_changed()
}

/// Bytes of budgets, as stored, that are counted together: their selectors take many times as much.
const TOGETHER: usize = 512 * 1024;

/// A budget that is counted.
struct Counted {
    name: String,
    selector: Option<Labels>,
    healthy: i64,
    all: i64,
}

/// As `pkg/controller/disruption/disruption.go` does; the pods are read once for many budgets of the namespace.
fn recount(store: &Store, namespace: &str) -> ApiResult<()> {
    let (mut together, mut size) = (Vec::new(), 0);
    objects::each(store, &POD_DISRUPTION_BUDGETS, Some(namespace), |budget| {
        size += objects::size(&budget);
        let name = text(&budget, "/metadata/name").to_owned();
        together.push(Counted { name, selector: selector(&budget), healthy: 0, all: 0 });
        if size < TOGETHER {
            return Ok(());
        }
        size = 0;
        recount_these(store, namespace, std::mem::take(&mut together))
    })?;
    recount_these(store, namespace, together)
}

fn recount_these(store: &Store, namespace: &str, mut budgets: Vec<Counted>) -> ApiResult<()> {
    if budgets.is_empty() {
        return Ok(());
    }
    objects::each(store, &PODS, Some(namespace), |pod| {
        let is_over = matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed");
        let is_healthy = is_healthy(&pod);
        for budget in budgets.iter_mut().filter(|_| !is_over) {
            if budget.selector.as_ref().is_some_and(|selector| selector.matches(&pod)) {
                budget.all += 1;
                budget.healthy += i64::from(is_healthy);
            }
        }
        Ok(())
    })?;
    budgets.iter().try_for_each(|counted| write(store, namespace, counted))
}

/// Writes the status of a budget, if it has changed.
fn write(store: &Store, namespace: &str, counted: &Counted) -> ApiResult<()> {
    let mut budget = match objects::get(store, &POD_DISRUPTION_BUDGETS, namespace, &counted.name) {
        Err(error) if error.reason == Reason::NotFound => return Ok(()),
        found => found?.object,
    };
    let status = status(&budget, counted.healthy, counted.all);
    if budget.get("status") != Some(&status) {
        put(&mut budget, &["status"], status);
        // A conflicting write has it counted again.
        objects::keep(store, &POD_DISRUPTION_BUDGETS, budget)?;
    }
    Ok(())
}

fn status(budget: &Value, healthy: i64, all: i64) -> Value {
    let desired = desired(budget, all);
    let allowed = if all > 0 { (healthy - desired).max(0) } else { 0 };
    let generation = budget.pointer("/metadata/generation").cloned().unwrap_or_else(|| 1.into());
    let (holds, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let old = budget.pointer("/status/conditions/0");
    let since = old.filter(|old| text(old, "/status") == holds).map(|old| text(old, "/lastTransitionTime"));
    let since = since.map_or_else(crate::time::now, str::to_owned);
    json!({"observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": desired, "expectedPods": all, "conditions": [{"type": "DisruptionAllowed", "status": holds,
            "observedGeneration": generation, "lastTransitionTime": since, "reason": reason, "message": ""}]})
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

/// The number of healthy pods of a budget, and of all its pods.
fn count(store: &Store, namespace: &str, budget: &Value) -> ApiResult<(i64, i64)> {
    let (mut healthy, mut all) = (0, 0);
    let Some(selector) = selector(budget) else { return Ok((0, 0)) };
    objects::each(store, &PODS, Some(namespace), |pod| {
        let is_over = matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed");
        if !is_over && selector.matches(&pod) {
            all += 1;
            healthy += i64::from(is_healthy(&pod));
        }
        Ok(())
    })?;
    Ok((healthy, all))
}

/// The number of pods that must be healthy.
fn desired(budget: &Value, expected: i64) -> i64 {
    let share = |value: &Value| match value {
        Value::String(text) => {
            let percent: i64 =
                text.strip_suffix('%').map_or(100, |digits| digits.parse().unwrap_or(i64::MAX));
            percent.saturating_mul(expected).saturating_add(99).div_euclid(100)
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
            (json!({"maxUnavailable": "9223372036854775807%"}), 0),
            (json!({"maxUnavailable": "99999999999999999999%"}), 0),
        ];
        for (spec, wanted) in cases {
            assert_eq!(desired(&json!({ "spec": spec }), 5), wanted, "{spec}");
        }
    }
}
