//! Field paths, and the errors of Kubernetes' validation (`apimachinery/pkg/util/validation/field`).

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A named field.
    Field(Cow<'static, str>),
    /// An element of a list.
    Index(usize),
    /// An entry of a map with free keys, as an annotation.
    Key(String),
}

/// The path of a value in an object: prints as `spec.containers[0].name` or `metadata.annotations[example.com/key]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldPath(SmallVec<[Segment; 6]>);

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A path of plain field names, separated by dots.
    #[must_use]
    pub fn of(dotted: &'static str) -> Self {
        Self(dotted.split('.').map(|name| Segment::Field(Cow::Borrowed(name))).collect())
    }

    /// This path, one or more field names (separated by dots) further in.
    #[must_use]
    pub fn field(mut self, dotted: &'static str) -> Self {
        self.0.extend(dotted.split('.').map(|name| Segment::Field(Cow::Borrowed(name))));
        self
    }

    /// This path, one field further in, whatever its name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.0.push(Segment::Field(Cow::Owned(name.to_owned())));
        self
    }

    /// This path, at an element of the list that it names.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0.push(Segment::Index(index));
        self
    }

    /// This path, at an entry of the map that it names.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.0.push(Segment::Key(key.into()));
        self
    }

    /// `inner` as seen from the object that holds it at `self`.
    #[must_use]
    pub fn join(mut self, inner: &Self) -> Self {
        self.0.extend(inner.0.iter().cloned());
        self
    }

    /// The steps, from the object inwards.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if position == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

/// The kind of a field's error; the names are those of `metav1.CauseType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldErrorKind {
    /// The value breaks a rule.
    Invalid,
    /// The value is right in itself but not allowed here.
    Forbidden,
    /// A value must be there.
    Required,
    /// The value is none of an enumeration.
    NotSupported,
    /// The value is too long.
    TooLong,
    /// The list or map has too many entries.
    TooMany,
    /// The value is there already.
    Duplicate,
    /// The object that the value names does not exist.
    NotFound,
}

impl FieldErrorKind {
    /// The machine-readable reason of a status cause.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "FieldValueInvalid",
            Self::Forbidden => "FieldValueForbidden",
            Self::Required => "FieldValueRequired",
            Self::NotSupported => "FieldValueNotSupported",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid value",
            Self::Forbidden => "Forbidden",
            Self::Required => "Required value",
            Self::NotSupported => "Unsupported value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
        }
    }
}

/// One finding of a validation: which field, which value, and why not.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// The kind of rule that is broken.
    pub kind: FieldErrorKind,
    /// The path.
    pub path: FieldPath,
    /// The value found there; `Null` where the kind tells enough (required). A message of a forbidden one leaves it out.
    pub value: serde_json::Value,
    /// The detail, which says what would be valid.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// A value that breaks a rule.
    pub fn invalid(
        path: FieldPath,
        value: impl Into<serde_json::Value>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { kind: FieldErrorKind::Invalid, path, value: value.into(), detail: detail.into() }
    }

    /// Something that may not be there.
    pub fn forbidden(path: FieldPath, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: FieldErrorKind::Forbidden, path, value: serde_json::Value::Null, detail: detail.into() }
    }

    /// Something that must be there.
    pub fn required(path: FieldPath, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: FieldErrorKind::Required, path, value: serde_json::Value::Null, detail: detail.into() }
    }

    /// A value that must be unique and is not.
    pub fn duplicate(path: FieldPath, value: impl Into<serde_json::Value>) -> Self {
        Self { kind: FieldErrorKind::Duplicate, path, value: value.into(), detail: Cow::Borrowed("") }
    }

    /// A value that names something that is not there.
    pub fn not_found(path: FieldPath, value: impl Into<serde_json::Value>) -> Self {
        Self { kind: FieldErrorKind::NotFound, path, value: value.into(), detail: Cow::Borrowed("") }
    }

    /// More bytes than `limit`.
    pub fn too_long(path: FieldPath, limit: usize) -> Self {
        let detail = format!("may not be more than {limit} bytes");
        Self { kind: FieldErrorKind::TooLong, path, value: serde_json::Value::Null, detail: detail.into() }
    }

    /// A value that is none of `supported`.
    pub fn not_supported(path: FieldPath, value: &str, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        Self {
            kind: FieldErrorKind::NotSupported,
            path,
            value: value.into(),
            detail: format!("supported values: {}", supported.join(", ")).into(),
        }
    }

    /// The error without its path: what a status cause carries as `message`.
    #[must_use]
    pub fn message(&self) -> String {
        Message(self).to_string()
    }
}

/// An error without its path.
struct Message<'e>(&'e FieldError);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(FieldError { kind, value, detail, .. }) = self;
        f.write_str(kind.words())?;
        if !matches!(kind, FieldErrorKind::Forbidden | FieldErrorKind::Required | FieldErrorKind::TooLong) {
            write!(f, ": {value}")?;
        }
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, Message(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_kubernetes_does() {
        let path = FieldPath::of("spec.containers").index(2).field("securityContext.runAsUser");
        assert_eq!(
            FieldError::invalid(path, 0, "must be 7").to_string(),
            "spec.containers[2].securityContext.runAsUser: Invalid value: 0: must be 7"
        );
        let path = FieldPath::of("metadata.annotations").key("a/b");
        assert_eq!(FieldError::forbidden(path, "no").to_string(), "metadata.annotations[a/b]: Forbidden: no");
        assert_eq!(
            FieldError::not_supported(FieldPath::of("type"), "X", &["A", "B"]).message(),
            r#"Unsupported value: "X": supported values: "A", "B""#
        );
    }
}
