//! The type of an object: one of the schema's, or that of a custom resource.

use serde_json::Value;

use crate::fields::{self, Mismatch};
use crate::schema::{Message, Topology, Type, message};
use crate::structural::Structural;

/// The type of an object.
#[derive(Clone, Copy, Debug)]
pub enum Shape<'s> {
    /// A built-in one.
    Message(&'static Message),
    /// One that a CustomResourceDefinition defines.
    Custom(&'s Structural),
}

impl From<&'static Message> for Shape<'_> {
    fn from(message: &'static Message) -> Self {
        Self::Message(message)
    }
}

impl<'s> Shape<'s> {
    /// Fits an object to its type; returns the paths of unknown fields.
    ///
    /// # Errors
    ///
    /// A value does not fit its field. Those of custom resources are validated later, but for their metadata.
    pub fn fit(self, object: &mut Value) -> Result<Vec<String>, Mismatch> {
        match self {
            Self::Message(message) => fields::fit(object, message),
            Self::Custom(schema) => {
                let mut unknown = fields::fit_head(object)?;
                unknown.extend(schema.prune(object));
                Ok(unknown)
            }
        }
    }

    /// The fields of the object.
    pub(crate) fn fields(self) -> Fields<'s> {
        match self {
            Self::Message(message) => Fields::Message(message),
            Self::Custom(schema) => Fields::Object(schema),
        }
    }
}

/// The type of a value in an object, for patches.
#[derive(Clone, Copy)]
pub(crate) enum Node<'t> {
    Type(&'t Type, &'t Topology),
    Schema(&'t Structural),
}

/// The types of the fields of an object.
#[derive(Clone, Copy)]
pub(crate) enum Fields<'t> {
    Message(&'static Message),
    /// All are of one type.
    Each(&'t Type),
    /// A custom resource, whose metadata is of a type of its own.
    Object(&'t Structural),
    Schema(&'t Structural),
}

/// Merge and ownership of a value.
pub(crate) enum Form<'t> {
    /// As a whole.
    Whole,
    /// Field by field.
    Fields(Fields<'t>),
    /// Element by element, identified by these fields.
    Keyed(Node<'t>, Vec<&'t str>),
    /// Value by value.
    Set,
}

static METADATA: Type = Type::Message("ObjectMeta");
static GRANULAR: Topology = Topology::Granular;

impl<'t> Node<'t> {
    pub(crate) fn form(self, value: &Value) -> Form<'t> {
        match (self, value) {
            (Self::Type(kind, topology), _) => typed(kind, topology),
            (Self::Schema(schema), _) if schema.is_whole() => Form::Whole,
            (Self::Schema(schema), Value::Object(_)) => Form::Fields(Fields::Schema(schema)),
            (Self::Schema(schema), Value::Array(_)) => match schema.keys() {
                Some((item, keys)) => Form::Keyed(Self::Schema(item), keys),
                None if schema.is_set() => Form::Set,
                None => Form::Whole,
            },
            _ => Form::Whole,
        }
    }
}

fn typed<'t>(kind: &'t Type, topology: &'t Topology) -> Form<'t> {
    match (kind, topology) {
        (_, Topology::Atomic) => Form::Whole,
        (Type::Message(name), _) => match message(name) {
            Some(inner) if !inner.atomic => Form::Fields(Fields::Message(inner)),
            _ => Form::Whole,
        },
        (Type::Map(item), _) => Form::Fields(Fields::Each(item)),
        (Type::List(item), Topology::Keyed(keys)) => Form::Keyed(Node::Type(item, &GRANULAR), keys.clone()),
        (_, Topology::Set) => Form::Set,
        _ => Form::Whole,
    }
}

impl<'t> Fields<'t> {
    pub(crate) fn get(self, name: &str) -> Option<Node<'t>> {
        match self {
            Self::Message(message) => {
                message.field(name).map(|field| Node::Type(&field.kind, &field.topology))
            }
            Self::Each(kind) => Some(Node::Type(kind, &GRANULAR)),
            Self::Object(_) if name == "metadata" => Some(Node::Type(&METADATA, &GRANULAR)),
            Self::Object(schema) | Self::Schema(schema) => schema.property(name).map(Node::Schema),
        }
    }

    /// Whether the writer of a field also owns the containing object.
    pub(crate) fn has_owned_holder(self) -> bool {
        !matches!(self, Self::Message(_))
    }
}
