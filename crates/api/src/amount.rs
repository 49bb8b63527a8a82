//! Amounts of resources, and the total requests and limits of a pod.
//!
//! The sums are those of `k8s.io/component-helpers/resource/helpers.go`: init containers run one after another, those
//! that are always restarted go on beside all later ones, and resources of the pod as a whole take precedence over its
//! containers'.

use std::collections::BTreeMap;
use std::fmt;

use palisade_k8s::quantity;
use serde_json::Value;

/// An amount of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// In billionths.
    value: i128,
    /// Whether it is written with a binary suffix, such as `Ki`.
    is_binary: bool,
}

/// Amounts by the names of their resources.
pub type Amounts = BTreeMap<String, Amount>;

impl Amount {
    /// An amount without a unit.
    #[must_use]
    pub fn of(count: usize) -> Self {
        Self {
            value: i128::try_from(count).unwrap_or(i128::MAX).saturating_mul(1_000_000_000),
            is_binary: false,
        }
    }

    /// Reads a quantity: text, or a number as some clients write it. A larger one than the type holds becomes the
    /// largest.
    #[must_use]
    pub fn read(quantity: &Value) -> Self {
        let number = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
        let value = quantity::billionths(&number).unwrap_or(i128::MAX / 4);
        Self { value, is_binary: number.ends_with('i') }
    }

    /// In billionths.
    #[must_use]
    pub fn billionths(self) -> i128 {
        self.value
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.value == 0
    }

    /// The sum of two amounts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let is_binary = if self.is_zero() { other.is_binary } else { self.is_binary };
        Self { value: self.value.saturating_add(other.value), is_binary }
    }

    /// The difference to another amount, zero at least.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self { value: self.value.saturating_sub(other.value).max(0), ..self }
    }

    /// The larger of two amounts.
    #[must_use]
    fn max(self, other: Self) -> Self {
        if other.value > self.value { other } else { self }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quantity::written(self.value, if self.is_binary { "1Ki" } else { "1" }))
    }
}

/// Reads a list of resources.
#[must_use]
pub fn read(list: Option<&Value>) -> Amounts {
    let entries = list.and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, quantity)| (name.clone(), Amount::read(quantity))).collect()
}

/// Adds amounts to others.
pub fn add(to: &mut Amounts, further: &Amounts) {
    for (name, amount) in further {
        let sum = to.get(name).copied().unwrap_or_default().plus(*amount);
        to.insert(name.clone(), sum);
    }
}

fn raise(to: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let most = to.get(name).map_or(*amount, |own| own.max(*amount));
        to.insert(name.clone(), most);
    }
}

/// One of the two lists of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The requested resources.
    Requests,
    /// The limits.
    Limits,
}

impl List {
    /// That list of a container or of a pod's spec.
    #[must_use]
    pub fn of(self, holder: &Value) -> Option<&Value> {
        holder.get("resources")?.get(match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        })
    }
}

/// The requests and limits of a whole pod.
#[must_use]
pub fn of_pod(pod: &Value, list: List) -> Amounts {
    let Some(spec) = pod.get("spec") else { return Amounts::new() };
    let containers = |name: &str| spec.get(name).and_then(Value::as_array).into_iter().flatten();
    let (mut beside, mut at_start) = (Amounts::new(), Amounts::new());
    for container in containers("initContainers") {
        let mut own = read(list.of(container));
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut beside, &own);
            raise(&mut at_start, &beside);
        } else {
            add(&mut own, &beside);
            raise(&mut at_start, &own);
        }
    }
    let mut all = beside;
    containers("containers").for_each(|container| add(&mut all, &read(list.of(container))));
    raise(&mut all, &at_start);
    all.extend(read(list.of(spec)));
    let mut overhead = read(spec.get("overhead"));
    if list == List::Limits {
        // Resources without a limit stay unlimited.
        overhead.retain(|name, _| all.contains_key(name));
    }
    add(&mut all, &overhead);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_asks_for_what_runs_at_once() {
        let cpu =
            |amount: &str| json!({"resources": {"requests": {"cpu": amount}, "limits": {"memory": "64Mi"}}});
        let sidecar = json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}});
        let cases = [
            (json!({"containers": [cpu("1"), cpu("500m")]}), "1500m"),
            (json!({"containers": [cpu("1")], "initContainers": [cpu("2"), cpu("1")]}), "2"),
            (json!({"containers": [cpu("1")], "initContainers": [sidecar, cpu("950m")]}), "1100m"),
            (json!({"containers": [cpu("1")], "initContainers": [cpu("950m"), sidecar]}), "1100m"),
            (json!({"containers": [cpu("1")], "initContainers": [sidecar, cpu("2")]}), "2100m"),
            (json!({"containers": [cpu("1")], "overhead": {"cpu": "250m"}}), "1250m"),
            (json!({"containers": [cpu("1")], "resources": {"requests": {"cpu": "3"}}}), "3"),
        ];
        for (spec, expected) in cases {
            let pod = json!({ "spec": spec });
            assert_eq!(of_pod(&pod, List::Requests)["cpu"].to_string(), expected, "{pod}");
        }
        let pod =
            json!({"spec": {"containers": [cpu("1"), cpu("1")], "overhead": {"cpu": "1", "memory": "1Mi"}}});
        let limits = of_pod(&pod, List::Limits);
        assert_eq!(limits["memory"].to_string(), "129Mi");
        assert_eq!(limits.get("cpu"), None);
    }
}
