//! Label and field selectors.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::{ApiError, ApiResult};
use crate::labels::Requirement;
use crate::limits::CONDITIONS;

pub use crate::labels::Labels;

impl Labels {
    /// Parses a selector, such as `app=web,tier!=cache`.
    ///
    /// # Errors
    ///
    /// The syntax is not valid.
    pub fn parse(text: &str) -> ApiResult<Self> {
        let bad = |part: &str| {
            ApiError::bad_request(format!("unable to parse requirement: {part:?} of labelSelector {text:?}"))
        };
        let mut requirements = Vec::new();
        let parts = if text.trim().is_empty() { Vec::new() } else { split(text) };
        check_number(parts.len())?;
        for part in parts {
            let part = part.trim();
            requirements.push(Self::requirement(part).ok_or_else(|| bad(part))?);
        }
        Ok(Self(requirements))
    }

    fn requirement(part: &str) -> Option<(String, Requirement)> {
        let key = |key: &str| is_key(key.trim()).then(|| key.trim().to_owned());
        let one = |value: &str| is_value(value.trim()).then(|| value.trim().to_owned());
        if let Some((name, value)) = part.split_once("!=") {
            return Some((key(name)?, Requirement::NotIn([one(value)?].into())));
        }
        if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            return Some((key(name)?, Requirement::In([one(value)?].into())));
        }
        if let Some((name, value)) = part.split_once('>') {
            return Some((key(name)?, Requirement::Greater(value.trim().parse().ok()?)));
        }
        if let Some((name, value)) = part.split_once('<') {
            return Some((key(name)?, Requirement::Less(value.trim().parse().ok()?)));
        }
        if let Some((head, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
            let values: Option<BTreeSet<String>> = values.split(',').map(one).collect();
            let mut words = head.split_whitespace();
            let (name, operator) = (words.next()?, words.next()?);
            return match (operator, words.next()) {
                ("in", None) => Some((key(name)?, Requirement::In(values?))),
                ("notin", None) => Some((key(name)?, Requirement::NotIn(values?))),
                _ => None,
            };
        }
        match part.strip_prefix('!') {
            Some(name) => Some((key(name)?, Requirement::Absent)),
            None => Some((key(part)?, Requirement::Exists)),
        }
    }
}

fn check_number(count: usize) -> ApiResult<()> {
    if count > CONDITIONS {
        return Err(ApiError::bad_request(format!(
            "a selector has at most {CONDITIONS} conditions, not {count}"
        )));
    }
    Ok(())
}

/// Splits at commas that are in no parentheses.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn is_key(text: &str) -> bool {
    let name = text.rsplit_once('/').map_or(text, |(_, name)| name);
    !name.is_empty()
        && text.len() <= 317
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._/".contains(&b))
}

fn is_value(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Requirements on fields, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, bool, String)>);

impl Fields {
    /// Parses a selector on the selectable fields of a resource.
    pub fn parse(text: &str, known: &[&str]) -> ApiResult<Self> {
        let mut conditions = Vec::new();
        let parts = || text.split(',').filter(|part| !part.trim().is_empty());
        check_number(parts().count())?;
        for part in parts() {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, true, value)
            } else {
                return Err(ApiError::bad_request(format!(
                    "invalid field selector: {part:?} has no = or !="
                )));
            };
            let field = field.trim();
            if !matches!(field, "metadata.name" | "metadata.namespace") && !known.contains(&field) {
                return Err(ApiError::bad_request(format!("field label not supported: {field}")));
            }
            conditions.push((field.to_owned(), equal, value.trim().to_owned()));
        }
        Ok(Self(conditions))
    }

    /// The only name that can match, if the selector names one.
    pub fn name(&self) -> Option<&str> {
        self.value("metadata.name")
    }

    /// The only node whose pods can match, if the selector names one.
    pub fn node(&self) -> Option<&str> {
        self.value("spec.nodeName")
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(field, equal, _)| field == wanted && *equal);
        named.next().map(|(_, _, value)| value.as_str())
    }

    /// Whether it selects an object.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, wanted)| {
            let value = field.split('.').try_fold(object, |value, name| value.get(name));
            // Of many watches, each looks at an object many times: a long text is compared where it is.
            let is_wanted = match value {
                Some(Value::String(text)) => text == wanted,
                Some(Value::Bool(yes)) => wanted == if *yes { "true" } else { "false" },
                Some(Value::Number(number)) => number.to_string() == *wanted,
                // `spec.unschedulable` and similar fields are false if they are absent.
                _ => wanted.is_empty() || wanted == "false",
            };
            is_wanted == *equal
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn label_selectors_select() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier": "1", "x.io/y": ""}}});
        let cases = [
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("app", true),
            ("!app", false),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("other notin (a)", true),
            ("tier>0,tier<2", true),
            ("x.io/y=", true),
            ("app=web,other", false),
            ("", true),
        ];
        for (text, matches) in cases {
            assert_eq!(Labels::parse(text).unwrap().matches(&object), matches, "{text}");
        }
        for text in ["a b", "=", "a in web", "a in (b", "a>b", "a=b c", "ä", ",", "a=b,"] {
            assert_eq!(Labels::parse(text).map_err(|e| e.reason.code()).unwrap_err(), 400, "{text}");
        }
    }

    /// The values of one condition are looked up at once, so they may be many.
    #[test]
    fn conditions_are_bounded_and_their_values_are_not() {
        let labels = |count: usize| (0..count).map(|n| format!("!l{n}")).collect::<Vec<_>>().join(",");
        let fields = |count: usize| vec!["metadata.name!=a"; count].join(",");
        assert!(
            Labels::parse(&labels(CONDITIONS)).is_ok() && Labels::parse(&labels(CONDITIONS + 1)).is_err()
        );
        assert!(Fields::parse(&fields(CONDITIONS), &[]).is_ok());
        assert!(Fields::parse(&fields(CONDITIONS + 1), &[]).is_err());
        assert!(Labels::parse(&format!("l in ({})", vec!["v"; 5000].join(","))).is_ok());
    }

    #[test]
    fn field_selectors_select() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n", "hostNetwork": true}});
        let known = ["spec.nodeName", "spec.hostNetwork", "spec.hostIPC"];
        let cases = [
            ("metadata.name=a", true),
            ("metadata.name!=a", false),
            ("spec.nodeName=", false),
            ("spec.nodeName==n,metadata.name=a", true),
            ("spec.hostNetwork=true", true),
            ("spec.hostNetwork!=false", true),
            ("spec.hostIPC=false,spec.hostIPC!=true,spec.hostIPC=", true),
            ("spec.hostIPC=yes", false),
        ];
        for (text, matches) in cases {
            assert_eq!(Fields::parse(text, &known).unwrap().matches(&pod), matches, "{text}");
        }
        assert_eq!(Fields::parse("spec.other=1", &known).unwrap_err().reason.code(), 400);
        assert_eq!(Fields::parse("metadata.name", &known).unwrap_err().reason.code(), 400);
    }
}
