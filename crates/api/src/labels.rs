//! Label selectors.

use std::collections::BTreeSet;

use serde_json::Value;

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(pub(crate) Vec<(String, Requirement)>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    Exists,
    Absent,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Greater(i64),
    Less(i64),
}

impl Labels {
    /// From a `LabelSelector` of an object. An unknown operator matches nothing.
    pub fn of_object(selector: &Value) -> Self {
        let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut requirements: Vec<_> =
            labels.map(|(key, value)| (key.clone(), Requirement::In([text(value)].into()))).collect();
        let expressions = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
        requirements.extend(expressions.map(|expression| {
            let part = |field: &str| expression.get(field).map(text).unwrap_or_default();
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten().map(text);
            let requirement = match part("operator").as_str() {
                "Exists" => Requirement::Exists,
                "DoesNotExist" => Requirement::Absent,
                "NotIn" => Requirement::NotIn(values.collect()),
                "In" => Requirement::In(values.collect()),
                _ => Requirement::In(BTreeSet::new()),
            };
            (part("key"), requirement)
        }));
        Self(requirements)
    }

    /// Whether it selects an object.
    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        self.0.iter().all(|(key, requirement)| {
            let value = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match requirement {
                Requirement::Exists => value.is_some(),
                Requirement::Absent => value.is_none(),
                Requirement::In(values) => value.is_some_and(|value| values.contains(value)),
                Requirement::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Requirement::Greater(bound) => number().is_some_and(|number| number > *bound),
                Requirement::Less(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}
