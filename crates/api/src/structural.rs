//! Structural schemas: the types of custom resources, as their CustomResourceDefinitions write them in OpenAPI v3.
//!
//! A schema is [parsed](Structural::read) once. Objects are pruned, defaulted, validated (also by CEL rules), and
//! merged by it; the rules are those of `k8s.io/apiextensions-apiserver/pkg/apiserver/schema`.

mod fill;
mod findings;
mod judge;
mod pattern;
mod place;
mod prune;
mod read;
mod rules;
#[cfg(test)]
mod tests;
mod types;

use std::collections::BTreeMap;

use palisade_k8s::{FieldError, FieldPath};
use serde_json::Value;

pub use rules::VARIABLES;
pub(crate) use types::not_a_condition;

use crate::cel::Batch;
use rules::Rule;

/// Maximum nesting of a schema.
pub const DEPTH: usize = 64;
/// Maximum number of schemas in the schema of one version, each property counted.
pub const NODES: usize = 50_000;
/// Maximum steps of the validation of one object: each schema that is applied to a value is one, and so are the
/// characters that a pattern reads and the values that are compared.
pub const STEPS: u64 = 20_000_000;
/// Maximum length of a pattern, in bytes, and the memory of its compiled form.
pub const PATTERN: [usize; 2] = [4 << 10, 1 << 20];
/// Maximum memory of the compiled forms of all patterns of a schema, in bytes; one that occurs several times counts once.
pub const PATTERNS: usize = 8 << 20;

/// A schema. In the branches of `allOf`, `anyOf`, `oneOf` and `not`, where a schema only validates, it has no type.
#[derive(Debug, Default)]
pub struct Structural {
    form: Form,
    is_nullable: bool,
    /// Unspecified fields are kept.
    preserves: bool,
    /// It is an object with `apiVersion`, `kind` and `metadata`.
    is_embedded: bool,
    default: Option<Box<Value>>,
    properties: BTreeMap<Box<str>, Structural>,
    rest: Rest,
    items: Option<Box<Structural>>,
    list: List,
    is_atomic: bool,
    checks: Option<Box<Checks>>,
    rules: Vec<Rule>,
    /// Whether it, or a schema below it, has CEL rules.
    has_rules: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// Fields that an object may have beside its properties.
#[derive(Debug, Default)]
enum Rest {
    #[default]
    None,
    Any,
    Each(Box<Structural>),
}

/// Merge of a list in server-side apply.
#[derive(Debug, Default, PartialEq, Eq)]
enum List {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Constraints on a value beside its type.
#[derive(Debug, Default)]
struct Checks {
    format: String,
    pattern: Option<std::sync::Arc<pattern::Pattern>>,
    lengths: [Option<u64>; 2],
    items: [Option<u64>; 2],
    properties: [Option<u64>; 2],
    bounds: [Option<Bound>; 2],
    multiple_of: Option<f64>,
    required: Vec<Box<str>>,
    values: Vec<Value>,
    all: Vec<Structural>,
    any: Vec<Structural>,
    one: Vec<Structural>,
    not: Option<Box<Structural>>,
}

/// A bound of a number.
#[derive(Clone, Copy, Debug)]
struct Bound {
    value: f64,
    is_exclusive: bool,
}

static UNKNOWN: Structural = Structural::bare(Form::Any, true, Rest::Any);

impl Structural {
    /// A schema without properties and rules, which either permits null and unknown fields or does not.
    const fn bare(form: Form, is_open: bool, rest: Rest) -> Self {
        Self {
            form,
            is_nullable: is_open,
            preserves: is_open,
            is_embedded: false,
            default: None,
            properties: BTreeMap::new(),
            rest,
            items: None,
            list: List::Atomic,
            is_atomic: false,
            checks: None,
            rules: Vec::new(),
            has_rules: false,
        }
    }

    /// Parses the schema of a version (`openAPIV3Schema`), which was validated when it was written.
    #[must_use]
    pub fn read(schema: &Value) -> Self {
        read::Reader::new(None).read(schema)
    }

    /// Validates the schema of a version, which is at `path`; `batch` has the expressions of its definition, over [`VARIABLES`].
    pub fn check(schema: &Value, path: &FieldPath, batch: &mut Batch) -> Vec<FieldError> {
        let mut reader = read::Reader::new(Some(batch));
        let structural = reader.read(schema);
        let mut errors = reader.errors;
        if errors.is_empty() {
            errors = structural.broken_defaults();
            errors.extend(types::check(&structural, batch));
        }
        errors.into_iter().map(|error| FieldError { path: path.clone().join(&error.path), ..error }).collect()
    }

    /// Removes unspecified fields from an object; returns their paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune::prune(self, object)
    }

    /// Sets the schema's defaults of an object.
    pub fn fill(&self, object: &mut Value) {
        fill::fill(self, object);
    }

    /// Sets the defaults of list keys in an applied configuration.
    pub fn fill_keys(&self, object: &mut Value) {
        fill::fill_keys(self, object);
    }

    /// Validates an object. Violations that it had before are ignored.
    #[must_use]
    pub fn judge(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let (mut errors, is_typed) = judge::judge(self, object, old);
        if is_typed {
            errors.extend(rules::judge(self, object, old));
        }
        errors
    }

    /// A property by a path such as `.spec.replicas`.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        let names = path.split('.').filter(|name| !name.is_empty());
        names.into_iter().try_fold(self, |schema, name| schema.property(name))
    }

    /// Whether it has defaults anywhere.
    #[must_use]
    pub fn has_defaults(&self) -> bool {
        let below = self.properties.values().chain(self.items.as_deref()).chain(self.each());
        self.default.is_some() || below.into_iter().any(Self::has_defaults)
    }

    /// The most memory of defaults that one map, list or null of an object gets, in bytes.
    #[must_use]
    pub fn heaviest_defaults(&self) -> usize {
        fill::heaviest(self)
    }

    /// Whether its values are strings, numbers or booleans.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        !matches!(self.form, Form::Any | Form::Object | Form::Array)
    }

    /// The fields that identify the elements of a list; empty if it is not a list, or merged otherwise.
    pub(crate) fn keys(&self) -> Option<(&Self, Vec<&str>)> {
        match &self.list {
            List::Map(keys) => Some((self.items.as_deref()?, keys.iter().map(String::as_str).collect())),
            _ => None,
        }
    }

    /// Whether it is a list whose values are merged one by one.
    pub(crate) fn is_set(&self) -> bool {
        self.list == List::Set
    }

    /// Whether its value is merged as a whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_atomic
    }

    /// The schema of a field.
    pub(crate) fn property(&self, name: &str) -> Option<&Self> {
        let rest = match &self.rest {
            Rest::Each(each) => Some(&**each),
            Rest::Any => Some(&UNKNOWN),
            Rest::None => self.preserves.then_some(&UNKNOWN),
        };
        self.properties.get(name).or(rest)
    }

    fn each(&self) -> Option<&Self> {
        match &self.rest {
            Rest::Each(each) => Some(each),
            _ => None,
        }
    }

    /// Defaults that the schema itself does not permit.
    fn broken_defaults(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.look_at_defaults(&FieldPath::root(), &mut errors);
        errors
    }

    fn look_at_defaults(&self, path: &FieldPath, errors: &mut Vec<FieldError>) {
        if let Some(default) = &self.default {
            let path = path.clone().name("default");
            let mut pruned = (**default).clone();
            for unknown in prune::prune_value(self, &mut pruned) {
                let why = format!("must not have fields that are not specified: {unknown}");
                errors.push(FieldError::invalid(path.clone(), Value::Null, why));
            }
            fill::fill_value(self, &mut pruned);
            let (found, _) = judge::judge(self, &pruned, None);
            errors.extend(
                found.into_iter().map(|error| FieldError { path: path.clone().join(&error.path), ..error }),
            );
        }
        for (name, property) in &self.properties {
            property.look_at_defaults(&path.clone().name("properties").key(&**name), errors);
        }
        if let Some(items) = &self.items {
            items.look_at_defaults(&path.clone().name("items"), errors);
        }
        if let Some(each) = self.each() {
            each.look_at_defaults(&path.clone().name("additionalProperties"), errors);
        }
    }
}
