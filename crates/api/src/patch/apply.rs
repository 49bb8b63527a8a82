//! Server-side apply: a manager sends all fields that it wants, and owns them.

use serde_json::{Map, Value, json};

use std::collections::{HashMap, HashSet};

use super::fieldset::{FieldSet, Places, ambiguity, differing, element, places};
use super::managed::{self, Entry, Writer};
use crate::error::{ApiError, ApiResult};
use crate::limits::MANAGERS;
use crate::shape::{Fields, Form, Node, Shape};

/// Applies a configuration to an object.
pub fn apply(
    live: &Value,
    config: &Value,
    kind: Shape<'_>,
    writer: &Writer<'_>,
    force: bool,
) -> ApiResult<Value> {
    if let Some(why) = ambiguity(config, kind) {
        return Err(ApiError::bad_request(format!("the configuration cannot be applied: {why}")));
    }
    let wanted = FieldSet::of_config(config, kind);
    let mut entries = managed::read(live);
    let mut conflicts = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !entry.is_of(writer, "Apply")) {
        let differing = differing(&entry.fields, &wanted, live, config);
        if !differing.is_empty() && !force {
            conflicts.push((entry.clone(), differing));
        } else {
            entry.fields.remove(&differing);
        }
    }
    if !conflicts.is_empty() {
        return Err(refusal(&conflicts));
    }
    let mut result = live.clone();
    let own = entries.iter().position(|entry| entry.is_of(writer, "Apply"));
    let last = own.and_then(|own| entries.get(own)).map(|entry| entry.fields.clone()).unwrap_or_default();
    let mut dropped = last.clone();
    dropped.remove(&wanted);
    for entry in entries.iter().filter(|entry| !entry.is_of(writer, "Apply")) {
        dropped.remove(&entry.fields);
    }
    let mut others = FieldSet::default();
    for entry in entries.iter().filter(|entry| !entry.is_of(writer, "Apply")) {
        others.union(&entry.fields);
    }
    prune(&mut result, &dropped, &wanted, &others);
    merge_fields(&mut result, config, kind.fields());
    // An apply without a change writes nothing, so its time stays.
    let is_full = entries.len() >= MANAGERS;
    match own.and_then(|own| entries.get_mut(own)) {
        Some(entry) if entry.fields == wanted => {}
        Some(entry) => *entry = Entry::new(writer, "Apply", wanted),
        None if is_full => {
            let why = format!("metadata.managedFields: at most {MANAGERS} managers can apply to an object");
            return Err(ApiError::bad_request(why));
        }
        None => entries.push(Entry::new(writer, "Apply", wanted)),
    }
    managed::write(&mut result, &entries);
    Ok(result)
}

fn refusal(conflicts: &[(Entry, FieldSet)]) -> Box<ApiError> {
    let mut causes = Vec::new();
    let mut said = Vec::new();
    for (entry, fields) in conflicts {
        let using = match entry.operation.as_str() {
            "Apply" => String::new(),
            _ => format!(" using {}", entry.api_version),
        };
        let who = format!("conflict with {:?}{using}", entry.manager);
        let paths = fields.paths();
        causes.extend(
            paths.iter().map(|path| json!({"reason": "FieldManagerConflict", "message": who, "field": path})),
        );
        said.push(match paths.as_slice() {
            [path] => format!("{who}: {path}"),
            paths => {
                let lines: Vec<String> = paths.iter().map(|path| format!("- {path}")).collect();
                format!("{who}:\n{}", lines.join("\n"))
            }
        });
    }
    let count = causes.len();
    let plural = if count == 1 { "conflict" } else { "conflicts" };
    ApiError::apply_conflict(format!("Apply failed with {count} {plural}: {}", said.join("\n")), causes)
}

/// Removes fields that a manager no longer applies and no other owns.
fn prune(value: &mut Value, dropped: &FieldSet, wanted: &FieldSet, others: &FieldSet) {
    let nothing = FieldSet::default();
    let mut gone = Gone::of(value, dropped);
    for (name, below) in &dropped.below {
        let kept = wanted.below.get(name).unwrap_or(&nothing);
        let theirs = others.below.get(name).unwrap_or(&nothing);
        if below.owned && kept.is_empty() {
            gone.remove(value, name, below, theirs);
        } else if let Some(inner) = gone.step(value, name) {
            prune(inner, below, kept, theirs);
            // Containers that exist only for this manager's fields are removed with them.
            let is_hollow =
                inner.as_object().is_some_and(Map::is_empty) || inner.as_array().is_some_and(Vec::is_empty);
            if is_hollow && kept.is_empty() {
                gone.remove(value, name, below, theirs);
            }
        }
    }
    gone.finish(value);
}

/// Elements to remove from a list or a map: all at once, so that the others keep their places meanwhile.
struct Gone {
    places: Places,
    elements: HashSet<usize>,
    fields: HashSet<String>,
}

impl Gone {
    fn of(value: &Value, set: &FieldSet) -> Self {
        let places = value.as_array().map(|items| places(items, set.below.keys()));
        Self { places: places.unwrap_or_default(), elements: HashSet::new(), fields: HashSet::new() }
    }

    fn step<'v>(&self, value: &'v mut Value, name: &str) -> Option<&'v mut Value> {
        match name.split_once(':')? {
            ("f", field) => value.get_mut(field),
            ("k", _) => value.get_mut(self.places.get(name)?.first()?),
            _ => None,
        }
    }

    /// Removes a place, with everything in it that has no owner; if others own a part of it, only the dropped fields.
    fn remove(&mut self, value: &mut Value, name: &str, below: &FieldSet, others: &FieldSet) {
        if !others.is_empty()
            && let Some(inner) = self.step(value, name)
        {
            // The keys of an element identify it: they are removed with it or stay.
            let keys: Option<Value> =
                name.strip_prefix("k:").and_then(|keys| serde_json::from_str(keys).ok());
            let is_key = |field: &str| keys.as_ref().is_some_and(|keys| keys.get(field).is_some());
            let mut content = FieldSet { owned: false, below: below.below.clone() };
            content.below.retain(|name, _| !name.strip_prefix("f:").is_some_and(is_key));
            prune(inner, &content, &FieldSet::default(), others);
            let is_left = match inner {
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => map.keys().any(|field| !is_key(field)),
                _ => false,
            };
            if is_left {
                return;
            }
        }
        match (name.split_once(':'), value) {
            (Some(("f", field)), Value::Object(_)) => drop(self.fields.insert(field.to_owned())),
            (Some(("k" | "v", _)), Value::Array(_)) => {
                self.elements.extend(self.places.get(name).into_iter().flatten());
            }
            _ => {}
        }
    }

    fn finish(self, value: &mut Value) {
        match value {
            Value::Array(items) if !self.elements.is_empty() => {
                let mut place = 0;
                items.retain(|_| {
                    place += 1;
                    !self.elements.contains(&(place - 1))
                });
            }
            Value::Object(map) if !self.fields.is_empty() => {
                map.retain(|name, _| !self.fields.contains(name));
            }
            _ => {}
        }
    }
}

fn merge_fields(live: &mut Value, config: &Value, fields: Fields<'_>) {
    let Some(config) = config.as_object() else { return };
    if !live.is_object() {
        *live = json!({});
    }
    let Some(live) = live.as_object_mut() else { return };
    for (name, value) in config {
        let target = live.entry(name.clone()).or_insert(Value::Null);
        match fields.get(name) {
            Some(node) => merge_value(target, value, node),
            None => target.clone_from(value),
        }
    }
}

fn merge_value(live: &mut Value, config: &Value, node: Node<'_>) {
    match (node.form(config), config) {
        (Form::Fields(fields), Value::Object(_)) => merge_fields(live, config, fields),
        (Form::Keyed(item, keys), Value::Array(values)) => merge_elements(live, values, item, &keys),
        (Form::Set, Value::Array(values)) => {
            let mut merged = live.as_array().cloned().unwrap_or_default();
            let mut seen: HashSet<String> = merged.iter().map(Value::to_string).collect();
            merged.extend(values.iter().filter(|value| seen.insert(value.to_string())).cloned());
            *live = Value::Array(merged);
        }
        _ => live.clone_from(config),
    }
}

fn merge_elements(live: &mut Value, values: &[Value], item: Node<'_>, keys: &[&str]) {
    if !live.is_array() {
        *live = json!([]);
    }
    let Some(items) = live.as_array_mut() else { return };
    let mut places = HashMap::new();
    for (place, item) in items.iter().enumerate() {
        places.entry(element(item, keys)).or_insert(place);
    }
    for value in values {
        let place = *places.entry(element(value, keys)).or_insert_with(|| {
            items.push(json!({}));
            items.len() - 1
        });
        if let Some(existing) = items.get_mut(place) {
            merge_value(existing, value, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::message;

    fn writer(manager: &str) -> Writer<'_> {
        Writer { manager, api_version: "v1", subresource: "", time: "2026-01-01T00:00:00Z" }
    }

    fn config(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn appliers_own_what_they_say() {
        let kind = Shape::Message(message("ConfigMap").unwrap());
        let start = json!({"metadata": {"name": "c"}});
        let a =
            config(r#"{"metadata": {"name": "c", "labels": {"x": "1"}}, "data": {"a": "1", "both": "s"}}"#);
        let one = apply(&start, &a, kind, &writer("alice"), false).unwrap();
        let b = config(r#"{"metadata": {"name": "c"}, "data": {"b": "1", "both": "s"}}"#);
        let two = apply(&one, &b, kind, &writer("bob"), false).unwrap();
        assert_eq!(two["data"], json!({"a": "1", "both": "s", "b": "1"}));

        // Alice stops applying a and both; bob still applies both.
        let less = config(r#"{"metadata": {"name": "c"}, "data": {}}"#);
        let three = apply(&two, &less, kind, &writer("alice"), false).unwrap();
        assert_eq!(three["data"], json!({"both": "s", "b": "1"}));
        assert_eq!(three.pointer("/metadata/labels"), None);

        let clash = config(r#"{"metadata": {"name": "c"}, "data": {"b": "2"}}"#);
        let refused = apply(&three, &clash, kind, &writer("alice"), false).unwrap_err();
        assert_eq!(refused.message, r#"Apply failed with 1 conflict: conflict with "bob": .data.b"#);
        let forced = apply(&three, &clash, kind, &writer("alice"), true).unwrap();
        assert_eq!(forced["data"]["b"], "2");
        let bob = managed::read(&forced).into_iter().find(|entry| entry.manager == "bob").unwrap();
        assert_eq!(bob.fields.paths(), [".data.both"]);
    }

    #[test]
    fn elements_of_keyed_lists_merge_and_go() {
        let kind = Shape::Message(message("Pod").unwrap());
        let start = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "x", "image": "1"}]}});
        let both = config(
            r#"{"spec": {"containers": [{"name": "x", "args": ["a"]},
                {"name": "y", "image": "2", "ports": [{"containerPort": 80}]}]}}"#,
        );
        let one = apply(&start, &both, kind, &writer("m"), false).unwrap();
        assert_eq!(
            one.pointer("/spec/containers/0"),
            Some(&json!({"name": "x", "image": "1", "args": ["a"]}))
        );
        let fields = one.pointer("/metadata/managedFields/0/fieldsV1/f:spec/f:containers").unwrap();
        let port = r#"k:{"containerPort":80,"protocol":"TCP"}"#;
        assert!(fields[r#"k:{"name":"y"}"#]["f:ports"].get(port).is_some(), "{fields}");
        let again = apply(&one, &both, kind, &writer("m"), false).unwrap();
        assert_eq!(again, one);

        let only = config(r#"{"spec": {"containers": [{"name": "x", "args": ["a"]}]}}"#);
        let two = apply(&one, &only, kind, &writer("m"), false).unwrap();
        assert_eq!(
            two.pointer("/spec/containers"),
            Some(&json!([{"name": "x", "image": "1", "args": ["a"]}]))
        );
    }

    #[test]
    fn elements_that_cannot_be_told_apart_are_refused() {
        let kind = Shape::Message(message("Pod").unwrap());
        let cases = [
            (r#"{"spec": {"containers": [{"image": "x"}]}}"#, ".spec.containers: element 0 has no name"),
            (r#"{"spec": {"containers": [{"name": "a"}, {"name": "a"}]}}"#, "two elements are [name=\"a\"]"),
            (
                r#"{"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}, {"containerPort": 1, "protocol": "TCP"}]}]}}"#,
                ".spec.containers[0].ports: two elements",
            ),
        ];
        for (text, why) in cases {
            let refused =
                apply(&json!({"metadata": {}}), &config(text), kind, &writer("m"), false).unwrap_err();
            assert!(refused.reason.code() == 400 && refused.message.contains(why), "{}", refused.message);
        }
    }

    #[test]
    fn plain_writes_take_fields_over() {
        let kind = Shape::Message(message("ConfigMap").unwrap());
        let start = json!({"metadata": {"name": "c"}});
        let applied = config(r#"{"data": {"a": "1", "b": "1"}}"#);
        let one = apply(&start, &applied, kind, &writer("alice"), false).unwrap();
        let mut two = one.clone();
        two["data"]["a"] = "2".into();
        managed::update(Some(&one), &mut two, kind, &writer("kubectl-edit"));
        let entries = managed::read(&two);
        assert_eq!(entries[0].fields.paths(), [".data.b"]);
        assert_eq!(entries[1].fields.paths(), [".data.a"]);
        let refused = apply(&two, &applied, kind, &writer("alice"), false).unwrap_err();
        assert!(
            refused.message.contains(r#"conflict with "kubectl-edit" using v1: .data.a"#),
            "{}",
            refused.message
        );
    }
}
