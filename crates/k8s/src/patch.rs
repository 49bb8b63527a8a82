//! JSON Patch (RFC 6902), written operation by operation into one string.
//!
//! ```
//! use palisade_k8s::patch::{Patch, json};
//!
//! let mut patch = Patch::default();
//! patch.add(&["metadata", "annotations", "example.com/a"], &json::string("b"));
//! assert_eq!(
//!     patch.finish().as_deref(),
//!     Some(r#"[{"op":"add","path":"/metadata/annotations/example.com~1a","value":"b"}]"#)
//! );
//! assert_eq!(Patch::default().finish(), None);
//! ```
//!
//! The same operations can be made on an object in memory, without the text of a patch ([`Patch::edits`]).

use serde_json::Value;

/// The size of most patches of pods, in bytes: a text that grows to it is copied seven times.
const USUAL: usize = 1_024;

/// The position of operations.
#[derive(Debug)]
enum Target {
    Text(String),
    Edits(Vec<Edit>),
}

impl Default for Target {
    fn default() -> Self {
        Self::Text(String::with_capacity(USUAL))
    }
}

/// A patch that is being written.
#[derive(Debug, Default)]
pub struct Patch {
    target: Target,
    /// Top-level objects that are not there, and are added before the first operation within.
    absent: Vec<&'static str>,
}

impl Patch {
    /// The operations that `write` writes, to be made on an object in memory.
    pub fn edits(write: impl FnOnce(&mut Self)) -> Edits {
        let mut patch = Self { target: Target::Edits(Vec::new()), absent: Vec::new() };
        write(&mut patch);
        match patch.target {
            Target::Edits(edits) => Edits(edits),
            Target::Text(_) => Edits::default(),
        }
    }

    /// Says that the object has no `field`: it is added, empty, before anything is set in it.
    pub fn has_no(&mut self, field: &'static str) {
        self.absent.push(field);
    }

    /// Sets the value at `path`, whose parent exists; `value` is JSON.
    ///
    /// On an object's field `add` replaces what is there, so one operation serves for both; use
    /// [`Patch::replace`] where the field is known to exist, for the reader's sake.
    pub fn add(&mut self, path: &[&str], value: &str) {
        self.operation("add", path, Some(value));
    }

    /// Replaces the value at `path`, which exists; `value` is JSON.
    pub fn replace(&mut self, path: &[&str], value: &str) {
        self.operation("replace", path, Some(value));
    }

    /// [`Patch::replace`] where the field `exists`, else [`Patch::add`].
    pub fn set(&mut self, exists: bool, path: &[&str], value: &str) {
        self.operation(if exists { "replace" } else { "add" }, path, Some(value));
    }

    /// Removes the value at `path`, which exists.
    pub fn remove(&mut self, path: &[&str]) {
        self.operation("remove", path, None);
    }

    /// The patch as JSON; `None` if it changes nothing.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        match self.target {
            Target::Text(text) if !text.is_empty() => Some(text + "]"),
            _ => None,
        }
    }

    fn operation(&mut self, op: &str, path: &[&str], value: Option<&str>) {
        if let [first, _, ..] = path
            && let Some(place) = self.absent.iter().position(|field| field == first)
        {
            let field = self.absent.swap_remove(place);
            self.operation("add", &[field], Some("{}"));
        }
        match &mut self.target {
            Target::Text(text) => push_operation(text, op, path, value),
            Target::Edits(edits) => edits.push(Edit {
                path: path.iter().map(|segment| (*segment).to_owned()).collect(),
                value: value.map(str::to_owned),
            }),
        }
    }
}

fn push_operation(text: &mut String, op: &str, path: &[&str], value: Option<&str>) {
    text.push(if text.is_empty() { '[' } else { ',' });
    text.push_str("{\"op\":\"");
    text.push_str(op);
    text.push_str("\",\"path\":\"");
    for segment in path {
        text.push('/');
        push_pointer_segment(text, segment);
    }
    text.push('"');
    if let Some(value) = value {
        text.push_str(",\"value\":");
        text.push_str(value);
    }
    text.push('}');
}

/// Operations to be made on an object in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

/// Sets a field, or takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edit {
    path: Vec<String>,
    /// JSON.
    value: Option<String>,
}

/// An operation that the object has no place for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no place for /{0}")]
pub struct EditError(String);

impl Edits {
    /// Whether they change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes all of them.
    ///
    /// # Errors
    ///
    /// The object is not the one that they were written for; those before the wrong one are made then.
    pub fn apply(&self, object: &mut Value) -> Result<(), EditError> {
        self.0.iter().try_for_each(|edit| edit.apply(object).ok_or_else(|| EditError(edit.path.join("/"))))
    }
}

impl Edit {
    /// `None` if the parent of the field is missing.
    fn apply(&self, object: &mut Value) -> Option<()> {
        let (field, parents) = self.path.split_last()?;
        let parent = parents.iter().try_fold(object, |at, segment| match at {
            Value::Object(map) => map.get_mut(segment),
            Value::Array(list) => list.get_mut(segment.parse::<usize>().ok()?),
            _ => None,
        })?;
        let parent = parent.as_object_mut()?;
        match &self.value {
            Some(value) => drop(parent.insert(field.clone(), serde_json::from_str(value).ok()?)),
            None => drop(parent.shift_remove(field)?),
        }
        Some(())
    }
}

fn push_pointer_segment(out: &mut String, segment: &str) {
    for character in segment.chars() {
        match character {
            '~' => out.push_str("~0"),
            '/' => out.push_str("~1"),
            other => json::push_escaped(out, other),
        }
    }
}

/// Small pieces of JSON text.
pub mod json {
    /// A JSON string.
    #[must_use]
    pub fn string(value: &str) -> String {
        let mut out = String::with_capacity(value.len() + 2);
        push_string(&mut out, value);
        out
    }

    /// Appends a JSON string.
    pub fn push_string(out: &mut String, value: &str) {
        out.push('"');
        value.chars().for_each(|character| push_escaped(out, character));
        out.push('"');
    }

    /// A JSON list of strings.
    #[must_use]
    pub fn strings<'s>(values: impl IntoIterator<Item = &'s str>) -> String {
        let mut out = String::from("[");
        for value in values {
            if out.len() > 1 {
                out.push(',');
            }
            push_string(&mut out, value);
        }
        out.push(']');
        out
    }

    /// Appends `"name":value` to the fields of the object `out`, which starts as `{`.
    pub fn push_field(out: &mut String, name: &str, value: &str) {
        if !out.ends_with('{') {
            out.push(',');
        }
        push_string(out, name);
        out.push(':');
        out.push_str(value);
    }

    pub(super) fn push_escaped(out: &mut String, character: char) {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => {
                const HEX: [char; 16] =
                    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
                let code = u32::from(control);
                let digit = |shift: u32| HEX.get(((code >> shift) & 15) as usize).copied();
                out.push_str("\\u00");
                out.extend(digit(4));
                out.extend(digit(0));
            }
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn edits_are_what_the_patch_says() {
        let edits = Patch::edits(|patch| {
            patch.has_no("metadata");
            patch.add(&["metadata", "annotations"], r#"{"a/b": "c"}"#);
            patch.set(true, &["spec", "list", "1", "x"], "2");
            patch.remove(&["spec", "gone"]);
        });
        let mut object = serde_json::json!({"spec": {"list": [{}, {"x": 1}], "gone": 1}});
        edits.apply(&mut object).unwrap();
        let expected =
            serde_json::json!({"spec": {"list": [{}, {"x": 2}]}, "metadata": {"annotations": {"a/b": "c"}}});
        assert_eq!(object, expected);
        for path in
            [&["spec", "gone"][..], &["spec", "list", "7", "x"], &["spec", "list", "x"], &["none", "x", "y"]]
        {
            let error = Patch::edits(|patch| patch.remove(path)).apply(&mut object).unwrap_err();
            assert_eq!(error.to_string(), format!("there is no place for /{}", path.join("/")));
        }
        assert_eq!(object, expected);
    }

    proptest! {
        #[test]
        fn strings_read_back(value in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&json::string(&value)).unwrap(), value);
        }
    }
}
