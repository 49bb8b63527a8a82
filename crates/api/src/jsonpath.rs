//! JSONPath of columns and selectable fields of custom resources: names, indexes, all elements, and elements by the
//! value of one of their fields.

use serde_json::Value;

/// Maximum length of a path, in bytes.
const LENGTH: usize = 1000;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(i64),
    All,
    /// Elements that have, or lack, a value at a place.
    Where {
        names: Vec<String>,
        is_equal: bool,
        value: Value,
    },
}

impl Path {
    /// Parses a path, such as `.status.conditions[?(@.type=="Ready")].status`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH {
            return Err(format!("must be at most {LENGTH} bytes long"));
        }
        let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let mut rest = text.strip_prefix('$').unwrap_or(text);
        if !rest.starts_with(['.', '[']) {
            return Err("must begin with a dot, as .spec.replicas".to_owned());
        }
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, left) = if let Some(inner) = rest.strip_prefix('[') {
                bracket(inner)?
            } else {
                name(rest.strip_prefix('.').unwrap_or(rest))?
            };
            steps.extend(step);
            rest = left;
        }
        Ok(Self(steps))
    }

    /// The names of a path that consists only of names.
    pub(crate) fn names(&self) -> Option<Vec<&str>> {
        let names = self.0.iter().map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// The first of the values at the path, without searching for the others. The search ends after a number of values,
    /// which is lowered by those that it looked at.
    pub(crate) fn first<'v>(&self, value: &'v Value, looks: &mut usize) -> Option<&'v Value> {
        first(&self.0, value, looks)
    }
}

fn first<'v>(steps: &[Step], value: &'v Value, looks: &mut usize) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else { return Some(value) };
    for value in step.take(value) {
        *looks = looks.checked_sub(step.cost())?;
        if step.takes(value)
            && let Some(found) = first(rest, value, looks)
        {
            return Some(found);
        }
    }
    None
}

impl Step {
    /// The values that the step leads to.
    fn take<'s, 'v: 's>(&'s self, value: &'v Value) -> Box<dyn Iterator<Item = &'v Value> + 's> {
        match (self, value) {
            (Self::Name(name), Value::Object(map)) => Box::new(map.get(name).into_iter()),
            (Self::Index(index), Value::Array(items)) => {
                let place = if *index < 0 { items.len() as i64 + index } else { *index };
                Box::new(usize::try_from(place).ok().and_then(|place| items.get(place)).into_iter())
            }
            (Self::All | Self::Where { .. }, Value::Array(items)) => Box::new(items.iter()),
            (Self::All, Value::Object(map)) => Box::new(map.values()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Whether a value that the step leads to is one of its values.
    fn takes(&self, item: &Value) -> bool {
        let Self::Where { names, is_equal, value } = self else { return true };
        let at = names.iter().try_fold(item, |value, name| value.get(name));
        (at == Some(value)) == *is_equal
    }

    /// The number of values that it looks at, for each that it leads to.
    fn cost(&self) -> usize {
        match self {
            Self::Where { names, .. } => 1 + names.len(),
            _ => 1,
        }
    }
}

fn name(text: &str) -> Result<(Option<Step>, &str), String> {
    let (mut name, mut letters) = (String::new(), text.char_indices());
    let mut end = text.len();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next().map(|(_, letter)| letter)),
            '.' | '[' => {
                end = at;
                break;
            }
            letter => name.push(letter),
        }
    }
    let rest = text.get(end..).unwrap_or_default();
    match name.as_str() {
        "" if rest.is_empty() || rest.starts_with('[') => Ok((None, rest)),
        "" => Err("must not look for a name at any depth".to_owned()),
        "*" => Ok((Some(Step::All), rest)),
        _ => Ok((Some(Step::Name(name)), rest)),
    }
}

fn bracket(text: &str) -> Result<(Option<Step>, &str), String> {
    let broken = || format!("cannot be read at [{text}");
    if let Some(filter) = text.strip_prefix("?(") {
        let (filter, rest) = filter.split_once(")]").ok_or_else(broken)?;
        return Ok((Some(condition(filter).ok_or_else(broken)?), rest));
    }
    if let Some(quote) = text.chars().next().filter(|letter| matches!(letter, '\'' | '"')) {
        let end = format!("{quote}]");
        let (name, rest) = text.get(1..).and_then(|text| text.split_once(&end)).ok_or_else(broken)?;
        return Ok((Some(Step::Name(name.replace('\\', ""))), rest));
    }
    let (inner, rest) = text.split_once(']').ok_or_else(broken)?;
    match inner.trim() {
        "*" => Ok((Some(Step::All), rest)),
        number => Ok((Some(Step::Index(number.parse().map_err(|_| broken())?)), rest)),
    }
}

/// `@.type=="Ready"`.
fn condition(text: &str) -> Option<Step> {
    let (left, right, is_equal) = match text.split_once("==") {
        Some((left, right)) => (left, right, true),
        None => text.split_once("!=").map(|(left, right)| (left, right, false))?,
    };
    let names = left.trim().strip_prefix("@.")?.split('.').map(str::to_owned).collect();
    let right = right.trim();
    let quoted = |quote: char| right.strip_prefix(quote).and_then(|right| right.strip_suffix(quote));
    let value = match quoted('"').or(quoted('\'')) {
        Some(text) => Value::from(text),
        None => serde_json::from_str(right).ok()?,
    };
    Some(Step::Where { names, is_equal, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_find_values() {
        let object = json!({"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"n": 3, "hosts": ["a", "b"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]}});
        let cases = [
            (".spec.n", Some(json!(3))),
            ("{.spec.hosts[*]}", Some(json!("a"))),
            (".spec.hosts[-1]", Some(json!("b"))),
            (r".metadata.annotations.a\.b/c", Some(json!("x"))),
            (".metadata.annotations['a.b/c']", Some(json!("x"))),
            (r#".status.conditions[?(@.type=="Ready")].status"#, Some(json!("True"))),
            (r#".status.conditions[?(@.type!='Ready')].status"#, Some(json!("False"))),
            (".spec.none.deeper", None),
        ];
        for (text, wanted) in cases {
            let found = Path::parse(text).unwrap().first(&object, &mut 100).cloned();
            assert_eq!(found, wanted, "{text}");
        }
        // Searches that find nothing end all the same.
        let object = json!({"a": vec![json!({"b": {"c": [1, 2]}}); 1000]});
        for text in [".a[*][*].zz", ".a[*][*].*.zz", ".a[?(@.b.c==1)].zz", ".a[?(@.b.c!=1)].*.*[*].zz"] {
            let (path, mut many, mut few) = (Path::parse(text).unwrap(), 1 << 20, 500);
            assert_eq!(
                (path.first(&object, &mut many), path.first(&object, &mut few)),
                (None, None),
                "{text}"
            );
            assert!(many < (1 << 20) - 1000 && few < 5, "{text}: {many} and {few} are left");
        }
        for text in ["spec.n", "", "..n", ".a[", ".a[x]", ".a[?(@.b)]", ".a[?(b==1)]"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
