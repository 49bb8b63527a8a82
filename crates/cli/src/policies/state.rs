//! The comparison of an object of a cluster with the compiled one.

use kube::api::DynamicObject;
use palisade_policies::HASH;
use serde_json::Value;

/// The result for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Current,
    Missing,
    /// The SCCs or the options are not those that it was compiled from.
    Outdated,
    /// It was edited.
    Edited,
}

impl State {
    /// Compares without a write: fields that the API server adds are known by their defaults.
    pub(super) fn of(found: Option<&DynamicObject>, planned: &Value) -> Self {
        let Some(found) = found else { return Self::Missing };
        let spec = |value: Option<&Value>| value.cloned().unwrap_or_default();
        let hash = planned.pointer("/metadata/annotations").and_then(|annotations| annotations.get(HASH));
        let found_hash = found.metadata.annotations.as_ref().and_then(|annotations| annotations.get(HASH));
        if hash.and_then(Value::as_str) != found_hash.map(String::as_str) {
            return Self::Outdated;
        }
        match is_same(&spec(planned.get("spec")), &spec(found.data.get("spec"))) {
            true => Self::Current,
            false => Self::Edited,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Missing => "missing",
            Self::Outdated => "applied from other SCCs or with other options",
            Self::Edited => "edited since it was applied",
        }
    }
}

/// Whether two values are equal but for fields that one of them leaves to the default.
fn is_same(planned: &Value, found: &Value) -> bool {
    match (planned, found) {
        (Value::Object(planned), Value::Object(found)) => {
            planned.iter().all(|(key, value)| match found.get(key) {
                // Keys of labels are not names of fields.
                Some(found) if key == "matchLabels" => value == found,
                Some(found) => is_same(value, found),
                None => is_default(key, value),
            }) && found.iter().all(|(key, value)| planned.contains_key(key) || is_default(key, value))
        }
        (Value::Array(planned), Value::Array(found)) => {
            planned.len() == found.len() && planned.iter().zip(found).all(|(one, other)| is_same(one, other))
        }
        _ => planned == found,
    }
}

/// The defaults of admission policies and of their bindings (Kubernetes, `pkg/apis/admissionregistration/v1/defaults.go`).
fn is_default(key: &str, value: &Value) -> bool {
    match (key, value) {
        ("failurePolicy", value) => value == "Fail",
        ("matchPolicy", value) => value == "Equivalent",
        ("scope", value) => value == "*",
        ("namespaceSelector" | "objectSelector", Value::Object(selector)) => selector.is_empty(),
        (_, Value::Array(list)) => list.is_empty(),
        (_, value) => value.is_null(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_of_the_api_server_are_no_edits_and_all_else_is() {
        let planned = json!({"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "a", "annotations": {HASH: "1"}},
            "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [{"operations": ["CREATE"]}],
                "namespaceSelector": {"matchExpressions": [{"key": "x", "operator": "Exists"}]}},
                "validations": [{"expression": "true"}]}});
        let found = |change: &dyn Fn(&mut Value)| {
            let mut found = planned.clone();
            change(&mut found);
            State::of(Some(&serde_json::from_value(found).unwrap()), &planned)
        };
        let current = found(&|object| {
            object["metadata"]["generation"] = 3.into();
            object["status"] = json!({"observedGeneration": 3});
            let rules = &mut object["spec"]["matchConstraints"];
            rules["matchPolicy"] = "Equivalent".into();
            rules["objectSelector"] = json!({});
            rules["resourceRules"][0]["scope"] = "*".into();
        });
        assert_eq!(current, State::Current);
        assert_eq!(State::of(None, &planned), State::Missing);
        let outdated = found(&|object| object["metadata"]["annotations"][HASH] = "2".into());
        assert_eq!(outdated, State::Outdated);
        let none = found(&|object| object["metadata"]["annotations"] = Value::Null);
        assert_eq!(none, State::Outdated);
        for (field, value) in [
            ("/spec/failurePolicy", json!("Ignore")),
            ("/spec", json!({})),
            ("/spec/validations", json!([])),
            ("/spec/validations/0/expression", json!("true || true")),
            ("/spec/matchConstraints/resourceRules/0", json!({"operations": ["CREATE"], "scope": "Cluster"})),
            ("/spec/matchConstraints/namespaceSelector", json!({})),
            (
                "/spec/matchConstraints/namespaceSelector",
                json!({"matchExpressions": [{"key": "x", "operator": "Exists"}], "matchLabels": {"scope": "*"}}),
            ),
        ] {
            let edited = found(&|object| *object.pointer_mut(field).unwrap() = value.clone());
            assert_eq!(edited, State::Edited, "{field}: {value}");
        }
        let more = found(&|object| {
            object["spec"]["matchConditions"] = json!([{"name": "n", "expression": "false"}])
        });
        assert_eq!(more, State::Edited);
    }
}
