//! Kubernetes' rules for labels and annotations, as its API machinery has them for every object.

use std::collections::BTreeMap;

use crate::{FieldError, FieldPath};

/// The limit on all annotations of an object, keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

const NAME_RULE: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// Keys are qualified names; values are short names or empty.
pub fn labels(labels: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    let path = || FieldPath::of("metadata.labels");
    for (key, value) in labels {
        label(key, value, &path, errors);
    }
}

/// One label, wherever it is: its key is a qualified name, its value a short name or empty.
pub fn label(key: &str, value: &str, path: &dyn Fn() -> FieldPath, errors: &mut Vec<FieldError>) {
    let broken = qualified_name(key).into_iter().map(|rule| FieldError::invalid(path(), key, rule));
    errors.extend(broken);
    errors.extend(label_value(value).into_iter().map(|rule| FieldError::invalid(path(), value, rule)));
}

/// The rules that a label's value breaks: it is a short name or empty.
#[must_use]
pub fn label_value(value: &str) -> Vec<&'static str> {
    let is_named = value.is_empty() || is_name(value);
    let long = (value.len() > 63).then_some("must be no more than 63 bytes");
    let odd = (!is_named).then_some("a valid label is empty or consists of alphanumeric characters, '-', '_' or '.', and starts and ends with an alphanumeric character");
    long.into_iter().chain(odd).collect()
}

/// Keys are qualified names, whatever their case; together with their values they are bounded.
pub fn annotations(annotations: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    let path = || FieldPath::of("metadata.annotations");
    for key in annotations.keys() {
        let rules = qualified_name(&key.to_lowercase());
        errors.extend(rules.into_iter().map(|rule| FieldError::invalid(path(), key.as_str(), rule)));
    }
    let size: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(path(), MAX_ANNOTATIONS));
    }
}

/// Whether a text is a DNS subdomain: lower-case labels, separated by dots, of any length.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_domain_part)
}

/// Whether a text is a DNS label: lower-case letters, digits and `-` between, at most 63 bytes.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_domain_part(text)
}

fn is_domain_part(part: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    is_end(part.bytes().next())
        && is_end(part.bytes().next_back())
        && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The rules that a qualified name breaks: a name, optionally after a DNS subdomain and a slash.
#[must_use]
pub fn qualified_name(key: &str) -> Vec<&'static str> {
    let mut parts = key.split('/');
    let (prefix, name) = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => (None, name),
        (Some(prefix), Some(name), None) => (Some(prefix), name),
        _ => return vec!["a qualified name is a name, with an optional DNS subdomain prefix and '/'"],
    };
    let mut rules = Vec::new();
    match prefix {
        Some("") => rules.push("prefix part must be non-empty"),
        Some(prefix) if prefix.len() > 253 => rules.push("prefix part must be no more than 253 bytes"),
        Some(prefix) if !is_subdomain(prefix) => rules.push("prefix part must be a lower-case DNS subdomain"),
        _ => {}
    }
    match name.len() {
        0 => rules.push("name part must be non-empty"),
        64.. => rules.push("name part must be no more than 63 bytes"),
        _ => {}
    }
    if !is_name(name) {
        rules.push(NAME_RULE);
    }
    rules
}

fn is_name(text: &str) -> bool {
    let ends = [text.bytes().next(), text.bytes().next_back()];
    ends.iter().all(|end| end.is_some_and(|end| end.is_ascii_alphanumeric()))
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_follow_kubernetes_rules() {
        // Key, value, and how many errors a label and an annotation of that make.
        let long = "a".repeat(64);
        for (key, value, label, annotation) in [
            ("app", "web", 0, 0),
            ("app.kubernetes.io/name", "", 0, 0),
            ("app", "two words", 1, 0),
            ("app", long.as_str(), 1, 0),
            ("App.Kubernetes.io/Name", "x", 1, 0),
            ("a/b/c", "", 1, 1),
            ("/a", "", 1, 1),
            ("example.com/", "", 2, 2),
            (long.as_str(), "", 1, 1),
            ("-a", "", 1, 1),
            ("", "", 2, 2),
        ] {
            let map = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let count = |check: fn(&BTreeMap<String, String>, &mut Vec<FieldError>)| {
                let mut errors = Vec::new();
                check(&map, &mut errors);
                errors.len()
            };
            assert_eq!((count(labels), count(annotations)), (label, annotation), "{key:?}: {value:?}");
        }
        let mut errors = Vec::new();
        annotations(&BTreeMap::from([("a".to_owned(), "x".repeat(MAX_ANNOTATIONS))]), &mut errors);
        assert_eq!(errors.first().map(|error| error.kind.reason()), Some("FieldValueTooLong"));
    }
}
