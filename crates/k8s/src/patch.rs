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

/// A patch that is being written.
#[derive(Debug, Default)]
pub struct Patch {
    text: String,
    /// Top-level objects that are not there, and are added before the first operation within.
    absent: Vec<&'static str>,
}

impl Patch {
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
    pub fn finish(mut self) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push(']');
        Some(self.text)
    }

    fn operation(&mut self, op: &str, path: &[&str], value: Option<&str>) {
        if let [first, _, ..] = path
            && let Some(place) = self.absent.iter().position(|field| field == first)
        {
            let field = self.absent.swap_remove(place);
            self.operation("add", &[field], Some("{}"));
        }
        self.text.push(if self.text.is_empty() { '[' } else { ',' });
        self.text.push_str("{\"op\":\"");
        self.text.push_str(op);
        self.text.push_str("\",\"path\":\"");
        for segment in path {
            self.text.push('/');
            push_pointer_segment(&mut self.text, segment);
        }
        self.text.push('"');
        if let Some(value) = value {
            self.text.push_str(",\"value\":");
            self.text.push_str(value);
        }
        self.text.push('}');
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
    use super::json;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_read_back(value in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&json::string(&value)).unwrap(), value);
        }
    }
}
