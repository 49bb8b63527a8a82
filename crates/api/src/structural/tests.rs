//! Schemas on values: pruning, defaults and errors, a row each; invalid schemas are in `apiserver/tests/custom.rs`.

use serde_json::{Value, json};

use super::Structural;
use crate::limits::WEIGHT;
use crate::weight;

/// A schema with these properties in `spec`.
fn schema(properties: &Value) -> Structural {
    Structural::read(
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}),
    )
}

fn spec(value: &Value) -> Value {
    json!({"apiVersion": "a.b/v1", "kind": "K", "metadata": {"name": "x"}, "spec": value})
}

#[test]
fn unspecified_fields_are_pruned() {
    for (properties, value, kept, unknown) in [
        (json!({"a": {"type": "string"}}), json!({"a": "1", "b": 2}), json!({"a": "1"}), &["spec.b"][..]),
        (
            json!({"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}),
            json!({"a": {"b": 1}}),
            json!({"a": {"b": 1}}),
            &[],
        ),
        (
            json!({"a": {"type": "object", "additionalProperties": {"type": "string"}}}),
            json!({"a": {"b": "1"}}),
            json!({"a": {"b": "1"}}),
            &[],
        ),
        (
            json!({"a": {"type": "array", "items": {"type": "object"}}}),
            json!({"a": [{"b": 1}]}),
            json!({"a": [{}]}),
            &["spec.a[0].b"],
        ),
    ] {
        let mut object = spec(&value);
        let found = schema(&properties).prune(&mut object);
        assert_eq!(
            (&object, found),
            (&spec(&kept), unknown.iter().map(|&text| text.to_owned()).collect()),
            "{value}"
        );
    }
}

#[test]
fn absent_fields_get_their_defaults() {
    for (properties, value, filled) in [
        (json!({"a": {"type": "integer", "default": 1}}), json!({}), json!({"a": 1})),
        (json!({"a": {"type": "integer", "default": 1}}), json!({"a": 2}), json!({"a": 2})),
        (json!({"a": {"type": "integer", "default": 1}}), json!({"a": null}), json!({"a": 1})),
        (
            json!({"a": {"type": "integer", "default": 1, "nullable": true}}),
            json!({"a": null}),
            json!({"a": null}),
        ),
        (
            json!({"a": {"type": "object", "default": {}, "properties": {"b": {"type": "string", "default": "c"}}}}),
            json!({}),
            json!({"a": {"b": "c"}}),
        ),
        (json!({"a": {"type": "string"}}), json!({"a": null}), json!({})),
    ] {
        let mut object = spec(&value);
        schema(&properties).fill(&mut object);
        assert_eq!(object, spec(&filled), "{properties} {value}");
    }
}

#[test]
fn each_check_is_made() {
    for (property, good, bad, expected) in [
        (json!({"type": "integer"}), json!(1.0), json!("1"), "must be of type integer: \"string\""),
        (json!({"type": "integer", "maximum": 5}), json!(5), json!(6), "should be less than or equal to 5"),
        (
            json!({"type": "integer", "minimum": 5, "exclusiveMinimum": true}),
            json!(6),
            json!(5),
            "should be greater than 5",
        ),
        (json!({"type": "number", "multipleOf": 2}), json!(4), json!(3), "should be a multiple of 2"),
        (json!({"type": "string", "maxLength": 2}), json!("éé"), json!("abc"), "Too long"),
        (json!({"type": "string", "pattern": "^a+$"}), json!("aa"), json!("ab"), "should match '^a+$'"),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("2026-01-01T00:00:00Z"),
            json!("today"),
            "must be of type date-time",
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("a"),
            json!("c"),
            "supported values: \"a\", \"b\"",
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            json!(["a"]),
            json!(["a", "b"]),
            "must have at most 1 item",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "b"]),
            json!(["a", "a"]),
            "Duplicate value",
        ),
        (
            json!({"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}}),
            json!({"b": "c"}),
            json!({}),
            "spec.a.b: Required value",
        ),
        (json!({"type": "string", "nullable": true}), Value::Null, json!(1), "must be of type string"),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!("1"),
            json!(true),
            "must be of type integer,string",
        ),
        (
            json!({"type": "string", "anyOf": [{"minLength": 3}, {"pattern": "^a"}]}),
            json!("a"),
            json!("b"),
            "at least one schema (anyOf)",
        ),
        (
            json!({"type": "string", "oneOf": [{"minLength": 1}, {"pattern": "^a"}]}),
            json!("b"),
            json!("a"),
            "Found 2 valid alternatives",
        ),
        (
            json!({"type": "string", "not": {"pattern": "^a"}}),
            json!("b"),
            json!("a"),
            "must not validate the schema (not)",
        ),
    ] {
        let schema = schema(&json!({"a": property}));
        let errors = |value: &Value, old: Option<&Value>| -> Vec<String> {
            let old = old.map(|old| spec(&json!({"a": old})));
            schema.judge(&spec(&json!({"a": value})), old.as_ref()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(errors(&good, None), Vec::<String>::new(), "{property} {good}");
        let found = errors(&bad, None);
        assert!(matches!(found.as_slice(), [one] if one.contains(expected)), "{property} {bad}: {found:?}");
        assert_eq!(
            errors(&bad, Some(&bad)),
            Vec::<String>::new(),
            "what stays is not held against its author"
        );
    }
}

#[test]
fn defaults_of_keys_take_no_more_than_there_is_room_for() {
    let key = json!({"type": "string", "default": "x".repeat(100_000)});
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": key}}});
    let mut object = spec(&json!({"a": vec![json!({}); 10_000]}));
    schema(&json!({"a": list})).fill_keys(&mut object);
    assert_eq!(object["spec"]["a"][0]["k"].as_str().map(str::len), Some(100_000));
    assert!(weight::of(&object) < 3 * WEIGHT, "{}", weight::of(&object));
}

#[test]
fn the_memory_of_defaults_is_known_before() {
    let text = |length: usize| json!({"type": "string", "default": "x".repeat(length)});
    let inner = json!({"type": "object", "default": {}, "properties": {"b": text(2000), "c": text(1000)}});
    let cases = [
        (json!({"a": {"type": "string"}}), 0..=0),
        (json!({"a": text(1000)}), 1000..=1200),
        (
            json!({"a": {"type": "array", "items": {"type": "object", "properties": {"b": text(500), "c": text(500)}}}}),
            1000..=1400,
        ),
        // The default of a map has defaults of its own.
        (json!({"a": inner, "d": text(1)}), 3000..=4500),
        (
            json!({"a": {"type": "array", "items": {"type": "string", "default": "x".repeat(3000)}}}),
            3000..=3200,
        ),
        (json!({"a": text(2 << 20)}), 2 * WEIGHT..=2 * WEIGHT),
    ];
    for (properties, expected) in cases {
        let found = schema(&properties).heaviest_defaults();
        assert!(expected.contains(&found), "{found}, not {expected:?}");
    }
}

#[test]
fn validation_errors_of_an_object_are_bounded() {
    let rules: Vec<Value> = (0..100).map(|n| json!({"rule": format!("self == '{n}'")})).collect();
    let texts = json!({"type": "array", "items": {"type": "string", "format": "date", "maxLength": 3}});
    let schema = schema(
        &json!({"texts": texts, "text": {"type": "string", "x-kubernetes-validations": rules},
        "said": {"type": "string", "x-kubernetes-validations": [
            {"rule": "false", "message": "plain", "messageExpression": "'long'.replace('', self)"},
            {"rule": "false", "message": "plain", "messageExpression": "'short ' + self.substring(0, 1)"}]}}),
    );
    let long = "x".repeat(300_000);
    let said = |value: Value| -> Vec<String> {
        schema.judge(&spec(&value), None).iter().map(ToString::to_string).collect()
    };
    for value in [json!({"text": long}), json!({"texts": vec![long.as_str(); 9]})] {
        let said = said(value);
        assert!((1..10).contains(&said.len()), "{}", said.len());
        assert!(said.iter().map(String::len).sum::<usize>() < 2_000_000);
    }
    let said = said(json!({"said": "s".repeat(2000)}));
    let ends: Vec<&str> = said.iter().filter_map(|error| error.rsplit(": ").next()).collect();
    assert_eq!(ends, ["plain", "short s"]);
}
