//! Label selectors and node selectors, as `apimachinery/pkg/apis/meta/v1/validation` and `pkg/apis/core/validation` check them.

use palisade_k8s::{FieldError, metadata};

use super::at::At;

/// Validates a label selector.
pub(super) fn check_selector(selector: &At<'_>, errors: &mut Vec<FieldError>) {
    check_labels(&selector.field("matchLabels"), errors);
    for expression in selector.field("matchExpressions").items() {
        let (operator, values) = (expression.field("operator"), expression.field("values"));
        let has_values = values.items().next().is_some();
        match operator.text() {
            "In" | "NotIn" if !has_values => {
                errors.push(values.required("must be specified when `operator` is 'In' or 'NotIn'"));
            }
            "Exists" | "DoesNotExist" if has_values => {
                errors.push(
                    values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.push(operator.invalid("not a valid selector operator")),
        }
        let key = expression.field("key");
        for why in metadata::qualified_name(key.text()) {
            errors.push(key.invalid(why));
        }
    }
}

/// Validates a map of labels.
pub(super) fn check_labels(map: &At<'_>, errors: &mut Vec<FieldError>) {
    for key in map.keys() {
        metadata::label(key, map.key(key).text(), &|| map.path(), errors);
    }
}

/// Validates a map of annotations: only their keys have rules.
pub(super) fn check_annotations(map: &At<'_>, errors: &mut Vec<FieldError>) {
    for key in map.keys() {
        let why = metadata::qualified_name(&key.to_ascii_lowercase());
        errors.extend(why.into_iter().map(|why| FieldError::invalid(map.path(), key, why)));
    }
}

/// Checks a port: a number from 1 to 65535, or an IANA service name.
pub(super) fn check_port(port: &At<'_>, errors: &mut Vec<FieldError>) {
    match port.number() {
        Some(_) => errors.extend(port.outside(1..=65_535)),
        None if port.is_set() && !is_port_name(port.text()) => {
            errors.push(port.invalid(
                "must be at most 15 lower-case letters, digits and single '-' between, with a letter among them",
            ));
        }
        None => {}
    }
}

/// Whether a text is an IANA service name.
pub(super) fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// An optional DNS label.
pub(super) fn check_label_name(name: &At<'_>, errors: &mut Vec<FieldError>) {
    if !name.text().is_empty() && !metadata::is_label(name.text()) {
        errors.push(
            name.invalid("must be a DNS label: lower-case letters, digits and '-' between, at most 63"),
        );
    }
}

/// An optional DNS subdomain.
pub(super) fn check_subdomain(name: &At<'_>, errors: &mut Vec<FieldError>) {
    if !name.text().is_empty() && (name.text().len() > 253 || !metadata::is_subdomain(name.text())) {
        errors.push(name.invalid("must be a DNS subdomain: lower-case labels with '.' between, at most 253"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn selectors_are_checked_by_field() {
        let cases: [(Value, &[&str]); 7] = [
            (json!({}), &[]),
            (json!({"matchLabels": {"a": "b", "x.io/y": ""}}), &[]),
            (json!({"matchLabels": {"a": "b c"}}), &["selector.matchLabels"]),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                &["selector.matchExpressions[0].values"],
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                &["selector.matchExpressions[0].values"],
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]}),
                &["selector.matchExpressions[0].operator"],
            ),
            (
                json!({"matchExpressions": [{"key": "a b", "operator": "Exists"}]}),
                &["selector.matchExpressions[0].key"],
            ),
        ];
        for (selector, wanted) in cases {
            let object = json!({ "selector": selector });
            let mut errors = Vec::new();
            check_selector(&At::root(&object, "selector"), &mut errors);
            let found: Vec<String> = errors.iter().map(|error| error.path.to_string()).collect();
            assert_eq!(found, wanted, "{object}");
        }
    }

    #[test]
    fn ports_are_numbers_or_names() {
        for (port, is_good) in [
            (json!(1), true),
            (json!(65_535), true),
            (json!(0), false),
            (json!(65_536), false),
            (json!("web"), true),
            (json!("80"), false),
            (json!("a--b"), false),
            (json!("A"), false),
            (json!(null), true),
        ] {
            let object = json!({ "port": port });
            let mut errors = Vec::new();
            check_port(&At::root(&object, "port"), &mut errors);
            assert_eq!(errors.is_empty(), is_good, "{port}");
        }
    }
}
