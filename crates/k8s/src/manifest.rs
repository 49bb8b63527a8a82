//! YAML and JSON files as documents whose every value knows where it was written.
//!
//! Scalars resolve as `kubectl` resolves them (YAML 1.1 by `sigs.k8s.io/yaml`): `yes` is true, `0644`
//! is 420. JSON is read by the same reader, since it is YAML.
//!
//! ```
//! use palisade_k8s::{FieldPath, manifest};
//!
//! let text = "kind: Pod\nspec:\n  containers:\n  - name: app\n    securityContext: {runAsUser: 0}\n";
//! let documents = manifest::read(text)?;
//! let path = FieldPath::of("spec.containers").index(0).field("securityContext.runAsUser");
//! assert_eq!(documents[0].locate(&path).to_string(), "5:34");
//! # Ok::<(), manifest::ReadError>(())
//! ```

use std::fmt;

use serde_json::Value;

use crate::field::{FieldPath, Segment};

mod read;
mod scalar;

pub use read::{MAX_ALIASED_NODES, MAX_DEPTH, read, read_json, read_some};

/// A place in a file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// An error in a file, with its position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}")]
pub struct ReadError {
    /// The position.
    pub position: Position,
    /// The reason.
    pub message: String,
}

/// A value and where it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The position of its start.
    pub at: Position,
    /// The value.
    pub value: NodeValue,
}

/// The content of a [`Node`].
#[derive(Clone, Debug, PartialEq)]
pub enum NodeValue {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written.
    Map(Vec<Entry>),
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The position of the key.
    pub at: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The field `name` of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; empty for anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            NodeValue::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a map; empty for anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The node at `path`.
    #[must_use]
    pub fn at_path(&self, path: &FieldPath) -> Option<&Self> {
        path.segments().iter().try_fold(self, |node, segment| node.step(segment))
    }

    /// The position of `path` or, if it was not written, of its innermost part that was.
    #[must_use]
    pub fn locate(&self, path: &FieldPath) -> Position {
        let mut node = self;
        let mut position = self.at;
        for segment in path.segments() {
            let Some(next) = node.step(segment) else { break };
            position = match segment {
                Segment::Field(name) => node.entry(name).map_or(next.at, |entry| entry.at),
                Segment::Key(name) => node.entry(name).map_or(next.at, |entry| entry.at),
                Segment::Index(_) => next.at,
            };
            // A value on the key's own line is what the reader wants to be pointed at.
            if next.at.line == position.line {
                position = next.at;
            }
            node = next;
        }
        position
    }

    /// The value as JSON, without the positions.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Number(value) => Value::Number(value.clone()),
            NodeValue::String(value) => Value::String(value.clone()),
            NodeValue::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            NodeValue::Map(entries) => Value::Object(
                entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
            ),
        }
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == name)
    }

    fn step(&self, segment: &Segment) -> Option<&Self> {
        match segment {
            Segment::Field(name) => self.get(name),
            Segment::Key(name) => self.get(name),
            Segment::Index(index) => self.items().get(*index),
        }
    }
}
