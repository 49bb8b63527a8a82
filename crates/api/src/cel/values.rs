//! JSON as values of CEL.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use serde_json::Value;

/// The spelling of field names in expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escapes {
    /// As in JSON.
    None,
    /// As rules of custom resources spell them, and as in JSON: `x-y` is `x__dash__y` too.
    Names,
}

/// Reserved words of CEL, which a rule escapes in the names of fields.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A value, and the length of the longest list or map in it.
pub fn convert(value: &Value, escapes: Escapes) -> (cel::Value, u64) {
    let mut longest = 0;
    let value = converted(value, escapes, &mut longest);
    (value, longest)
}

fn converted(value: &Value, escapes: Escapes, longest: &mut u64) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(yes) => cel::Value::Bool(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => cel::Value::Int(whole),
            None => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => {
            *longest = (*longest).max(items.len() as u64);
            cel::Value::List(Arc::new(items.iter().map(|item| converted(item, escapes, longest)).collect()))
        }
        Value::Object(map) => {
            *longest = (*longest).max(map.len() as u64);
            let mut fields: HashMap<Key, cel::Value> = HashMap::with_capacity(map.len());
            for (name, value) in map {
                let value = converted(value, escapes, longest);
                if escapes == Escapes::Names
                    && let Some(escaped) = escape(name)
                {
                    fields.insert(Key::from(escaped), value.clone());
                }
                fields.insert(Key::from(name.as_str()), value);
            }
            cel::Value::Map(Map { map: Arc::new(fields) })
        }
    }
}

/// The escaped name of a field, if it differs.
pub(crate) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    if !name.contains("__") && !name.contains(['.', '-', '/']) {
        return None;
    }
    let escaped = name.replace("__", "__underscores__").replace('.', "__dot__");
    Some(escaped.replace('-', "__dash__").replace('/', "__slash__"))
}

/// The name that rules write so.
pub(crate) fn unescape(written: &str) -> Option<String> {
    let inner = written.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let mut name = inner.filter(|inner| RESERVED.contains(inner)).unwrap_or_default().to_owned();
    let mut rest = if name.is_empty() { written } else { "" };
    while let Some((before, after)) = rest.split_once("__") {
        let letters = [("dot__", "."), ("dash__", "-"), ("slash__", "/"), ("underscores__", "__")];
        let found = letters.into_iter().find_map(|(word, letter)| Some((after.strip_prefix(word)?, letter)));
        name.push_str(before);
        match found {
            Some((after, letter)) => {
                name.push_str(letter);
                rest = after;
            }
            // The first of three underscores stands for itself.
            None => {
                name.push('_');
                rest = rest.get(before.len() + 1..)?;
            }
        }
    }
    name.push_str(rest);
    (escape(&name).as_deref().unwrap_or(&name) == written).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_rules_write_them() {
        let cases = [
            ("namespace", Some("__namespace__")),
            ("x-prop", Some("x__dash__prop")),
            ("redact__d", Some("redact__underscores__d")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("a_-b", Some("a___dash__b")),
            ("___", Some("__underscores___")),
            ("a__dot__b", Some("a__underscores__dot__underscores__b")),
            ("plain", None),
        ];
        for (name, wanted) in cases {
            assert_eq!(escape(name).as_deref(), wanted, "{name}");
            assert_eq!(unescape(wanted.unwrap_or(name)).as_deref(), Some(name));
        }
        for written in ["a.b", "namespace", "a__b", "__dot"] {
            assert_eq!(unescape(written), None, "{written}");
        }
    }
}
