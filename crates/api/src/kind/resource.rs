//! A resource of the API: a row of the table, cheap to copy.

use std::ops::Deref;

use jiff::Timestamp;
use palisade_k8s::FieldError;
use serde_json::{Value, json};

use super::subresource::Subresource;
use super::{Row, Visible};
use crate::schema::{self, Message};

/// A resource of the API. A copy costs nothing, whatever the resource is.
#[derive(Clone, Debug)]
pub enum Resource {
    /// One that the server has by itself.
    Row(&'static Row),
}

impl Deref for Resource {
    type Target = Row;

    fn deref(&self) -> &Row {
        self.row()
    }
}

impl Resource {
    /// Its special behaviour.
    pub(super) fn row(&self) -> &'static Row {
        match self {
            Self::Row(row) => row,
        }
    }

    /// API group; empty for the core group.
    pub fn group(&self) -> &str {
        match self {
            Self::Row(row) => row.group,
        }
    }

    /// Version of the group.
    pub fn version(&self) -> &str {
        match self {
            Self::Row(row) => row.version,
        }
    }

    /// Name in paths and rules.
    pub fn plural(&self) -> &str {
        match self {
            Self::Row(row) => row.plural,
        }
    }

    /// Name of one object, for command lines.
    pub fn singular(&self) -> &str {
        match self {
            Self::Row(row) => row.singular,
        }
    }

    /// `kind` of its objects.
    pub fn kind(&self) -> &str {
        match self {
            Self::Row(row) => row.kind,
        }
    }

    /// `kind` of a list of its objects.
    pub fn list_kind(&self) -> String {
        match self {
            Self::Row(row) => format!("{}List", row.kind),
        }
    }

    /// Further names for command lines.
    pub fn short_names(&self) -> Vec<&str> {
        match self {
            Self::Row(row) => row.short_names.to_vec(),
        }
    }

    /// Groups of resources that command lines list at once, as `all`.
    pub fn categories(&self) -> Vec<&str> {
        match self {
            Self::Row(row) => row.categories.to_vec(),
        }
    }

    /// Parts and functions of an object that have a path of their own.
    pub fn subresources(&self) -> &'static [Subresource] {
        match self {
            Self::Row(row) => row.subresources,
        }
    }

    /// Name under which its objects are kept; several resources may show the same objects.
    pub fn storage(&self) -> &str {
        match self {
            Self::Row(row) => row.storage,
        }
    }

    /// Fields, besides name and namespace, that field selectors may name.
    pub fn selectable(&self) -> Vec<&str> {
        match self {
            Self::Row(row) => row.selectable.to_vec(),
        }
    }

    /// The group and the name under which requests for it are counted.
    pub fn counted_as(&self) -> (&'static str, &'static str) {
        match self {
            Self::Row(row) => (row.group, row.plural),
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
        }
    }

    /// Cells of these columns, as of a moment.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self {
            Self::Row(row) => (row.cells)(object, now),
        }
    }

    /// Completes an object before admission: defaults, and what a client may not set. Second, the object as it is.
    pub fn prepare(&self, object: &mut Value, old: Option<&Value>) {
        match self {
            Self::Row(row) => (row.prepare)(object, old),
        }
    }

    /// Finds what is wrong with an object, or with its change from another.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        match self {
            Self::Row(row) => (row.validate)(object, old),
        }
    }

    /// Finds what is wrong with a change from another object, through the subresource that is named third.
    pub fn check_change(&self, object: &Value, old: &Value, part: &str) -> Vec<FieldError> {
        (self.row().check_change)(object, old, part)
    }

    /// Warnings for the author of a new object, or of a change.
    pub fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        match self {
            Self::Row(row) => (row.warnings)(object, old),
        }
    }

    /// Whether it is the resource of a group and a plural name.
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

    /// Its type.
    pub fn message(&self) -> &'static Message {
        #[expect(clippy::expect_used, reason = "a test looks up the type of every resource")]
        schema::message(self.row().schema).expect("every resource has a type")
    }

    /// The group that rules name: an alias is ruled as what it shows.
    pub fn rule_group(&self) -> &str {
        self.row().ruled_as.unwrap_or(self.group())
    }

    /// Whether it has a verb.
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
        object
    }

    /// Whether an object is shown as it is kept, but for its kind and version, to everybody who may list the resource.
    pub fn shows_as_kept(&self) -> bool {
        self.hidden.is_empty() && self.visible == Visible::ToAll
    }
}
