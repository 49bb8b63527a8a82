//! A resource of the API: a row of the table, or one that a client has defined.

use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use palisade_k8s::{FieldError, put};
use serde_json::{Value, json};

use super::scale;
use super::subresource::Subresource;
use super::{Custom, Row, Visible};
use crate::schema::{self, Message};
use crate::shape::Shape;

/// A resource of the API. A copy is cheap, whatever the resource is.
#[derive(Clone, Debug)]
pub enum Resource {
    /// A built-in one.
    Row(&'static Row),
    /// One that a CustomResourceDefinition defines.
    Custom(Arc<Custom>),
}

impl Deref for Resource {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.row()
    }
}

impl Resource {
    /// Its special properties.
    pub(super) fn row(&self) -> &'static Row {
        match self {
            Self::Row(row) => row,
            Self::Custom(custom) => custom.row(),
        }
    }

    /// API group; empty for the core group.
    pub fn group(&self) -> &str {
        match self {
            Self::Row(row) => row.group,
            Self::Custom(custom) => &custom.group,
        }
    }

    /// Version of the group.
    pub fn version(&self) -> &str {
        match self {
            Self::Row(row) => row.version,
            Self::Custom(custom) => &custom.version,
        }
    }

    /// Name in paths and rules.
    pub fn plural(&self) -> &str {
        match self {
            Self::Row(row) => row.plural,
            Self::Custom(custom) => &custom.plural,
        }
    }

    /// Singular name, for command lines.
    pub fn singular(&self) -> &str {
        match self {
            Self::Row(row) => row.singular,
            Self::Custom(custom) => &custom.singular,
        }
    }

    /// `kind` of its objects.
    pub fn kind(&self) -> &str {
        match self {
            Self::Row(row) => row.kind,
            Self::Custom(custom) => &custom.kind,
        }
    }

    /// `kind` of a list of its objects.
    pub fn list_kind(&self) -> String {
        match self {
            Self::Row(row) => format!("{}List", row.kind),
            Self::Custom(custom) => custom.list_kind.clone(),
        }
    }

    /// Short names for command lines.
    pub fn short_names(&self) -> Vec<&str> {
        match self {
            Self::Row(row) => row.short_names.to_vec(),
            Self::Custom(custom) => custom.short_names.iter().map(String::as_str).collect(),
        }
    }

    /// Categories: groups of resources that command lines list at once, such as `all`.
    pub fn categories(&self) -> Vec<&str> {
        match self {
            Self::Row(row) => row.categories.to_vec(),
            Self::Custom(custom) => custom.categories.iter().map(String::as_str).collect(),
        }
    }

    /// Parts and operations of an object with a path of their own.
    pub fn subresources(&self) -> &'static [Subresource] {
        match self {
            Self::Row(row) => row.subresources,
            Self::Custom(custom) => custom.subresources(),
        }
    }

    /// Name under which its objects are stored; several resources may show the same objects.
    pub fn storage(&self) -> &str {
        match self {
            Self::Row(row) => row.storage,
            Self::Custom(custom) => &custom.storage,
        }
    }

    /// Fields, besides name and namespace, that field selectors may name.
    pub fn selectable(&self) -> Vec<&str> {
        match self {
            Self::Row(row) => row.selectable.to_vec(),
            Self::Custom(custom) => custom.selectable.iter().map(String::as_str).collect(),
        }
    }

    /// The group and the name under which its requests are counted.
    pub fn counted_as(&self) -> (&'static str, &'static str) {
        match self {
            Self::Row(row) => (row.group, row.plural),
            // Clients can define any number of names.
            Self::Custom(_) => ("", "customresources"),
        }
    }

    /// Columns of a table after the name (`TableColumnDefinition`).
    pub fn columns(&self) -> Vec<Value> {
        match self {
            Self::Row(row) => row
                .columns
                .iter()
                .map(|column| {
                    json!({"name": column.name, "type": column.kind, "format": "", "description": "",
                           "priority": column.priority})
                })
                .collect(),
            Self::Custom(custom) => custom.columns(),
        }
    }

    /// Values of these columns at a point in time.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::Row(row) => (row.cells)(object, now),
            Self::Custom(custom) => custom.cells(object, now),
        }
    }

    /// Completes an object before admission: sets defaults, and resets fields that clients may not set. The second
    /// argument is the old object.
    pub fn prepare(&self, object: &mut Value, old: Option<&Value>) {
        match self {
            Self::Row(row) => (row.prepare)(object, old),
            Self::Custom(custom) => custom.prepare(object, old),
        }
    }

    /// Validates an object, and its change from an old one.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        match self {
            Self::Row(row) => (row.validate)(object, old),
            Self::Custom(custom) => custom.validate(object, old),
        }
    }

    /// Validates a change from an old object through the subresource that is named third.
    pub fn check_change(&self, object: &Value, old: &Value, part: &str) -> Vec<FieldError> {
        (self.row().check_change)(object, old, part)
    }

    /// Warnings for the author of a new or changed object.
    pub fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match self {
            Self::Row(row) => (row.warnings)(object, old),
            Self::Custom(custom) => custom.warnings(),
        }
    }

    /// Whether its group and plural name are these.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group() == group && self.plural() == plural
    }

    /// `v1`, or `GROUP/v1`.
    pub fn api_version(&self) -> String {
        if self.group().is_empty() {
            self.version().to_owned()
        } else {
            format!("{}/{}", self.group(), self.version())
        }
    }

    /// `pods`, or `roles.rbac.authorization.k8s.io`.
    pub fn qualified(&self) -> String {
        if self.group().is_empty() {
            self.plural().to_owned()
        } else {
            format!("{}.{}", self.plural(), self.group())
        }
    }

    /// Its type, if it is built in.
    pub fn message(&self) -> Option<&'static Message> {
        match self {
            Self::Row(row) => schema::message(row.schema),
            Self::Custom(_) => None,
        }
    }

    /// Its type.
    pub fn shape(&self) -> Shape<'_> {
        match self {
            Self::Row(row) => {
                #[expect(clippy::expect_used, reason = "a test looks up the type of every resource")]
                let message = schema::message(row.schema).expect("every resource has a type");
                Shape::Message(message)
            }
            Self::Custom(custom) => Shape::Custom(&custom.schema),
        }
    }

    /// Sets the schema's defaults of a custom resource's object.
    pub fn fill(&self, object: &mut Value) {
        if let Self::Custom(custom) = self {
            custom.schema.fill(object);
        }
    }

    /// Sets the defaults of the keys by which list elements of an applied configuration are identified.
    pub fn fill_keys(&self, config: &mut Value) {
        if let Self::Custom(custom) = self {
            custom.schema.fill_keys(config);
        }
    }

    /// Whether a new object has a generation.
    pub fn has_generation(&self, object: &Value) -> bool {
        self.counts_generations && (matches!(self, Self::Custom(_)) || object.get(self.spec).is_some())
    }

    /// Whether a change increases the generation.
    pub fn turns_generation(&self, new: &Value, old: &Value) -> bool {
        match self {
            Self::Row(row) => row.counts_generations && new.get(row.spec) != old.get(row.spec),
            Self::Custom(custom) => custom.differs(new, old),
        }
    }

    /// Whether its definition is being deleted.
    pub fn is_ending(&self) -> bool {
        matches!(self, Self::Custom(custom) if custom.is_ending)
    }

    /// The scale of an object.
    pub fn scale_of(&self, object: &Value) -> Value {
        let mut scale = scale::scale_of(object);
        if let Self::Custom(custom) = self {
            let own = custom.scale(object);
            for field in ["spec", "status"] {
                put(&mut scale, &[field], own.get(field).cloned().unwrap_or_default());
            }
        }
        scale
    }

    /// Sets the number of replicas of an object.
    pub fn set_replicas(&self, object: &mut Value, replicas: i64) {
        match self {
            Self::Row(_) => put(object, &["spec", "replicas"], replicas.into()),
            Self::Custom(custom) => custom.set_replicas(object, replicas),
        }
    }

    /// The group in RBAC rules: an alias has the group of the resource that it shows.
    pub fn rule_group(&self) -> &str {
        self.row().ruled_as.unwrap_or_else(|| self.group())
    }

    /// Whether it supports a verb.
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// A subresource by its name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources().iter().find(|subresource| subresource.name == name)
    }

    /// An object as this resource shows it: several resources may show the same one, each under its own kind.
    #[must_use]
    pub fn show(&self, mut object: Value) -> Value {
        if let Some(convert) = self.convert
            && super::text(&object, "/apiVersion") != self.api_version()
        {
            convert(&mut object);
        }
        if let Some(map) = object.as_object_mut() {
            map.shift_remove("kind");
            map.shift_remove("apiVersion");
            map.shift_insert(0, "kind".to_owned(), self.kind().into());
            map.shift_insert(1, "apiVersion".to_owned(), self.api_version().into());
        }
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in self.hidden {
                metadata.shift_remove(*field);
            }
        }
        // Objects that were stored before their type had a default get it when they are read.
        self.fill(&mut object);
        object
    }

    /// Whether its objects are kept in another form than it shows them, which is made without a webhook.
    pub fn is_other_version(&self) -> bool {
        self.is_view && self.convert.is_some()
    }

    /// The webhook that converts its objects to its other versions (`spec.conversion.webhook` of its definition), if there is
    /// one.
    pub fn conversion(&self) -> Option<&Value> {
        match self {
            Self::Row(_) => None,
            Self::Custom(custom) => custom.conversion.as_ref(),
        }
    }

    /// The most memory of defaults that one map, list or null of an object gets, in bytes.
    pub fn heaviest_defaults(&self) -> usize {
        match self {
            Self::Row(_) => 0,
            Self::Custom(custom) => custom.defaults,
        }
    }

    /// Whether the row of an object in a table may take much time.
    pub fn has_costly_rows(&self) -> bool {
        matches!(self, Self::Custom(custom) if custom.searches())
    }

    /// Whether an object is shown as it is stored, but for its kind and version, to all users that may list the
    /// resource.
    pub fn shows_as_kept(&self) -> bool {
        let has_defaults = matches!(self, Self::Custom(custom) if custom.schema.has_defaults());
        self.hidden.is_empty()
            && self.visible == Visible::ToAll
            && !has_defaults
            && !self.is_other_version()
            && self.conversion().is_none()
    }
}
