//! Named formats: `format.dns1123Label().validate(text)` gives the mistakes of a text. A format is represented by its name.

use std::sync::Arc;

use cel::extractors::This;
use cel::objects::OptionalValue;
use cel::{Context, Value};
use palisade_k8s::metadata;

use super::{Outcome, fails};
use crate::format::has;

/// The names of the formats.
pub(in crate::cel) const NAMES: [&str; 13] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const OLD_LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

pub(super) fn add(context: &mut Context<'_, '_>) {
    for name in NAMES {
        let _ = context.add_function(&format!("format.{name}"), move || -> Outcome { Ok(name.into()) });
    }
    let named = |name: Arc<String>| -> Outcome {
        Ok(optional(NAMES.contains(&name.as_str()).then_some(Value::String(name))))
    };
    let _ = context.add_function("format.named", named);
    let validate = |This(format): This<Arc<String>>, text: Arc<String>| -> Outcome {
        let mistakes = mistakes(&format, &text).ok_or_else(|| fails("validate", "no such overload"))?;
        let mistakes: Vec<Value> = mistakes.into_iter().map(Value::from).collect();
        Ok(optional((!mistakes.is_empty()).then(|| Value::List(Arc::new(mistakes)))))
    };
    let _ = context.add_function("validate", validate);
}

fn optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// The mistakes of a text in a named format, as Kubernetes words them; `None` if the format is unknown.
fn mistakes(format: &str, text: &str) -> Option<Vec<String>> {
    // The beginning of a name may end with a dash, which stands for what follows.
    let (format, text) = match format.strip_suffix("Prefix") {
        Some(format) => (format, begun(text)),
        None => (format, text.to_owned()),
    };
    let text = text.as_str();
    let unless = |holds: bool, why: &str| if holds { Vec::new() } else { vec![why.to_owned()] };
    Some(match format {
        "dns1123Label" => {
            let why = if metadata::is_subdomain(text) { "must not contain dots" } else { LABEL };
            let is_label = metadata::is_subdomain(text) && !text.contains('.');
            [too_long(text, 63), unless(is_label, why)].concat()
        }
        "dns1123Subdomain" => [too_long(text, 253), unless(metadata::is_subdomain(text), SUBDOMAIN)].concat(),
        "dns1035Label" => {
            let is_label = metadata::is_subdomain(text) && !text.contains('.');
            let has_letter = text.starts_with(|letter: char| letter.is_ascii_lowercase());
            [too_long(text, 63), unless(is_label && has_letter, OLD_LABEL)].concat()
        }
        "qualifiedName" => metadata::qualified_name(text).into_iter().map(str::to_owned).collect(),
        "labelValue" => metadata::label_value(text).into_iter().map(str::to_owned).collect(),
        "uri" => unless(has(text, "uri"), "invalid URI for request"),
        "uuid" => unless(has(text, "uuid"), "does not match the UUID format"),
        "byte" => unless(has(text, "byte"), "invalid base64"),
        "date" => unless(has(text, "date"), "invalid date"),
        "datetime" => unless(has(text, "datetime"), "invalid datetime"),
        _ => return None,
    })
}

fn too_long(text: &str, most: usize) -> Vec<String> {
    (text.len() > most).then(|| format!("must be no more than {most} bytes")).into_iter().collect()
}

/// A name that begins with a text: a dash at its end is followed by something.
fn begun(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(before) if !before.is_empty() => format!("{before}a"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::type_complexity, reason = "a table of cases")]
    fn texts_have_formats() {
        let (long, longer) = ("a".repeat(64), "a.".repeat(130) + "a");
        // The format, texts that have it, and texts that do not with the number of their mistakes.
        let rows: [(&str, &[&str], &[(&str, usize)]); 13] = [
            (
                "dns1123Label",
                &["my-name", "123-abc"],
                &[("a.b", 1), ("-a", 1), ("A", 1), ("", 1), (&long, 1)],
            ),
            ("dns1123Subdomain", &["a.b-c", "1"], &[("a..b", 1), ("A", 1), (&longer, 1)]),
            ("dns1035Label", &["a-1"], &[("1a", 1), ("a.b", 1), ("a-", 1), (&long, 1)]),
            ("qualifiedName", &["apps.example.com/V1.x_y", "a"], &[("a/b/c", 1), ("example.com/", 2)]),
            ("dns1123LabelPrefix", &["my-", "my"], &[("-", 1), ("my.-", 1)]),
            ("dns1123SubdomainPrefix", &["a.b-"], &[("a..-", 1)]),
            ("dns1035LabelPrefix", &["my-"], &[("1-", 1)]),
            ("labelValue", &["", "A_b.c"], &[("a b", 1), (&long, 1)]),
            ("uri", &["https://example.com/a", "/a"], &[("example.com", 1), ("", 1)]),
            ("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &[("123e4567", 1)]),
            ("byte", &["aGVsbG8="], &[("aGVsbG8", 1)]),
            ("date", &["2026-01-31"], &[("2026-02-30", 1), ("2026-1-1", 1)]),
            ("datetime", &["2026-01-01T00:00:00Z"], &[("2026-01-01", 1)]),
        ];
        assert_eq!(rows.map(|row| row.0), NAMES);
        for (format, right, wrong) in rows {
            for text in right {
                assert_eq!(mistakes(format, text), Some(Vec::new()), "{format} {text:?}");
            }
            for (text, count) in wrong {
                assert_eq!(mistakes(format, text).map(|all| all.len()), Some(*count), "{format} {text:?}");
            }
        }
        assert_eq!(mistakes("email", ""), None);
    }
}
