//! Validation of an object by its schema, worded as in `k8s.io/kube-openapi/pkg/validation` and
//! `k8s.io/apiextensions-apiserver/pkg/apiserver/validation`.

use std::collections::HashSet;

use palisade_k8s::{FieldError, FieldErrorKind};
use serde_json::Value;

use super::findings::Findings;
use super::place::Place;
use super::{Bound, Checks, Form, List, Rest, STEPS, Structural};
use crate::format;

/// Validates an object; second, whether all its values have the right types.
pub(super) fn judge(schema: &Structural, object: &Value, old: Option<&Value>) -> (Vec<FieldError>, bool) {
    let mut judge = Judge { errors: Findings::default(), steps: STEPS, is_typed: true };
    judge.value(schema, object, old, Place::Root);
    if judge.steps == 0 {
        let why = "the object takes too many steps to be compared with its schema";
        return (vec![FieldError::forbidden(Place::Root.path(), why)], false);
    }
    (judge.errors.into_errors(), judge.is_typed)
}

struct Judge {
    errors: Findings,
    steps: u64,
    is_typed: bool,
}

/// The name of a value's type in errors.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }

    fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Any, _)
            | (Self::Object, Value::Object(_))
            | (Self::Array, Value::Array(_))
            | (Self::String | Self::IntOrString, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Boolean, Value::Bool(_)) => true,
            (Self::Integer | Self::IntOrString, Value::Number(number)) => {
                !number.is_f64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            _ => false,
        }
    }
}

impl Judge {
    fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps as u64);
        self.steps > 0 && !self.errors.is_full()
    }

    fn invalid(&mut self, place: Place<'_>, value: Value, why: String) {
        self.errors.push(FieldError::invalid(place.path(), value, why));
    }

    fn value(&mut self, schema: &Structural, value: &Value, old: Option<&Value>, place: Place<'_>) {
        if !self.spend(1) {
            return;
        }
        // Unchanged values are not validated again (`CRDValidationRatcheting`).
        if old == Some(value) {
            return;
        }
        if value.is_null() && schema.is_nullable {
            return;
        }
        if !schema.form.admits(value) {
            let (path, found) = (place.path(), type_of(value));
            let why = format!("{path} in body must be of type {}: {found:?}", schema.form.name());
            self.errors.push(FieldError::invalid(path, found, why));
            self.is_typed = false;
            return;
        }
        if let Some(checks) = &schema.checks {
            self.checks(checks, value, place);
        }
        match value {
            Value::Object(map) => self.fields(schema, map, old, place),
            Value::Array(items) => self.items(schema, items, old, place),
            _ => {}
        }
    }

    fn fields(
        &mut self,
        schema: &Structural,
        map: &serde_json::Map<String, Value>,
        old: Option<&Value>,
        place: Place<'_>,
    ) {
        if schema.is_embedded {
            self.head(map, place);
        }
        for (name, value) in map {
            let old = old.and_then(|old| old.get(name));
            match (schema.properties.get(name.as_str()), &schema.rest) {
                (Some(property), _) => self.value(property, value, old, Place::Field(&place, name)),
                (None, Rest::Each(each)) => self.value(each, value, old, Place::Key(&place, name)),
                _ => {}
            }
        }
    }

    /// An embedded object names its type.
    fn head(&mut self, map: &serde_json::Map<String, Value>, place: Place<'_>) {
        for name in ["apiVersion", "kind"] {
            let is_said = map.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            if !is_said {
                self.errors
                    .push(FieldError::required(Place::Field(&place, name).path(), "must not be empty"));
            }
        }
        if map.get("metadata").is_some_and(|metadata| !metadata.is_object()) {
            self.invalid(Place::Field(&place, "metadata"), Value::Null, "must be an object".to_owned());
            self.is_typed = false;
        }
    }

    fn items(&mut self, schema: &Structural, items: &[Value], old: Option<&Value>, place: Place<'_>) {
        let keys = match &schema.list {
            List::Map(keys) => keys.as_slice(),
            _ => &[],
        };
        if schema.list != List::Atomic {
            self.repeated(items, keys, place);
        }
        let Some(each) = schema.items.as_deref() else { return };
        let olds = old.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let by_key: std::collections::HashMap<String, &Value> = match keys {
            [] => Default::default(),
            keys => olds.iter().map(|old| (key_of(old, keys), old)).collect(),
        };
        for (index, item) in items.iter().enumerate() {
            let old = if keys.is_empty() { None } else { by_key.get(&key_of(item, keys)).copied() };
            self.value(each, item, old, Place::Item(&place, index));
        }
    }

    fn repeated(&mut self, items: &[Value], keys: &[String], place: Place<'_>) {
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            let name = if keys.is_empty() { item.to_string() } else { key_of(item, keys) };
            if !self.spend(1 + name.len() / 16) {
                return;
            }
            if !seen.insert(name) {
                let shown = match keys {
                    [] => item.clone(),
                    keys => Value::Object(
                        keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect(),
                    ),
                };
                self.errors.push(FieldError::duplicate(Place::Item(&place, index).path(), shown));
            }
        }
    }

    fn checks(&mut self, checks: &Checks, value: &Value, place: Place<'_>) {
        match value {
            Value::String(text) => self.text(checks, text, place),
            Value::Number(number) => self.number(checks, number, place),
            Value::Array(items) => self.count("items", items.len(), checks.items, place),
            Value::Object(map) => {
                self.count("properties", map.len(), checks.properties, place);
                for name in checks.required.iter().filter(|name| !map.contains_key(&***name)) {
                    self.errors.push(FieldError::required(Place::Field(&place, name).path(), ""));
                }
            }
            _ => {}
        }
        if !checks.values.is_empty() {
            self.one_of_values(checks, value, place);
        }
        self.branches(checks, value, place);
    }

    fn one_of_values(&mut self, checks: &Checks, value: &Value, place: Place<'_>) {
        if !self.spend(checks.values.len()) || checks.values.iter().any(|known| same(known, value)) {
            return;
        }
        let supported: Vec<String> = checks.values.iter().take(50).map(Value::to_string).collect();
        self.errors.push(FieldError {
            kind: FieldErrorKind::NotSupported,
            path: place.path(),
            value: value.clone(),
            detail: format!("supported values: {}", supported.join(", ")).into(),
        });
    }

    fn text(&mut self, checks: &Checks, text: &str, place: Place<'_>) {
        let [least, most] = checks.lengths;
        if least.is_some() || most.is_some() {
            let length = text.chars().count() as u64;
            if let Some(most) = most.filter(|most| length > *most) {
                self.errors
                    .push(FieldError::too_long(place.path(), usize::try_from(most).unwrap_or(usize::MAX)));
            }
            if let Some(least) = least.filter(|least| length < *least) {
                let path = place.path();
                self.invalid(
                    place,
                    text.into(),
                    format!("{path} in body should be at least {least} chars long"),
                );
            }
        }
        if let Some(pattern) = &checks.pattern
            && self.spend(text.len())
            && !pattern.is_in(text)
        {
            let path = place.path();
            self.invalid(place, text.into(), format!("{path} in body should match '{}'", pattern.text));
        }
        if !checks.format.is_empty() && !format::has(text, &checks.format) {
            let (path, format) = (place.path(), &checks.format);
            self.invalid(place, text.into(), format!("{path} in body must be of type {format}: {text:?}"));
        }
    }

    fn number(&mut self, checks: &Checks, number: &serde_json::Number, place: Place<'_>) {
        let Some(found) = number.as_f64() else { return };
        let shown = || Value::Number(number.clone());
        let [least, most] = checks.bounds;
        if let Some(Bound { value, is_exclusive }) = least
            && (found < value || is_exclusive && found <= value)
        {
            let or = if is_exclusive { "" } else { " or equal to" };
            let path = place.path();
            self.invalid(place, shown(), format!("{path} in body should be greater than{or} {value}"));
        }
        if let Some(Bound { value, is_exclusive }) = most
            && (found > value || is_exclusive && found >= value)
        {
            let or = if is_exclusive { "" } else { " or equal to" };
            let path = place.path();
            self.invalid(place, shown(), format!("{path} in body should be less than{or} {value}"));
        }
        if let Some(of) = checks.multiple_of.filter(|of| *of > 0.0)
            && (found / of).fract() != 0.0
        {
            let path = place.path();
            self.invalid(place, shown(), format!("{path} in body should be a multiple of {of}"));
        }
        let range = match checks.format.as_str() {
            "int32" => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
            "uint32" => Some((0.0, f64::from(u32::MAX))),
            _ => None,
        };
        if range.is_some_and(|(least, most)| found < least || found > most) {
            let (path, format) = (place.path(), &checks.format);
            self.invalid(place, shown(), format!("{path} in body must be of type {format}: {found}"));
        }
    }

    fn count(&mut self, what: &str, count: usize, [least, most]: [Option<u64>; 2], place: Place<'_>) {
        let found = count as u64;
        if let Some(most) = most.filter(|most| found > *most) {
            let path = place.path();
            let many = if most == 1 { what.trim_end_matches('s') } else { what };
            self.errors.push(FieldError {
                kind: FieldErrorKind::TooMany,
                path,
                value: count.into(),
                detail: format!("must have at most {most} {many}").into(),
            });
        }
        if let Some(least) = least.filter(|least| found < *least) {
            let path = place.path();
            self.invalid(place, count.into(), format!("{path} in body should have at least {least} {what}"));
        }
    }

    fn branches(&mut self, checks: &Checks, value: &Value, place: Place<'_>) {
        for branch in &checks.all {
            self.value(branch, value, None, place);
        }
        let path = place.path();
        if !checks.any.is_empty() && !checks.any.iter().any(|branch| self.fits(branch, value)) {
            self.invalid(
                place,
                "".into(),
                format!("{path} in body must validate at least one schema (anyOf)"),
            );
        }
        if !checks.one.is_empty() {
            let count = checks.one.iter().filter(|branch| self.fits(branch, value)).count();
            let found = match count {
                1 => return,
                0 => "Found none valid".to_owned(),
                count => format!("Found {count} valid alternatives"),
            };
            let why = format!("{path} in body must validate one and only one schema (oneOf). {found}");
            self.invalid(place, "".into(), why);
        }
        if let Some(not) = &checks.not
            && self.fits(not, value)
        {
            self.invalid(place, "".into(), format!("{path} in body must not validate the schema (not)"));
        }
    }

    /// Whether a value matches a branch.
    fn fits(&mut self, branch: &Structural, value: &Value) -> bool {
        let mut inner = Judge { errors: Findings::default(), steps: self.steps, is_typed: true };
        inner.value(branch, value, None, Place::Root);
        self.steps = inner.steps;
        inner.errors.is_empty()
    }
}

/// Whether two values are equal, numbers by value.
fn same(one: &Value, other: &Value) -> bool {
    one == other || one.as_f64().is_some_and(|one| other.as_f64() == Some(one))
}

fn key_of(item: &Value, keys: &[String]) -> String {
    let parts = keys.iter().map(|key| item.get(key).map(Value::to_string).unwrap_or_default());
    parts.collect::<Vec<_>>().join("\u{0}")
}
