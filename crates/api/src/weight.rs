//! Weights: the memory of objects as values, which can be hundreds of times the size of their text.

use serde_json::Value;

use crate::limits::WEIGHT;

/// The memory of one value, in bytes, with the spare capacity of a list.
const VALUE: usize = size_of::<Value>() * 3 / 2;
/// The memory of a map's entry besides its value: its key, its hash and its place in the table.
const ENTRY: usize = 72;
/// The memory of a map as soon as it has an entry: it has a capacity of four. Defaults are often added to an empty one.
const MAP: usize = 600;

/// The memory of a value, including its content, in bytes.
#[must_use]
pub fn of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => VALUE,
        Value::String(text) => VALUE + text.len(),
        Value::Array(items) => VALUE + items.iter().map(of).sum::<usize>(),
        Value::Object(map) if map.is_empty() => VALUE,
        Value::Object(map) => {
            VALUE + MAP + map.iter().map(|(name, value)| ENTRY + name.len() + of(value)).sum::<usize>()
        }
    }
}

/// The length of the JSON of a value of a weight at most, in bytes: an escape makes six bytes of one.
#[must_use]
pub fn longest_json(weight: usize) -> usize {
    weight.saturating_mul(6)
}

/// The nesting of lists and maps in a value, and the number of its values.
#[must_use]
pub fn nesting(value: &Value) -> (usize, usize) {
    let add = |(deepest, count): (usize, usize), part: &Value| {
        let (depth, values) = nesting(part);
        (deepest.max(depth), count + values)
    };
    let (depth, count) = match value {
        Value::Array(items) => items.iter().fold((0, 1), add),
        Value::Object(map) => map.values().fold((0, 1), add),
        _ => return (0, 1),
    };
    (depth + 1, count)
}

/// The memory of a string of so many bytes as an entry of a map.
pub(crate) fn of_text(length: usize) -> usize {
    VALUE + ENTRY + length
}

/// The memory of an empty message with its defaults.
pub(crate) fn of_map() -> usize {
    MAP
}

/// An upper bound on the memory of a body once it is parsed and has its defaults, without parsing it.
#[must_use]
pub fn of_body(bytes: &[u8], content_type: &str) -> usize {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "" | "application/json" => of_json(bytes),
        // Two bytes encode an empty message.
        "application/vnd.kubernetes.protobuf" => bytes.len().saturating_mul((MAP + VALUE) / 2).min(WEIGHT),
        kind if kind.contains("yaml") => of_yaml(bytes),
        _ => of_json(bytes),
    }
}

/// The memory of JSON, counted by its punctuation.
#[must_use]
pub fn of_json(bytes: &[u8]) -> usize {
    let (mut weight, mut is_text, mut is_escaped) = (VALUE, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b',' | b'[' => weight += VALUE,
            b':' => weight += ENTRY,
            b'{' => weight += MAP + VALUE,
            _ => {}
        }
    }
    weight + bytes.len()
}

/// The number of places in a text that may get defaults: its maps, and what is null. Those of YAML are at most as many as its signs.
#[must_use]
pub fn places(bytes: &[u8], content_type: &str) -> usize {
    let is_yaml = content_type.contains("yaml");
    let signs = bytes.iter().filter(|byte| match byte {
        b'{' => true,
        b'\n' | b',' | b'-' | b'[' | b':' | b'?' | b'*' => is_yaml,
        _ => false,
    });
    signs.count() + bytes.windows(4).filter(|word| word == b"null").count() + 1
}

/// The memory of YAML: each value of a block has a line of its own or a sign before it. Expansion of aliases is bounded
/// by the parser.
fn of_yaml(bytes: &[u8]) -> usize {
    let signs = bytes.iter().filter(|byte| matches!(byte, b'\n' | b',' | b'-' | b'[')).count();
    let maps = bytes.iter().filter(|byte| matches!(byte, b'{' | b':' | b'?')).count();
    let repeated = if bytes.contains(&b'*') { ALIASED * (VALUE + ENTRY) } else { 0 };
    // Each is kept with its place at first.
    (2 * (bytes.len() + signs * VALUE + maps * (MAP / 2 + ENTRY)) + repeated).min(2 * WEIGHT)
}

/// Maximum number of values that aliases expand to.
const ALIASED: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_weighed_as_its_value_or_more() {
        let cases = [
            "{}",
            r#"{"a": 1}"#,
            r#"[[], {}, null, true, "a\"b,c{", 1.5]"#,
            r#"{"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": "{,:["}]}]}}"#,
        ];
        for text in cases {
            let value: Value = serde_json::from_str(text).unwrap();
            let (real, guessed) = (of(&value), of_json(text.as_bytes()));
            assert!(guessed >= real && guessed <= real * 3 + 2 * MAP, "{text}: {real} {guessed}");
            assert!(of_body(text.as_bytes(), "application/yaml") >= real / 2, "{text}");
        }
        assert!(of_body(b"a: *b", "text/yaml") > 10_000_000);
    }

    #[test]
    fn places_are_the_maps_and_nulls_of_a_text() {
        for (text, kind, most) in [
            (r#"{"a": {}, "b": [null, {"c": 1}]}"#, "application/json", 5),
            ("a: {}\nb:\n- null\n- c: 1\n", "application/yaml", 12),
        ] {
            let found = places(text.as_bytes(), kind);
            assert!((5..=most).contains(&found), "{text}: {found}");
        }
    }

    #[test]
    fn no_json_is_longer_than_its_weight_says() {
        let escaped = "\u{1}".repeat(1000);
        let mut map = serde_json::Map::new();
        map.insert(escaped.clone(), Value::Null);
        let cases =
            [Value::from(escaped), map.into(), vec![f64::MIN; 100].into(), vec![u64::MAX; 100].into()];
        for value in cases {
            let (length, longest) = (value.to_string().len(), longest_json(of(&value)));
            assert!(length <= longest, "{length} {longest}");
        }
    }

    /// The constants are at least those of this machine's values.
    #[test]
    fn values_are_no_larger_than_their_weight() {
        let list: Vec<Value> = (0..1000).map(|n| serde_json::json!({"name": n})).collect();
        assert!(of(&Value::Array(list)) >= 1000 * (MAP + size_of::<Value>()));
        assert!(MAP >= 4 * (size_of::<Value>() + size_of::<String>() + 8), "{}", size_of::<Value>());
    }
}
