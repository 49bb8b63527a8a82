//! A value under validation, with its field path.

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

/// A value of an object, present or absent, and its path.
#[derive(Clone, Debug)]
pub(crate) struct At<'v> {
    value: Option<&'v Value>,
    path: FieldPath,
}

impl<'v> At<'v> {
    /// A field of an object.
    pub(crate) fn root(object: &'v Value, field: &'static str) -> Self {
        Self { value: object.get(field), path: FieldPath::of(field) }
    }

    pub(crate) fn field(&self, name: &'static str) -> Self {
        Self { value: self.value.and_then(|value| value.get(name)), path: self.path.clone().field(name) }
    }

    /// An entry of a map with free keys.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self { value: self.value.and_then(|value| value.get(key)), path: self.path.clone().key(key) }
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'v> {
        let items = self.value.and_then(Value::as_array).into_iter().flatten().enumerate();
        let path = self.path.clone();
        items.map(move |(at, value)| Self { value: Some(value), path: path.clone().index(at) })
    }

    /// The keys of a map.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'v str> + use<'v> {
        self.value.and_then(Value::as_object).into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// The given fields that are set.
    pub(crate) fn set<'n>(&self, names: &'n [&'static str]) -> impl Iterator<Item = Self> + use<'n, 'v> {
        let this = self.clone();
        names.iter().map(move |name| this.field(name)).filter(Self::is_set)
    }

    /// The value, unless it is absent or null.
    pub(crate) fn value(&self) -> Option<&'v Value> {
        self.value.filter(|value| !value.is_null())
    }

    /// A text, empty where it is absent.
    pub(crate) fn text(&self) -> &'v str {
        self.value.and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn number(&self) -> Option<i64> {
        self.value.and_then(Value::as_i64)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.value.is_some_and(|value| !value.is_null())
    }

    pub(crate) fn is(&self, value: bool) -> bool {
        self.value == Some(&Value::Bool(value))
    }

    pub(crate) fn path(&self) -> FieldPath {
        self.path.clone()
    }

    pub(crate) fn invalid(&self, why: &'static str) -> FieldError {
        FieldError::invalid(self.path(), self.value.cloned().unwrap_or_default(), why)
    }

    /// As a whole, which is not repeated.
    pub(crate) fn invalid_whole(&self, why: &'static str) -> FieldError {
        FieldError::invalid(self.path(), "", why)
    }

    pub(crate) fn required(&self, why: &'static str) -> FieldError {
        FieldError::required(self.path(), why)
    }

    pub(crate) fn forbidden(&self, why: &'static str) -> FieldError {
        FieldError::forbidden(self.path(), why)
    }

    pub(crate) fn duplicate(&self) -> FieldError {
        FieldError::duplicate(self.path(), self.value.cloned().unwrap_or_default())
    }

    pub(crate) fn not_found(&self) -> FieldError {
        FieldError::not_found(self.path(), self.value.cloned().unwrap_or_default())
    }

    /// A required string.
    pub(crate) fn missing(&self) -> Option<FieldError> {
        self.text().is_empty().then(|| self.required(""))
    }

    /// An optional string, which must be one of a list.
    pub(crate) fn none_of(&self, supported: &[&str]) -> Option<FieldError> {
        let found = self.value.and_then(Value::as_str)?;
        let is_known = supported.contains(&found);
        (!is_known).then(|| FieldError::not_supported(self.path(), found, supported))
    }

    /// An optional number, which must be in a range.
    pub(crate) fn outside(&self, range: std::ops::RangeInclusive<i64>) -> Option<FieldError> {
        let found = self.number().filter(|number| !range.contains(number))?;
        let why = match (*range.start(), *range.end()) {
            (0, i64::MAX) => "must be greater than or equal to 0".to_owned(),
            (least, i64::MAX) => format!("must be at least {least}"),
            (least, most) => format!("must be between {least} and {most}, inclusive"),
        };
        Some(FieldError::invalid(self.path(), found, why))
    }

    /// An object with exactly one of some fields.
    pub(crate) fn not_one(&self, fields: &[&'static str], what: &'static str) -> Option<FieldError> {
        let mut found = self.set(fields);
        match (found.next(), found.next()) {
            (None, _) => Some(self.required(what)),
            (Some(_), None) => None,
            (Some(_), Some(second)) => Some(second.forbidden("may not be beside another of its kind")),
        }
    }
}
