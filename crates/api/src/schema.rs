//! The schema of the API: the fields of every type with their names, protobuf numbers and how
//! lists and maps merge.
//!
//! One table serves all users of field information: pruning and field validation, protobuf, strategic merge patch,
//! server-side apply and OpenAPI. It is read from `schema/*.txt`; a type is a line with its name, its fields are the
//! lines below it: JSON name, protobuf number (0 where the type has no protobuf form), type, marks. `*` means that
//! absent and zero differ, `[T]` a list, `{T}` a map of strings, `~` a field whose own fields are inlined into its
//! owner. Marks: `required`, `atomic`, `set`, `map=KEYS` (how apply merges a list), `merge[=KEY]` and `retain` (how a
//! strategic patch does). Where two versions of a group have a type of the same name, the version that is not stored precedes its
//! name, as in `v1/HorizontalPodAutoscaler`.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The tables, with the prefix of their types' names in OpenAPI.
const TABLES: [(&str, &str); 23] = [
    ("io.k8s.apimachinery.pkg.apis.meta.v1", include_str!("../schema/meta.txt")),
    ("io.k8s.api.core.v1", include_str!("../schema/core.txt")),
    ("io.k8s.api.rbac.v1", include_str!("../schema/rbac.txt")),
    ("io.k8s.api.authentication.v1", include_str!("../schema/authentication.txt")),
    ("io.k8s.api.authorization.v1", include_str!("../schema/authorization.txt")),
    ("io.k8s.api.coordination.v1", include_str!("../schema/coordination.txt")),
    ("io.k8s.api.admissionregistration.v1", include_str!("../schema/admissionregistration.txt")),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1", include_str!("../schema/apiextensions.txt")),
    ("io.k8s.api.apps.v1", include_str!("../schema/apps.txt")),
    ("io.k8s.api.autoscaling.v1", include_str!("../schema/autoscaling-v1.txt")),
    ("io.k8s.api.autoscaling.v2", include_str!("../schema/autoscaling.txt")),
    ("io.k8s.api.batch.v1", include_str!("../schema/batch.txt")),
    ("io.k8s.api.discovery.v1", include_str!("../schema/discovery.txt")),
    ("io.k8s.api.events.v1", include_str!("../schema/events.txt")),
    ("io.k8s.api.networking.v1", include_str!("../schema/networking.txt")),
    ("io.k8s.api.node.v1", include_str!("../schema/node.txt")),
    ("io.k8s.api.scheduling.v1", include_str!("../schema/scheduling.txt")),
    ("io.k8s.api.storage.v1", include_str!("../schema/storage.txt")),
    ("io.k8s.api.policy.v1", include_str!("../schema/policy.txt")),
    ("com.github.openshift.api.security.v1", include_str!("../schema/security.txt")),
    ("com.github.openshift.api.project.v1", include_str!("../schema/project.txt")),
    ("com.github.openshift.api.user.v1", include_str!("../schema/user.txt")),
    ("com.github.openshift.api.authorization.v1", include_str!("../schema/openshift-authorization.txt")),
];

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// A boolean.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
    /// A floating-point number.
    Double,
    /// base64 in JSON.
    Bytes,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// A number with a unit; text in JSON, but a number is accepted.
    Quantity,
    /// A number or a text, as for ports.
    IntOrString,
    /// A set of fields: JSON inside of protobuf.
    Fields,
    /// Any value.
    Raw,
    /// A list of strings that is a message of its own in protobuf.
    ExtraValue,
    /// A type with fields, by its name.
    Message(&'static str),
    /// A list.
    List(Box<Type>),
    /// A map with string keys.
    Map(Box<Type>),
}

/// Merge of a list or an object in server-side apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// Objects and maps field by field; lists as a whole.
    #[default]
    Granular,
    /// As a whole.
    Atomic,
    /// A list of distinct values, each with owners of its own.
    Set,
    /// A list of objects that are identified by these fields.
    Keyed(Vec<&'static str>),
}

/// Merge of a list in a strategic merge patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Merge {
    /// The patch's list replaces it.
    #[default]
    Replace,
    /// Values are added.
    Values,
    /// Objects are merged with those that have the same value of this field.
    Key(&'static str),
}

/// A field of a type.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// Number in protobuf; 0 where the type has no protobuf form.
    pub number: u32,
    /// Its type.
    pub kind: Type,
    /// Absent and zero differ.
    pub optional: bool,
    /// Also written if it is zero, and `required` in OpenAPI.
    pub required: bool,
    /// Merge in server-side apply.
    pub topology: Topology,
    /// Merge in a strategic merge patch.
    pub merge: Merge,
    /// Whether a strategic merge patch names the keys that stay (`$retainKeys`).
    pub retain: bool,
}

/// A type with fields.
#[derive(Debug)]
pub struct Message {
    /// Name in the tables, without its package.
    pub name: &'static str,
    /// Prefix of its name in OpenAPI.
    pub package: &'static str,
    /// Whether server-side apply treats it as a whole.
    pub atomic: bool,
    /// Its own fields.
    pub fields: Vec<Field>,
    /// Types whose fields are inlined into this one, with their numbers in protobuf.
    pub inlined: Vec<(u32, &'static str)>,
}

static SCHEMA: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let messages = TABLES
        .iter()
        .flat_map(|(package, table)| table.split("\n\n").filter_map(|block| Message::parse(package, block)));
    messages.map(|message| (message.name, message)).collect()
});

/// A type by its name.
pub fn message(name: &str) -> Option<&'static Message> {
    SCHEMA.get(name)
}

impl Message {
    fn parse(package: &'static str, block: &'static str) -> Option<Self> {
        let mut lines = block.lines();
        let mut head = lines.next()?.split(' ');
        let name = head.next().filter(|name| !name.is_empty())?;
        let mut message = Self {
            name,
            package,
            atomic: head.next() == Some("atomic"),
            fields: Vec::new(),
            inlined: Vec::new(),
        };
        for line in lines {
            let mut words = line.split_whitespace();
            let (Some(name), Some(number), Some(kind)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            let number = number.parse().unwrap_or_default();
            if name == "~" {
                message.inlined.push((number, kind));
            } else {
                message.fields.push(Field::parse(name, number, kind, words));
            }
        }
        Some(message)
    }

    /// Its name within its package.
    pub fn title(&self) -> &'static str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// A field by its JSON name, including those of inlined types.
    pub fn field(&self, name: &str) -> Option<&'static Field>
    where
        Self: 'static,
    {
        self.all_fields().into_iter().find(|field| field.name == name)
    }

    /// All fields as JSON has them, those of inlined types at the end.
    pub fn all_fields(&self) -> Vec<&'static Field> {
        let own = message(self.name).map(|message| message.fields.as_slice()).unwrap_or_default();
        let inlined = self.inlined.iter().filter_map(|(_, name)| message(name));
        own.iter().chain(inlined.flat_map(Message::all_fields)).collect()
    }
}

impl Field {
    fn parse(
        name: &'static str,
        number: u32,
        kind: &'static str,
        marks: impl Iterator<Item = &'static str>,
    ) -> Self {
        let (optional, kind) = kind.strip_prefix('*').map_or((false, kind), |kind| (true, kind));
        let mut field = Self {
            name,
            number,
            kind: Type::parse(kind),
            optional,
            required: false,
            topology: Topology::Granular,
            merge: Merge::Replace,
            retain: false,
        };
        for mark in marks {
            match mark.split_once('=').unwrap_or((mark, "")) {
                ("required", _) => field.required = true,
                ("atomic", _) => field.topology = Topology::Atomic,
                ("set", _) => field.topology = Topology::Set,
                ("map", keys) => field.topology = Topology::Keyed(keys.split(',').collect()),
                ("merge", "") => field.merge = Merge::Values,
                ("merge", key) => field.merge = Merge::Key(key),
                ("retain", _) => field.retain = true,
                _ => {}
            }
        }
        // A merge key of strategic patches is also that of apply, unless another is specified.
        if let (Topology::Granular, Type::List(_)) = (&field.topology, &field.kind) {
            field.topology = Topology::Atomic;
        }
        field
    }

    /// Whether Go would omit a value.
    pub fn omits(&self, value: &serde_json::Value) -> bool {
        use serde_json::Value;
        if self.optional || self.required {
            return false;
        }
        match value {
            Value::String(text) => text.is_empty(),
            Value::Bool(yes) => !yes,
            Value::Number(number) => number.as_i64() == Some(0),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => matches!(self.kind, Type::Map(_)) && map.is_empty(),
            Value::Null => true,
        }
    }
}

impl Type {
    fn parse(text: &'static str) -> Self {
        let inner = |open, close| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        if let Some(item) = inner('[', ']') {
            return Self::List(Box::new(Self::parse(item)));
        }
        if let Some(value) = inner('{', '}') {
            return Self::Map(Box::new(Self::parse(value)));
        }
        match text {
            "string" => Self::String,
            "bool" => Self::Bool,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "Time" => Self::Time,
            "MicroTime" => Self::MicroTime,
            "Quantity" => Self::Quantity,
            "IntOrString" => Self::IntOrString,
            "FieldsV1" => Self::Fields,
            "Raw" => Self::Raw,
            "ExtraValue" => Self::ExtraValue,
            name => Self::Message(name),
        }
    }

    /// The message of a type, if it is one.
    pub fn message(&self) -> Option<&'static Message> {
        match self {
            Self::Message(name) => message(name),
            _ => None,
        }
    }

    /// The type of a list's or a map's elements.
    pub fn item(&self) -> Option<&Self> {
        match self {
            Self::List(item) | Self::Map(item) => Some(item),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every type that a field names exists, and no protobuf number is used twice in a type.
    #[test]
    fn referenced_types_exist_and_numbers_are_unique() {
        fn leaf(kind: &Type) -> &Type {
            kind.item().map_or(kind, leaf)
        }
        for message in SCHEMA.values() {
            let mut numbers: Vec<u32> = message.inlined.iter().map(|(number, _)| *number).collect();
            for field in &message.fields {
                if let Type::Message(name) = leaf(&field.kind) {
                    assert!(
                        super::message(name).is_some(),
                        "{}.{}: no type {name}",
                        message.name,
                        field.name
                    );
                }
                if let Topology::Keyed(keys) = &field.topology {
                    let item = field.kind.item().and_then(Type::message).expect("a list of objects");
                    assert!(keys.iter().all(|key| item.field(key).is_some()), "{}", field.name);
                }
                numbers.push(field.number);
            }
            numbers.retain(|number| *number != 0);
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(count, numbers.len(), "{}", message.name);
        }
        assert!(SCHEMA.len() > 180, "{}", SCHEMA.len());
    }

    #[test]
    fn inlined_fields_are_found() {
        let volume = message("Volume").unwrap();
        assert_eq!(volume.field("emptyDir").unwrap().kind, Type::Message("EmptyDirVolumeSource"));
        assert_eq!(volume.field("name").unwrap().number, 1);
    }
}
